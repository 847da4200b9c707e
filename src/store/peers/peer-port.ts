/**
 * The port of a replica for the other ones: what they tell and ask comes in here, and what it asks of them goes out
 * with the same keys. It is there for as long as the process, with Redis and without it.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { OtherReplicas, ReplicaPod } from '../purge-store.ts'
import { askPeer, LATE } from './peer-call.ts'
import { type AnswerPeer, type PeerReply, PeerServer, type ToldPurges } from './peer-server.ts'
import { type PeerKey, peerKey } from './peer-tls.ts'

/** Name of the port, in the Service that lists the replicas. */
export const PEERS_PORT = 'peers'
const LOOK_AT_KEYS: Milliseconds = 2_000
/** Questions to one replica: it takes no more than a few connections of one address, and purges need theirs. */
const ASKED_AT_ONCE = 4
/** From the question to the answer, whatever waits before it. */
const ASK_WITHIN: Milliseconds = 3_000

/** Secrets of the release, of 32 bytes each; the first one that the other side has is taken. */
export type PeerSecrets =
  | { readonly ok: true; readonly secrets: readonly Uint8Array[] }
  | { readonly ok: false; readonly fault: string }

export interface PeerPortEdges {
  readonly time: TimerClock
  readonly others: Pick<OtherReplicas, 'pods'>
  readonly listen: { readonly host?: string | undefined; readonly port: number }
  /** As they are now; asked again and again. */
  readonly secrets: () => Promise<PeerSecrets>
  readonly answer: AnswerPeer
}

export class PeerPort {
  readonly #edges: PeerPortEdges
  readonly #server: PeerServer
  readonly #stopTimer: () => void
  /** By replica: how many questions are under way, and what waits for its turn. */
  readonly #asked = new Map<string, { running: number; readonly waiting: (() => void)[] }>()
  #keys: readonly PeerKey[] = []
  #keyIds = ''
  #keyFault: string | undefined
  #portFault: string | undefined
  #purges: ToldPurges | undefined
  #failure: (message: string | undefined) => void = () => {}
  #stopped = false

  constructor(edges: PeerPortEdges) {
    const { time, others, listen, answer } = edges
    this.#edges = edges
    this.#server = new PeerServer({
      time,
      listen,
      admits: (address) => others.pods()?.some(({ addresses }) => addresses.includes(address)) === true,
      purges: () => this.#purges,
      answer,
      failure: (message) => {
        this.#portFault = message
        this.#report()
      },
    })
    this.#stopTimer = time.every(LOOK_AT_KEYS, () => void this.#readKeys())
    void this.#readKeys()
  }

  get keys(): readonly PeerKey[] {
    return this.#keys
  }

  /** @param failure others cannot tell anything, and why; undefined: they can */
  usePurges(purges: ToldPurges, failure: (message: string | undefined) => void): void {
    this.#purges = purges
    this.#failure = failure
    if (this.#keyFault !== undefined || this.#portFault !== undefined) this.#report()
  }

  endPurges(purges: ToldPurges): void {
    if (this.#purges !== purges) return
    this.#purges = undefined
    this.#failure = () => {}
  }

  /** Asks one replica, on a connection of its own. Never rejects. */
  async ask({ name, addresses, ports }: ReplicaPod, what: string, body: unknown): Promise<PeerReply> {
    const { time } = this.#edges
    if (this.#keyFault !== undefined) return { ok: false, why: this.#keyFault }
    const until = time.monotonic() + ASK_WITHIN
    const asked = this.#asked.get(name) ?? { running: 0, waiting: [] }
    this.#asked.set(name, asked)
    if (asked.running >= ASKED_AT_ONCE) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const go = (): void => resolve(true)
      asked.waiting.push(go)
      const stop = time.after(ASK_WITHIN, () => resolve(false))
      const turn = await promise
      stop()
      if (!turn) {
        asked.waiting.splice(asked.waiting.indexOf(go), 1)
        return { ok: false, why: LATE }
      }
    }
    asked.running++
    try {
      const port = ports.get(PEERS_PORT) ?? 0
      return await askPeer({ addresses, port }, { type: 'ask', what, body }, { time, keys: this.#keys, until })
    } finally {
      asked.running--
      asked.waiting.shift()?.()
      if (asked.running === 0 && asked.waiting.length === 0) this.#asked.delete(name)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#stopTimer()
    this.#server.stop()
  }

  async #readKeys(): Promise<void> {
    const read = await this.#edges.secrets()
    if (this.#stopped) return
    this.#keyFault = read.ok ? undefined : read.fault
    this.#keys = read.ok ? read.secrets.map(peerKey) : []
    const ids = this.#keys.map(({ id }) => id).join()
    if (ids !== this.#keyIds) this.#server.useKeys(this.#keys)
    this.#keyIds = ids
    this.#report()
  }

  #report(): void {
    if (!this.#stopped) this.#failure(this.#keyFault ?? this.#portFault)
  }
}
