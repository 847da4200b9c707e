/**
 * The second tier of the HTTP cache: complete responses outside of the process's memory, in Redis or in files. It is
 * asked where memory has no fresh response, and before the request goes to an endpoint.
 *
 * No call rejects, and each ends within the deadline of the archive: one that cannot answer in time says so, and the
 * request goes on as a miss. Only whole responses are put, and what is found is authentic: it was sealed by a gateway
 * with the same key, for this very key, and nothing of it is cut or mixed with another response. Whether it may be
 * used is for the caller to judge: freshness, `Vary`, purges.
 */
import type { Milliseconds } from '../lib/clock.ts'

export interface ArchiveKey {
  /** Whom bytes and calls are counted to. */
  readonly namespace: string
  /** The primary key, whole; two different ones never meet, whatever their digests are. */
  readonly primary: Uint8Array
  /**
   * The key of the variant that the request asks for, given the vary record that was put under the primary key.
   * Undefined: the record is of another version, or nothing can match.
   */
  variantOf(vary: Uint8Array): Uint8Array | undefined
}

/**
 * What was there when the archive was asked. Only with it can something be put, and only as long as nobody put or
 * removed anything else since: so a response whose fetch began before a removal never comes back behind it, however
 * late its write arrives. It ends by itself after {@link TICKET_LIFE}.
 */
export interface ArchiveTicket {
  readonly archive: 'Redis' | 'File'
}

/** A fetch that takes longer is not archived. */
export const TICKET_LIFE: Milliseconds = 240_000

export type ArchiveAnswer =
  | ArchiveHit
  /** There is nothing for this key. */
  | { readonly type: 'none'; readonly ticket: ArchiveTicket }
  /** It could not be asked, or not in time: nothing is known, and nothing can be put. */
  | { readonly type: 'away'; readonly reason: ArchiveFault }

export interface ArchiveHit {
  readonly type: 'found'
  readonly ticket: ArchiveTicket
  /** As it was put; a copy of its own. */
  readonly head: Uint8Array
  /** The vary record that led to it; null: it is that of the primary key. */
  readonly vary: Uint8Array | null
  readonly bodyBytes: number
  /** The body, where it has come with the head: always up to {@link WHOLE_BYTES}; else null, and it is read. */
  readonly whole: Uint8Array | null
  /**
   * Reads a part of the body, also of one that is whole.
   *
   * @param from first byte
   * @param to behind the last byte
   * @param patience how long it tries to get what cannot be had at once, from when that is wanted; as the archive has
   *   it where absent
   */
  read(from: number, to: number, patience?: Milliseconds): ArchiveReader
}

/** Bodies up to here come with their head, in one round trip. */
export const WHOLE_BYTES = 128 * 1_024

/** Goes through a body once. */
export interface ArchiveReader {
  /**
   * The next bytes, null behind the last; at most some are read ahead. One call at a time.
   *
   * @throws {ArchiveError} the rest cannot be had: it was dropped meanwhile, the archive went away
   */
  next(): Promise<Uint8Array | null>
  /** Nothing more is read. Behind the end, or twice, without effect. */
  close(): void
}

/** What is put: a response that has been received whole. */
export interface ArchiveRecord {
  /** Opaque here: numbers, stored fields, tags, the purge sequence of its fetch. At most {@link MAX_HEAD_BYTES}. */
  readonly head: Uint8Array
  /** Absent: the response is that of the primary key, whatever the request. */
  readonly variant?: {
    /** The record that says which fields of requests decide; opaque here. At most {@link MAX_VARY_BYTES}. */
    readonly vary: Uint8Array
    /** What `variantOf` gives for `vary` and the request that was answered. */
    readonly key: Uint8Array
  }
  /** For how long it may be of use, fresh or stale. */
  readonly ttl: Milliseconds
}

export const MAX_HEAD_BYTES = 128 * 1_024
export const MAX_VARY_BYTES = 64 * 1_024

/** The bytes of a body that is whole, such as those of a pinned entry of the memory. */
export interface ArchiveSource {
  readonly bytes: number
  /** Fills the target from the byte at `from` on; false: it is gone, and nothing is put. */
  copy(from: number, target: Uint8Array): boolean
}

/** What became of a put. */
export type ArchivePut =
  | 'put'
  /** Somebody put or removed something since the ticket, or it has ended. */
  | 'late'
  /** No room, longer than the archive takes, or its source is gone. */
  | 'refused'
  | ArchiveFault

export type ArchiveFault =
  /** Not configured. */
  | 'absent'
  /** It did not answer before, and is not asked until it does. */
  | 'away'
  /** As many calls or bytes as may be are in flight. */
  | 'full'
  /** No answer within the deadline. */
  | 'timeout'
  | 'broken'

export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
}

export interface ResponseArchive {
  readonly name: 'Redis' | 'File'
  /** Longer bodies are refused. */
  readonly maxBodyBytes: number

  find(key: ArchiveKey): Promise<ArchiveAnswer>

  /** In place of what was there. Reads the source until the promise is settled. */
  put(ticket: ArchiveTicket, record: ArchiveRecord, source: ArchiveSource): Promise<ArchivePut>

  /** Another head and time for what was found, such as by a 304; its body stays. */
  update(ticket: ArchiveTicket, record: Pick<ArchiveRecord, 'head' | 'ttl'>): Promise<ArchivePut>

  /**
   * What is there goes, with all its variants and the puts of all tickets up to now.
   *
   * @returns whether that is so now; false: it could not be asked in time, and may or may not be so
   */
  remove(key: Pick<ArchiveKey, 'namespace' | 'primary'>): Promise<boolean>

  readonly statistics: ArchiveStatistics
}

/** What became of the calls of an archive, as labels of a metric: a closed list, which grows at its end. */
export const ARCHIVE_OUTCOMES = [
  /** Of lookups: */
  'Found',
  'None',
  /** cut, of another version or key; */
  'Foreign',
  /** of puts; */
  'Put',
  'Late',
  'Refused',
  /** of both, of which nothing is known: see {@link ArchiveFault}. */
  'Absent',
  'Away',
  'Full',
  'Timeout',
  'Broken',
] as const
export type ArchiveOutcome = (typeof ARCHIVE_OUTCOMES)[number]

export const ARCHIVES = ['Redis', 'File'] as const

export interface ArchiveStatistics {
  readonly found: number
  readonly none: number
  /** Calls that had no answer in time. */
  readonly faults: number
  readonly put: number
  readonly late: number
  readonly refused: number
  /** Found, and cut, foreign, or of another version or key. */
  readonly foreign: number
  /** Bytes of heads and bodies. */
  readonly readBytes: number
  readonly writtenBytes: number
}
