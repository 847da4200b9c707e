import type { CacheRequests } from '../../src/admin/caches.ts'
import type { Explanations } from '../../src/admin/explanations.ts'

const unexpected = (): never => {
  throw new Error('nobody asks for this here')
}

/** For an admin server that is asked for other things. */
export const NO_CACHES: CacheRequests = {
  statistics: unexpected,
  lookup: unexpected,
  purge: unexpected,
  warmUp: unexpected,
  warmUpState: unexpected,
}

export const NO_EXPLANATIONS: Explanations = { explain: unexpected }
