/**
 * Which stream of a connection sends its data next (RFC 9218 §10). As long as nothing stands in the way data goes out
 * as it comes; otherwise streams wait by urgency: one whose response is of use as a whole until all that it has has
 * gone, incremental ones a frame each in turn. No stream starves another of its urgency, since what one may have
 * waiting is bounded and it goes to the back of the queue with what comes after.
 */
import { LARGEST_WINDOW } from '../http/flow-control.ts'
import { writeFrameHeader } from '../http/frame-writer.ts'
import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEADER, FrameType } from '../http/frames.ts'
import { URGENCIES } from '../http/priority.ts'
import type { Fields } from '../message/fields.ts'
import type { FrameOutput } from './frame-output.ts'
import type { SendingStream } from './sending-stream.ts'

/** A frame that is cut short by a window to less than this many bytes costs the peer some of its credit. */
const CRAMPED = 256

export interface ScheduleOwner {
  /** Writes the trailers of a stream, with END_STREAM. */
  writeTrailers(stream: SendingStream, trailers: Fields): void
  /** DATA has been written. @param cramped a tiny window of the peer cut it short, and the connection may end for it */
  sentData(length: number, cramped: boolean): void
}

export class SendSchedule {
  readonly #output: FrameOutput
  readonly #owner: ScheduleOwner
  /** Streams that have data and a window for it, by urgency. */
  readonly #queues: SendingStream[][] = Array.from({ length: URGENCIES }, () => [])
  #queued = 0
  #pumping = false
  /** Bytes of DATA that the peer takes on all streams. */
  #window: number

  constructor(output: FrameOutput, window: number, owner: ScheduleOwner) {
    this.#output = output
    this.#window = window
    this.#owner = owner
  }

  /** WINDOW_UPDATE of the connection. @returns false: FLOW_CONTROL_ERROR */
  widen(by: number): boolean {
    if (this.#window + by > LARGEST_WINDOW) return false
    this.#window += by
    return true
  }

  /** WINDOW_UPDATE of a stream, or a change of the initial window. @returns false: FLOW_CONTROL_ERROR */
  widenStream(stream: SendingStream, by: number): boolean {
    if (stream.window + by > LARGEST_WINDOW) return false
    stream.window += by
    this.#enqueue(stream)
    return true
  }

  /** Sends the bytes as far as possible and holds copies of the others. */
  send(stream: SendingStream, bytes: Buffer, start: number, end: number): void {
    let at = start
    if (stream.waiting === 0 && this.#queued === 0 && this.#output.room)
      while (at < end) {
        const length = Math.min(end - at, DEFAULT_FRAME_SIZE, stream.window, this.#window)
        if (length <= 0) break
        const from = this.#beginData(stream, length)
        bytes.copy(this.#output.bytes, from, at, at + length)
        this.#endData(stream, length)
        at += length
        this.#owner.sentData(length, false)
      }
    if (at === end) return
    stream.hold(bytes, at, end)
    this.#enqueue(stream)
  }

  /** Nothing more comes on this stream. */
  finish(stream: SendingStream, trailers: Fields | null): void {
    stream.finished = true
    if (stream.waiting > 0) {
      trailers?.detach()
      stream.trailers = trailers
    } else this.#end(stream, trailers)
  }

  /** A window was widened, or the socket takes bytes again. */
  pump(): void {
    // What a drained stream sends within the call takes its place in the queues.
    if (this.#pumping) return
    this.#pumping = true
    while (this.#queued > 0 && this.#window > 0 && this.#output.room) {
      const queue = this.#mostUrgent()
      const stream = queue[0]!
      if (stream.window <= 0) this.#dequeue(queue)
      else this.#sendWaiting(stream, queue)
    }
    this.#pumping = false
  }

  #mostUrgent(): SendingStream[] {
    let urgency = 0
    while (this.#queues[urgency]!.length === 0) urgency++
    return this.#queues[urgency]!
  }

  #sendWaiting(stream: SendingStream, queue: SendingStream[]): void {
    const length = Math.min(stream.waiting, DEFAULT_FRAME_SIZE, stream.window, this.#window)
    const cramped = length < CRAMPED && length < stream.waiting
    const from = this.#beginData(stream, length)
    stream.take(this.#output.bytes, from, length)
    this.#endData(stream, length)
    if (stream.waiting === 0) {
      this.#dequeue(queue)
      if (stream.finished) this.#end(stream, stream.trailers)
      else stream.drained()
    } else if (stream.incremental && queue.length > 1) queue.push(queue.shift()!)
    // Last, since it may end the connection.
    this.#owner.sentData(length, cramped)
  }

  /** The stream sends nothing more. */
  drop(stream: SendingStream): void {
    stream.drop()
    if (stream.scheduled) this.#remove(stream)
  }

  /** Its urgency has changed. */
  reorder(stream: SendingStream): void {
    if (!stream.scheduled) return
    this.#remove(stream)
    this.#enqueue(stream)
  }

  #remove(stream: SendingStream): void {
    for (const queue of this.#queues) {
      const at = queue.indexOf(stream)
      if (at >= 0) queue.splice(at, 1)
    }
    stream.scheduled = false
    this.#queued--
  }

  #enqueue(stream: SendingStream): void {
    if (stream.scheduled || stream.waiting === 0 || stream.window <= 0) return
    stream.scheduled = true
    this.#queues[stream.urgency]!.push(stream)
    this.#queued++
  }

  #dequeue(queue: SendingStream[]): void {
    const stream = queue.shift()!
    stream.scheduled = false
    this.#queued--
  }

  /** @returns where its data goes */
  #beginData(stream: SendingStream, length: number): number {
    const output = this.#output
    const at = output.reserve(FRAME_HEADER + length)
    stream.lastFrame = output.position
    stream.window -= length
    this.#window -= length
    return writeFrameHeader(output.bytes, at, length, FrameType.DATA, 0, stream.id)
  }

  #endData(stream: SendingStream, length: number): void {
    const output = this.#output
    output.at += FRAME_HEADER + length
    output.hasData(stream, length)
  }

  #end(stream: SendingStream, trailers: Fields | null): void {
    const output = this.#output
    stream.sentEnd = true
    stream.trailers = null
    if (trailers !== null) this.#owner.writeTrailers(stream, trailers)
    else if (output.holds(stream.lastFrame)) output.endStreamAt(stream.lastFrame)
    else {
      const at = output.reserve(FRAME_HEADER)
      output.at = writeFrameHeader(output.bytes, at, 0, FrameType.DATA, Flag.END_STREAM, stream.id)
    }
    stream.ended()
  }
}
