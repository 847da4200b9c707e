/** Endpoints that speak HTTP/2 frame by frame, as a test says: right ones and hostile ones. */
import type { Socket } from 'node:net'
import { FrameReader } from '../../src/http/frame-reader.ts'
import { errorName } from '../../src/http/frames.ts'
import { HeaderSection, REQUEST_SECTION, TRAILER_SECTION } from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { FrameLog } from '../http/frame-log.ts'
import { type List, listOf } from '../http/hpack-lists.ts'
import { data, Flag, FrameType, frame, headers, settings, uint32, windowUpdate } from '../http/raw-frames.ts'
import { type Listening, listening, type Scope, until } from '../socket/sockets.ts'

const LIMITS = { head: 200_000, headers: 200, uri: 16_384 }

/** A request as it arrives. */
export interface SeenRequest {
  readonly stream: number
  /** Pseudo-header fields first. */
  readonly fields: List
  body: string
  trailers: List | null
  ended: boolean
  /** Code of RST_STREAM, once one came. */
  reset: number | null
}

/** One connection, on the server's side. Gives no window back unless it is told to. */
export class FramePeer extends FrameLog {
  readonly socket: Socket
  readonly requests: SeenRequest[] = []
  /** Debug data of GOAWAY. */
  goaways: { readonly code: number; readonly debug: string }[] = []
  /** Each RST_STREAM, as `1 CANCEL`. */
  readonly resets: string[] = []
  pings = 0
  pingAcks = 0
  settingsAcks = 0
  windowUpdates: { readonly stream: number; readonly increment: number }[] = []
  closed = false
  readonly #decoder = new HpackDecoder()
  readonly #changed: (peer: FramePeer) => void
  #dataStream = 0
  /** Gives back what it receives. */
  reads = true

  /** @param changed called behind every frame that has come */
  constructor(socket: Socket, changed: (peer: FramePeer) => void) {
    super()
    this.socket = socket
    this.#changed = changed
    const reader = new FrameReader(this, { role: 'server', maxFrameSize: 16_384, maxFieldBlock: 200_000 })
    socket.on('data', (bytes: Buffer) => reader.push(bytes, 0, bytes.length))
    socket.on('close', () => {
      this.closed = true
      changed(this)
    })
    socket.on('end', () => socket.end())
  }

  send(...frames: Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(frames))
  }

  /** SETTINGS. @param pairs identifier, value, … */
  greet(...pairs: number[]): void {
    this.send(settings(...pairs))
  }

  request(stream: number): SeenRequest | undefined {
    return this.requests.find((request) => request.stream === stream)
  }

  override onSettingsEnd(): void {
    this.send(frame({ type: FrameType.SETTINGS, flags: Flag.ACK }))
  }

  override onSettingsAck(): void {
    this.settingsAcks++
    this.#changed(this)
  }

  override onPing(bytes: Buffer, at: number): void {
    const payload = Buffer.from(bytes.subarray(at, at + 8))
    this.pings++
    this.send(frame({ type: FrameType.PING, flags: Flag.ACK, payload }))
    this.#changed(this)
  }

  override onPingAck(): void {
    this.pingAcks++
  }

  override onFieldBlock(stream: number, ended: boolean, bytes: Buffer, start: number, end: number): void {
    const section = new HeaderSection()
    const known = this.request(stream)
    const kind = known === undefined ? REQUEST_SECTION : TRAILER_SECTION
    const result = this.#decoder.decode(bytes, start, end, kind, LIMITS, section)
    if (result !== 0) throw new Error(`a block that is refused: ${section.fault}`)
    const fields = listOf(section)
    if (known === undefined) this.requests.push({ stream, fields, body: '', trailers: null, ended, reset: null })
    else Object.assign(known, { trailers: fields, ended })
    this.#changed(this)
  }

  override onDataFrame(stream: number, length: number): void {
    this.#dataStream = stream
    if (this.reads && length > 0) this.send(windowUpdate(0, length), windowUpdate(stream, length))
  }

  override onData(bytes: Buffer, start: number, end: number): void {
    const request = this.request(this.#dataStream)
    if (request !== undefined) request.body += bytes.latin1Slice(start, end)
  }

  override onDataEnd(endStream: boolean): void {
    const request = this.request(this.#dataStream)
    if (request !== undefined && endStream) request.ended = true
    this.#changed(this)
  }

  override onReset(stream: number, code: number): void {
    const request = this.request(stream)
    if (request !== undefined) request.reset = code
    this.resets.push(`${stream} ${errorName(code)}`)
    this.#changed(this)
  }

  override onWindowUpdate(stream: number, increment: number): void {
    this.windowUpdates.push({ stream, increment })
    this.#changed(this)
  }

  override onGoaway(_last: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.goaways.push({ code, debug: bytes.latin1Slice(start, end) })
    this.#changed(this)
  }

  respond(stream: number, body: string, fields: List = []): void {
    const head = [[':status', '200'], ['content-length', String(body.length)], ...fields] as const
    this.send(headers(stream, head, { end: false }), data(stream, body, true))
  }

  /** All that was sent has been read: a PING is answered. */
  async heard(): Promise<void> {
    const before = this.pingAcks
    this.send(frame({ type: FrameType.PING, payload: '12345678' }))
    await until(() => this.pingAcks > before || this.closed, 'the answer to a PING')
  }

  goaway(lastStream: number, code = 0, debug = ''): void {
    const payload = Buffer.concat([uint32(lastStream), uint32(code), Buffer.from(debug)])
    this.send(frame({ type: FrameType.GOAWAY, payload }))
  }
}

export interface FrameServer extends Listening {
  readonly peers: FramePeer[]
}

/** @param serve called for each connection, before anything is sent, and behind every frame that has come */
export async function frameServer(
  scope: Scope,
  begin: (peer: FramePeer) => void,
  changed: (peer: FramePeer) => void = () => {},
): Promise<FrameServer> {
  const peers: FramePeer[] = []
  const server = await listening(scope, (socket) => {
    const peer = new FramePeer(socket, changed)
    peers.push(peer)
    begin(peer)
  })
  return { ...server, peers }
}

/** Answers each request with its body, once it is complete. */
export function echo(peer: FramePeer): void {
  for (const request of peer.requests) {
    if (!request.ended || request.reset !== null) continue
    request.reset = 0
    peer.respond(request.stream, request.body)
  }
}
