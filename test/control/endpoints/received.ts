import { readRows, SentSets } from '../../../src/thread/endpoint-rows.ts'
import type { EndpointRow, ToWorker } from '../../../src/thread/messages.ts'

/** The newest endpoints that a worker has of a Backend, by all that it was sent; none once the Backend is withdrawn. */
export function received(messages: readonly ToWorker[], backend: string): EndpointRow[] {
  let sets = new SentSets()
  for (const message of messages) {
    if (message.type !== 'endpoints' || message.backend !== backend) continue
    if (message.connects === null) sets = new SentSets()
    else {
      const set = sets.begin(message, message.connects)
      for (const text of message.rows) set.put(readRows(text))
    }
  }
  return [...(sets.newest?.rows ?? [])]
}
