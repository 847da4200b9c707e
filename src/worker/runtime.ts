/**
 * Puts tables in force. What control sends is taken in order; linking a generation is done in slices, so that requests
 * wait for no more than one of them; the commit is one store. A generation that cannot be linked is refused whole and
 * the one before it serves on.
 */

import type { Clock } from '../lib/clock.ts'
import type { PatternCache } from '../pattern/pattern-cache.ts'
import { composeChain } from '../policy/chain.ts'
import type { ContentStore } from '../policy/contents.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import { RouteTables } from '../snapshot/route-tables.ts'
import type { FromWorker, TablesUpdate, ToWorker, WorkerSettings } from '../thread/messages.ts'
import type { Backends } from './backends.ts'
import type { LinkedBackend, LinkedPolicy, LinkedTables } from './linked.ts'

/** Milliseconds of linking in one turn of the loop (house rule 6). */
const SLICE = 2

export interface RuntimeHost {
  readonly clock: Clock
  readonly filters: FilterServices
  readonly registry: FilterRegistry
  readonly backends: Backends
  readonly contents: ContentStore
  /** Of the thread. */
  readonly patterns: PatternCache
  commit(tables: LinkedTables): void
  settings(settings: WorkerSettings): void
  epoch(epoch: number): void
  tell(message: FromWorker): void
}

export class Runtime {
  readonly #host: RuntimeHost
  #current: LinkedTables | null = null
  readonly #queue: ToWorker[] = []
  #linking: Generator<void, void> | null = null

  constructor(host: RuntimeHost) {
    this.#host = host
  }

  /** Takes one message of control. */
  accept(message: ToWorker): void {
    // Endpoints, contents and settings act at once; only what must come after tables waits for them.
    if (message.type === 'endpoints') this.#host.backends.endpoints(message.backend, message.endpoints)
    else if (message.type === 'backends') this.#host.backends.retain(message.ids)
    else if (message.type === 'contents') this.#host.contents.apply(message.contents)
    else if (message.type === 'content-ids') this.#host.contents.retain(message.ids)
    else if (message.type === 'settings') this.#host.settings(message.settings)
    else if (message.type === 'echo') this.#host.tell(message)
    else {
      this.#queue.push(message)
      this.#work()
    }
  }

  /** A new control thread: what the old one had begun to send will not be completed. */
  forgetQueue(): void {
    this.#queue.length = 0
  }

  #work(): void {
    const { clock } = this.#host
    const until = clock.monotonic() + SLICE
    for (;;) {
      if (this.#linking === null) {
        const message = this.#queue.shift()
        if (message === undefined) return
        if (message.type === 'epoch') {
          this.#host.epoch(message.epoch)
          continue
        }
        this.#linking = this.#link(message as TablesUpdate)
      }
      try {
        if (this.#linking.next().done === true) this.#linking = null
      } catch (error) {
        this.#linking = null
        const text = error instanceof Error ? error.message : String(error)
        this.#host.tell({ type: 'problem', message: `a generation of tables cannot be used: ${text}` })
      }
      if (this.#linking !== null && clock.monotonic() >= until) {
        setImmediate(() => this.#work())
        return
      }
    }
  }

  *#link(update: TablesUpdate): Generator<void, void> {
    const before = this.#current
    const policies: (LinkedPolicy | null)[] = update.full ? [] : (before?.policies.slice() ?? [])
    const backends: (LinkedBackend | null)[] = update.full ? [] : (before?.backends.slice() ?? [])
    const known = new Map<string, LinkedPolicy>()
    if (update.full)
      for (const linked of before?.policies ?? []) if (linked !== null) known.set(linked.policy.digest, linked)
    for (const { index, policy } of update.policies) {
      policies[index] = policy === null ? null : (known.get(policy.digest) ?? this.#tryPolicy(policy))
      yield
    }
    for (const { index, backend, slot } of update.backends)
      backends[index] = backend === null ? null : this.#host.backends.define(backend, slot ?? -1)
    const tables = new RouteTables(update.tables, before?.tables, this.#host.patterns)
    yield* tables.prepare()
    const linked: LinkedTables = { generation: update.generation, tables, policies, backends }
    this.#current = linked
    this.#host.commit(linked)
    if (before !== null) {
      const kept = new Set(backends)
      for (const backend of before.backends)
        if (backend !== null && !kept.has(backend)) this.#host.backends.forget(backend)
    }
    this.#host.tell({ type: 'applied', generation: update.generation })
    yield* tables.forgetPatterns()
  }

  /**
   * What passed the door and cannot be used all the same costs its own rules (500), never the generation that everybody
   * waits for.
   */
  #tryPolicy(policy: PolicySet): LinkedPolicy | null {
    try {
      return this.#linkPolicy(policy)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#host.tell({ type: 'problem', message: `the rules with one set of policies answer 500: ${text}` })
      return null
    }
  }

  #linkPolicy(policy: PolicySet): LinkedPolicy {
    const { request, backendRequest, responseHead, idle } = policy.timeouts
    const { maxRequestBytes } = policy.limits
    return {
      policy,
      chain: composeChain(policy, this.#host.filters, this.#host.registry),
      limits: Object.freeze({ request, backendRequest, responseHead, idle, maxRequestBytes }),
    }
  }
}
