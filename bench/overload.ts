/**
 * `node bench/overload.ts`: what the adaptive limit makes of servers that get more than they can work off, beside the
 * same without it, in a simulation with the code of the product. A response counts as good within 250 ms.
 */
import { type Overload, type OverloadedServer, overload } from './lib/overload.ts'
import { exponential } from './lib/simulation.ts'

const LIMIT = { minRequests: 4, maxRequests: 1_000, tolerance: 1.5 }
const times = (count: number, server: OverloadedServer): OverloadedServer[] =>
  Array.from({ length: count }, () => server)
const between = (from: number, to: number) => (time: number) => time >= from && time < to
const WELL: OverloadedServer = { parallel: () => 8, service: exponential(20) }
/** Requests a second that one such server works off. */
const CAPACITY = 400
const busy = between(10, 40)

const CASES: readonly (readonly [name: string, Pick<Overload, 'servers' | 'rate'>])[] = [
  [
    '10 servers, 70 % busy, and 150 % from the 10th second to the 40th',
    { servers: times(10, WELL), rate: (time) => (busy(time) ? 15 : 7) * CAPACITY },
  ],
  ['150 % from the first request on', { servers: times(10, WELL), rate: () => 15 * CAPACITY }],
  ['one server, 150 %', { servers: [WELL], rate: () => 1.5 * CAPACITY }],
  ['90 % busy', { servers: times(10, WELL), rate: () => 9 * CAPACITY }],
  [
    '70 % busy, and each can do a quarter from the 10th second to the 40th',
    {
      servers: times(10, { parallel: (time) => (busy(time) ? 2 : 8), service: exponential(20) }),
      rate: () => 7 * CAPACITY,
    },
  ],
  [
    'all requests take four times as long from the 10th second to the 40th, and nothing is busy',
    {
      servers: times(10, {
        parallel: () => 500,
        service: (random, time) => exponential(busy(time) ? 80 : 20)(random),
      }),
      rate: () => 10 * CAPACITY,
    },
  ],
  [
    'nine of ten requests take 4 ms, one 64 ms; 120 %',
    {
      servers: times(10, { parallel: () => 8, service: (random) => (random() < 0.9 ? 4 : 64) }),
      rate: () => 9_600,
    },
  ],
]

for (const [name, scenario] of CASES)
  for (const limit of [undefined, LIMIT]) {
    console.log(`\n${name}: ${limit === undefined ? 'no limit' : 'adaptive limit'}`)
    console.log(' until s    asked/s  refused %   good/s   p50 ms   p99 ms   limit of one')
    const period = 5
    for (const row of overload({ ...scenario, seconds: 60, limit, deadline: 250, period })) {
      const columns = [
        String(row.time),
        (row.asked / period).toFixed(0),
        ((row.refused / row.asked) * 100).toFixed(1),
        (row.good / period).toFixed(0),
        row.p50.toFixed(0),
        row.p99.toFixed(0),
        limit === undefined ? '' : (row.limits / scenario.servers.length).toFixed(0),
      ]
      console.log(columns.map((text, i) => text.padStart([8, 11, 11, 9, 9, 9, 15][i]!)).join(''))
    }
  }
