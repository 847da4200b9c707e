/** Takes the connections of other replicas: from the addresses of their pods alone, and with a key of the release. */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { canonicalAddress } from '../../pattern/cidr.ts'
import { type PeerKey, serverOptions } from './peer-tls.ts'
import { type Hello, type PeerMessage, PeerWire } from './peer-wire.ts'

const HANDSHAKE_WITHIN: Milliseconds = 2_000
/** Every one pings each second. */
const SILENT_FOR: Milliseconds = 10_000
const MAX_CONNECTIONS = 256
/** Of one address: each replica has one, and a new one before the old one is known to be dead. */
const MAX_OF_ADDRESS = 8
const RETRY: Milliseconds = 500

export interface PeerServerEdges {
  readonly time: TimerClock
  readonly listen: { readonly host?: string | undefined; readonly port: number }
  /** Whether a replica may have it. */
  readonly admits: (address: string) => boolean
  /** @returns the place up to which records of it are known */
  readonly welcome: (hello: Hello) => number
  /** @returns the place up to which they act now; undefined: they do not follow what is known */
  readonly accept: (hello: Hello, first: number, records: readonly string[]) => number | undefined
  /** It cannot listen, and why; undefined: it can. */
  readonly failure: (message: string | undefined) => void
}

export class PeerServer {
  readonly #edges: PeerServerEdges
  readonly #server: Server
  readonly #sockets = new Map<Socket, string>()
  #tls: TlsServer | undefined
  #stopRetry: () => void = () => {}
  #stopped = false

  constructor(edges: PeerServerEdges) {
    this.#edges = edges
    const server = createServer((socket) => this.#take(socket))
    server.on('error', ({ message }) => {
      edges.failure(`other replicas cannot connect: ${message}`)
      // A thread before this one may still hold the port.
      this.#stopRetry = edges.time.after(RETRY, () => this.#listen())
    })
    server.on('listening', () => edges.failure(undefined))
    server.unref()
    this.#server = server
    this.#listen()
  }

  /** Undefined while it does not listen. */
  get port(): number | undefined {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  }

  /** Connections that are there stay. */
  useKeys(keys: readonly PeerKey[]): void {
    if (keys.length === 0) {
      this.#tls = undefined
      return
    }
    const tls = createTlsServer(serverOptions(keys, HANDSHAKE_WITHIN))
    tls.on('secureConnection', (socket) => this.#serve(socket))
    tls.on('tlsClientError', (_, socket) => socket.destroy())
    this.#tls = tls
  }

  stop(): void {
    this.#stopped = true
    this.#stopRetry()
    this.#server.close()
    for (const socket of this.#sockets.keys()) socket.destroy()
  }

  #listen(): void {
    if (this.#stopped) return
    const { host, port } = this.#edges.listen
    this.#server.listen({ port, ...(host !== undefined && { host }) })
  }

  /** Nothing of a stranger is read. */
  #take(socket: Socket): void {
    // What is behind it ends with its `close`.
    socket.on('error', () => {})
    const address = canonicalAddress(socket.remoteAddress ?? '') ?? ''
    const same = [...this.#sockets.values()].filter((one) => one === address).length
    const tls = this.#tls
    if (
      tls === undefined ||
      same >= MAX_OF_ADDRESS ||
      this.#sockets.size >= MAX_CONNECTIONS ||
      !this.#edges.admits(address)
    ) {
      socket.destroy()
      return
    }
    this.#sockets.set(socket, address)
    socket.once('close', () => this.#sockets.delete(socket))
    tls.emit('connection', socket)
  }

  #serve(socket: TLSSocket): void {
    const { time, welcome, accept } = this.#edges
    let hello: Hello | undefined
    let stopTimer = (): void => {}
    const wire = new PeerWire(
      socket,
      (message) => {
        const answer = answerTo(message)
        if (answer === undefined) return wire.close()
        wire.send(answer)
        expect()
      },
      () => stopTimer(),
    )
    const expect = (): void => {
      stopTimer()
      stopTimer = time.after(SILENT_FOR, () => wire.close())
    }
    expect()
    const answerTo = (message: PeerMessage): PeerMessage | undefined => {
      if (message.type === 'hello' && hello === undefined) {
        hello = message
        return { type: 'welcome', position: welcome(message) }
      }
      if (hello === undefined) return undefined
      if (message.type === 'ping') return { type: 'pong' }
      if (message.type !== 'records') return undefined
      const position = accept(hello, message.first, message.records)
      return position === undefined ? undefined : { type: 'ack', position }
    }
  }
}
