/**
 * A client's HTTP/2 connection (RFC 9113): reads frames, opens a stream for each request, and ends with GOAWAY. Streams
 * are in downstream-h2-stream.ts; what they send is ordered by the schedule and leaves once in a turn of the loop.
 */
import type { Socket } from 'node:net'
import { DEFAULT_WINDOW } from '../http/flow-control.ts'
import { FrameReader } from '../http/frame-reader.ts'
import { DEFAULT_FRAME_SIZE, ErrorCode, errorName, LAST_STREAM_ID, Setting } from '../http/frames.ts'
import type { Fields } from '../message/fields.ts'
import { countHeldHeads, heldHeads } from '../socket/held-heads.ts'
import { LingeringClose } from '../socket/lingering-close.ts'
import type { WaitingReader } from '../socket/read-turns.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import type { Peer } from '../transport/peer.ts'
import { TimerEntry } from '../transport/timers.ts'
import { ClientFrames, CONNECTION_WINDOW, type FramedConnection, MAX_STREAMS } from './client-frames.ts'
import { ControlOutput } from './control-output.ts'
import type { H2Stream } from './downstream-h2-stream.ts'
import { FloodGuard } from './flood-guard.ts'
import { FrameOutput } from './frame-output.ts'
import { H2Deadlines } from './h2-deadlines.ts'
import { HeaderOutput } from './header-output.ts'
import { type ScheduleOwner, SendSchedule } from './send-schedule.ts'
import type { SendingStream } from './sending-stream.ts'
import { StreamTable } from './stream-table.ts'

/** Bytes that may wait for the socket before nothing more is read: more than DATA alone ever makes wait. */
const LARGEST_BACKLOG = 256 * 1024
/**
 * Frames that are read in any turn of the loop; more where the turn has time for them. With 4, and 5 ms for a turn, a
 * request of 16 streams at once costs half as much again.
 */
const FRAMES_AT_ONCE = 32
const PING_DATA = Buffer.from('headgate', 'latin1')

export class H2Connection extends TimerEntry implements FramedConnection, ScheduleOwner, OpenConnection, WaitingReader {
  readonly peer: Peer
  readonly server: ServerContext
  readonly output: FrameOutput
  readonly control: ControlOutput
  readonly headers: HeaderOutput
  readonly schedule: SendSchedule
  readonly guard: FloodGuard
  readonly streams = new StreamTable()
  lastServed = -1
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #deadlines: H2Deadlines
  #closing: LingeringClose | null = null
  #gone = false
  /** Bytes that its reader holds. */
  #held = 0
  /** Nothing is read until what waits has left, or its turn comes; what had come by then is in `rest`. */
  #paused = false
  /** Among the turns. */
  #waiting = false
  #rest: Buffer | null = null

  /** @param open makes the socket whose bytes go to the given function */
  constructor(open: (receive: (bytes: Buffer) => void) => Socket, peer: Peer, server: ServerContext) {
    super()
    const socket = open((bytes) => this.receive(bytes))
    const { timers, options } = server
    timers.touch()
    this.peer = peer
    this.#socket = socket
    this.server = server
    this.output = new FrameOutput(socket)
    this.headers = new HeaderOutput(this.output)
    this.schedule = new SendSchedule(this.output, DEFAULT_WINDOW, this)
    this.control = new ControlOutput(this.output)
    this.guard = new FloodGuard(timers)
    this.#deadlines = new H2Deadlines(timers, options)
    this.#reader = new FrameReader(new ClientFrames(this), {
      role: 'server',
      maxFrameSize: DEFAULT_FRAME_SIZE,
      // One that is somewhat too large can still be answered with 431.
      maxFieldBlock: 2 * options.limits.head,
    })
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#drained())
    socket.on('error', (error) => this.#lost((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#lost('closed'))
    server.connections.add(this)
    server.requests.connectionOpened(peer.listener)
    this.control.settings([
      Setting.MAX_CONCURRENT_STREAMS,
      MAX_STREAMS,
      Setting.MAX_HEADER_LIST_SIZE,
      options.limits.head,
      Setting.ENABLE_CONNECT_PROTOCOL,
      1,
      Setting.NO_RFC7540_PRIORITIES,
      1,
    ])
    this.control.windowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
    this.#watch()
  }

  /** @param bytes the connection's own */
  receive(bytes: Buffer): void {
    this.server.timers.touch()
    if (this.#closing !== null) return this.#closing.drop(bytes.length)
    this.#deadlines.heard()
    this.#read(bytes)
  }

  #read(bytes: Buffer): void {
    const reader = this.#reader
    const { turns } = this.server
    const { length } = bytes
    let at = reader.push(bytes, 0, length, FRAMES_AT_ONCE)
    while (at < length && !reader.suspended && !turns.over) at = reader.push(bytes, at, length, FRAMES_AT_ONCE)
    this.#countHeld(reader.held)
    const waits = this.output.backlog > LARGEST_BACKLOG
    this.#rest = at < length ? bytes.subarray(at) : null
    if (waits || this.#rest !== null) {
      this.#paused = true
      this.#socket.pause()
      this.#waiting = !waits && !reader.suspended
      if (this.#waiting) turns.wait(this)
    }
    // What has come and is not read is not late.
    if (this.#deadlines.partial(reader.partial && !this.#paused, reader.begun)) this.#watch()
  }

  /**
   * Heads and acknowledgements go out whatever waits before them: a client that asks for more than it reads is read
   * when it has.
   */
  #yieldToBacklog(): void {
    if (this.output.backlog > LARGEST_BACKLOG) this.#reader.suspend()
  }

  #drained(): void {
    this.schedule.pump()
    if (this.#paused && !this.#waiting) this.#readOn()
  }

  readOn(): void {
    this.#waiting = false
    this.#readOn()
  }

  #readOn(): void {
    if (this.#ending) return
    this.#paused = false
    this.#deadlines.heard()
    if (this.#rest !== null) this.#read(this.#rest)
    if (!this.#paused) this.#socket.resume()
  }

  /** Of heads that have come in part. */
  #countHeld(bytes: number): void {
    if (bytes === this.#held) return
    const more = bytes > this.#held
    countHeldHeads(bytes - this.#held)
    this.#held = bytes
    if (more && heldHeads() > this.server.heldLimit)
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'too many request heads have come in part')
  }

  #watch(): void {
    if (!this.#ending) this.server.timers.arm(this, this.#deadlines.next(this.streams.size > 0))
  }

  /** Nothing is sent any more. */
  get #ending(): boolean {
    return this.#gone || this.#closing !== null
  }

  get wall(): () => number {
    return this.server.wall
  }

  sentData(length: number, cramped: boolean): void {
    if (!this.guard.sentData(length, cramped)) this.#flooded()
  }

  writeTrailers(stream: SendingStream, trailers: Fields): void {
    this.headers.write(stream, 0, trailers, 0, -1, true)
  }

  windowUpdate(stream: number, increment: number): void {
    this.control.windowUpdate(stream, increment)
  }

  settled(): void {
    this.#deadlines.settled()
  }

  settingsAcknowledged(): void {
    this.#deadlines.acknowledged()
  }

  pingAcknowledged(): void {
    if (this.#deadlines.leaving) this.#leave()
  }

  // ---- streams ----

  open(stream: H2Stream): void {
    const idle = this.streams.size === 0
    this.streams.add(stream)
    this.#yieldToBacklog()
    if (!idle) return
    this.#deadlines.busy()
    this.#watch()
  }

  reset(stream: H2Stream, code: ErrorCode): void {
    if (this.#ending) return
    this.control.reset(stream.id, code)
    this.#forget(stream, true)
  }

  closed(stream: H2Stream): void {
    this.#forget(stream, false)
  }

  answered(): void {
    this.guard.answered()
    if (this.peer.listener.leaving) this.drain()
  }

  #forget(stream: H2Stream, reset: boolean): void {
    if (!this.streams.close(stream.id, reset)) return
    stream.close()
    if (this.streams.size > 0) return
    this.#deadlines.idle()
    if (this.lastServed >= 0) this.#linger()
    else this.#watch()
  }

  // ---- the end of the connection ----

  get idle(): boolean {
    return this.streams.size === 0 && !this.#ending && !this.#reader.partial
  }

  /** In two steps, so that a request that is on its way is served: all streams first, then the last that has come. */
  drain(): void {
    if (this.#ending || this.lastServed >= 0 || this.#deadlines.leaving) return
    this.control.goaway(LAST_STREAM_ID, ErrorCode.NO_ERROR, '')
    this.control.ping(false, PING_DATA, 0)
    this.#deadlines.goaway()
    this.#watch()
  }

  /** No further request is served. */
  #leave(): void {
    this.#deadlines.left()
    this.lastServed = this.streams.last
    this.control.goaway(this.lastServed, ErrorCode.NO_ERROR, '')
    if (this.streams.size === 0) this.#linger()
    else this.#watch()
  }

  charge(cost: number): void {
    this.#yieldToBacklog()
    if (!this.guard.idleFrame(cost)) this.#flooded()
  }

  chargeUpdate(): void {
    if (!this.guard.windowUpdate()) this.#flooded()
  }

  #flooded(): void {
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that carry nothing')
  }

  fail(code: ErrorCode, detail: string): void {
    if (this.#ending) return
    this.#reader.stop()
    this.control.goaway(this.streams.last, code, detail)
    this.#linger()
    this.#vanish(`${errorName(code)}: ${detail}`)
  }

  /** All streams end with the connection. */
  #vanish(detail: string): void {
    for (const stream of this.streams) {
      this.streams.close(stream.id, true)
      stream.close()
      stream.vanish(detail, null)
    }
  }

  #linger(): void {
    if (this.#ending) return
    const { timers, options } = this.server
    this.output.end()
    this.#countHeld(0)
    this.#rest = null
    this.#socket.resume()
    timers.disarm(this)
    this.#closing = new LingeringClose(this.#socket, timers, options.keepAlive, () => this.#socket.destroy())
  }

  /** The client opens no window any more either: none of its streams is sure to end. */
  #onEnd(): void {
    this.#reader.stop()
    this.#linger()
    this.#vanish('the client ended the connection')
  }

  destroy(): void {
    for (const stream of this.streams) stream.shutDown()
    // A request that is on its way was not looked at, and can be sent again elsewhere.
    if (!this.#ending && this.lastServed < 0) this.control.goaway(this.streams.last, ErrorCode.NO_ERROR, '')
    this.output.flush()
    this.#socket.destroy()
    this.#lost('cut')
  }

  #lost(detail: string): void {
    if (this.#gone) return
    this.#gone = true
    this.#reader.stop()
    this.#countHeld(0)
    const { timers, connections, requests } = this.server
    this.#closing?.done()
    timers.disarm(this)
    connections.delete(this)
    requests.connectionClosed(this.peer.listener)
    if (!this.#socket.destroyed) this.#socket.destroy()
    this.#vanish(detail)
  }

  expired(): void {
    switch (this.#deadlines.overdue(this.streams.size > 0)) {
      case 'settings':
        return this.fail(ErrorCode.PROTOCOL_ERROR, 'no SETTINGS in time')
      case 'head':
        return this.fail(ErrorCode.PROTOCOL_ERROR, 'a frame that did not arrive in time')
      case 'acknowledgement':
        return this.fail(ErrorCode.SETTINGS_TIMEOUT, 'SETTINGS were not acknowledged')
      case 'ping':
        if (!this.#paused) return void this.#socket.destroy()
        // Its answer may lie among what is not read.
        this.#deadlines.heard()
        break
      case 'goaway':
      case 'idle':
        return this.#leave()
      case 'look':
        this.#look()
    }
    this.#watch()
  }

  /** Streams are open: does the client still live, and does it take what it has asked for? */
  #look(): void {
    this.#deadlines.busy()
    if (this.output.stuck) return void this.#socket.destroy()
    if (this.output.room)
      for (const stream of this.streams) if (stream.stuck) this.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
    if (this.#deadlines.silent && !this.#paused) {
      this.control.ping(false, PING_DATA, 0)
      this.#deadlines.pinged()
    }
  }
}
