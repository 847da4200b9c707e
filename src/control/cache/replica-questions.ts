/** Asks the other replicas, each for a bounded time: who does not answer is named, and why. */
import type { MissingReplica, Reach } from '../../admin/caches.ts'
import type { PeerReply } from '../../store/peers/peer-server.ts'
import type { OtherReplicas, ReplicaPod } from '../../store/purge-store.ts'

/** At once; more are not asked. */
const MAX_ASKED = 128

export interface ReplicaQuestionsEdges {
  readonly others: OtherReplicas
  /** How many there are at least, where somebody says it. */
  readonly replicas: () => number
  /** How one is asked; undefined: replicas have no key for each other. */
  readonly ask: () => ((pod: ReplicaPod, what: string, body: unknown) => Promise<PeerReply>) | undefined
  /** Where nobody lists pods, who shares something with this one; undefined: that cannot be known now. */
  readonly sharers: () => Promise<readonly string[] | undefined>
}

/** Either of them alone: `why` as a clause; `final`: asking again makes no difference. */
export type ReplicaAnswer<T> = { readonly answer: T } | { readonly why: string; readonly final?: boolean | undefined }

export interface Question<T> {
  readonly what: string
  readonly body: unknown
  /** What this replica answers. Never rejects. */
  readonly own: () => Promise<ReplicaAnswer<T>>
  /** Another replica may be of another version, and wrong. @returns undefined: it is no answer */
  readonly read: (body: unknown) => T | undefined
}

export interface Asked<T> extends Reach {
  /** Of this replica first. */
  readonly answers: readonly { readonly name: string; readonly answer: T }[]
}

/** Whom a question is for. */
export interface Addressees {
  readonly own: boolean
  readonly pods: readonly ReplicaPod[]
  /** Others, that cannot be asked. */
  readonly missing: readonly MissingReplica[]
  /** Whether those are all; else why not, as a sentence. */
  readonly complete: true | string
}

export class ReplicaQuestions {
  readonly #edges: ReplicaQuestionsEdges

  constructor(edges: ReplicaQuestionsEdges) {
    this.#edges = edges
  }

  get own(): string {
    return this.#edges.others.own
  }

  /** The full name of one that is there; its last segment is enough. */
  nameOf(replica: string): string | undefined {
    return this.names().find((name) => name === replica || name.endsWith(`/${replica}`))
  }

  names(): string[] {
    const { others } = this.#edges
    return [others.own, ...(others.pods() ?? []).map(({ name }) => name)]
  }

  /** @param only the full name of one of {@link names}; undefined: all of them */
  async addressees(only?: string): Promise<Addressees> {
    const { others, replicas, ask, sharers } = this.#edges
    const all = others.pods()
    const pods = (all ?? []).filter(({ name }) => only === undefined || name === only)
    const own = only === undefined || only === others.own
    const asked = ask() === undefined ? [] : pods.slice(0, MAX_ASKED)
    const why = ask() === undefined ? NO_KEY : `only ${MAX_ASKED} are asked`
    const missing = pods.slice(asked.length).map(({ name }) => ({ name, why }))
    if (only !== undefined) return { own, pods: asked, missing, complete: `Of ${only} alone.` }
    if (all !== undefined) return { own, pods: asked, missing, complete: true }
    if (others.unlisted === true || ask() !== undefined)
      return { own, pods: [], missing, complete: 'Of this replica alone: nobody lists the others yet.' }
    const shared = await sharers()
    if (shared === undefined)
      return { own, pods: [], missing, complete: 'Of this replica alone: Redis does not say which others there are.' }
    const foreign = shared.filter((name) => name !== others.own).map((name) => ({ name, why: NO_POD }))
    const stated = replicas()
    const complete =
      foreign.length + 1 >= stated || `Of this replica alone: it is one of ${stated}, and they do not ask each other.`
    return { own, pods: [], missing: foreign, complete }
  }

  async ask<T>({ what, body, own, read }: Question<T>, addressees: Addressees): Promise<Asked<T>> {
    const { pods, complete } = addressees
    const asked = [
      ...(addressees.own ? [own().then((answer) => ({ name: this.own, ...answer }))] : []),
      ...pods.map(async (pod) => ({ name: pod.name, ...(await this.#askOne(pod, what, body, read)) })),
    ]
    const answers: { name: string; answer: T }[] = []
    const missing = [...addressees.missing]
    for (const one of await Promise.all(asked))
      if ('answer' in one) answers.push(one)
      else if (one.why !== GONE) missing.push(one)
    return { answers, ...reachOf(answers.length, missing, complete) }
  }

  /** @param name one of {@link names} */
  async askNamed<T>(
    name: string,
    what: string,
    body: unknown,
    read: (body: unknown) => T | undefined,
  ): Promise<ReplicaAnswer<T>> {
    const pod = this.#edges.others.pods()?.find((one) => one.name === name)
    return pod === undefined ? { why: GONE, final: true } : await this.#askOne(pod, what, body, read)
  }

  async #askOne<T>(
    pod: ReplicaPod,
    what: string,
    body: unknown,
    read: (body: unknown) => T | undefined,
  ): Promise<ReplicaAnswer<T>> {
    const { others } = this.#edges
    const reply: PeerReply = await (this.#edges.ask()?.(pod, what, body) ?? { ok: false, why: NO_KEY })
    if (!reply.ok) {
      const gone = !pod.ready && (await others.hasEnded(pod))
      return gone ? { why: GONE, final: true } : { why: reply.why, final: reply.final }
    }
    const answer = read(reply.body)
    return answer === undefined ? { why: UNREADABLE, final: true } : { answer }
  }
}

/** What has ended serves nothing, and need not be asked. */
const GONE = 'it has ended'
const UNREADABLE = 'its answer cannot be read: it runs another version of Headgate'
const NO_KEY = 'replicas ask each other only where peers.keyFile of the settings is set (peers.enabled of the chart)'
const NO_POD = 'outside of a cluster replicas do not ask each other, so ask it at its own admin API'

/** @param complete see {@link Addressees.complete} */
export function reachOf(answered: number, missing: readonly MissingReplica[], complete: true | string): Reach {
  const everywhere = missing.length === 0 && complete === true
  const sentences = [
    ...(complete === true ? [] : [complete]),
    ...missing.map(({ name, why }) => `Not of ${name}: ${why}.`),
  ]
  if (everywhere) sentences.push(answered === 1 ? 'Of the only replica.' : 'Of every replica.')
  return { missing, everywhere, detail: sentences.join(' ') }
}

/** Of all who ask while it is being answered, one gets the next answer for all: none is older than its question. */
export class SharedAnswers<T> {
  readonly #running = new Map<string, Promise<T>>()
  readonly #next = new Map<string, Promise<T>>()

  /** @param make never rejects */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key)
    if (running === undefined) return this.#start(key, make)
    const waiting = this.#next.get(key)
    if (waiting !== undefined) return waiting
    const next = running.then(() => {
      this.#next.delete(key)
      return this.#start(key, make)
    })
    this.#next.set(key, next)
    return next
  }

  #start(key: string, make: () => Promise<T>): Promise<T> {
    const running = make().finally(() => {
      if (this.#running.get(key) === running) this.#running.delete(key)
    })
    this.#running.set(key, running)
    return running
  }
}
