/**
 * The archive of responses, over whatever keeps records: variants, tickets, sealing, deadlines and bounds are the same
 * for Redis and for files.
 */

import { OwnedLru } from '../../cache/owned-lru.ts'
import {
  type ArchiveAnswer,
  type ArchiveFault,
  type ArchiveHit,
  type ArchiveKey,
  type ArchiveOutcome,
  type ArchivePut,
  type ArchiveRecord,
  type ArchiveSource,
  type ArchiveStatistics,
  type ArchiveTicket,
  MAX_HEAD_BYTES,
  MAX_VARY_BYTES,
  type ResponseArchive,
  TICKET_LIFE,
} from '../../cache/response-archive.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { OwnerPlaces } from '../owner-places.ts'
import { PieceQueue } from './piece-queue.ts'
import { PieceReader } from './piece-reader.ts'
import { writePieces } from './piece-writer.ts'
import { PutRoom } from './put-room.ts'
import {
  type Commit,
  type FoundRecords,
  prefixOf,
  RecordFault,
  type Records,
  type Stamp,
  TOKEN_AT,
  TOKEN_BYTES,
} from './records.ts'
import {
  identityOf,
  type OpenedResponse,
  type OpenedVary,
  openPiece,
  openRecord,
  piecesOf,
  RecordKeys,
  sealResponse,
  sealVary,
} from './sealed-record.ts'
import { sameVary, type Variant, variantAt, variantOf } from './variant.ts'

export interface RecordArchiveOptions {
  readonly name: 'Redis' | 'File'
  readonly records: Records
  /** Of the installation; another array when it is another one. */
  readonly master: () => Uint8Array
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  /** That nobody can guess. */
  readonly randomBytes: (size: number) => Uint8Array
  /** Of a find, with all its steps. */
  readonly deadline: Milliseconds
  readonly maxBodyBytes: number
  /** Of bodies put at a time, see {@link PutRoom}. */
  readonly maxPutBytes: number
  /** For the metrics. */
  readonly count?: (outcome: ArchiveOutcome) => void
}

/** Put at a time, by a worker; each has some pieces in memory. */
const MAX_PUTS = 16
const PIECES = { inFlight: 32, patience: 3_000 } as const
/** Vary records that a worker remembers, so that the variant is asked for in the same round trip. */
const GUESSED_BYTES = 1_024 * 1_024
const GUESSED_FOR: Milliseconds = 3_600_000
const MAX_TTL: Milliseconds = 30 * 86_400_000

interface Ticket extends ArchiveTicket {
  readonly keys: RecordKeys
  readonly owner: string
  readonly root: string
  readonly identity: Buffer
  readonly stamp: Stamp
  readonly at: Milliseconds
  /** What stands at the root, where that is one. */
  readonly vary: OpenedVary | null
  /** Which variant was looked for, and the prefix of what was there. */
  readonly variant: (Variant & { readonly expected: Uint8Array }) | null
  readonly response: OpenedResponse | null
}

const LATE = new RecordFault('timeout', 'the archive did not reply in time')

type Counted = ArchivePut | 'found' | 'none' | 'foreign'

/** `found` → `Found`. */
const outcomeOf = (what: Counted): ArchiveOutcome => `${what[0]!.toUpperCase()}${what.slice(1)}` as ArchiveOutcome

type Counts = { -readonly [Name in keyof ArchiveStatistics]: number }

export class RecordArchive implements ResponseArchive {
  readonly name: 'Redis' | 'File'
  readonly maxBodyBytes: number
  readonly #options: RecordArchiveOptions
  readonly #queue: PieceQueue
  readonly #guesses: OwnedLru<OpenedVary>
  readonly #puts = new OwnerPlaces(() => MAX_PUTS - this.#puts.taken)
  readonly #putRoom: PutRoom
  #master: Uint8Array | undefined
  #keys = new RecordKeys(new Uint8Array(32))
  readonly #counts: Counts = {
    found: 0,
    none: 0,
    faults: 0,
    put: 0,
    late: 0,
    refused: 0,
    foreign: 0,
    readBytes: 0,
    writtenBytes: 0,
  }

  constructor(options: RecordArchiveOptions) {
    this.#options = options
    this.name = options.name
    this.maxBodyBytes = options.maxBodyBytes
    this.#putRoom = new PutRoom(options.maxPutBytes)
    this.#queue = new PieceQueue(PIECES.inFlight, options.time)
    this.#guesses = new OwnedLru(GUESSED_BYTES, options.time)
  }

  get statistics(): ArchiveStatistics {
    return { ...this.#counts }
  }

  async find(key: ArchiveKey): Promise<ArchiveAnswer> {
    try {
      return await this.#find(key, this.#options.time.monotonic() + this.#options.deadline)
    } catch (error) {
      const reason = faultOf(error)
      this.#count(reason)
      return { type: 'away', reason }
    }
  }

  async #find(key: ArchiveKey, until: Milliseconds): Promise<ArchiveAnswer> {
    const keys = this.#keysNow()
    const owner = key.namespace
    const identity = identityOf(Buffer.from(owner), key.primary)
    const root = keys.name(identity)
    const guess = this.#guesses.get(owner, root)
    const guessed = guess === undefined ? undefined : variantOf(keys, key, identity, guess)
    const { records } = this.#options
    const found = await records.find(owner, root, guessed?.name ?? null)
    const top = found.root === null ? undefined : openRecord(keys, identity, found.root)
    if (top?.kind !== 'vary') {
      if (guess !== undefined) this.#guesses.delete(owner, root)
      const ticket = this.#ticket(keys, owner, root, identity, found, null, null)
      return await this.#answer(ticket, found.root, top, identity, until)
    }
    let variant = guessed
    let record = found.variant
    if (guess === undefined || !sameVary(guess, top)) {
      this.#guesses.set(owner, root, top, 512 + root.length * 2 + top.vary.length, GUESSED_FOR)
      variant = variantOf(keys, key, identity, top)
      if (variant !== undefined) {
        const { name } = variant
        const again = await this.#within(until, () => records.find(owner, root, name))
        // Another vary record by now, or none: what stands beside the one before belongs to nothing any more.
        record = Buffer.compare(prefixOf(again.root), prefixOf(found.root)) === 0 ? again.variant : null
      }
    }
    if (variant === undefined) return this.#none(this.#ticket(keys, owner, root, identity, found, top, null), false)
    const opened = record === null ? undefined : openRecord(keys, variant.identity, record)
    const expected = { ...variant, expected: prefixOf(record) }
    const ticket = this.#ticket(keys, owner, root, identity, found, top, expected)
    return await this.#answer(ticket, record, opened, variant.identity, until)
  }

  #ticket(
    keys: RecordKeys,
    owner: string,
    root: string,
    identity: Buffer,
    { stamp }: FoundRecords,
    vary: OpenedVary | null,
    variant: Ticket['variant'],
  ): Ticket {
    const at = this.#options.time.monotonic()
    return { archive: this.name, keys, owner, root, identity, stamp, at, vary, variant, response: null }
  }

  /** @param record what was there @param opened what it is, as far as it can be opened */
  async #answer(
    ticket: Ticket,
    record: Uint8Array | null,
    opened: OpenedResponse | OpenedVary | undefined,
    identity: Buffer,
    until: Milliseconds,
  ): Promise<ArchiveAnswer> {
    if (opened?.kind !== 'response') return this.#none(ticket, record !== null)
    const { keys, owner, root } = ticket
    const { body, sealedPiece, pieces } = opened
    const key = keys.key(body.token)
    const first = openPiece(key, identity, body, 0, sealedPiece)
    if (first === undefined) return this.#none(ticket, true)
    const { records } = this.#options
    const name = { owner, root, token: body.token }
    if (pieces > 0 && !(await this.#within(until, () => records.hasPieces(name, pieces))))
      return this.#none(ticket, false)
    const counts = this.#counts
    this.#count('found')
    counts.readBytes += opened.head.length + first.length
    const source = {
      records,
      queue: this.#queue,
      name,
      key,
      identity,
      body,
      first,
      gone: () => this.#forget(ticket, body.token),
      foreign: () => {
        this.#count('foreign')
        this.#forget(ticket, body.token)
      },
      read: (bytes: number) => void (counts.readBytes += bytes),
    }
    const hit: ArchiveHit = {
      type: 'found',
      // Its sealed bytes may lie in a buffer that is used again.
      ticket: { ...ticket, response: { ...opened, sealedPiece: new Uint8Array(sealedPiece) } } as Ticket,
      head: opened.head,
      vary: ticket.variant === null ? null : ticket.vary!.vary,
      bodyBytes: body.bytes,
      whole: pieces === 0 ? first : null,
      read: (from, to, patience = PIECES.patience) => new PieceReader(source, from, to, patience),
    }
    return hit
  }

  /** A piece of it is gone or spoilt: it would end early for everybody. Nobody waits for that. */
  #forget({ owner, root, variant }: Ticket, token: Uint8Array): void {
    const { records } = this.#options
    const forget = async (): Promise<void> => {
      const found = await records.find(owner, root, variant?.name ?? null)
      const record = prefixOf(variant === null ? found.root : found.variant)
      const there = record.subarray(TOKEN_AT, TOKEN_AT + TOKEN_BYTES)
      // Else another one has taken its place.
      if (Buffer.compare(there, token) === 0) await records.remove(owner, root)
    }
    // Where it cannot be removed now, whoever reads it next tries again.
    forget().catch(() => {})
  }

  #none(ticket: Ticket, foreign: boolean): ArchiveAnswer {
    this.#count(foreign ? 'foreign' : 'none')
    return { type: 'none', ticket }
  }

  async put(given: ArchiveTicket, record: ArchiveRecord, source: ArchiveSource): Promise<ArchivePut> {
    const ticket = given as Ticket
    const { head, variant, ttl } = record
    const fits =
      source.bytes <= this.maxBodyBytes &&
      head.length <= MAX_HEAD_BYTES &&
      (variant === undefined || variant.vary.length <= MAX_VARY_BYTES) &&
      ttl > 0
    if (!fits) return this.#settled('refused')
    if (this.#ended(ticket)) return this.#settled('late')
    const { owner } = ticket
    if (this.#puts.taken >= MAX_PUTS || !this.#putRoom.take(owner, source.bytes)) return this.#settled('full')
    const hasPlace = this.#puts.take(owner)
    try {
      return this.#settled(hasPlace ? await this.#put(ticket, record, source) : 'full')
    } catch (error) {
      return this.#settled(error instanceof RecordFault ? error.reason : 'broken')
    } finally {
      if (hasPlace) this.#puts.giveBack(owner)
      this.#putRoom.giveBack(owner, source.bytes)
    }
  }

  async #put(ticket: Ticket, { head, variant, ttl }: ArchiveRecord, source: ArchiveSource): Promise<ArchivePut> {
    const { keys, owner, root } = ticket
    const { randomBytes } = this.#options
    const place = variant === undefined ? undefined : this.#place(ticket, variant)
    const identity = place?.identity ?? ticket.identity
    const body = { token: randomBytes(TOKEN_BYTES), bytes: source.bytes }
    const name = { owner, root, token: body.token }
    const count = piecesOf(body.bytes)
    let kept = false
    try {
      const { records } = this.#options
      const sealedPiece = await writePieces({ records, name, key: keys.key(body.token), identity, body, source, ttl })
      if (sealedPiece === undefined) return 'refused'
      const sealed = sealResponse(keys, identity, { head, salt: randomBytes(TOKEN_BYTES), body, sealedPiece })
      kept = await this.#commit(ticket, {
        record: place === undefined ? sealed : place.vary,
        variant: place === undefined ? null : { name: place.name, record: sealed, expected: place.expected },
        ttl,
      })
      if (kept) this.#counts.writtenBytes += head.length + body.bytes
      return kept ? 'put' : 'late'
    } finally {
      if (!kept && count > 0) this.#options.records.dropPieces(name, count)
    }
  }

  /** Where a variant goes: beside the vary record that is there, or with another one in its place. */
  #place(
    { keys, vary, variant, identity }: Ticket,
    { vary: bytes, key }: NonNullable<ArchiveRecord['variant']>,
  ): Variant & { readonly vary: Buffer | null; readonly expected: Uint8Array | undefined } {
    const stays = vary !== null && Buffer.compare(vary.vary, bytes) === 0
    const token = stays ? vary.token : this.#options.randomBytes(TOKEN_BYTES)
    const place = variantAt(keys, identity, token, key)
    const expected = stays && variant?.name === place.name ? variant.expected : undefined
    return { ...place, vary: stays ? null : sealVary(keys, identity, token, bytes), expected }
  }

  async #commit(ticket: Ticket, commit: Omit<Commit, 'root' | 'stamp'>): Promise<boolean> {
    if (this.#ended(ticket)) return false
    const { owner, root, stamp } = ticket
    const ttl = Math.ceil(Math.min(commit.ttl, MAX_TTL))
    return await this.#options.records.commit(owner, { ...commit, ttl, root, stamp })
  }

  async update(given: ArchiveTicket, { head, ttl }: Pick<ArchiveRecord, 'head' | 'ttl'>): Promise<ArchivePut> {
    const ticket = given as Ticket
    const { response, keys, variant } = ticket
    if (response === null || head.length > MAX_HEAD_BYTES || !(ttl > 0)) return this.#settled('refused')
    const { body, sealedPiece } = response
    const identity = variant?.identity ?? ticket.identity
    const salt = this.#options.randomBytes(TOKEN_BYTES)
    const record = sealResponse(keys, identity, { head, salt, body, sealedPiece })
    try {
      const kept = await this.#commit(ticket, {
        record: variant === null ? record : null,
        variant: variant === null ? null : { name: variant.name, record, expected: variant.expected },
        ttl,
      })
      if (kept) this.#counts.writtenBytes += head.length
      return this.#settled(kept ? 'put' : 'late')
    } catch (error) {
      return this.#settled(error instanceof RecordFault ? error.reason : 'broken')
    }
  }

  async remove({ namespace, primary }: Pick<ArchiveKey, 'namespace' | 'primary'>): Promise<boolean> {
    const root = this.#keysNow().name(identityOf(Buffer.from(namespace), primary))
    this.#guesses.delete(namespace, root)
    try {
      await this.#options.records.remove(namespace, root)
      return true
    } catch {
      this.#count('broken')
      return false
    }
  }

  /** Names of another key are others, so what was asked with the one before says nothing. */
  #ended({ at, keys }: Ticket): boolean {
    return keys !== this.#keysNow() || this.#options.time.monotonic() - at > TICKET_LIFE
  }

  #settled(outcome: ArchivePut): ArchivePut {
    this.#count(outcome)
    return outcome
  }

  #count(what: Counted): void {
    if (what in this.#counts) this.#counts[what as keyof Counts]++
    else this.#counts.faults++
    this.#options.count?.(outcomeOf(what))
  }

  #keysNow(): RecordKeys {
    const master = this.#options.master()
    if (master !== this.#master) {
      this.#master = master
      this.#keys = new RecordKeys(master)
    }
    return this.#keys
  }

  /** The steps behind the first one have what is left of the deadline; where nothing is, they are not taken. */
  #within<Reply>(until: Milliseconds, step: () => Promise<Reply>): Promise<Reply> {
    const { time } = this.#options
    const left = until - time.monotonic()
    if (left <= 0) return Promise.reject(LATE)
    return new Promise((resolve, reject) => {
      const cancel = time.after(left, () => reject(LATE))
      step().then(resolve, reject).finally(cancel)
    })
  }
}

function faultOf(error: unknown): ArchiveFault {
  return error instanceof RecordFault && error.reason !== 'refused' ? error.reason : 'broken'
}
