/** A policy set with the chain that is composed for it. */
import type { TimerClock } from '../lib/clock.ts'
import { type Chain, composeChain, disposeChain } from '../policy/chain.ts'
import type { ExchangeLimits } from '../policy/exchange.ts'
import type { Filter } from '../policy/filter.ts'
import { limitsOf } from '../policy/limits/filter.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import { type ValueReader, valueReader } from '../policy/variables.ts'
import { WarmUp } from './warm-up.ts'

export interface PolicyHost {
  readonly filters: FilterServices
  readonly registry: FilterRegistry
  readonly timers: Pick<TimerClock, 'after' | 'nextTurn'>
  /** The first try at a warm-up has failed. */
  notWarm(error: unknown): void
}

/** What users of a rule are told by, so that each stays in one part of its split. */
export interface SplitAffinity {
  /** The first that a request has. */
  readonly keys: readonly ValueReader[]
  /** Name of a cookie for users who have none of these; null: they take turns. */
  readonly cookie: string | null
  readonly readCookie: ValueReader | null
}

export class LinkedPolicy {
  readonly policy: PolicySet
  /** Null when no filter has anything to do. */
  readonly chain: Chain | null
  /** Shared by all its exchanges; one that lowers a limit makes its own copy. */
  readonly limits: Readonly<ExchangeLimits>
  readonly split: SplitAffinity | null
  /** What hears of unsafe requests that other rules take; null: nothing does. */
  readonly unsafeListener: Filter | null
  /** Its retry policy names statuses. */
  readonly retriesResponses: boolean
  /** What an exchange waits for before its filters run; null once they are warm, or when none warms up. */
  pending: WarmUp | null = null
  /** Also when it is over: its signal fires when the chain is disposed of. */
  readonly #warmUp: WarmUp | null = null
  #users = 0
  #retired = false

  /** @throws {TypeError} when the policy set holds what validation should have refused */
  constructor(policy: PolicySet, { filters, registry, timers, notWarm }: PolicyHost) {
    this.policy = policy
    this.chain = composeChain(policy, filters, registry)
    this.limits = limitsOf(policy)
    this.split = splitAffinityOf(policy)
    this.unsafeListener = this.chain?.filters.find(({ onUnsafeResponse }) => onUnsafeResponse !== undefined) ?? null
    const { codes, grpcCodes } = policy.retry
    this.retriesResponses = codes.length > 0 || grpcCodes.length > 0
    if (this.chain === null || this.chain.warmUp === null) return
    const warm = (): void => void (this.pending = null)
    this.#warmUp = new WarmUp(this.chain, { timers, random: filters.random, failed: notWarm, warm })
    this.pending = this.#warmUp
  }

  /** An exchange uses it from here; once for each {@link leave}. */
  enter(): void {
    this.#users++
  }

  leave(): void {
    this.#users--
    if (this.#retired) this.#disposeUnused()
  }

  /** No tables name it any more: its filters are disposed of behind the last exchange that uses them. Once. */
  retire(): void {
    this.#retired = true
    this.#disposeUnused()
  }

  #disposeUnused(): void {
    if (this.#users !== 0 || this.chain === null) return
    this.#warmUp?.dispose()
    disposeChain(this.chain)
  }
}

function splitAffinityOf({ splitAffinity }: PolicySet): SplitAffinity | null {
  if (splitAffinity === undefined) return null
  const { by, cookie = null } = splitAffinity
  const readCookie = cookie === null ? null : valueReader(`cookie:${cookie}`)
  return { keys: by.map(valueReader), cookie, readCookie }
}
