/**
 * Puts the virtual hosts of each hostname into blocks, and their places into the root. What is the same object (`===`)
 * as last time keeps its place.
 */
import { ShardedMap } from '../lib/shards.ts'
import { type FrontendPartition, type FrontendSet, UNDIVIDED } from './frontend.ts'
import type { HostTls } from './host-tls.ts'
import { type BlockRange, Blocks } from './pack-blocks.ts'
import { PackedFrontends } from './pack-frontends.ts'
import { EXCLUSIVE, EXTENDS } from './pack-layout.ts'
import type { Root } from './pack-root.ts'
import { type Indexes, VirtualHostWriter } from './pack-virtual-host.ts'
import type { Host, Rule, VirtualHost } from './snapshot.ts'

/** One layer of a hostname: what all frontends have in common, or what a group of them has besides. */
interface Layer {
  readonly set: FrontendSet | undefined
  /** 0 = all of them. */
  readonly group: number
  packed: { readonly virtualHost: VirtualHost; readonly divided: boolean; readonly place: BlockRange } | undefined
}

interface Placement {
  /** The packed state; undefined during packing and after an abandoned pack. */
  host: Host | undefined
  partition: FrontendPartition
  /** What its slot refers to. */
  tls: HostTls | undefined
  readonly common: Layer
  /** What groups have besides, by the key of the set of frontends; undefined as long as the hostname is undivided. */
  own: Map<string, Layer> | undefined
}

/**
 * Rules whose references are still to be counted; progress is kept here, so that a pack may be given up meanwhile.
 */
interface Debt {
  readonly rules: readonly Rule[]
  readonly by: 1 | -1
  at: number
}

/** Rules processed between two yields. */
const BATCH = 256

export interface PackedReferences extends Indexes {
  /** A packed rule came (1) or went (-1). */
  use(rule: Rule, by: 1 | -1): void
  /** A slot refers to it until {@link releaseTls}. @returns its index */
  retainTls(tls: HostTls): number
  releaseTls(tls: HostTls): void
}

export class PackedHosts {
  readonly root: Root
  readonly blocks = new Blocks()
  readonly frontends = new PackedFrontends()
  readonly #pathSeed: number
  readonly #references: PackedReferences
  readonly #placements = new ShardedMap<Placement>()
  readonly #writer = new VirtualHostWriter()
  readonly #debts: Debt[] = []

  constructor(root: Root, pathSeed: number, references: PackedReferences) {
    this.root = root
    this.#pathSeed = pathSeed
    this.#references = references
  }

  get size(): number {
    return this.#placements.size
  }

  hostnames(): Iterable<string> {
    return this.#placements.keys()
  }

  *place(hostname: string, host: Host): Generator<void> {
    let placement = this.#placements.get(hostname)
    if (placement?.host === host) return
    if (placement === undefined) {
      const common = { set: undefined, group: 0, packed: undefined }
      this.#placements.set(
        hostname,
        (placement = { host: undefined, partition: UNDIVIDED, tls: undefined, common, own: undefined }),
      )
    }
    placement.host = undefined
    const { partition } = host
    const divided = partition.groups.length > 0
    yield* this.#placeLayer(
      placement.common,
      host.common ?? { hostname, rules: [], matches: [], ruleIndexes: [], passthrough: undefined },
      divided,
    )
    if (divided) yield* this.#placeGroups(placement, host)
    // From here on without a yield.
    const former = placement.partition
    placement.partition = partition
    const exclusive = host.common === undefined ? EXCLUSIVE : 0
    const frontends = this.frontends.retain(partition) | exclusive | (host.extendsWildcard ? EXTENDS : 0)
    const tls = host.tls === undefined ? 0 : this.#references.retainTls(host.tls) + 1
    this.root.describe(hostname, frontends, tls)
    this.frontends.release(former)
    if (placement.tls !== undefined) this.#references.releaseTls(placement.tls)
    placement.tls = host.tls
    if (placement.own !== undefined) this.#removeOthers(hostname, placement)
    placement.host = host
    if (this.#debts.length > 0) yield* this.settle()
  }

  *#placeGroups(placement: Placement, { partition, own }: Host): Generator<void> {
    const layers = (placement.own ??= new Map())
    for (const [i, set] of partition.groups.entries()) {
      let layer = layers.get(set.key)
      if (layer === undefined)
        layers.set(set.key, (layer = { set, group: this.frontends.retainGroup(set), packed: undefined }))
      yield* this.#placeLayer(layer, own[i]!, true)
    }
  }

  /** Groups that the partition does not have, from here or from a pack that was given up. */
  #removeOthers(hostname: string, placement: Placement): void {
    const kept = new Set(placement.partition.groups.map(({ key }) => key))
    for (const [key, layer] of placement.own!) {
      if (kept.has(key)) continue
      placement.own!.delete(key)
      this.#removeLayer(hostname, layer)
    }
    if (placement.own!.size === 0) placement.own = undefined
  }

  *remove(hostname: string): Generator<void> {
    const placement = this.#placements.get(hostname)
    if (placement === undefined) return
    const { common, own, partition, tls } = placement
    this.#removeLayer(hostname, common)
    for (const layer of own?.values() ?? []) this.#removeLayer(hostname, layer)
    this.frontends.release(partition)
    if (tls !== undefined) this.#references.releaseTls(tls)
    this.#placements.delete(hostname)
    yield* this.settle()
  }

  *#placeLayer(layer: Layer, virtualHost: VirtualHost, divided: boolean): Generator<void> {
    const { packed, group } = layer
    if (packed?.virtualHost === virtualHost && packed.divided === divided) return
    const words = yield* this.#writer.write(virtualHost, this.#pathSeed, this.#references, divided)
    yield* this.root.prepare()
    const place = yield* this.blocks.store(virtualHost.hostname, group, words)
    // From here on without a yield: either all of it has happened or nothing.
    this.root.put(place)
    layer.packed = { virtualHost, divided, place }
    this.#debts.push({ rules: virtualHost.rules, by: 1, at: 0 })
    if (packed !== undefined) {
      this.blocks.release(packed.place)
      this.#debts.push({ rules: packed.virtualHost.rules, by: -1, at: 0 })
    }
    yield
    yield* this.settle()
  }

  #removeLayer(hostname: string, { set, group, packed }: Layer): void {
    if (packed !== undefined) {
      this.root.remove(hostname, group)
      this.blocks.release(packed.place)
      this.#debts.push({ rules: packed.virtualHost.rules, by: -1, at: 0 })
    }
    if (set !== undefined) this.frontends.releaseGroup(set)
  }

  /** Counts what packed rules refer to, in the order in which virtual hosts came and went. */
  *settle(): Generator<void> {
    let done = 0
    for (let debt = this.#debts[0]; debt !== undefined; debt = this.#debts[0]) {
      while (debt.at < debt.rules.length) {
        this.#references.use(debt.rules[debt.at++]!, debt.by)
        if (++done % BATCH === 0) yield
      }
      this.#debts.shift()
    }
  }
}
