/** What a 200 to a HEAD says of the parts that are stored, where there is no whole (RFC 9111 §4.3.5). */
import { type AskedRange, rangeText } from '../../cache/asked-range.ts'
import { emptyNumbers, readNumbers } from '../../cache/cache-numbers.ts'
import type { HeldEntry } from '../../cache/response-memory.ts'
import type { Fields } from '../../message/fields.ts'
import { keyCopy } from './claims.ts'
import { SharedHold } from './entry-body.ts'
import { Fetch } from './fetch.ts'
import type { FetchRequest, FetchServices } from './fetch-contract.ts'
import { beginPart } from './part-place.ts'

export class ProbedParts {
  readonly #request: FetchRequest
  readonly #services: FetchServices

  /** @param request of the HEAD, by the key of the whole */
  constructor(request: FetchRequest, services: FetchServices) {
    this.#request = request
    this.#services = services
  }

  /** Each is updated as a whole is, or stale; as long as their bodies are not longer together than a whole may be. */
  onProbe(status: number, fields: Fields): void {
    const { rule, key, sent } = this.#request
    const { parts, maxObjectBytes } = this.#services
    if (status !== 200) return
    // Parts are of a version that has to be named: what is not, or is another one, says nothing good of them.
    parts.judge({ rule, key }, status, fields, sent)
    const record = parts.listed({ rule, key })
    if (record === null || record.sent > sent) return
    let bytes = 0
    for (const { asked, first, last } of record.parts) {
      bytes += last - first + 1
      if (bytes > maxObjectBytes) return
      const held = parts.hold({ rule, key }, asked, this.#services.wall())
      if (held === null) continue
      beginPart(key, asked)
      const partKey = keyCopy()
      const part = { wholeLength: key.length, wholeSeen: this.#request.seen, asked, named: asked }
      const { seen, storing } = { seen: held.serial, storing: this.#storing(asked) }
      this.#probe({ ...this.#request, key: partKey, part, seen, storing, keep: null }, held, status, fields)
    }
  }

  /** As if this range had been asked for: it is what is stored. */
  #storing(asked: AskedRange): FetchRequest['storing'] {
    const { storing } = this.#request
    const fields = storing.fields.copy()
    fields.set('range', `bytes=${rangeText(asked)}`)
    return { ...storing, fields }
  }

  #probe(request: FetchRequest, held: HeldEntry, status: number, fields: Fields): void {
    const numbers = readNumbers(held.view, held.numbersAt, emptyNumbers())
    const fetch = new Fetch(request, this.#services, null, { hold: new SharedHold(held), numbers })
    try {
      fetch.onProbe(status, fields)
    } finally {
      fetch.release()
    }
  }

  release(): void {}
}
