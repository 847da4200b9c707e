/**
 * Links a generation: packed tables become what runs. In steps, so that a worker that links serves between two of them.
 * What one policy set cannot do costs its own rules, never the generation that everybody waits for.
 */
import type { TimerClock } from '../lib/clock.ts'
import type { PatternCache } from '../pattern/pattern-cache.ts'
import { warmUpChain } from '../policy/chain.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import { RouteTables } from '../snapshot/route-tables.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { LinkedPolicy } from './linked-policy.ts'
import type { LinkedBackend, LinkedTables } from './linked-tables.ts'
import type { TablesUpdate } from './tables-update.ts'

/** Milliseconds that the filters of one generation may take to warm up, all together. */
export const WARM_UP: number = 2_000

/** The Backends of the worker, kept over every change of tables. */
export interface BackendDirectory {
  /** Makes or revises a Backend. @param slot its own row in the endpoint table, -1 when it has none */
  define(plan: BackendConfig, slot: number): LinkedBackend
  /** No table names it any more. */
  forget(backend: LinkedBackend): void
}

export interface LinkerHost {
  readonly filters: FilterServices
  readonly registry: FilterRegistry
  readonly timers: Pick<TimerClock, 'after'>
  readonly backends: BackendDirectory
  /** Of the thread. */
  readonly patterns: PatternCache
  /** Puts the tables in force: one store. */
  commit(tables: LinkedTables): void
  /** What cannot be used, for the process log. */
  problem(message: string): void
}

/** A step of linking: continues at once, or when the promise is settled. */
export type LinkStep = Promise<void> | undefined

export class Linker {
  readonly #host: LinkerHost
  #current: LinkedTables | null = null

  constructor(host: LinkerHost) {
    this.#host = host
  }

  /** Ends with the commit; a generation that cannot be linked throws and changes nothing. */
  *link(update: TablesUpdate): Generator<LinkStep, void> {
    const before = this.#current
    const fresh: LinkedPolicy[] = []
    let linked: LinkedTables
    try {
      const policies = yield* this.#linkPolicies(update, fresh)
      const backends: (LinkedBackend | null)[] = update.full ? [] : (before?.backends.slice() ?? [])
      for (const { index, backend, slot } of update.backends)
        backends[index] = backend === null ? null : this.#host.backends.define(backend, slot ?? -1)
      const tables = new RouteTables(update.tables, before?.tables, this.#host.patterns)
      for (const _ of tables.prepare()) yield
      linked = { generation: update.generation, tables, policies, backends }
    } catch (error) {
      for (const policy of fresh) policy.retire()
      throw error
    }
    this.#current = linked
    this.#host.commit(linked)
    if (before !== null) this.#drop(before, linked)
    for (const _ of linked.tables.forgetPatterns()) yield
  }

  *#linkPolicies(update: TablesUpdate, fresh: LinkedPolicy[]): Generator<LinkStep, (LinkedPolicy | null)[]> {
    const before = this.#current
    const policies: (LinkedPolicy | null)[] = update.full ? [] : (before?.policies.slice() ?? [])
    const known = new Map<string, LinkedPolicy>()
    if (update.full)
      for (const linked of before?.policies ?? []) if (linked !== null) known.set(linked.policy.digest, linked)
    const warming: Promise<void>[] = []
    const bound = new AbortController()
    for (const { index, policy } of update.policies) {
      const kept = policy === null ? null : (known.get(policy.digest) ?? null)
      const linked = policy === null || kept !== null ? kept : this.#tryPolicy(policy)
      policies[index] = linked
      if (linked !== null && kept === null) {
        fresh.push(linked)
        const ready = this.#warmUp(linked, bound.signal, () => {
          policies[index] = null
          fresh.splice(fresh.indexOf(linked), 1)
          linked.retire()
        })
        if (ready !== null) warming.push(ready)
      }
      yield
    }
    if (warming.length > 0) {
      const cancel = this.#host.timers.after(WARM_UP, () => bound.abort())
      yield Promise.all(warming).then(cancel)
    }
    return policies
  }

  #tryPolicy(policy: PolicySet): LinkedPolicy | null {
    try {
      return new LinkedPolicy(policy, this.#host.filters, this.#host.registry)
    } catch (error) {
      this.#unusable(error)
      return null
    }
  }

  /** @returns null where no filter warms up; else never rejects, and is settled when the bound has passed */
  #warmUp({ chain }: LinkedPolicy, signal: AbortSignal, failed: () => void): Promise<void> | null {
    const ready = chain === null ? null : warmUpChain(chain, signal)
    if (ready === null) return null
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error(`a filter was not ready within ${WARM_UP} ms`)))
    })
    return Promise.race([ready, late]).catch((error: unknown) => {
      failed()
      this.#unusable(error)
    })
  }

  #unusable(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.#host.problem(`the rules with one set of policies answer 500: ${text}`)
  }

  /** What only the generation before has used. */
  #drop(before: LinkedTables, linked: LinkedTables): void {
    const backends = new Set(linked.backends)
    for (const backend of before.backends)
      if (backend !== null && !backends.has(backend)) this.#host.backends.forget(backend)
    const policies = new Set(linked.policies)
    for (const policy of before.policies) if (policy !== null && !policies.has(policy)) policy.retire()
  }
}
