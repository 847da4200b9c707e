/**
 * A client that sends the bytes it is given and reads responses strictly: what RFC 9112 does not allow is an error
 * here.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawResponse {
  readonly status: number
  readonly statusText: string
  /** In order, names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  readonly text: string
  /** How the end of the body was told. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
  readonly trailers: readonly (readonly [name: string, value: string])[]
  /** The value, or undefined; several lines are an error, since nearly always they are one. */
  header(name: string): string | undefined
  /** Of a shape that the test knows. */
  json<T = Record<string, unknown>>(): T
}

export interface RequestOptions {
  readonly method?: string
  readonly path?: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d) ([\t\x20-\x7e]*)$/
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*?)[\t ]*$/
const CHUNK_LINE = /^([0-9a-fA-F]{1,8})$/
const WAIT_MS = 10_000

/** One connection. Everything that waits fails after ten seconds, so that no test hangs. */
export class RawClient {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    const wake = (): void => this.#wake?.()
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      wake()
    })
    socket.on('end', () => {
      this.#ended = true
      wake()
    })
    socket.on('close', () => {
      this.#ended = true
      wake()
    })
    socket.on('error', (error) => {
      this.#error = error
      wake()
    })
  }

  /** @param host an address literal */
  /** @param from address of the client */
  static async connect(port: number, host = '127.0.0.1', from?: string): Promise<RawClient> {
    const socket = connect({ port, host, allowHalfOpen: true, ...(from === undefined ? {} : { localAddress: from }) })
    await once(socket, 'connect', { signal: AbortSignal.timeout(WAIT_MS) })
    return new RawClient(socket)
  }

  /** Latin-1, so that each character is a byte. */
  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Bytes that came and were not read as a response yet. */
  get unread(): Buffer {
    return this.#received
  }

  /**
   * Reads the next response; interim ones (1xx) too, each by its own call.
   *
   * @param method of the request it answers: HEAD has no body
   */
  async response(method = 'GET'): Promise<RawResponse> {
    const head = await this.#until('\r\n\r\n')
    const [statusLine = '', ...lines] = head.split('\r\n')
    const status = STATUS_LINE.exec(statusLine)
    if (status === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`)
    const fields = lines.map(field)
    const code = Number(status[1])
    const { framing, length } = framingOf(fields, code, method)
    const trailers: (readonly [string, string])[] = []
    let body = Buffer.alloc(0)
    if (framing === 'length') body = await this.#take(length)
    else if (framing === 'chunked') body = await this.#chunks(trailers)
    else if (framing === 'close') body = await this.#rest()
    return {
      status: code,
      statusText: status[2]!,
      fields,
      body,
      text: body.toString(),
      framing,
      trailers,
      header: (name) => only(fields, name),
      json: () => JSON.parse(body.toString()),
    }
  }

  /** Sends a request and reads its final response; interim ones are passed over. */
  async request(options: RequestOptions = {}): Promise<RawResponse> {
    this.send(requestBytes(options))
    for (;;) {
      const response = await this.response(options.method)
      if (response.status >= 200 || response.status === 101) return response
    }
  }

  /** Resolves once the other side has closed; fails when it sends bytes first. */
  async closed(): Promise<void> {
    const rest = await this.#rest()
    if (rest.length > 0) throw new Error(`bytes instead of a close: ${JSON.stringify(rest.toString('latin1'))}`)
  }

  /** Closes this side only. */
  end(): void {
    this.socket.end()
  }

  /** Aborts with a reset where the system lets it. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  async #until(mark: string): Promise<string> {
    let at = this.#received.indexOf(mark)
    while (at < 0) {
      if (this.#ended) throw this.#closedEarly(mark)
      await this.#more()
      at = this.#received.indexOf(mark)
    }
    const text = this.#received.toString('latin1', 0, at)
    this.#received = this.#received.subarray(at + mark.length)
    return text
  }

  async #take(length: number): Promise<Buffer<ArrayBuffer>> {
    while (this.#received.length < length) {
      if (this.#ended) throw this.#closedEarly(`${length} bytes`)
      await this.#more()
    }
    const bytes = Buffer.from(this.#received.subarray(0, length))
    this.#received = this.#received.subarray(length)
    return bytes
  }

  async #chunks(trailers: (readonly [string, string])[]): Promise<Buffer<ArrayBuffer>> {
    const parts: Buffer[] = []
    for (;;) {
      const line = await this.#until('\r\n')
      const size = CHUNK_LINE.exec(line)
      if (size === null) throw new Error(`not a chunk size: ${JSON.stringify(line)}`)
      const length = Number.parseInt(size[1]!, 16)
      if (length === 0) break
      parts.push(await this.#take(length))
      const end = await this.#take(2)
      if (end.toString('latin1') !== '\r\n') throw new Error('a chunk is longer than its size')
    }
    for (let line = await this.#until('\r\n'); line !== ''; line = await this.#until('\r\n')) trailers.push(field(line))
    return Buffer.concat(parts)
  }

  async #rest(): Promise<Buffer<ArrayBuffer>> {
    while (!this.#ended) await this.#more()
    const rest = Buffer.from(this.#received)
    this.#received = Buffer.alloc(0)
    return rest
  }

  async #more(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        timer = setTimeout(() => reject(new Error(`nothing came for ${WAIT_MS} ms; so far ${this.#shown()}`)), WAIT_MS)
      })
    } finally {
      clearTimeout(timer)
      this.#wake = undefined
    }
  }

  #closedEarly(awaited: string): Error {
    const why = this.#error === undefined ? 'closed' : `failed (${this.#error.message})`
    return new Error(`the connection ${why} before ${JSON.stringify(awaited)}; so far ${this.#shown()}`)
  }

  #shown(): string {
    return JSON.stringify(this.#received.toString('latin1', 0, 500))
  }
}

/** One request on a connection of its own. */
export async function request(port: number, options: RequestOptions = {}): Promise<RawResponse> {
  using client = await RawClient.connect(port)
  return await client.request({ ...options, headers: { connection: 'close', ...options.headers } })
}

export function requestBytes(options: RequestOptions): Buffer {
  const { method = 'GET', path = '/', host = 'test.example', headers = {}, body } = options
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`]
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  const bytes = Buffer.from(body ?? '')
  if (body !== undefined) lines.push(`content-length: ${bytes.length}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}

function field(line: string): readonly [string, string] {
  const match = FIELD_LINE.exec(line)
  if (match === null) throw new Error(`not a field line: ${JSON.stringify(line)}`)
  return [match[1]!.toLowerCase(), match[2]!]
}

function only(fields: readonly (readonly [string, string])[], name: string): string | undefined {
  const values = fields.filter(([own]) => own === name)
  if (values.length > 1) throw new Error(`${values.length} lines of ${name}`)
  return values[0]?.[1]
}

/** RFC 9112 §6.3, with every doubtful case an error. */
function framingOf(
  fields: readonly (readonly [string, string])[],
  status: number,
  method: string,
): { framing: RawResponse['framing']; length: number } {
  const coding = only(fields, 'transfer-encoding')
  const length = only(fields, 'content-length')
  if (coding !== undefined && length !== undefined) throw new Error('both Content-Length and Transfer-Encoding')
  if (coding !== undefined && coding !== 'chunked') throw new Error(`unexpected transfer coding ${coding}`)
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`unexpected Content-Length ${length}`)
  if ((status < 200 || status === 204) && (coding ?? length) !== undefined)
    throw new Error(`a ${status} response with a body's framing`)
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') return { framing: 'none', length: 0 }
  if (coding !== undefined) return { framing: 'chunked', length: 0 }
  if (length !== undefined) return { framing: 'length', length: Number(length) }
  return { framing: 'close', length: 0 }
}
