/**
 * Puts the virtual hosts of each hostname into blocks, and their places into the root. What is the same object (`===`)
 * as last time keeps its place.
 */
import type { FrontendPartition, FrontendSet } from './frontend.ts'
import { type BlockRange, Blocks } from './pack-blocks.ts'
import { PackedFrontends } from './pack-frontends.ts'
import { EXCLUSIVE } from './pack-layout.ts'
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
  /** As it stands packed; undefined while that is under way or was given up. */
  host: Host | undefined
  partition: FrontendPartition | undefined
  /** By the key of the set of frontends; what all have in common by ''. */
  readonly layers: Map<string, Layer>
}

/**
 * Rules whose references are still to be counted; progress is kept here, so that a pack may be given up meanwhile.
 */
interface Debt {
  readonly rules: readonly Rule[]
  readonly by: 1 | -1
  at: number
}

/** Rules looked at between two yields. */
const BATCH = 256

export interface PackedReferences extends Indexes {
  /** A packed rule came (1) or went (-1). */
  use(rule: Rule, by: 1 | -1): void
}

export class PackedHosts {
  readonly root: Root
  readonly blocks = new Blocks()
  readonly frontends = new PackedFrontends()
  readonly #pathSeed: number
  readonly #references: PackedReferences
  readonly #placements = new Map<string, Placement>()
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

  hostnames(): IterableIterator<string> {
    return this.#placements.keys()
  }

  *place(hostname: string, host: Host): Generator<void> {
    let placement = this.#placements.get(hostname)
    if (placement?.host === host) return
    if (placement === undefined)
      this.#placements.set(hostname, (placement = { host: undefined, partition: undefined, layers: new Map() }))
    placement.host = undefined
    const { partition, own } = host
    const divided = partition.groups.length > 0
    const common = host.common ?? { hostname, rules: [], matches: [] }
    yield* this.#placeLayer(hostname, placement, undefined, common, divided)
    for (const [i, group] of partition.groups.entries())
      yield* this.#placeLayer(hostname, placement, group, own[i]!, divided)
    // From here on without a yield.
    const former = placement.partition
    placement.partition = partition
    this.root.divide(hostname, this.frontends.retain(partition) | (host.common === undefined ? EXCLUSIVE : 0))
    if (former !== undefined) this.frontends.release(former)
    const kept = new Set(partition.groups.map(({ key }) => key))
    for (const [key, layer] of placement.layers)
      if (key !== '' && !kept.has(key)) this.#removeLayer(hostname, placement, key, layer)
    placement.host = host
    yield
    yield* this.settle()
  }

  *remove(hostname: string): Generator<void> {
    const placement = this.#placements.get(hostname)
    if (placement === undefined) return
    for (const [key, layer] of placement.layers) this.#removeLayer(hostname, placement, key, layer)
    if (placement.partition !== undefined) this.frontends.release(placement.partition)
    this.#placements.delete(hostname)
    yield* this.settle()
  }

  *#placeLayer(
    hostname: string,
    { layers }: Placement,
    set: FrontendSet | undefined,
    virtualHost: VirtualHost,
    divided: boolean,
  ): Generator<void> {
    const key = set?.key ?? ''
    let layer = layers.get(key)
    if (layer === undefined)
      layers.set(
        key,
        (layer = { set, group: set === undefined ? 0 : this.frontends.retainGroup(set), packed: undefined }),
      )
    const { packed, group } = layer
    if (packed?.virtualHost === virtualHost && packed.divided === divided) return
    const words = yield* this.#writer.write(virtualHost, this.#pathSeed, this.#references, divided)
    yield* this.root.prepare()
    const place = yield* this.blocks.store(hostname, group, words)
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

  #removeLayer(hostname: string, { layers }: Placement, key: string, { set, group, packed }: Layer): void {
    layers.delete(key)
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
