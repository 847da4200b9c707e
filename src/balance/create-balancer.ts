import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { EndpointGauge } from './endpoint.ts'
import { LeastRequest } from './least-request.ts'
import { RoundRobin } from './round-robin.ts'
import { WeightedRandom } from './weighted-random.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

/** `loadBalancing.algorithm` of a Backend. */
export type Algorithm = 'RoundRobin' | 'WeightedRoundRobin' | 'LeastRequest' | 'Random'

/** @throws {TypeError} for an algorithm that validation should have rejected */
export function createBalancer(algorithm: Algorithm, gauge: EndpointGauge, random: Random): Balancer {
  switch (algorithm) {
    case 'RoundRobin':
      return new RoundRobin(gauge, random)
    case 'WeightedRoundRobin':
      return new WeightedRoundRobin(gauge, random)
    case 'LeastRequest':
      return new LeastRequest(gauge, random)
    case 'Random':
      return new WeightedRandom(gauge, random)
    default:
      throw new TypeError(`unknown algorithm: ${algorithm satisfies never}`)
  }
}
