/** Steady traffic on new connections, so that the kernel balances every request; records failures with their time. */
import { setTimeout as delay } from 'node:timers/promises'
import { request } from '../feature/raw-client.ts'

export interface Traffic {
  /** Requests with status 200. */
  readonly served: number
  /** Failed requests: start time (performance.now) and cause. */
  readonly failures: readonly { readonly at: number; readonly why: string }[]
  /** Resolves after this many more requests were served. */
  more(count: number): Promise<void>
  stop(): Promise<void>
}

const CONCURRENCY = 4
const PAUSE_MS = 20
/** Timeout of a request to a hung worker. */
const TIMEOUT_MS = 2_000
const MAX_FAILURES = 2_000

export function traffic(port: number, host: string, path = '/'): Traffic {
  const failures: { at: number; why: string }[] = []
  let served = 0
  let stopped = false
  const one = async (): Promise<void> => {
    while (!stopped) {
      const at = performance.now()
      const aborted = new AbortController()
      try {
        const answer = await Promise.race([
          request(port, { path, host, headers: { connection: 'close' } }),
          delay(TIMEOUT_MS, undefined, { signal: aborted.signal }),
        ])
        if (answer?.status === 200) served++
        else failures.push({ at, why: answer === undefined ? 'no answer' : `status ${answer.status}` })
      } catch (error) {
        failures.push({ at, why: String(error) })
      } finally {
        aborted.abort()
      }
      // The test failed and will not stop this traffic.
      if (failures.length >= MAX_FAILURES) stopped = true
      await delay(PAUSE_MS)
    }
  }
  const loops = Array.from({ length: CONCURRENCY }, one)
  return {
    get served() {
      return served
    },
    failures,
    async more(count) {
      const goal = served + count
      while (served < goal) {
        if (stopped) throw new Error(`only ${served} of ${goal} were served: ${failures.at(-1)?.why}`)
        await delay(PAUSE_MS)
      }
    },
    async stop() {
      stopped = true
      await Promise.all(loops)
    },
  }
}
