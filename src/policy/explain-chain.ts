/** What a chain of filters would do with a request, for people. */
import { GatewayError } from '../lib/error.ts'
import { REASONS } from '../lib/reason.ts'
import { BUILT_IN, createFilters, dispose } from './chain.ts'
import { type DryRun, dryRunOf } from './dry-run.ts'
import type { DryExchange } from './exchange.ts'
import type { Explanation, Filter } from './filter.ts'
import type { PolicySet } from './policy-set.ts'
import type { FilterRegistry } from './registry.ts'
import type { FilterServices } from './services.ts'

/**
 * What filters would do with a request, in its order, without any effect; those behind one that would answer are not
 * asked. A credential is taken for accepted.
 */
export function explainFilters(filters: readonly Filter[], given: DryExchange): Explanation[] {
  const x = dryRunOf(given)
  const explanations: Explanation[] = []
  for (const filter of filters) {
    const explanation = explained(filter, x)
    if (explanation !== undefined) explanations.push(explanation)
    if (explanation?.status !== undefined) break
  }
  return explanations
}

/** A filter that fails costs its own line; one of a plugin may have none. */
function explained(filter: Filter, x: DryRun): Explanation | undefined {
  const { name } = filter
  try {
    const explanation = filter.explain === undefined ? { filter: name, effect: 'does not say' } : filter.explain(x)
    if (explanation?.status === undefined) filter.rehearse?.(x)
    return explanation
  } catch (error) {
    if (error instanceof GatewayError)
      return { filter: name, effect: `refuses: ${REASONS[error.reason].title}`, status: error.status }
    return { filter: name, effect: 'cannot say: its explanation has failed' }
  }
}

/** What the filters of a policy set without a chain would do: see {@link explainFilters}. */
export function explainChain(
  policy: PolicySet,
  services: FilterServices,
  x: DryExchange,
  registry: FilterRegistry = BUILT_IN,
): Explanation[] {
  const filters = createFilters(policy, services, registry)
  const explanations = explainFilters(filters, x)
  dispose(filters, (name, error) => services.report(name, error))
  return explanations
}
