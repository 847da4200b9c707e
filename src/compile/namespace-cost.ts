/**
 * Sums the cost of the Routes per namespace and determines those beyond `limits.namespaceCost` of the settings. Older
 * Routes come first, so the result is equal on every replica and after every restart.
 */
import type { SettingsObject } from '../api/settings.ts'
import { type Age, compareAge } from './resource-set.ts'
import type { WorkBudget } from './work-budget.ts'

interface RouteCost extends Age {
  readonly units: number
}

interface NamespaceTotal {
  readonly routes: Map<string, RouteCost>
  units: number
  /** Keys of those beyond the limit. */
  beyond: ReadonlySet<string>
}

export class NamespaceCosts {
  readonly #namespaces = new Map<string, NamespaceTotal>()
  readonly #changed = new Set<string>()
  #limit = Number.POSITIVE_INFINITY

  /** @param units undefined: the Route was deleted or belongs to another class */
  set(key: string, created: number | undefined, units: number | undefined): void {
    const name = namespaceOf(key)
    const namespace = this.#namespaces.get(name) ?? { routes: new Map(), units: 0, beyond: NONE }
    this.#namespaces.set(name, namespace)
    const before = namespace.routes.get(key)
    if (before?.units === units && before?.created === created) return
    namespace.units += (units ?? 0) - (before?.units ?? 0)
    if (units === undefined) namespace.routes.delete(key)
    else namespace.routes.set(key, { key, created, units })
    if (namespace.routes.size === 0) this.#namespaces.delete(name)
    // Most are far below the limit, before and after.
    if (namespace.units > this.#limit || namespace.beyond.size > 0) this.#changed.add(name)
  }

  /**
   * Applies the limit to the namespaces that have changed.
   *
   * @returns keys of Routes whose result has changed
   */
  *applyLimit({ limits }: SettingsObject, budget: WorkBudget): Generator<void, readonly string[]> {
    if (limits.namespaceCost !== this.#limit) {
      this.#limit = limits.namespaceCost
      for (const name of this.#namespaces.keys()) this.#changed.add(name)
    }
    const changed: string[] = []
    for (const name of this.#changed) {
      const namespace = this.#namespaces.get(name)
      if (namespace !== undefined) {
        const beyond = namespace.units <= this.#limit ? NONE : beyondOf([...namespace.routes.values()], this.#limit)
        for (const key of beyond.symmetricDifference(namespace.beyond)) changed.push(key)
        namespace.beyond = beyond
        if (budget.spend(1 + (beyond === NONE ? 0 : namespace.routes.size / 2))) yield
      }
      this.#changed.delete(name)
    }
    return changed
  }

  /** What the namespace of a Route costs, when the Route is beyond the limit; else undefined. */
  beyond(key: string): number | undefined {
    const namespace = this.#namespaces.get(namespaceOf(key))
    return namespace?.beyond.has(key) === true ? namespace.units : undefined
  }
}

const NONE: ReadonlySet<string> = new Set()

/**
 * Keys beyond the limit: the first Route that does not fit and all younger ones, so that a small Route never precedes
 * an older large one.
 */
function beyondOf(routes: RouteCost[], limit: number): ReadonlySet<string> {
  routes.sort(compareAge)
  const beyond = new Set<string>()
  let units = 0
  for (const route of routes) {
    units += route.units
    if (units > limit) beyond.add(route.key)
  }
  return beyond
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}
