import type { Balancer, BalancerContext } from './balancer.ts'
import { ConsistentHash } from './consistent-hash.ts'
import { LeastRequest } from './least-request.ts'
import { PeakEwma } from './peak-ewma.ts'
import { RoundRobin } from './round-robin.ts'
import { SlowStart } from './slow-start.ts'
import { WeightedRandom } from './weighted-random.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

/** `loadBalancing.algorithm` of a Backend. */
export type Algorithm = 'RoundRobin' | 'WeightedRoundRobin' | 'LeastRequest' | 'PeakEWMA' | 'Random' | 'ConsistentHash'

/**
 * @param slowStart milliseconds; keys of a hash are not moved for it
 * @throws {TypeError} for an algorithm that validation should have rejected
 */
export function createBalancer(algorithm: Algorithm, context: BalancerContext, slowStart = 0): Balancer {
  const balancer = make(algorithm, context)
  return slowStart > 0 && algorithm !== 'ConsistentHash' ? new SlowStart(balancer, context, slowStart) : balancer
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
