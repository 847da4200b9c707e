/**
 * `node bench/simulate.ts`: p50, p99 and the largest load under each algorithm, in a discrete-event simulation with the
 * balancers of the product, beside what the literature says of the same experiments.
 */
import type { Algorithm } from '../src/balance/create-balancer.ts'
import { type Queue, quantileOfTime } from './lib/queueing.ts'
import { ballsInBins, exponential, type Scenario, type ServerModel, simulate } from './lib/simulation.ts'

const ALGORITHMS: readonly Algorithm[] = [
  'RoundRobin',
  'WeightedRoundRobin',
  'Random',
  'LeastRequest',
  'PeakEWMA',
  'ConsistentHash',
]
const REQUESTS = 200_000
const WELL: ServerModel = { parallel: 4, service: exponential(10) }
/** Requests a millisecond that so many good servers work off at 70 % of their time. */
const at70 = (servers: number): number => (servers * 4 * 0.7) / 10
const times = (count: number, model: ServerModel): ServerModel[] => Array.from({ length: count }, () => model)

const CASES: readonly (readonly [name: string, scenario: Omit<Scenario, 'algorithm' | 'requests'>])[] = [
  ['10 equal servers, 70 % busy', { servers: times(10, WELL), rate: at70(10) }],
  [
    'one of 10 servers is 10 × slower',
    { servers: [{ parallel: 4, service: exponential(100) }, ...times(9, WELL)], rate: at70(9) },
  ],
  [
    'bimodal: nine of ten requests take 4 ms, one 64 ms',
    { servers: times(10, { parallel: 4, service: (random) => (random() < 0.9 ? 4 : 64) }), rate: at70(10) },
  ],
  [
    'one of 10 servers fails after 0.1 ms (no ejection)',
    { servers: [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...times(9, WELL)], rate: at70(9) },
  ],
  [
    'the same, with ejection by passive checks (the defaults)',
    { servers: [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...times(9, WELL)], rate: at70(9), ejection: true },
  ],
  [
    'scale-out from 3 servers, overloaded, to 30',
    { servers: times(30, WELL), rate: at70(3) * 1.3, growth: { from: 3, after: 0.1 } },
  ],
  ['1 % of all requests fail', { servers: times(10, { ...WELL, failures: 0.01, failsAfter: 0.1 }), rate: at70(10) }],
  ['100 replicas of the gateway, 50 servers', { servers: times(50, WELL), rate: at70(50), replicas: 100 }],
]

/** What is known exactly, under the name of a case. */
const KNOWN: Readonly<Record<string, readonly (readonly [name: string, queue: Queue])[]>> = {
  '10 equal servers, 70 % busy': [
    ['M/M/4 (Random)', { parallel: 4, mean: 10, rate: at70(10) / 10 }],
    ['M/M/40 (one queue)', { parallel: 40, mean: 10, rate: at70(10) }],
  ],
  '100 replicas of the gateway, 50 servers': [
    ['M/M/4 (Random)', { parallel: 4, mean: 10, rate: at70(50) / 50 }],
    ['M/M/200 (one queue)', { parallel: 200, mean: 10, rate: at70(50) }],
  ],
}

for (const [name, scenario] of CASES) {
  console.log(`\n${name}`)
  console.log('algorithm            p50 ms   p99 ms   most at one   failed %   share of the first server %')
  for (const algorithm of ALGORITHMS) {
    const { p50, p99, most, failed, shares } = simulate({ ...scenario, algorithm, requests: REQUESTS })
    const columns = [
      p50.toFixed(1),
      p99.toFixed(1),
      String(most),
      (failed * 100).toFixed(2),
      (shares[0]! * 100).toFixed(2),
    ]
    console.log(algorithm.padEnd(20) + columns.map((text, i) => text.padStart([7, 9, 14, 11, 30][i]!)).join(''))
  }
  for (const [label, queue] of KNOWN[name] ?? []) {
    const [p50, p99] = [0.5, 0.99].map((share) => quantileOfTime(queue, share).toFixed(1))
    console.log(`${label.padEnd(20)}${p50!.padStart(7)}${p99!.padStart(9)}   by Erlang's formula`)
  }
}

console.log('\nthe supermarket model, 100 servers, 90 % busy: mean time in units of the mean work')
const market = { servers: times(100, { parallel: 1, service: exponential(1) }), rate: 90, requests: 1_000_000 }
// Mitzenmacher 2001, equation for d choices: the sum of λ^((d^i − d)/(d − 1)) over i ≥ 1.
const two = [1, 2, 3, 4, 5, 6, 7].reduce((sum, i) => sum + 0.9 ** (2 ** i - 2), 0)
console.log(`Random        ${simulate({ ...market, algorithm: 'Random' }).mean.toFixed(2)}   M/M/1: 10.00`)
console.log(
  `LeastRequest  ${simulate({ ...market, algorithm: 'LeastRequest' }).mean.toFixed(2)}   two choices, infinitely many servers: ${two.toFixed(2)}`,
)

console.log('\n10,000 balls into 10,000 bins: most in one')
const n = 10_000
const one = Math.log(n) / Math.log(Math.log(n))
console.log(`Random        ${ballsInBins('Random', n)}   (1 + o(1)) ln n / ln ln n = ${one.toFixed(1)} and more`)
console.log(
  `LeastRequest  ${ballsInBins('LeastRequest', n)}   ln ln n / ln 2 + O(1) = ${(Math.log(Math.log(n)) / Math.LN2).toFixed(1)} + O(1) (Azar et al. 1994)`,
)
