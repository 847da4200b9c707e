/** The timeouts of an exchange. */
import type { FilterDefinition } from '../registry.ts'

/**
 * Says in `explain` which timeouts hold. It has no hook: an exchange begins with those of its policy set (`limitsOf`).
 */
export const timeouts: FilterDefinition = {
  name: 'timeouts',
  phase: 'begin',
  create(policy) {
    const parts = Object.entries(policy.timeouts)
      .filter(([, value]) => value > 0)
      .map(([name, value]) => `${name} ${value} ms`)
    const effect = parts.length === 0 ? 'sets no timeout' : `sets the timeouts ${parts.join(', ')}`
    return { name: 'timeouts', explain: () => ({ filter: 'timeouts', effect }) }
  },
}
