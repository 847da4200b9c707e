/**
 * Snapshot → packed tables, again and again: only what is not the same object (`===`) as last time is packed, and what
 * is packed keeps its place. One per control thread.
 */
import type { Random } from '../lib/clock.ts'
import { runSteps } from '../lib/steps.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { FrozenMap } from './frozen-map.ts'
import type { HostTls } from './host-tls.ts'
import { PackedHosts } from './pack-hosts.ts'
import { StableIndex } from './pack-index.ts'
import { hashStep } from './pack-layout.ts'
import { Root } from './pack-root.ts'
import type { PackedTables } from './packed.ts'
import type { BackendConfig, Host, Rule, Snapshot } from './snapshot.ts'

/** Fills a `TablesUpdate`: the tables of one generation and what changed among the things its records name by index. */
export interface PackResult {
  readonly tables: PackedTables
  readonly policies: readonly { readonly index: number; readonly policy: PolicySet | null }[]
  readonly backends: readonly { readonly index: number; readonly backend: BackendConfig | null }[]
  readonly hostTls: readonly { readonly index: number; readonly tls: HostTls | null }[]
}

/** Hosts, policies or backends processed between two yields. */
const BATCH = 256

export class Packer {
  readonly #hosts: PackedHosts
  readonly #policies = new StableIndex<PolicySet>()
  readonly #backends = new StableIndex<BackendConfig>()
  /** Each distinct one of the packed hostnames, by its key. */
  readonly #hostTls = new StableIndex<HostTls>()
  #tables: PackedTables | undefined
  /** By index, as those know it who have every result. */
  readonly #publishedPolicies: (PolicySet | null)[] = []
  readonly #publishedBackends: (BackendConfig | null)[] = []
  readonly #publishedTls: (HostTls | null)[] = []
  /** The snapshot last packed; undefined during packing and after an abandoned pack. */
  #done: Snapshot | undefined
  #running: object | undefined

  /** @param random for hash seeds, so that names and paths cannot be chosen to collide */
  constructor(random: Random) {
    const word = (): number => (random() * 0x1_0000_0000) | 0
    const pathSeed = word()
    this.#hosts = new PackedHosts(new Root(word(), hashStep(word(), word())), pathSeed, {
      policy: (digest) => this.#policies.indexOf(digest),
      backend: (id) => this.#backends.indexOf(id),
      use: (rule, by) => this.#use(rule, by),
      retainTls: (tls) => this.#hostTls.retain(tls.key, tls),
      releaseTls: ({ key }) => this.#hostTls.release(key),
    })
  }

  /** Bytes of shared memory in blocks, roots not counted. */
  get bytes(): number {
    return this.#hosts.blocks.bytes
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
    const { root, blocks, frontends } = this.#hosts
    const directory = yield* frontends.publish(snapshot.frontends)
    const shared = yield* root.publish()
    if (this.#running !== run) throw new TypeError('a newer pack was started: this one is over')
    this.#tables = { root: shared, blocks: blocks.shared(), frontends: directory }
    this.#done = snapshot
    const policies = this.#policies.takeChanges().map(({ index, value }) => ({ index, policy: value }))
    const backends = this.#backends.takeChanges().map(({ index, value }) => ({ index, backend: value }))
    const hostTls = this.#hostTls.takeChanges().map(({ index, value }) => ({ index, tls: value }))
    for (const { index, policy } of policies) this.#publishedPolicies[index] = policy
    for (const { index, backend } of backends) this.#publishedBackends[index] = backend
    for (const { index, tls } of hostTls) this.#publishedTls[index] = tls
    return { tables: this.#tables, policies, backends, hostTls }
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
      hostTls: this.#publishedTls.map((tls, index) => ({ index, tls })).filter(({ tls }) => tls !== null),
    }
  }

  *#steps(snapshot: Snapshot, before: Snapshot | undefined): Generator<void> {
    // Names first, so that records can be written; then the hosts; only then are names forgotten that nothing uses.
    yield* learn(this.#policies, snapshot.policies, before?.policies)
    yield* learn(this.#backends, snapshot.backends, before?.backends)
    yield* this.#placeHosts(snapshot.hosts, before?.hosts)
    yield* this.#hosts.settle()
    yield* forget(this.#policies, snapshot.policies, before?.policies)
    yield* forget(this.#backends, snapshot.backends, before?.backends)
    yield* this.#hosts.blocks.clean((place) => this.#hosts.root.put(place))
  }

  *#placeHosts(now: Snapshot['hosts'], before: Snapshot['hosts'] | undefined): Generator<void> {
    if (now === before) return
    const hosts = this.#hosts
    let seen = 0
    if (now instanceof FrozenMap && before instanceof FrozenMap) {
      for (const { key, after } of before.changesTo(now) as Iterable<{ key: string; after: Host | undefined }>) {
        yield* after === undefined ? hosts.remove(key) : hosts.place(key, after)
        if (++seen % BATCH === 0) yield
      }
      return
    }
    for (const [hostname, host] of now) {
      yield* hosts.place(hostname, host)
      if (++seen % BATCH === 0) yield
    }
    if (hosts.size === now.size) return
    for (const hostname of hosts.hostnames()) {
      if (!now.has(hostname)) yield* hosts.remove(hostname)
      if (++seen % BATCH === 0) yield
    }
  }

  #use(rule: Rule, by: 1 | -1): void {
    this.#policies.use(rule.policy, by)
    for (const { backend } of rule.backends) if (backend !== undefined) this.#backends.use(backend, by)
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

interface PackChange {
  readonly key: string
  readonly after: unknown
}

function* added<T>(changes: Iterable<PackChange>): Generator<[string, T]> {
  for (const { key, after } of changes) if (after !== undefined) yield [key, after as T]
}

function* removed(changes: Iterable<PackChange>): Generator<string> {
  for (const { key, after } of changes) if (after === undefined) yield key
}
