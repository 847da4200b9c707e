/** A policy set with the chain that is composed for it. */
import { type Chain, composeChain, disposeChain } from '../policy/chain.ts'
import type { ExchangeLimits } from '../policy/exchange.ts'
import { limitsOf } from '../policy/limits/filter.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'

export class LinkedPolicy {
  readonly policy: PolicySet
  /** Null when no filter has anything to do. */
  readonly chain: Chain | null
  /** Shared by all its exchanges; one that lowers a limit makes its own copy. */
  readonly limits: Readonly<ExchangeLimits>
  #users = 0
  #retired = false

  /** @throws {TypeError} when the policy set holds what validation should have refused */
  constructor(policy: PolicySet, services: FilterServices, registry: FilterRegistry) {
    this.policy = policy
    this.chain = composeChain(policy, services, registry)
    this.limits = limitsOf(policy)
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
    if (this.#users === 0 && this.chain !== null) disposeChain(this.chain)
  }
}
