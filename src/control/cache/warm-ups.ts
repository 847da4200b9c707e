/** Lists of URLs that fill the cache: those that were asked for here, and parts of those that other replicas drive. */
import type { WarmUpBody, WarmUpOutcome } from '../../admin/caches.ts'
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { PeerReply } from '../../store/peers/peer-server.ts'
import { type PartState, PeerWarmUp, readPart, readPartState } from './peer-warm-up.ts'
import { refusal } from './refusal.ts'
import type { ReplicaQuestions } from './replica-questions.ts'
import { type OwnListener, WarmUp } from './warm-up.ts'
import { WarmUpList, type WarmUpWork } from './warm-up-list.ts'

/** Of those asked for here; and as many of others, which do not wait for them: else replicas could wait in a ring. */
const MAX_LISTS = 4
/** That are over. */
const KEPT = 32
/** Of all replicas together. */
const DEFAULT_RATE = 50

export interface WarmUpsEdges {
  readonly time: TimerClock
  readonly random: Random
  readonly listeners: () => readonly OwnListener[]
  readonly questions: ReplicaQuestions
}

export class WarmUps {
  readonly #edges: WarmUpsEdges
  readonly #lists = new Map<string, WarmUpList>()
  /** Of other replicas, by their keys. */
  readonly #parts = new Map<string, WarmUp>()
  #last = 0

  constructor(edges: WarmUpsEdges) {
    this.#edges = edges
  }

  async begin({ urls, rate = DEFAULT_RATE }: WarmUpBody, replica: string | undefined): Promise<WarmUpOutcome> {
    const { questions } = this.#edges
    const parsed: URL[] = []
    for (const text of urls) {
      const url = requestable(text)
      if (url === undefined)
        return refusal(422, 'InvalidWarmUp', 'Not requested', `${JSON.stringify(text.slice(0, 128))} is no http(s) URL`)
      parsed.push(url)
    }
    const { own, pods, missing, complete } = await questions.addressees(replica)
    if (running(this.#lists) >= MAX_LISTS)
      return refusal(429, 'TooManyWarmUps', 'Too many lists', `${MAX_LISTS} are being worked on; wait for one to end`)
    const each = rate / Math.max(1, pods.length + Number(own))
    const works: WarmUpWork[] = pods.map(({ name }) => this.#workOf(name, urls, each))
    if (own) works.unshift(this.#ownWork(parsed, each))
    const id = String(++this.#last)
    const list = new WarmUpList({ id, works, urls: urls.length, missing, complete })
    this.#lists.set(id, list)
    forget(this.#lists)
    return { ok: true, created: true, view: list.view }
  }

  state(id: string): WarmUpOutcome {
    const list = this.#lists.get(id)
    if (list === undefined)
      return refusal(404, 'NoWarmUp', 'There is no such list', 'The last lists are kept until a restart')
    return { ok: true, created: false, view: list.view }
  }

  /** Another replica tells a part, or asks how far it is. */
  workOn(body: unknown): PeerReply {
    const part = readPart(body)
    const urls = part?.urls.map(requestable)
    if (part === undefined || urls === undefined || !urls.every((url) => url !== undefined))
      return { ok: false, why: 'it cannot read the list: it runs another version of Headgate' }
    let work = this.#parts.get(part.key)
    if (work === undefined) {
      if (urls.length === 0) return { ok: true, body: 'lost' satisfies PartState }
      if (running(this.#parts) >= MAX_LISTS) return { ok: true, body: 'busy' satisfies PartState }
      work = new WarmUp(urls, this.#edges.listeners, this.#edges.time, part.rate)
      this.#parts.set(part.key, work)
      forget(this.#parts)
    }
    return { ok: true, body: work.view }
  }

  stop(): void {
    for (const list of this.#lists.values()) list.stop()
    for (const part of this.#parts.values()) part.stop()
  }

  #ownWork(urls: readonly URL[], rate: number): WarmUpWork {
    const work = new WarmUp(urls, this.#edges.listeners, this.#edges.time, rate)
    return {
      replica: this.#edges.questions.own,
      fault: undefined,
      get finished() {
        return work.finished
      },
      get view() {
        return work.view
      },
      stop: () => work.stop(),
    }
  }

  #workOf(name: string, urls: readonly string[], rate: number): WarmUpWork {
    const { time, random, questions } = this.#edges
    return new PeerWarmUp(name, urls, rate, {
      time,
      newKey: () => `${random()}`.slice(2),
      ask: (part) => questions.askNamed(name, WARM_UP, part, readPartState),
    })
  }
}

/** Name of the question. */
export const WARM_UP = 'cache warm-up'

function requestable(text: string): URL | undefined {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' ? url : undefined
}

function running(lists: ReadonlyMap<string, { readonly finished: boolean }>): number {
  return [...lists.values()].filter(({ finished }) => !finished).length
}

function forget(lists: Map<string, { readonly finished: boolean }>): void {
  for (const [old, { finished }] of lists) {
    if (lists.size <= KEPT) break
    if (finished) lists.delete(old)
  }
}
