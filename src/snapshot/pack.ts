/**
 * Snapshot → packed tables, again and again: only what is not the same object (`===`) as last time is packed, and what
 * is packed keeps its place. One per control thread.
 */
import type { Random } from '../lib/clock.ts'
import { runSteps } from '../lib/steps.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { FrozenMap } from './frozen-map.ts'
import { type BlockRange, Blocks } from './pack-blocks.ts'
import { StableIndex } from './pack-index.ts'
import { hashStep } from './pack-layout.ts'
import { Root } from './pack-root.ts'
import { VirtualHostWriter } from './pack-virtual-host.ts'
import type { PackedTables } from './packed.ts'
import type { Backend, Snapshot, VirtualHost } from './snapshot.ts'

/** Fills a `TablesUpdate`: the tables of one generation and what changed among the things its records name by index. */
export interface PackResult {
  readonly tables: PackedTables
  readonly policies: readonly { readonly index: number; readonly policy: PolicySet | null }[]
  readonly backends: readonly { readonly index: number; readonly backend: Backend | null }[]
}

interface Placement {
  readonly segment: VirtualHost
  readonly place: BlockRange
}

/**
 * Rules of a segment whose references are still to be counted; progress is kept here, so that a pack may be given up
 * meanwhile.
 */
interface Debt {
  readonly segment: VirtualHost
  readonly by: 1 | -1
  at: number
}

/** Hosts, rules, policies or backends looked at between two yields. */
const BATCH = 256

export class Packer {
  readonly #pathSeed: number
  readonly #blocks = new Blocks()
  readonly #root: Root
  readonly #policies = new StableIndex<PolicySet>()
  readonly #backends = new StableIndex<Backend>()
  readonly #placements = new Map<string, Placement>()
  readonly #writer = new VirtualHostWriter()
  readonly #debts: Debt[] = []
  #tables: PackedTables | undefined
  /** By index, as those know it who have every result. */
  readonly #publishedPolicies: (PolicySet | null)[] = []
  readonly #publishedBackends: (Backend | null)[] = []
  /** What the placements were last brought in line with; undefined while a pack is under way or was given up. */
  #done: Snapshot | undefined
  #running: object | undefined

  /** @param random for hash seeds, so that nobody outside can choose names or paths that collide */
  constructor(random: Random) {
    const word = (): number => (random() * 0x1_0000_0000) | 0
    this.#pathSeed = word()
    this.#root = new Root(word(), hashStep(word(), word()))
  }

  /** Bytes of shared memory in blocks, roots not counted. */
  get bytes(): number {
    return this.#blocks.bytes
  }

  /** Packs in one go. Only for small tables and tools: see {@link packSteps}. */
  pack(snapshot: Snapshot): PackResult {
    return runSteps(this.packSteps(snapshot))
  }

  /**
   * Packs in steps far shorter than a millisecond, so that whoever drives it decides how long a turn is. It may be
   * given up between two steps for a newer snapshot, by `return()` or by starting over: nothing is lost or left half
   * done, and the next result holds the changes that the one given up did not deliver.
   *
   * Results must reach every worker in the order in which they were made. An index that is freed in one generation may
   * mean something else from the next on; a request that still holds an older generation is safe because workers keep
   * an array of policies and one of backends per generation (copied and changed, never changed in place).
   */
  *packSteps(snapshot: Snapshot): Generator<void, PackResult> {
    const run = {}
    this.#running = run
    const before = this.#done
    this.#done = undefined
    for (const _ of this.#steps(snapshot, before)) {
      yield
      if (this.#running !== run) throw new TypeError('a newer pack was started: this one is over')
    }
    const root = yield* this.#root.publish()
    if (this.#running !== run) throw new TypeError('a newer pack was started: this one is over')
    this.#tables = { root, blocks: this.#blocks.shared(), listeners: snapshot.listeners }
    this.#done = snapshot
    const policies = this.#policies.takeChanges().map(({ index, value }) => ({ index, policy: value }))
    const backends = this.#backends.takeChanges().map(({ index, value }) => ({ index, backend: value }))
    for (const { index, policy } of policies) this.#publishedPolicies[index] = policy
    for (const { index, backend } of backends) this.#publishedBackends[index] = backend
    return { tables: this.#tables, policies, backends }
  }

  /** The last result as one that needs nothing before it: for a fresh worker. Undefined before the first. */
  full(): PackResult | undefined {
    if (this.#tables === undefined) return undefined
    return {
      tables: this.#tables,
      policies: this.#publishedPolicies
        .map((policy, index) => ({ index, policy }))
        .filter(({ policy }) => policy !== null),
      backends: this.#publishedBackends
        .map((backend, index) => ({ index, backend }))
        .filter(({ backend }) => backend !== null),
    }
  }

  *#steps(snapshot: Snapshot, before: Snapshot | undefined): Generator<void> {
    // Names first, so that records can be written; then the segments; only then are names forgotten that nothing uses.
    yield* learn(this.#policies, snapshot.policies, before?.policies)
    yield* learn(this.#backends, snapshot.backends, before?.backends)
    yield* this.#segments(snapshot.segments, before?.segments)
    yield* this.#settle()
    yield* forget(this.#policies, snapshot.policies, before?.policies)
    yield* forget(this.#backends, snapshot.backends, before?.backends)
    yield* this.#blocks.clean((place) => this.#root.put(place))
  }

  *#segments(now: Snapshot['segments'], before: Snapshot['segments'] | undefined): Generator<void> {
    if (now === before) return
    let seen = 0
    if (now instanceof FrozenMap && before instanceof FrozenMap) {
      for (const { key, after } of before.changesTo(now) as Iterable<{ key: string; after: VirtualHost | undefined }>) {
        if (after !== undefined) yield* this.#place(key, after)
        else {
          this.#remove(key)
          yield* this.#settle()
        }
        if (++seen % BATCH === 0) yield
      }
      return
    }
    for (const [hostname, segment] of now) {
      yield* this.#place(hostname, segment)
      if (++seen % BATCH === 0) yield
    }
    if (this.#placements.size === now.size) return
    for (const hostname of this.#placements.keys()) {
      if (!now.has(hostname)) {
        this.#remove(hostname)
        yield* this.#settle()
      }
      if (++seen % BATCH === 0) yield
    }
  }

  *#place(hostname: string, segment: VirtualHost): Generator<void> {
    const old = this.#placements.get(hostname)
    if (old?.segment === segment) return
    const words = yield* this.#writer.write(segment, this.#pathSeed, {
      policy: (digest) => this.#policies.indexOf(digest),
      backend: (id) => this.#backends.indexOf(id),
    })
    yield* this.#root.prepare()
    const place = yield* this.#blocks.store(hostname, words)
    // From here on without a yield: either all of it has happened or nothing.
    this.#root.put(place)
    this.#placements.set(hostname, { segment, place })
    this.#debts.push({ segment, by: 1, at: 0 })
    if (old !== undefined) this.#release(old)
    yield
    yield* this.#settle()
  }

  #remove(hostname: string): void {
    const old = this.#placements.get(hostname)
    if (old === undefined) return
    this.#root.remove(hostname)
    this.#placements.delete(hostname)
    this.#release(old)
  }

  #release(old: Placement): void {
    this.#blocks.release(old.place)
    this.#debts.push({ segment: old.segment, by: -1, at: 0 })
  }

  /** Counts what packed rules refer to, in the order in which segments came and went. */
  *#settle(): Generator<void> {
    let done = 0
    for (let debt = this.#debts[0]; debt !== undefined; debt = this.#debts[0]) {
      for (const { rules } = debt.segment; debt.at < rules.length; ) {
        const rule = rules[debt.at++]!
        this.#policies.use(rule.policy, debt.by)
        for (const { backend } of rule.backends) if (backend !== undefined) this.#backends.use(backend, debt.by)
        if (++done % BATCH === 0) yield
      }
      this.#debts.shift()
    }
  }
}

function* learn<T>(
  index: StableIndex<T>,
  now: ReadonlyMap<string, T>,
  before: ReadonlyMap<string, T> | undefined,
): Generator<void> {
  if (now === before) return
  let seen = 0
  const entries =
    now instanceof FrozenMap && before instanceof FrozenMap ? added<T>(before.changesTo(now)) : now.entries()
  for (const [key, value] of entries) {
    index.set(key, value)
    if (++seen % BATCH === 0) yield
  }
}

function* forget<T>(
  index: StableIndex<T>,
  now: ReadonlyMap<string, T>,
  before: ReadonlyMap<string, T> | undefined,
): Generator<void> {
  if (now === before) return
  let seen = 0
  const known = now instanceof FrozenMap && before instanceof FrozenMap ? removed(before.changesTo(now)) : index.keys()
  for (const key of known) {
    if (!now.has(key)) index.unset(key)
    if (++seen % BATCH === 0) yield
  }
}

interface Change {
  readonly key: string
  readonly after: unknown
}

function* added<T>(changes: Iterable<Change>): Generator<[string, T]> {
  for (const { key, after } of changes) if (after !== undefined) yield [key, after as T]
}

function* removed(changes: Iterable<Change>): Generator<string> {
  for (const { key, after } of changes) if (after === undefined) yield key
}
