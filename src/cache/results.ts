/** What became of the requests of a rule with a cache: labels of a metric and words of the access log, closed lists. */

/** How a request was answered, and why so. */
export const CACHE_RESULTS = [
  /** From what is stored, without asking the origin. */
  'hit Memory',
  'hit Archive',
  /** From what another request was fetching. */
  'hit Collapsed',
  'stale StaleWhileRevalidate',
  'stale MaxStale',
  'stale StaleIfError',
  /** The origin says that what is stored is current. */
  'revalidated Expired',
  'revalidated NoCache',
  'revalidated RequestNoCache',
  'revalidated RequestMaxAge',
  'revalidated RequestMinFresh',
  'revalidated MarkedStale',
  'revalidated ClockSetBack',
  /** By the origin: nothing is stored for the key, */
  'miss NotStored',
  /** for other values of the fields in Vary, */
  'miss Variant',
  /** or not all of the range that is asked for, */
  'miss Partial',
  /** or what was had to be asked for. */
  'miss Expired',
  'miss NoCache',
  'miss RequestNoCache',
  'miss RequestMaxAge',
  'miss RequestMinFresh',
  'miss MarkedStale',
  'miss ClockSetBack',
  'miss Purged',
  /** Responses for the key were such that they cannot be stored. */
  'miss Uncacheable',
  /** Another request was fetching it for too long, or its response was not for this one. */
  'miss CollapseTimeout',
  'miss NotShared',
  /** The origin alone can say, or the client wants it so. */
  'bypass Method',
  'bypass Condition',
  'bypass RequestNoStore',
  'bypass RequestContent',
  'bypass Query',
  'bypass Upgrade',
  'bypass Precondition',
  'bypass Range',
  'bypass KeyTooLong',
  /** `only-if-cached` (RFC 9111 §5.2.1.7). */
  'refused OnlyIfCached',
] as const

export type CacheResult = (typeof CACHE_RESULTS)[number]

/** Row of each in the metrics. */
export const CACHE_RESULT_ROWS: ReadonlyMap<CacheResult, number> = new Map(
  CACHE_RESULTS.map((result, row) => [result, row]),
)
