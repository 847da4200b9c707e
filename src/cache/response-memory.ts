/**
 * The first tier of the HTTP cache: responses in memory that all workers of the process share. One object is fetched
 * once and kept once, whichever worker asks. What is kept, for how long, and who may have it is for the caller to
 * judge.
 *
 * Everything here ends in the turn of the loop in which it is called, and nothing throws: where there is no room, or a
 * table is full, the answer is that nothing is stored. All keys are whole: two different ones never meet, whatever
 * their hashes are.
 *
 * **A turn.** What {@link ResponseMemory.find} returns is a view into memory that may be used for others once this
 * worker has left it: whoever got one calls {@link ResponseMemory.leave} in the same turn, and reads nothing of it
 * afterwards. Several finds may come before one `leave`; the view is one object, of the last find. What is to be read
 * later is pinned first ({@link StoredEntry.hold}).
 */

/** What an entry is; nothing but {@link EntryKind.Response} has a body. */
export const EntryKind = {
  Response: 1,
  /** Leads from a primary key to its variants: the head has the names of fields. */
  Vary: 2,
  /** Responses for this key cannot be stored: whoever asks fetches, and waits for nobody. */
  Uncacheable: 3,
  /** Which parts of a response are stored, see `parts-record.ts`. */
  Parts: 4,
} as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

/** A key: the first bytes of a buffer, which is the caller's again when the call returns. */
export interface EntryKey {
  readonly bytes: Uint8Array
  readonly length: number
  /** Nobody changes the bytes any more, and a fill may keep them. */
  readonly owned?: boolean
  /** Where it has one: what a memory has made of the bytes as they are, so that it need not do so again. */
  readonly hashed?: KeyHash
}

export interface KeyHash {
  /** Whose hash it is; null: there is none of these bytes. */
  by: object | null
  low: number
  high: number
}

/** What is stored beside the body. The bytes are copied in the call that takes them. */
export interface EntryHead {
  readonly kind: EntryKind
  /** The layout of `cache-numbers.ts`; NUMBERS_BYTES of it. */
  readonly numbers: Uint8Array
  /** The response's status and fields, encoded; of a vary record the names of fields. */
  readonly head: Uint8Array
  /** What purges look at: labels, encoded. */
  readonly subject: Uint8Array
  /** Bytes of the body, -1 where nobody knows yet. Another number of bytes is no whole body, and is not stored. */
  readonly bodyBytes: number
  /**
   * Of no use to anybody behind this time, in milliseconds by the clock of `sweep`, of which a second is made; the
   * entry may be found all the same.
   */
  readonly until: number
  /** The last sequence of the purge log when the request was sent: purges behind it concern the entry. */
  readonly began: number
}

/** What can be read of an entry, in memory that others write in other places: offsets are into `bytes` and `view`. */
export interface EntryBytes {
  readonly kind: EntryKind
  readonly bytes: Buffer
  readonly view: DataView
  /** Where {@link EntryHead.numbers} begin, at a multiple of eight. */
  readonly numbersAt: number
  readonly headAt: number
  readonly headBytes: number
  /** A multiple of eight, so that 64-bit numbers can be read there. */
  readonly subjectAt: number
  readonly subjectBytes: number
  readonly keyAt: number
  readonly keyBytes: number
  readonly until: number
  /** Of the purge log: up to where it was judged last, from {@link EntryHead.began} on. Any worker may move it on. */
  checked: number
  /** Of the whole body; -1 as long as nobody knows, while it is being filled. */
  readonly bodyBytes: number
  /** Bytes of the body that are there; all of them where the entry was found by a key. */
  readonly written: number
  /** Copies a part of the body that is there. @returns the bytes copied, fewer where fewer are there */
  copyBody(from: number, target: Uint8Array, at: number, length: number): number
  /** Some of the body, a character for each byte. @returns null: it is not in one piece, or not there */
  bodyText(from: number, length: number): string | null
  /** Sets bits in a 32-bit word of the numbers, such as flags, so that no other bit is lost. */
  setBits(offset: number, bits: number): void
}

/** Where an entry was found. */
export interface EntryPlace {
  readonly slot: number
  readonly record: number
  readonly serial: number
}

/** An entry that was found; valid until `leave`. */
export interface StoredEntry extends EntryBytes {
  /** Kept by whoever wants to find it again. */
  readonly place: EntryPlace
  /** Names this entry alone among all that are in memory, also those of the same key before and after it. */
  readonly serial: number
  /** Null: too many entries are held by this worker already. */
  hold(): HeldEntry | null
}

/**
 * An entry that is read over several turns; it may be evicted or replaced meanwhile, its bytes stay. Only where slow
 * readers hold so many bytes of such entries that nothing new finds room, those that went first are taken from them.
 */
export interface HeldEntry extends EntryBytes {
  readonly serial: number
  /** It was released or taken away: nothing more of the body can be copied, and nothing else may be read. */
  readonly gone: boolean
  /**
   * That nothing before a byte will be read: of a body that is not kept it is free then.
   *
   * @returns bytes of the body that are there; of one that is not kept perhaps not yet all
   */
  reach(at: number): number
  /** Behind it nothing may be read. Twice, without effect. */
  release(): void
}

/** What a request finds that wants to fetch. */
export type Begun =
  | Fill
  | FillUnderWay
  /** There is an entry now that the caller has not seen: look again. */
  | 'found'
  /** Fetch without storing: the claim is another key's, or there is no room for one more. */
  | 'none'

/**
 * The right to fetch and store a key, which one alone has in the process. Exactly one of `end`, `record` and `fail`
 * ends it; those who wait are told in that turn. A worker that dies fails all of its fills.
 */
export interface Fill {
  readonly type: 'fill'
  /** Whether somebody waits for it or reads along, in any worker. */
  readonly followed: boolean
  /**
   * The head of what is being stored, of kind Response. Followers read from now on.
   *
   * @returns false: it is not stored, since there is no room or it is longer than an entry may be; the fill has
   *   failed
   */
  head(head: EntryHead): boolean
  /**
   * More of the body. Longer than was said counts as failed.
   *
   * @returns false: there is no room for it; the fill has failed
   */
  write(bytes: Uint8Array, start: number, end: number): boolean
  /**
   * As {@link write}, but where there is no room the body goes on for those who read along: the fill is over, and what
   * has not been written of these bytes is to be written to what is returned.
   *
   * @returns false: there is no room, and nobody reads along; the fill has failed
   */
  pass(bytes: Uint8Array, start: number, end: number): PassedBody | boolean
  /**
   * More of the body, from an entry that is held: a 304 makes a new head for the body that is there.
   *
   * @param budget bytes at most in this turn
   * @returns whether all was copied; null: there is no room or the other entry is gone, the fill has failed
   */
  copy(from: HeldEntry, budget: number): boolean | null
  /**
   * The body is whole: in place of what was there, it is found from now on.
   *
   * @param keep false: who reads along gets it whole, and nobody else finds it
   * @returns false: it was not whole or there was no place in the index
   */
  end(keep?: boolean): boolean
  /**
   * An entry without body in place of what is there: a vary record, or that this key cannot be stored. To be called
   * before the head.
   *
   * @returns false: it is not there, and the fill has failed
   */
  record(head: EntryHead): boolean
  /**
   * Nothing is stored, what was there before stays. Those who wait for the head go on without it; who reads along
   * has what was written, and no more comes.
   */
  fail(): void
  /** As {@link fail}, but nothing has failed: to be called before the head. Those who wait look again. */
  withdraw(): void
  /** What has been written, to be read by the one who fills. Null before the head, and when too many are held. */
  hold(): HeldEntry | null
}

/** Bytes of such a body between two times that who reads it is told to hurry; less is next to nothing. */
export const LEAST_READ = 256 * 1_024

/** What is being fetched, is not kept, and is read along by others; one of `end` and `fail` ends it. */
export interface PassedBody {
  /** Bytes of the body that have been written. */
  readonly written: number
  /** Nobody reads it any more. */
  readonly unread: boolean
  /** There is not even room for one piece more. */
  readonly isStuck: boolean
  /** Somebody has come to its last piece. */
  readonly isAwaited: boolean
  /** All such bodies of the worker together leave too little memory to others. */
  readonly isCrowded: boolean
  /** @returns bytes that were taken, fewer where those who read are too far behind or there is no room */
  write(bytes: Uint8Array, start: number, end: number): number
  /** Calls when more can perhaps be taken; also for nothing. */
  follow(changed: () => void): void
  /** Where the writer goes on reading: nothing before what is written now. Null: too many are held. */
  hold(): HeldEntry | null
  /** Whether what is held is at the first piece, which nothing can be freed before. */
  isFirst(held: HeldEntry): boolean
  /**
   * To be called from time to time where others wait for those who read the first piece: who has read next to nothing
   * since the last time loses it. Not the writer itself, as long as it writes.
   *
   * @returns false: nothing is left but perhaps the last piece
   */
  hurry(): boolean
  /** The body is whole; who reads it comes to its end. */
  end(): void
  fail(): void
}

export type FillState =
  /** There is no head yet. */
  | 'waiting'
  /** There is a head: `hold` and read what is written. */
  | 'filling'
  /** The body is whole. */
  | 'whole'
  /** The outcome has been recorded under the key, or there is none: look again, it is there or was removed. */
  | 'recorded'
  /** Nothing more comes: fetch without waiting for others. */
  | 'failed'

/** A fetch of the same key by another request, in any worker. */
export interface FillUnderWay {
  readonly type: 'under-way'
  readonly state: FillState
  /**
   * Calls whenever the state changes or more is written, until it is `whole`, `recorded` or `failed`, or cancelled.
   * Never within this call; once for many changes.
   */
  follow(changed: () => void): void
  /** What is being filled, from the state `filling` on. Null before, and when too many are held. */
  hold(): HeldEntry | null
  /** Follows no more; what is held stays held. */
  cancel(): void
}

export interface ResponseMemory {
  /** Of a body, 0: nothing is stored. */
  readonly maxBodyBytes: number

  /** A whole entry that is under this key. Null: there is none, and the worker has left. */
  find(key: EntryKey): StoredEntry | null
  /** The very entry that was found at a place, if it still is what is found by its key. Null: the worker has left. */
  findAt(place: EntryPlace): StoredEntry | null
  /** The end of reading, in the turn in which it began. Without effect where it has ended. */
  leave(): void

  /**
   * Asks for the right to fetch and store.
   *
   * @param owner whom the bytes are counted to, a namespace
   * @param seen serial of the entry that the caller has found and cannot use, 0: none
   */
  begin(key: EntryKey, owner: string, seen: number): Begun

  /** Takes the entry that was found out of the index; it is as if it had never been there. */
  remove(entry: StoredEntry): void

  /**
   * Goes through entries that this worker has stored, from where it has been left, and removes those which are of no
   * use.
   *
   * @param now by the clock of {@link EntryHead.until}
   * @param limit entries at most
   * @param useless judges one, such as by the purge log; the view is valid in the call
   */
  sweep(now: number, limit: number, useless: (entry: StoredEntry) => boolean): void
}
