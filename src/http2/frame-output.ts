/**
 * Frames of one HTTP/2 connection on their way out. All streams write into one buffer, which goes to the socket once in
 * a turn of the event loop: behind the reads of that turn, so that the responses of many upstreams share a write.
 */
import type { Socket } from 'node:net'
import { Flag } from '../http/frames.ts'
import { unsentBytes } from '../socket/unsent-bytes.ts'
import { returnWriteBuffer, takeWriteBuffer } from '../socket/write-buffers.ts'

/** Learns how much of what it had written was lost with the connection. */
export interface LossListener {
  lose(bytes: number): void
}

/** So many bytes are copied where the socket is busy: a client that does not read must not hold a whole buffer. */
const SMALL = 8 * 1024
/** Frames that have left and are still in the list of those that may not have. */
const MANY = 1_024
const NO_BUFFER = Buffer.alloc(0)

let gathered: FrameOutput[] = []
let flushing: FrameOutput[] = []

function flushAll(): void {
  const outputs = gathered
  gathered = flushing
  flushing = outputs
  for (let i = 0; i < outputs.length; i++) outputs[i]!.flush()
  outputs.length = 0
}

export class FrameOutput {
  readonly #socket: Socket
  /** Where frames are written, from {@link at}. */
  bytes: Buffer = NO_BUFFER
  at = 0
  /** Bytes before those in the buffer. */
  #base = 0
  #gathered = false
  /** What had left when that was asked the last time. */
  #seenLeft = -1
  /** No more frames are taken. */
  closed = false
  /** Bytes that left, once the connection is cut; -1 before. */
  #left = -1
  // Data that has been written and may not have left: the offset behind it, its bytes, whose it is
  readonly #ends: number[] = []
  readonly #counts: number[] = []
  readonly #owners: LossListener[] = []
  #first = 0

  constructor(socket: Socket) {
    this.#socket = socket
    const destroy = socket.destroy.bind(socket)
    // Whoever destroys it: what it still holds never leaves, and only before can it be asked how much that is.
    socket.destroy = (error?: Error) => {
      if (!socket.destroyed) this.#cut()
      return destroy(error)
    }
  }

  /** Makes room for frames. @returns the offset at which they begin; `at` is to be moved behind them */
  reserve(length: number): number {
    if (this.at + length > this.bytes.length) {
      if (this.at > 0) this.#write()
      if (length > this.bytes.length) this.bytes = takeWriteBuffer(length)
    }
    if (!this.#gathered) {
      this.#gathered = true
      if (gathered.push(this) === 1) setImmediate(flushAll)
    }
    return this.at
  }

  /** False: more would only wait in memory; the socket's `drain` follows. */
  get room(): boolean {
    return !this.#socket.writableNeedDrain
  }

  /** Bytes that have been written and that the system has not taken. */
  get backlog(): number {
    return this.at + this.#socket.writableLength
  }

  /** Of everything that was ever written, the offset of the next frame. */
  get position(): number {
    return this.#base + this.at
  }

  /** Whether a frame at this position can still be changed. */
  holds(position: number): boolean {
    return position >= this.#base && this.at > 0
  }

  /** Sets END_STREAM in the frame at this position, which {@link holds}. */
  endStreamAt(position: number): void {
    this.bytes[position - this.#base + 4]! |= Flag.END_STREAM
  }

  /** The frame that was just written has data of this owner. */
  hasData(owner: LossListener, bytes: number): void {
    this.#ends.push(this.position)
    this.#counts.push(bytes)
    this.#owners.push(owner)
  }

  /** Since it was asked the last time nothing has left of what the socket holds. */
  get stuck(): boolean {
    const unsent = this.#socket.writableLength === 0 ? 0 : unsentBytes(this.#socket)
    const left = this.#base - unsent
    const stuck = unsent > 0 && left === this.#seenLeft
    this.#seenLeft = left
    return stuck
  }

  /** Whether the bytes before this position have left; known once the connection is cut. */
  hasLeft(position: number): boolean {
    return this.#left < 0 || position <= this.#left
  }

  flush(): void {
    this.#gathered = false
    if (this.at > 0) this.#write()
  }

  /** Takes no more frames; those that it has still leave. */
  end(): void {
    this.flush()
    this.closed = true
  }

  #write(): void {
    const out = this.bytes
    const length = this.at
    this.#base += length
    this.at = 0
    if (this.closed || this.#socket.destroyed) return
    const end = this.#base
    if (length <= SMALL && this.#socket.writableLength > 0) {
      this.#socket.write(Buffer.from(out.subarray(0, length)), () => this.#taken(end))
      return
    }
    this.bytes = NO_BUFFER
    // Called when the system has the bytes, or when the socket is closed and will never ask for them.
    this.#socket.write(out.subarray(0, length), () => {
      returnWriteBuffer(out)
      this.#taken(end)
    })
  }

  /** The system has the bytes before this position. */
  #taken(position: number): void {
    const ends = this.#ends
    if (this.#left >= 0) return
    let first = this.#first
    while (first < ends.length && ends[first]! <= position) first++
    this.#first = first
    if (first === ends.length) this.#forget()
    else if (first >= MANY) {
      // Of a connection that is never at rest.
      ends.splice(0, first)
      this.#counts.splice(0, first)
      this.#owners.splice(0, first)
      this.#first = 0
    }
  }

  #forget(): void {
    this.#ends.length = 0
    this.#counts.length = 0
    this.#owners.length = 0
    this.#first = 0
  }

  #cut(): void {
    if (this.#left >= 0) return
    const left = this.position - this.at - unsentBytes(this.#socket)
    this.#left = left
    this.closed = true
    for (let i = this.#first; i < this.#ends.length; i++) {
      const lost = this.#ends[i]! - left
      if (lost > 0) this.#owners[i]!.lose(Math.min(lost, this.#counts[i]!))
    }
    this.#forget()
    if (this.bytes !== NO_BUFFER) returnWriteBuffer(this.bytes)
    this.bytes = NO_BUFFER
    this.at = 0
  }
}
