/**
 * Links a generation: packed tables become what runs. In steps, so that a worker that links serves between two of them.
 * What one policy set cannot do, or not yet, costs its own rules, never the generation that everybody waits for.
 */
import type { TimerClock } from '../lib/clock.ts'
import type { PatternCache } from '../pattern/pattern-cache.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import { RouteTables } from '../snapshot/route-tables.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { LinkedPolicy, type PolicyHost } from './linked-policy.ts'
import type { LinkedBackend, LinkedTables } from './linked-tables.ts'
import type { TablesUpdate } from './tables-update.ts'

/** The Backends of the worker, kept over every change of tables. */
export interface BackendDirectory {
  /** Makes or revises a Backend. @param slot its own row in the endpoint table, -1 when it has none */
  define(plan: BackendConfig, slot: number): LinkedBackend
  /** No table names it any more; requests that were matched before may still wait. */
  forget(backend: LinkedBackend): void
}

export interface LinkerHost {
  readonly filters: FilterServices
  readonly registry: FilterRegistry
  readonly timers: Pick<TimerClock, 'after' | 'nextTurn'>
  readonly backends: BackendDirectory
  /** Of the thread. */
  readonly patterns: PatternCache
  /** Puts the tables in force: one store. */
  commit(tables: LinkedTables): void
  /** What cannot be used, for the process log. */
  problem(message: string): void
}

export class Linker {
  readonly #host: LinkerHost
  readonly #policyHost: PolicyHost
  #current: LinkedTables | null = null

  constructor(host: LinkerHost) {
    this.#host = host
    const { filters, registry, timers } = host
    const notWarm = (error: unknown): void => this.#unusable(error, '; the warm-up is tried again')
    this.#policyHost = { filters, registry, timers, notWarm }
  }

  /** Commits before any warm-up has ended; a generation that cannot be linked throws and changes nothing. */
  *link(update: TablesUpdate): Generator<void, void> {
    const before = this.#current
    const fresh: LinkedPolicy[] = []
    let linked: LinkedTables
    try {
      const policies = yield* this.#linkPolicies(update, fresh)
      const hostTls: (HostTls | null)[] = update.full ? [] : (before?.tables.hostTls.slice() ?? [])
      for (const { index, tls } of update.hostTls) hostTls[index] = tls
      fillHoles(hostTls)
      const tables = new RouteTables(update.tables, before?.tables, this.#host.patterns, hostTls)
      for (const _ of tables.prepare()) yield
      // In one turn with the commit, after all that may fail: no request finds some of the Backends changed.
      const backends = this.#defineBackends(update)
      const sessions = policies.some((policy) => policy?.chain?.sessions === true)
      const unsafeListeners = policies.some((policy) => policy !== null && policy.unsafeListener !== null)
      const matched = { generation: update.generation, backends, sessions }
      linked = { ...matched, matched, tables, policies, unsafeListeners }
    } catch (error) {
      for (const policy of fresh) policy.retire()
      throw error
    }
    this.#current = linked
    this.#host.commit(linked)
    if (before !== null) this.#drop(before, linked)
    // Behind the commit, since a warm-up may call a Backend of this generation.
    for (const { pending } of fresh) {
      if (pending === null) continue
      pending.start()
      yield
    }
    for (const _ of linked.tables.forgetPatterns()) yield
  }

  /** The same array where none has changed: requests that wait keep it. */
  #defineBackends({ full, backends: changes }: TablesUpdate): readonly (LinkedBackend | null)[] {
    const before = this.#current?.backends ?? []
    if (!full && changes.length === 0) return before
    const backends: (LinkedBackend | null)[] = full ? [] : before.slice()
    for (const { index, backend, slot } of changes)
      backends[index] = backend === null ? null : this.#host.backends.define(backend, slot ?? -1)
    fillHoles(backends)
    return backends
  }

  /** A policy set that was linked before keeps its chain, and stays as warm as it is. */
  *#linkPolicies(update: TablesUpdate, fresh: LinkedPolicy[]): Generator<void, (LinkedPolicy | null)[]> {
    const before = this.#current?.policies ?? []
    const policies: (LinkedPolicy | null)[] = update.full ? [] : before.slice()
    const known = new Map<string, LinkedPolicy>()
    if (update.policies.length > 0)
      for (const linked of before) if (linked !== null) known.set(linked.policy.digest, linked)
    for (const { index, policy } of update.policies) {
      const kept = policy === null ? null : (known.get(policy.digest) ?? null)
      const linked = policy === null || kept !== null ? kept : this.#tryPolicy(policy)
      policies[index] = linked
      if (linked !== null && kept === null) fresh.push(linked)
      yield
    }
    fillHoles(policies)
    return policies
  }

  #tryPolicy(policy: PolicySet): LinkedPolicy | null {
    try {
      return new LinkedPolicy(policy, this.#policyHost)
    } catch (error) {
      this.#unusable(error)
      return null
    }
  }

  #unusable(error: unknown, more = ''): void {
    const text = error instanceof Error ? error.message : String(error)
    this.#host.problem(`the rules with one set of policies answer 500: ${text}${more}`)
  }

  /** What only the generation before has used. */
  #drop(before: LinkedTables, linked: LinkedTables): void {
    if (linked.backends !== before.backends) {
      const backends = new Set(linked.backends)
      for (const backend of before.backends)
        if (backend !== null && !backends.has(backend)) this.#host.backends.forget(backend)
    }
    const policies = new Set(linked.policies)
    for (const policy of before.policies) if (policy !== null && !policies.has(policy)) policy.retire()
  }
}

/** A full update names what there is: where something went before, an index has nothing. */
function fillHoles<T>(all: (T | null)[]): void {
  for (let i = 0; i < all.length; i++) all[i] ??= null
}
