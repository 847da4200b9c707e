import type { CacheRequests } from '../../src/admin/caches.ts'

const unexpected = (): never => {
  throw new Error('nobody asks for the cache here')
}

/** For an admin server that is asked for other things. */
export const NO_CACHES: CacheRequests = {
  statistics: unexpected,
  lookup: unexpected,
  purge: unexpected,
  warmUp: unexpected,
  warmUpState: unexpected,
}
