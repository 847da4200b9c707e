/**
 * The records of the archive in files, as the one thread has them that owns the folder: which there are, in the order
 * of their last use and by namespace, within a number of bytes. It outlives the process: what is there at the start is
 * taken over, in slices, and nothing is written before that is done.
 */
import { randomUUID } from 'node:crypto'
import { OwnedLru } from '../../cache/owned-lru.ts'
import { MAX_HEAD_BYTES, TICKET_LIFE } from '../../cache/response-archive.ts'
import type { Clock, Milliseconds } from '../../lib/clock.ts'
import { type DiskMessage, DiskReport, isNoRoom } from './disk-report.ts'
import type { FileCall, FileFound, FileStamp } from './file-calls.ts'
import { diskBytes, FileFolder, isTemporary } from './file-folder.ts'
import { headerBytes, headerOf, MAX_OWNER_BYTES, OWNER_AT } from './file-header.ts'
import { PIECES_AT, PREFIX_BYTES, RecordFault, TOKEN_AT, TOKEN_BYTES } from './records.ts'
import { PIECE_BYTES, TAG_BYTES } from './sealed-record.ts'

export interface FileStoreOptions {
  readonly stateDirectory: string
  /** Of all files, as the disk counts them. */
  readonly maxBytes: number
  /** However small they are: each takes some 300 bytes of the thread's memory. */
  readonly maxFiles: number
  readonly clock: Clock
  /** The disk takes nothing, or does again (undefined); for the log. */
  readonly failure: (message: DiskMessage | undefined) => void
  /** A file that was there cannot be read; for the log, now and then. */
  readonly unread: (message: string) => void
}

const SEALED_PIECE = PIECE_BYTES + TAG_BYTES
/** A record has its head and the first piece. */
const MAX_RECORD_BYTES = OWNER_AT + MAX_OWNER_BYTES + MAX_HEAD_BYTES + SEALED_PIECE + 1_024
/** Pieces of a record that was replaced stay so long for who reads them. */
const RETIRED: Milliseconds = 60_000
/** Files that nothing leads to count as left by a process that ended; those of another one are younger. */
const ABANDONED: Milliseconds = 600_000
/** Between two looks at how much of the disk is free. */
const LOOK_PAUSE: Milliseconds = 1_000
/** Files that a write removes at most, to make room for itself on a disk that has none. */
const MAX_EVICTED = 32
/** Of a write that the disk refuses, each behind the removal of others. */
const TRIES = 3
/** Removals that are remembered one by one. */
const MAX_GONE = 65_536

export class FileStore {
  readonly #options: FileStoreOptions
  readonly #folder: FileFolder
  readonly #files: OwnedLru<null>
  readonly #leastBytes: number
  readonly #life = randomUUID()
  /** By root: number and time of its removal. */
  readonly #gone = new Map<string, { readonly number: number; readonly at: Milliseconds }>()
  /** Of removals that are not remembered any more. */
  #floor = 0
  #removals = 0
  readonly #report: DiskReport
  #scan: Iterator<void> | null
  /** Bytes that the disk lacks to what is left to others, by the last look and what was written since. */
  #lacking = 0
  /** Of the disk, for others. */
  #reserved = 0
  /** Files go because the disk has no room. */
  #makesRoom = false
  #looked = Number.NEGATIVE_INFINITY

  /** @throws what keeps the folder from being used */
  constructor(options: FileStoreOptions) {
    this.#options = options
    this.#folder = new FileFolder(options.stateDirectory)
    this.#report = new DiskReport(this.#folder.path, options, () => options.clock.monotonic())
    this.#leastBytes = options.maxBytes / options.maxFiles
    const clock = { monotonic: () => options.clock.wall() }
    this.#files = new OwnedLru(options.maxBytes, clock, (name) => this.#dropped(name))
    this.#scan = this.#takeOver()
  }

  get statistics(): { readonly files: number; readonly bytes: number; readonly evictions: number } {
    const { entries, bytes, evictions } = this.#files.statistics
    return { files: entries, bytes, evictions }
  }

  /** Takes over what is there, a few files at a time. @returns whether there is more */
  step(): boolean {
    if (this.#scan === null) return false
    try {
      if (this.#scan.next().done !== true) return true
    } catch (error) {
      this.#report.notRead(error)
    }
    this.#scan = null
    return false
  }

  /** Forgets some of what is over. */
  sweep(limit: number): void {
    this.#files.sweep(limit)
  }

  /** @throws {RecordFault} */
  run(call: FileCall): unknown {
    try {
      const value = this.#run(call)
      if (call.call === 'commit' || call.call === 'write-piece') this.#report.written()
      return value
    } catch (error) {
      if (error instanceof RecordFault) throw error
      throw new RecordFault(this.#report.notWritten(error), String(error))
    }
  }

  #run(call: FileCall): unknown {
    switch (call.call) {
      case 'find':
        return this.#find(call)
      case 'commit':
        return this.#commit(call)
      case 'remove':
        return this.#remove(call.root)
      case 'has-pieces':
        return this.#hasPieces(call, call.count)
      case 'read-piece':
        return this.#read(
          call.owner,
          piecesName(call),
          this.#options.maxBytes,
          (call.index - 1) * SEALED_PIECE,
          SEALED_PIECE,
        )
      case 'write-piece':
        return this.#writePiece(call)
      case 'drop-pieces':
        return this.#forget(call.owner, piecesName(call))
    }
  }

  #find({ owner, root, variant }: Extract<FileCall, { call: 'find' }>): FileFound {
    const record = this.#record(owner, root)
    return {
      stamp: { prefix: prefixOf(record), gone: this.#goneOf(root), life: this.#life },
      root: record,
      variant: variant === null ? null : this.#record(owner, variantName(root, variant)),
    }
  }

  /** As `read` of the folder; what the disk does not give is not there any more. */
  #read(owner: string | null, name: string, most: number, from = 0, length = most): Uint8Array | null {
    try {
      return this.#folder.read(name, most, from, length)
    } catch (error) {
      this.#report.notRead(error)
      if (owner !== null && this.#folder.remove(name)) this.#files.delete(owner, name)
      return null
    }
  }

  /** What stands in a file, without its header; null when it is over or not ours. */
  #record(owner: string, name: string): Uint8Array | null {
    const bytes = this.#read(owner, name, MAX_RECORD_BYTES)
    if (bytes === null) return null
    const header = headerOf(bytes)
    if (header === undefined || header.owner !== owner) return null
    if (header.until <= this.#options.clock.wall()) {
      this.#forget(owner, name)
      return null
    }
    this.#files.get(owner, name)
    return bytes.slice(header.length)
  }

  #commit({ owner, root, stamp, record, variant, ttl }: Extract<FileCall, { call: 'commit' }>): boolean {
    if (!this.#takes(owner) || !this.#unchanged(owner, root, stamp)) return false
    if (variant !== null) {
      const name = variantName(root, variant.name)
      const there = this.#record(owner, name)
      if (variant.expected !== undefined && Buffer.compare(prefixOf(there), variant.expected) !== 0) return false
      this.#keep(owner, root, name, there, variant.record, ttl)
    }
    if (record !== null) this.#keep(owner, root, root, this.#record(owner, root), record, ttl)
    else this.#extend(owner, root, ttl)
    return true
  }

  #unchanged(owner: string, root: string, { prefix, gone, life }: FileStamp): boolean {
    if (life !== this.#life || gone !== this.#goneOf(root)) return false
    return Buffer.compare(prefixOf(this.#record(owner, root)), prefix) === 0
  }

  /** @param there what it replaces */
  #keep(
    owner: string,
    root: string,
    name: string,
    there: Uint8Array | null,
    record: Uint8Array,
    ttl: Milliseconds,
  ): void {
    const header = headerBytes(owner, this.#options.clock.wall() + ttl)
    this.#write(header.length + record.length, () => this.#folder.write(name, [header, record]))
    this.#count(owner, name, header.length + record.length, ttl)
    if (there !== null && hasPieces(there)) this.#count(owner, piecesOf(root, there), undefined, RETIRED)
    if (hasPieces(record)) this.#count(owner, piecesOf(root, record), undefined, ttl + RETIRED)
  }

  /** A vary record stays for as long as the last of its variants. */
  #extend(owner: string, root: string, ttl: Milliseconds): void {
    const bytes = this.#read(owner, root, MAX_RECORD_BYTES)
    const header = bytes === null ? undefined : headerOf(bytes)
    if (bytes === null || header === undefined) return
    const until = this.#options.clock.wall() + ttl
    if (header.until < until) this.#keep(owner, root, root, null, bytes.slice(header.length), ttl)
  }

  /** @param size undefined: as it is @returns false: it had no room, and is gone */
  #count(owner: string, name: string, size: number | undefined, ttl: Milliseconds): boolean {
    const bytes = size ?? this.#folder.look(name)?.size
    if (bytes === undefined) return false
    const kept = this.#files.set(owner, name, null, Math.max(diskBytes(bytes), this.#leastBytes), ttl)
    if (!kept) this.#folder.remove(name)
    return kept
  }

  #remove(root: string): void {
    this.#removals++
    const now = this.#options.clock.monotonic()
    this.#gone.delete(root)
    this.#gone.set(root, { number: this.#removals, at: now })
    for (const [name, { number, at }] of this.#gone) {
      if (this.#gone.size <= MAX_GONE && now - at <= TICKET_LIFE) break
      this.#gone.delete(name)
      this.#floor = number
    }
    const bytes = this.#read(null, root, MAX_RECORD_BYTES)
    const header = bytes === null ? undefined : headerOf(bytes)
    if (bytes !== null && header !== undefined) {
      const record = bytes.subarray(header.length)
      if (hasPieces(record)) this.#count(header.owner, piecesOf(root, record), undefined, RETIRED)
      this.#files.delete(header.owner, root)
    }
    this.#folder.remove(root)
  }

  #goneOf(root: string): number {
    return this.#gone.get(root)?.number ?? this.#floor
  }

  #hasPieces(pieces: { owner: string; root: string; token: Uint8Array }, count: number): boolean {
    const name = piecesName(pieces)
    const size = this.#folder.look(name)?.size ?? 0
    this.#files.get(pieces.owner, name)
    return size > (count - 1) * SEALED_PIECE && size <= count * SEALED_PIECE
  }

  #writePiece(call: Extract<FileCall, { call: 'write-piece' }>): void {
    if (!this.#takes(call.owner)) throw new RecordFault('refused', 'what is there is being read')
    const name = piecesName(call)
    const at = (call.index - 1) * SEALED_PIECE
    // One behind the other: what was dropped meanwhile to make room has no beginning any more.
    if (at !== (this.#folder.look(name)?.size ?? 0)) throw new RecordFault('refused', 'it was dropped to make room')
    // Room is made before the disk is asked for it.
    if (!this.#count(call.owner, name, at + call.bytes.length, call.ttl + RETIRED))
      throw new RecordFault('refused', 'it has no room')
    this.#write(call.bytes.length, () => {
      if (this.#files.get(call.owner, name) === undefined)
        throw new RecordFault('refused', 'it was dropped to make room')
      this.#folder.writeAt(name, at, call.bytes)
    })
  }

  #takes(owner: string): boolean {
    return this.#scan === null && Buffer.byteLength(owner) <= MAX_OWNER_BYTES
  }

  #forget(owner: string, name: string): void {
    this.#files.delete(owner, name)
    this.#folder.remove(name)
  }

  *#takeOver(): Generator<void, void> {
    for (const subfolder of this.#folder.subfolders()) {
      const names = this.#folder.files(subfolder)
      const led = new Set<string>()
      for (const name of names) {
        if (isTemporary(name)) this.#removeAbandoned(name)
        else if (!isPieces(name)) this.#takeOverRecord(name, led)
        yield
      }
      for (const name of names) {
        if (!isTemporary(name) && isPieces(name) && !led.has(name)) this.#removeAbandoned(name)
        yield
      }
    }
  }

  #takeOverRecord(name: string, led: Set<string>): void {
    const front = this.#read(null, name, MAX_RECORD_BYTES, 0, OWNER_AT + MAX_OWNER_BYTES + PREFIX_BYTES)
    const header = front === null ? undefined : headerOf(front)
    const now = this.#options.clock.wall()
    const size = this.#folder.look(name)?.size
    if (front === null || header === undefined || header.until <= now || size === undefined) {
      // Cut, of another version, or over.
      if (size !== undefined) this.#folder.remove(name)
      return
    }
    const ttl = header.until - now
    this.#count(header.owner, name, size, ttl)
    const record = front.subarray(header.length)
    if (!hasPieces(record)) return
    const pieces = piecesOf(name.slice(0, ROOT_LENGTH), record)
    led.add(pieces)
    this.#count(header.owner, pieces, undefined, ttl + RETIRED)
  }

  #removeAbandoned(name: string): void {
    const written = this.#folder.look(name)?.written
    if (written !== undefined && this.#options.clock.wall() - written > ABANDONED) this.#folder.remove(name)
  }

  /** Where the disk has no room, what was not asked for longest goes first. @throws what it says to the last try */
  #write(bytes: number, write: () => void): void {
    this.#needRoom(diskBytes(bytes))
    for (let tries = 1; ; tries++)
      try {
        return write()
      } catch (error) {
        // Also where the disk has room by what it says itself: a quota, or no place for a further file.
        if (tries === TRIES || !isNoRoom(error) || this.#evict(diskBytes(bytes)) === 0) throw error
        this.#report.madeRoom(error)
      }
  }

  /**
   * The state directory has other files that matter more, and the disk may have others' as well: what is left to them
   * is given back, some of it by each write.
   */
  #needRoom(bytes: number): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#looked >= LOOK_PAUSE) {
      const { free, reserved } = this.#folder.room
      this.#looked = now
      this.#lacking = reserved - free
      this.#reserved = reserved
    }
    this.#lacking += bytes
    if (this.#lacking < 0) return
    const freed = this.#evict(this.#lacking)
    this.#lacking -= freed
    const makesRoom = this.#lacking < 0 || freed >= bytes
    this.#report.scarce(this.#reserved, makesRoom)
    if (!makesRoom) throw new RecordFault('refused', 'the disk is nearly full')
  }

  /** @returns bytes that are free now; fewer where that takes more files than may go at once */
  #evict(wanted: number): number {
    let freed = 0
    this.#makesRoom = true
    for (let i = 0; i < MAX_EVICTED && freed <= wanted; i++) {
      const bytes = this.#files.evict()
      if (bytes === 0) break
      freed += bytes
    }
    this.#makesRoom = false
    return freed
  }

  #dropped(name: string): void {
    this.#folder.remove(name)
    if (this.#makesRoom) this.#folder.removeSubfolder(name)
  }
}

const ROOT_LENGTH = 43

const variantName = (root: string, variant: string): string => `${root}.v.${variant}`

const piecesName = ({ root, token }: { readonly root: string; readonly token: Uint8Array }): string =>
  `${root}.p.${Buffer.from(token).toString('hex')}`

const piecesOf = (root: string, record: Uint8Array): string =>
  piecesName({ root, token: record.subarray(TOKEN_AT, TOKEN_AT + TOKEN_BYTES) })

const isPieces = (name: string): boolean => name.startsWith('.p.', ROOT_LENGTH)

function hasPieces(record: Uint8Array): boolean {
  if (record.length < PREFIX_BYTES) return false
  for (let at = PIECES_AT; at < PREFIX_BYTES; at++) if (record[at] !== 0) return true
  return false
}

const prefixOf = (record: Uint8Array | null): Uint8Array =>
  record === null ? new Uint8Array(0) : record.slice(0, PREFIX_BYTES)
