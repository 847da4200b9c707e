/** Takes the connections of other replicas: from the addresses of their pods alone, and with a key of the release. */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { canonicalAddress } from '../../pattern/cidr.ts'
import { type PeerKey, serverOptions } from './peer-tls.ts'
import { type Hello, type PeerMessage, type PeerQuestion, PeerWire } from './peer-wire.ts'

const HANDSHAKE_WITHIN: Milliseconds = 2_000
/** Every one pings each second. */
const SILENT_FOR: Milliseconds = 10_000
const MAX_CONNECTIONS = 384
/** Of them, those that ask. */
const MAX_ASKERS = 128
/** Of one address: each replica has one, and a new one before the old one is known to be dead. */
const MAX_OF_ADDRESS = 8
/** Questions, of all that ask. */
const MAX_ANSWERING = 16
const RETRY: Milliseconds = 500

export interface ToldPurges {
  /** @returns the place up to which records of it are known */
  welcome(hello: Hello): number
  /** @returns the place up to which they act now; undefined: they do not follow what is known */
  accept(hello: Hello, first: number, records: readonly string[]): number | undefined
}

export type PeerReply =
  | { readonly ok: true; readonly body: unknown }
  /** `why` as a clause; `final`: asking again makes no difference, as long as it is the same process. */
  | { readonly ok: false; readonly why: string; readonly final?: boolean }

/**
 * What another replica asks: whoever asks has the key, and nothing of the body is validated. Never rejects.
 *
 * @returns undefined: it is no question that this version knows
 */
export type AnswerPeer = (what: string, body: unknown) => Promise<PeerReply> | undefined

export interface PeerServerEdges {
  readonly time: TimerClock
  readonly listen: { readonly host?: string | undefined; readonly port: number }
  /** Whether a replica may have it. */
  readonly admits: (address: string) => boolean
  /** What others tell; undefined: nobody wants to know it. */
  readonly purges: () => ToldPurges | undefined
  readonly answer: AnswerPeer
  /** It cannot listen, and why; undefined: it can. */
  readonly failure: (message: string | undefined) => void
}

export class PeerServer {
  readonly #edges: PeerServerEdges
  readonly #server: Server
  readonly #sockets = new Map<Socket, string>()
  #tls: TlsServer | undefined
  #stopRetry: () => void = () => {}
  #askers = 0
  #answering = 0
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
    const { time } = this.#edges
    let over = false
    let stopTimer = (): void => {}
    const expect = (): void => {
      stopTimer()
      if (!over) stopTimer = time.after(SILENT_FOR, () => wire.close())
    }
    const conversation = this.#conversation((message) => {
      if (message === undefined) return wire.close()
      // Longer than a line may be is nothing but an answer.
      if (!wire.send(message)) wire.send({ type: 'refusal', why: TOO_LONG })
      expect()
    })
    const wire = new PeerWire(socket, conversation.take, () => {
      over = true
      stopTimer()
      conversation.end()
    })
    expect()
  }

  /** @param reply with undefined: what has come is not what may come now */
  #conversation(reply: (message: PeerMessage | undefined) => void): Conversation {
    const { purges } = this.#edges
    let hello: Hello | undefined
    /** One question of a connection, so that it keeps no more here than one answer. */
    let asked = false
    const answer = (question: PeerQuestion) => this.#answer(question)
    const answerTo = (message: PeerMessage): PeerMessage | undefined => {
      if (message.type === 'hello' && hello === undefined) {
        hello = message
        if (message.asks === true) return this.#welcomeAsker()
        const position = purges()?.welcome(message)
        return position === undefined ? undefined : { type: 'welcome', position, answers: true }
      }
      if (hello === undefined) return undefined
      if (message.type === 'ping') return { type: 'pong' }
      if (message.type !== 'records' || hello.asks === true) return undefined
      const position = purges()?.accept(hello, message.first, message.records)
      return position === undefined ? undefined : { type: 'ack', position }
    }
    return {
      take(message) {
        if (message.type !== 'ask') return reply(answerTo(message))
        if (hello?.asks !== true || asked) return reply(undefined)
        asked = true
        void answer(message).then(reply)
      },
      end: () => {
        if (hello?.asks === true) this.#askers--
      },
    }
  }

  /** Undefined: there are so many that they might take the connections by which purges come. */
  #welcomeAsker(): PeerMessage | undefined {
    return ++this.#askers > MAX_ASKERS ? undefined : { type: 'welcome', position: 0, answers: true }
  }

  async #answer({ what, body }: PeerQuestion): Promise<PeerMessage> {
    if (this.#answering >= MAX_ANSWERING) return { type: 'refusal', why: 'it answers too many questions at this time' }
    this.#answering++
    const reply = await (this.#edges.answer(what, body) ?? UNKNOWN_QUESTION)
    this.#answering--
    return reply.ok ? { type: 'answer', body: reply.body } : { type: 'refusal', why: reply.why }
  }
}

interface Conversation {
  take(message: PeerMessage): void
  /** Nothing more comes. */
  end(): void
}

const TOO_LONG = 'its answer is longer than one may be'
const UNKNOWN_QUESTION: PeerReply = { ok: false, why: 'its version of Headgate does not know this question' }
