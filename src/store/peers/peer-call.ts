/** One question to another replica, on a connection of its own, so that no purge waits behind an answer. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { PeerReply } from './peer-server.ts'
import { dialOptions, type PeerKey } from './peer-tls.ts'
import { type Hello, type PeerMessage, type PeerQuestion, PeerWire } from './peer-wire.ts'

/** Until it has proven that it has the key. */
const PROVES_WITHIN: Milliseconds = 1_000

/** One of a Headgate of before takes it for a process that has nothing to tell, and is not changed by it. */
const GREETING: Hello = {
  type: 'hello',
  process: 'questions',
  incarnation: 'questions',
  first: 1,
  fresh: true,
  lost: false,
  asks: true,
}

export interface PeerCallEdges {
  readonly time: TimerClock
  readonly keys: readonly PeerKey[]
  /** Of the monotonic clock. */
  readonly until: Milliseconds
}

/** Never rejects. */
export async function askPeer(
  { addresses, port }: { readonly addresses: readonly string[]; readonly port: number },
  question: PeerQuestion,
  edges: PeerCallEdges,
): Promise<PeerReply> {
  if (port === 0 || addresses.length === 0) return { ok: false, why: 'it has no port for other replicas' }
  if (edges.keys.length === 0) return { ok: false, why: 'the key of the replicas is not read yet' }
  let reply: PeerReply = { ok: false, why: LATE }
  for (const host of addresses) {
    if (edges.time.monotonic() >= edges.until) break
    const call = new Call({ host, port }, question, edges)
    reply = await call.reply
    if (reply.ok || call.proven) break
  }
  return reply
}

export const LATE = 'it does not answer in time'
const OLDER = 'it runs an older version of Headgate, which does not answer other replicas'

class Call {
  readonly reply: Promise<PeerReply>
  /** Whether it has proven that it has the key: another address leads to nobody else. */
  proven = false
  readonly #settle: (reply: PeerReply) => void
  readonly #socket: Socket

  constructor(
    target: { readonly host: string; readonly port: number },
    question: PeerQuestion,
    { time, keys, until }: PeerCallEdges,
  ) {
    const { promise, resolve } = Promise.withResolvers<PeerReply>()
    const left = until - time.monotonic()
    const where = `${target.host}:${target.port}`
    const socket = connect(target)
    this.#socket = socket
    this.#settle = resolve
    const stops = [
      time.after(left, () => this.#fail(LATE)),
      time.after(Math.min(left, PROVES_WITHIN), () => {
        if (!this.proven) this.#fail(`it cannot be reached at ${where} within ${PROVES_WITHIN / 1_000} s`)
      }),
    ]
    this.reply = promise.finally(() => {
      for (const stop of stops) stop()
      socket.destroy()
    })
    const ended = (): void => this.#fail(this.proven ? ENDED : UNPROVEN)
    socket.on('error', ({ code }: NodeJS.ErrnoException) => (this.proven ? ended() : this.#fail(faultOf(code, where))))
    socket.once('close', ended)
    socket.once('connect', () => {
      const secure = connectTls({ socket, ...dialOptions(keys) })
      const wire = new PeerWire(secure, (message) => this.#accept(message, question, wire), ended)
      secure.once('secureConnect', () => {
        this.proven = true
        wire.send(GREETING)
      })
    })
  }

  #accept(message: PeerMessage, question: PeerQuestion, wire: PeerWire): void {
    switch (message.type) {
      case 'welcome':
        if (message.answers !== true) return this.#fail(OLDER, true)
        if (!wire.send(question)) this.#fail('the question is longer than one may be: ask for fewer names')
        return
      case 'answer':
        return this.#settle({ ok: true, body: message.body })
      case 'refusal':
        return this.#fail(message.why)
      default:
    }
  }

  #fail(why: string, final = false): void {
    this.#settle({ ok: false, why, final })
    this.#socket.destroy()
  }
}

const ENDED = 'it ended the connection before it answered'
const UNPROVEN = 'it ended the connection: it has another key, or does not know this replica yet'

function faultOf(code: string | undefined, where: string): string {
  if (code === 'ECONNREFUSED') return `nothing listens at ${where}: it starts, has ended, or has no peers`
  if (code === 'ECONNRESET' || code === 'EPIPE') return UNPROVEN
  return `it cannot be reached at ${where}: ${code ?? 'the connection failed'}`
}
