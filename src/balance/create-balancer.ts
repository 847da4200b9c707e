import { Aperture } from './aperture.ts'
import type { Balancer, BalancerContext } from './balancer.ts'
import { ConsistentHash } from './consistent-hash.ts'
import { LeastRequest } from './least-request.ts'
import { PeakEwma } from './peak-ewma.ts'
import { byNumber, byWeight, type Weigh } from './ready-weight.ts'
import { RoundRobin } from './round-robin.ts'
import { SlowStart } from './slow-start.ts'
import type { Place, Topology } from './topology.ts'
import { WeightedRandom } from './weighted-random.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'
import { ZoneAware } from './zone-aware.ts'

/** `loadBalancing.algorithm` of a Backend. */
export type Algorithm = 'RoundRobin' | 'WeightedRoundRobin' | 'LeastRequest' | 'PeakEWMA' | 'Random' | 'ConsistentHash'

/** Which endpoints of a Backend a replica prefers. */
export interface Spread {
  readonly zoneAware: boolean
  /** Endpoints that one replica uses, at the least; 0 = all. */
  readonly subsetSize: number
}

const EVERYWHERE: Spread = Object.freeze({ zoneAware: false, subsetSize: 0 })

/**
 * @param slowStart milliseconds; keys of a hash are not moved for it, and a hash has no subsets
 * @throws {TypeError} for an algorithm that validation should have rejected
 */
export function createBalancer(
  algorithm: Algorithm,
  context: BalancerContext,
  slowStart = 0,
  spread: Spread = EVERYWHERE,
): Balancer {
  const size = sizeOf(algorithm, spread)
  const balancer = spread.zoneAware
    ? new ZoneAware(
        context,
        (inZone, own) => narrow(algorithm, inZone, size, own ? placeInZone : placeOfAll),
        () => narrow(algorithm, context, size, placeOfAll),
        weighOf(algorithm),
      )
    : narrow(algorithm, context, size, placeOfAll)
  return slowStart > 0 && algorithm !== 'ConsistentHash' ? new SlowStart(balancer, context, slowStart) : balancer
}

const placeOfAll = ({ place }: Topology): Place => place
const placeInZone = ({ placeInZone: place }: Topology): Place => place

/** Endpoints that a replica uses; 0 = all. */
export function sizeOf(algorithm: Algorithm, { subsetSize }: Spread): number {
  return algorithm === 'ConsistentHash' ? 0 : subsetSize
}

/** What the shares of an algorithm go by. */
export function weighOf(algorithm: Algorithm): Weigh {
  return algorithm === 'RoundRobin' ? byNumber : byWeight
}

function narrow(
  algorithm: Algorithm,
  context: BalancerContext,
  size: number,
  placeIn: (topology: Topology) => Place,
): Balancer {
  if (size === 0) return make(algorithm, context)
  // A turn for each, but for what is used in part.
  const inner = make(algorithm === 'RoundRobin' ? 'WeightedRoundRobin' : algorithm, context)
  return new Aperture(context, inner, () => make(algorithm, context), size, weighOf(algorithm), placeIn)
}

function make(algorithm: Algorithm, context: BalancerContext): Balancer {
  const { gauge, random } = context
  switch (algorithm) {
    case 'RoundRobin':
      return new RoundRobin(gauge, random)
    case 'WeightedRoundRobin':
      return new WeightedRoundRobin(gauge, random)
    case 'LeastRequest':
      return new LeastRequest(gauge, random)
    case 'PeakEWMA':
      return new PeakEwma(context)
    case 'Random':
      return new WeightedRandom(gauge, random)
    case 'ConsistentHash':
      return new ConsistentHash(context)
    default:
      throw new TypeError(`unknown algorithm: ${algorithm satisfies never}`)
  }
}
