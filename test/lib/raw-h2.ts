/** A client of HTTP/2 that sends whatever frames a test wants, and keeps what comes back as lines of text. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { HeaderSection, RESPONSE_SECTION } from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { FrameLog } from '../http/frame-log.ts'
import { headers, PREFACE, settings } from '../http/raw-frames.ts'
import { until } from '../socket/sockets.ts'

const LIMITS = { head: 1 << 20, headers: 1_000, uri: 1 << 16 }

export type FieldList = readonly (readonly [string, string])[]

/** Pseudo-header fields of a request, and what comes behind them. */
export function request(path = '/', fields: FieldList = [], method = 'GET'): FieldList {
  return [[':method', method], [':scheme', 'http'], [':authority', 'raw.test'], [':path', path], ...fields]
}

class ClientLog extends FrameLog {
  readonly #decoder = new HpackDecoder()

  /** `head 1 200`, and its fields in `heads`. */
  readonly heads = new Map<number, Record<string, string>>()

  constructor() {
    super({ maxFieldBlock: 1 << 20 })
  }

  override onFieldBlock(stream: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    const section = new HeaderSection()
    const result = this.#decoder.decode(bytes, start, end, RESPONSE_SECTION, LIMITS, section)
    if (result !== 0 && section.fault !== '') throw new Error(`a response that cannot be decoded: ${section.fault}`)
    const fields: Record<string, string> = {}
    section.fields.forEach((name, value) => void (fields[name] = value))
    this.heads.set(stream, fields)
    this.lines.push(`head ${stream} ${section.status}${endStream ? ' end' : ''}`)
  }
}

export class RawH2 {
  readonly socket: Socket
  readonly log = new ClientLog()
  closed = false
  received = 0
  #goaway: string | undefined
  /** Lines that were looked at for it. */
  #read = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.received += bytes.length
      this.log.reader.push(bytes, 0, bytes.length)
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => (this.closed = true))
  }

  /** @param values of the client's SETTINGS: identifier, value, … */
  static async connect(scope: { after(end: () => void): void }, port: number, ...values: number[]): Promise<RawH2> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const client = new RawH2(socket)
    scope.after(() => socket.destroy())
    client.send(PREFACE, settings(...values))
    return client
  }

  send(...frames: readonly Buffer[]): void {
    if (this.socket.writable) this.socket.write(Buffer.concat(frames))
  }

  /** A request without a body. */
  get(stream: number, path?: string, fields?: FieldList): void {
    this.send(headers(stream, request(path, fields)))
  }

  get lines(): readonly string[] {
    return this.log.lines
  }

  /** Sends again and again until the gateway has had enough, or `most` times. @returns how often */
  async flood(frames: (round: number) => Buffer, most: number): Promise<number> {
    let round = 0
    while (round < most && !this.closed && this.goaway === undefined) {
      const more = this.socket.writable && this.socket.write(frames(round++))
      if (!more && !this.closed) await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')])
      else if (round % 16 === 0) await new Promise(setImmediate)
    }
    return round
  }

  /** The code of the last GOAWAY, and why. */
  get goaway(): string | undefined {
    // A flood asks after each of thousands of rounds, most of which have brought a line.
    for (; this.#read < this.lines.length; this.#read++) {
      const line = this.lines[this.#read]!
      if (line.startsWith('goaway ')) this.#goaway = line
    }
    return this.#goaway
  }

  async ended(): Promise<string> {
    await until(() => this.closed, 'the end of the connection')
    return this.goaway ?? 'no GOAWAY'
  }

  async sees(line: string): Promise<void> {
    await until(() => this.lines.includes(line), `${line} (of ${JSON.stringify(this.lines.slice(-20))})`)
  }
}
