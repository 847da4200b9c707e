/**
 * Finds endpoints of which clearly more requests fail than of the others of their Backend, though not so many in a row
 * that they would be ejected for that.
 *
 * Envoy compares with the mean less 1.9 standard deviations over all hosts (outlier detection, "success rate"). Where
 * all are alike, that ejects the worst of the good: of 99.9 % in the mean one with 99.7 %. Here the difference must
 * matter (percentage points), and must not be chance: the two-proportion z-test, against the requests to the others.
 */

/** What is known of one endpoint in a window of time. */
export interface RequestCount {
  readonly slot: number
  /** Those that say something about the endpoint. */
  readonly requests: number
  readonly faults: number
}

export interface SuccessRateBounds {
  /** Percentage points; 0 = off. */
  readonly belowMeanPercent: number
  /** Of an endpoint, and of all others together. */
  readonly minRequests: number
}

export interface Outlier {
  readonly slot: number
  /** Shares that failed, 0 … 1: of its requests, and of those to all others. */
  readonly share: number
  readonly others: number
}

/** Standard deviations. Among ten thousand equal endpoints, chance exceeds this in a third of the windows. */
const CHANCE = 4

/** @returns the worst first */
export function findOutliers(
  counts: readonly RequestCount[],
  { belowMeanPercent, minRequests }: SuccessRateBounds,
): Outlier[] {
  let requests = 0
  let faults = 0
  for (const one of counts) {
    requests += one.requests
    faults += one.faults
  }
  const outliers: Outlier[] = []
  if (faults === 0 || belowMeanPercent === 0) return outliers
  const mean = faults / requests
  for (const one of counts) {
    const rest = requests - one.requests
    if (one.requests < minRequests || rest < minRequests) continue
    const share = one.faults / one.requests
    const others = (faults - one.faults) / rest
    if ((share - others) * 100 < belowMeanPercent) continue
    const deviation = Math.sqrt(mean * (1 - mean) * (1 / one.requests + 1 / rest))
    if (share - others >= CHANCE * deviation) outliers.push({ slot: one.slot, share, others })
  }
  return outliers.sort((a, b) => b.share - b.others - (a.share - a.others))
}
