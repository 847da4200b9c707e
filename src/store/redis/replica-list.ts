/**
 * Which replicas there are, by what each has said of itself in Redis, and by the pods of the installation, where
 * somebody lists them. A replica that ends in order takes itself off; one that was killed is not counted once it is
 * certain that its process has ended.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { OtherReplicas, PurgeReach } from '../purge-store.ts'
import { LEAVE, PURGE_KEYS, REPLICAS } from './purge-scripts.ts'
import type { RedisAccess } from './redis-access.ts'

/** Seconds. One that has said nothing for so long is not known any more; what it says is renewed each two. */
export const KNOWN_FOR = 15
/** Between two looks; what is more is an outage, in which nobody can say anything. */
const LONGEST_LOOK: Milliseconds = 4_000
/** Where its pod is gone, too. */
const KNOWN_WITHOUT_POD = 5

export interface ReplicaListEdges {
  readonly redis: Pick<RedisAccess, 'run'>
  readonly time: Pick<TimerClock, 'monotonic'>
  /** Of this process. */
  readonly name: string
  readonly others: OtherReplicas
}

/** Of itself, by a replica. */
interface Said {
  readonly name: string
  readonly history: number
  readonly position: number
  /** What people know it by. */
  readonly label: string
  /** Seconds since then. */
  readonly silent: number
}

/** What was read, so that a Redis that has lost its list, or cannot be asked, does not make replicas forgotten. */
interface Remembered {
  readonly said: Said
  /** The history beside whose list it stood. */
  readonly beside: number
  /** Milliseconds without a word of it in which Redis could have had one. */
  silent: Milliseconds
}

export class ReplicaList {
  readonly #edges: ReplicaListEdges
  readonly #remembered = new Map<string, Remembered>()
  #lookedAt: Milliseconds = 0

  constructor(edges: ReplicaListEdges) {
    this.#edges = edges
  }

  /**
   * All that may serve, and whether they act by what stands at a place of a history.
   *
   * @returns undefined where Redis does not say it
   */
  async members(history: number, place: number): Promise<PurgeReach['members'] | undefined> {
    const said = await this.#said()
    if (said === undefined) return undefined
    const { name, others } = this.#edges
    const pods = others.pods()
    const ended: string[] = []
    const all = [...said, ...this.#unsaid(said, history)]
    const known = all.map(async (one) => {
      if (one.name === name) return undefined
      const member = { name: one.label, acts: one.history === history && one.position >= place }
      if (member.acts || pods === undefined) return member
      const pod = pods.find((other) => other.name === one.label)
      const gone = pod === undefined ? one.silent > KNOWN_WITHOUT_POD : !pod.ready && (await others.hasEnded(pod))
      if (!gone) return member
      ended.push(one.name)
      return undefined
    })
    const labels = new Set(all.map(({ label }) => label))
    const unheard = (pods ?? []).map(async (pod) => {
      if (labels.has(pod.name) || (!pod.ready && (await others.hasEnded(pod)))) return undefined
      return { name: pod.name, acts: false }
    })
    const found = await Promise.all([...known, ...unheard])
    for (const one of ended) this.#remembered.delete(one)
    if (ended.length > 0) await this.forget(ended)
    return [{ name: others.own, acts: true }, ...found.filter((member) => member !== undefined)]
  }

  /** To be called now and then: who is there is known when Redis is not, or is empty. Never rejects. */
  async look(history: number): Promise<void> {
    const said = await this.#said()
    if (said === undefined) return
    const unsaid = new Map(this.#unsaid(said, history).map(({ name, silent }) => [name, silent * 1_000]))
    this.#lookedAt = this.#edges.time.monotonic()
    for (const [name, one] of this.#remembered) {
      const silent = unsaid.get(name)
      if (silent === undefined) this.#remembered.delete(name)
      else one.silent = silent
    }
    for (const one of said) this.#remembered.set(one.name, { said: one, beside: history, silent: one.silent * 1_000 })
  }

  /** What people know those by that were there when Redis was asked last. */
  get remembered(): readonly string[] {
    const { name } = this.#edges
    return this.#unsaid([], Number.NaN).flatMap((one) => (one.name === name ? [] : [one.label]))
  }

  /**
   * Those that are remembered and do not stand in the list of a history. Of the same one they have left in order;
   * another one began because Redis was emptied, so they may serve until they have been silent for too long.
   */
  #unsaid(said: readonly Said[], history: number): Said[] {
    const names = new Set(said.flatMap(({ name, label }) => [name, label]))
    const since = Math.min(this.#edges.time.monotonic() - this.#lookedAt, LONGEST_LOOK)
    return [...this.#remembered.values()].flatMap(({ said: one, beside, silent: before }) => {
      const silent = (before + since) / 1_000
      const left = beside === history || names.has(one.name) || names.has(one.label) || silent > KNOWN_FOR
      return left ? [] : [{ ...one, history: Number.NaN, silent }]
    })
  }

  /** They are not there any more. Never rejects: what Redis does not take now, it forgets by itself a little later. */
  async forget(names: readonly string[]): Promise<void> {
    await this.#edges.redis.run(LEAVE, PURGE_KEYS, names).catch(() => {})
  }

  async #said(): Promise<Said[] | undefined> {
    const reply = await this.#edges.redis.run(REPLICAS, PURGE_KEYS, [KNOWN_FOR]).catch(() => undefined)
    if (!Array.isArray(reply)) return undefined
    const said: Said[] = []
    for (let i = 0; i + 2 < reply.length; i += 3) {
      const [history, position, label = ''] = String(reply[i + 1]).split(' ')
      const silent = Number(reply[i + 2])
      said.push({ name: String(reply[i]), history: Number(history), position: Number(position), label, silent })
    }
    return said
  }
}
