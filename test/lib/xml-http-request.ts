/** As much of XMLHttpRequest, over node:http, as the official client of gRPC-Web needs, which is made for browsers. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http'

const OPENED = 1
const HEADERS_RECEIVED = 2
const LOADING = 3
const DONE = 4

export class XmlHttpRequest {
  readyState = 0
  status = 0
  statusText = ''
  responseText = ''
  responseType: '' | 'text' | 'arraybuffer' = ''
  response: ArrayBuffer | string = ''
  withCredentials = false
  timeout = 0
  onreadystatechange: (() => void) | null = null
  readonly upload = {}
  #method = ''
  #url = ''
  readonly #headers: [string, string][] = []
  #request: ClientRequest | null = null
  #received: IncomingMessage | null = null

  open(method: string, url: string): void {
    this.#method = method
    this.#url = url
    this.#become(OPENED)
  }

  setRequestHeader(name: string, value: string): void {
    this.#headers.push([name, value])
  }

  send(body: string | Uint8Array | null): void {
    const sent = request(this.#url, { method: this.#method, headers: Object.fromEntries(this.#headers) })
    this.#request = sent
    sent.on('response', (received) => this.#receive(received))
    sent.on('error', () => this.#fail())
    sent.end(body === null ? undefined : typeof body === 'string' ? body : Buffer.from(body))
  }

  #receive(received: IncomingMessage): void {
    this.#received = received
    this.status = received.statusCode ?? 0
    this.#become(HEADERS_RECEIVED)
    const chunks: Buffer[] = []
    received.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (this.responseType !== 'arraybuffer') this.responseText += chunk.toString('latin1')
      this.#become(LOADING)
    })
    received.on('end', () => {
      const all = Buffer.concat(chunks)
      this.response =
        this.responseType === 'arraybuffer'
          ? all.buffer.slice(all.byteOffset, all.byteOffset + all.length)
          : this.responseText
      this.#become(DONE)
    })
    received.on('error', () => this.#fail())
  }

  #fail(): void {
    this.status = 0
    this.#become(DONE)
  }

  #become(state: number): void {
    this.readyState = state
    this.onreadystatechange?.()
  }

  getResponseHeader(name: string): string | null {
    const value = this.#received?.headers[name.toLowerCase()]
    return value === undefined ? null : String(value)
  }

  getAllResponseHeaders(): string {
    const entries = Object.entries(this.#received?.headers ?? {})
    return entries.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  }

  abort(): void {
    this.onreadystatechange = null
    this.#request?.destroy()
  }
}
