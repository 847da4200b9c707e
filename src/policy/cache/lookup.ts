/** What is stored for a request: by way of the record of its variants, and as far as it has not been purged. */
import { type CacheNumbers, emptyNumbers, expireAt, readNumbers } from '../../cache/cache-numbers.ts'
import { HARD, KEPT, type Purges } from '../../cache/purges.ts'
import {
  type EntryBytes,
  EntryKind,
  type EntryPlace,
  type ResponseMemory,
  type StoredEntry,
} from '../../cache/response-memory.ts'
import { writeVariant } from '../../cache/vary.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { DryExchange } from '../exchange.ts'
import type { PartPlace } from './part-place.ts'
import { judgePurges } from './purged.ts'
import { KEY } from './request-key.ts'
import { decodeVary } from './vary-record.ts'

/** Of the last lookup; one object for all requests of the thread, valid in its turn. */
export interface Lookup {
  /** A response; null: there is none that could be used. */
  entry: StoredEntry | null
  /** When it was looked up. */
  now: Milliseconds
  /** Its numbers, a soft purge included. */
  readonly numbers: CacheNumbers
  /** The key in `KEY` is that of a variant: so long is the primary one before it. */
  primaryLength: number
  /** Names of the record of variants; null: there is none. */
  names: readonly string[] | null
  recordSerial: number
  /** Where the record is. */
  record: EntryPlace | null
  /** Serial of what is under the key and of no use, 0: nothing is. */
  seen: number
  /** What is there was purged, or says that responses cannot be stored. */
  state: 'none' | 'found' | 'purged' | 'uncacheable'
  /** A part was found, or would be stored, under the key in `KEY`; null: it is the key of a whole. */
  part: PartPlace | null
  /** Parts are stored, though no whole. */
  partial: boolean
}

const FOUND: Lookup = {
  entry: null,
  now: 0,
  numbers: emptyNumbers(),
  primaryLength: 0,
  names: null,
  recordSerial: 0,
  record: null,
  seen: 0,
  state: 'none',
  part: null,
  partial: false,
}

/** Whether what is found says that responses cannot be stored, and says so still. */
export function isUncacheable(entry: StoredEntry | null, now: Milliseconds): boolean {
  return entry?.kind === EntryKind.Uncacheable && entry.until > now
}

export class Lookups {
  readonly #memory: ResponseMemory
  readonly #purges: Purges
  readonly #drops: boolean

  /** @param drops what is of no use is removed; else what is stored stays as it is */
  constructor(memory: ResponseMemory, purges: Purges, drops = true) {
    this.#memory = memory
    this.#purges = purges
    this.#drops = drops
  }

  /**
   * @param x of which `KEY` holds the primary key; behind the call it is the key of what was found, or would be
   * @returns to be read in this turn, and the memory to be left then
   */
  find(x: Pick<DryExchange, 'request'>, now: Milliseconds): Lookup {
    const found = FOUND
    found.entry = null
    found.now = now
    found.names = null
    found.recordSerial = 0
    found.record = null
    found.seen = 0
    found.state = 'none'
    found.part = null
    found.partial = false
    found.primaryLength = KEY.length
    let entry = this.#memory.find(KEY)
    if (entry !== null && entry.kind === EntryKind.Vary) {
      // A purge of its key has purged its variants as well, each by its own labels.
      found.recordSerial = entry.serial
      found.record = entry.place
      found.names = decodeVary(entry.bytes, entry.headAt, entry.headBytes)
      writeVariant(KEY, found.names, x.request)
      entry = KEY.tooLong ? null : this.#memory.find(KEY)
    }
    if (entry === null) return found
    if (entry.kind !== EntryKind.Response) {
      if (entry.until > now) found.state = 'uncacheable'
      found.seen = entry.serial
      return found
    }
    readNumbers(entry.view, entry.numbersAt, found.numbers)
    if (!this.survives(entry, found.numbers, now)) {
      found.state = 'purged'
      found.seen = entry.serial
      this.drop(entry)
      return found
    }
    found.entry = entry
    found.seen = entry.serial
    found.state = 'found'
    return found
  }

  /** What no request gets any more. */
  drop(entry: StoredEntry): void {
    if (this.#drops) this.#memory.remove(entry)
  }

  /**
   * Whether no purge concerns it; one that marks it as stale is written into it and its numbers. Costs a comparison
   * where there has been none since.
   */
  survives(entry: EntryBytes, numbers: CacheNumbers, now: Milliseconds): boolean {
    const verdict = judgePurges(this.#purges, entry)
    if (verdict === HARD) return false
    if (verdict !== KEPT) expireAt(numbers, now)
    return true
  }
}
