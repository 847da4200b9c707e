/** What a 200 to a HEAD says of what is stored of a GET (RFC 9111 §4.3.5): in the memory, and in the archive. */
import type { Fields } from '../../message/fields.ts'
import type { CachedRequest } from './cached-request.ts'
import type { KeyedRequest } from './claims.ts'
import { Fetch } from './fetch.ts'
import type { FetchRequest, FetchServices } from './fetch-contract.ts'
import { type FetchRequests, staleOf } from './fetch-request.ts'
import type { Lookup } from './lookup.ts'
import { ProbedParts } from './probed-parts.ts'
import type { Recalls } from './recall.ts'

type Probe = NonNullable<CachedRequest['probe']>

/** @param asking a HEAD, which goes to the origin. @returns null: nothing is stored that it could be about */
export function probeOf(
  asking: KeyedRequest,
  found: Lookup,
  requests: FetchRequests,
  services: FetchServices,
): Probe | null {
  const { recalls, parts } = services
  const hasParts = found.entry === null && parts.exist()
  if (found.entry === null && !hasParts && recalls === null) return null
  const request = requests.of(asking, found)
  const whole = found.entry === null ? null : new Fetch(request, services, null, staleOf(found))
  const memory = hasParts ? new ProbedParts(request, services) : whole
  return recalls === null ? memory : new ProbedArchive(request, recalls, memory)
}

class ProbedArchive {
  readonly #request: FetchRequest
  readonly #recalls: Recalls
  readonly #memory: Probe | null

  constructor(request: FetchRequest, recalls: Recalls, memory: Probe | null) {
    this.#request = request
    this.#recalls = recalls
    this.#memory = memory
  }

  /** The client does not wait for the archive. */
  onProbe(status: number, fields: Fields): void {
    this.#memory?.onProbe(status, fields)
    if (status !== 200) return
    const { rule, key, primaryLength, storing, sent } = this.#request
    const primary = { bytes: key.bytes.subarray(0, primaryLength), length: primaryLength }
    void this.#recalls.probe({ rule, primary, fields: storing.fields.copy() }, fields.copy(), sent)
  }

  release(): void {
    this.#memory?.release()
  }
}
