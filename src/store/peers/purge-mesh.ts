/**
 * Purges of replicas without Redis: each tells what it has purged to each other one, on a connection of its own, and is
 * told when it acts there. Records are counted, and kept for replicas that are away for a while; one that was away
 * for longer purges all of the namespaces that have purged something. Nothing is on a disk: memory is all that is
 * purged, and what starts has an empty one.
 */
import { hash } from 'node:crypto'
import { encodePurge, type PurgeRecord } from '../../cache/purge-record.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { OtherReplicas, PurgeReach, PurgeStore, PurgeStoreEvents, ReplicaPod } from '../purge-store.ts'
import { GivenUpRecords } from './given-up.ts'
import { HeardPurges } from './heard-purges.ts'
import { PeerLink } from './peer-link.ts'
import { PEERS_PORT, type PeerPort } from './peer-port.ts'
import type { Hello } from './peer-wire.ts'

/** Between two looks at who is there. */
const LOOK: Milliseconds = 100
const REACH_WITHIN: Milliseconds = 1_000
const BETWEEN_LOOKS: Milliseconds = 20
/** Own records, and bytes of them. */
const KEPT = 4_096
const KEPT_BYTES = 4 * 1_024 * 1_024
/** At once. */
const BATCH = 64
/** Each has a connection to each. */
const MAX_LINKS = 128

export interface PurgeMeshEdges {
  readonly time: TimerClock
  readonly random: Random
  /** Of this process; nobody else has it. */
  readonly name: string
  readonly others: OtherReplicas
  /** By which the others tell this one. */
  readonly port: PeerPort
}

/** What an earlier control thread of this process has left. */
export interface MeshBefore {
  /** Not 0: there was one. */
  readonly history: number
  /** Records may be gone that it had not told. */
  readonly forgotten: boolean
}

interface Kept {
  readonly record: PurgeRecord
  readonly text: string
}

export class PurgeMesh implements PurgeStore {
  /** A record is told to its own process when it acts everywhere, and not before. */
  readonly tellsLater = true
  readonly #edges: PurgeMeshEdges
  readonly #events: PurgeStoreEvents
  readonly #before: MeshBefore
  readonly #incarnation: string
  readonly #heard: HeardPurges
  readonly #links = new Map<string, PeerLink>()
  readonly #stopLook: () => void
  /** Place of the last record that was given up. */
  #floor = 0
  readonly #given = new GivenUpRecords()
  #kept: Kept[] = []
  #bytes = 0
  /** Up to which place own records act everywhere. */
  #everywhere = 0
  readonly #places = new Map<number, number>()
  #settling = false
  #stopped = false

  constructor(before: MeshBefore, edges: PurgeMeshEdges, events: PurgeStoreEvents) {
    const { time, random, name, port } = edges
    this.#before = before
    this.#edges = edges
    this.#events = events
    this.#incarnation = String(random())
    this.#heard = new HeardPurges((record) => events.told(record))
    port.usePurges(this.#heard, (message) => events.failure(message))
    this.#stopLook = time.every(LOOK, () => this.#look())
    // The next control thread sees that it is not the first.
    events.began(Number.parseInt(hash('sha256', name).slice(0, 12), 16) || 1, 0, false)
  }

  async append(records: readonly PurgeRecord[]): Promise<void> {
    for (const record of records) {
      const text = Buffer.from(encodePurge(record)).toString('base64')
      this.#kept.push({ record, text })
      this.#bytes += text.length
      this.#places.set(record.id, this.#floor + this.#kept.length)
    }
    while (this.#kept.length > KEPT || this.#bytes > KEPT_BYTES) this.#giveUpOldest()
    for (const link of this.#links.values()) link.push()
    await this.#settle()
  }

  async reach(id: number): Promise<PurgeReach> {
    const { time, others } = this.#edges
    const until = time.monotonic() + REACH_WITHIN
    const own = { name: others.own, acts: true }
    for (;;) {
      const place = this.#places.get(id) ?? Number.POSITIVE_INFINITY
      const found = await this.#notEnded()
      const members = [own, ...(found ?? []).map(({ name }) => ({ name, acts: this.#ackedBy(name) >= place }))]
      const all = found !== undefined && members.every(({ acts }) => acts)
      if (all || time.monotonic() >= until || this.#stopped) return { members, complete: found !== undefined }
      await new Promise<void>((resolve) => time.after(BETWEEN_LOOKS, resolve))
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopLook()
    for (const link of this.#links.values()) link.stop()
    this.#links.clear()
    this.#edges.port.endPurges(this.#heard)
  }

  #ackedBy(name: string): number {
    return this.#links.get(name)?.acked ?? 0
  }

  /** Others that may serve; undefined: nobody lists them. */
  async #notEnded(): Promise<readonly ReplicaPod[] | undefined> {
    const { others } = this.#edges
    const pods = others.pods()
    if (pods === undefined) return undefined
    const last = this.#floor + this.#kept.length
    const ended = await Promise.all(
      pods.map(async (pod) => this.#ackedBy(pod.name) < last && !pod.ready && (await others.hasEnded(pod))),
    )
    return pods.filter((_, i) => !ended[i])
  }

  #look(): void {
    const pods = this.#edges.others.pods()
    if (pods === undefined) return
    const names = new Set(pods.map(({ name }) => name))
    for (const [name, link] of this.#links) {
      if (names.has(name)) continue
      link.stop()
      this.#links.delete(name)
    }
    for (const { name, addresses, ports } of pods) {
      let link = this.#links.get(name)
      if (link === undefined) {
        if (this.#links.size >= MAX_LINKS) continue
        link = this.#newLink()
        this.#links.set(name, link)
      }
      link.use(addresses, ports.get(PEERS_PORT) ?? 0)
    }
    void this.#settle()
  }

  #newLink(): PeerLink {
    const { time, random } = this.#edges
    return new PeerLink({
      time,
      random,
      keys: () => this.#edges.port.keys,
      hello: () => this.#hello(),
      behind: (position) =>
        position < this.#floor
          ? undefined
          : this.#kept.slice(position - this.#floor, position - this.#floor + BATCH).map(({ text }) => text),
      moved: () => void this.#settle(),
    })
  }

  #hello(): Hello {
    const { history, forgotten } = this.#before
    return {
      type: 'hello',
      process: this.#edges.name,
      incarnation: this.#incarnation,
      first: this.#floor + 1,
      fresh: history === 0 && !forgotten,
      lost: forgotten,
      given: this.#given.known,
    }
  }

  /** Who is behind it gets all of its namespace purged when it is linked. */
  #giveUpOldest(): void {
    const oldest = this.#kept.shift()!
    this.#floor++
    this.#given.add(oldest.record, this.#floor)
    this.#bytes -= oldest.text.length
    this.#places.delete(oldest.record.id)
    if (this.#floor > this.#everywhere) this.#tell(oldest, this.#floor)
  }

  #tell({ record }: Kept, position: number): void {
    this.#everywhere = position
    this.#events.told({ ...record, position })
  }

  /** What acts everywhere needs not to be sent by another control thread. */
  async #settle(): Promise<void> {
    const last = this.#floor + this.#kept.length
    if (this.#settling || this.#everywhere >= last || this.#stopped) return
    this.#settling = true
    const found = await this.#notEnded()
    this.#settling = false
    if (found === undefined || this.#stopped) return
    const acked = Math.min(last, ...found.map(({ name }) => this.#ackedBy(name)))
    for (let place = Math.max(this.#everywhere, this.#floor) + 1; place <= acked; place++)
      this.#tell(this.#kept[place - this.#floor - 1]!, place)
  }
}
