/** Servers and loads for which balancers are compared, in real traffic and in the simulation. */
import { exponential, type ServerModel } from './simulation.ts'

export interface BalanceCase {
  readonly name: string
  readonly servers: readonly ServerModel[]
  /** Requests a millisecond. */
  readonly rate: number
}

export const SERVERS = 5
const PARALLEL = 4
const MEAN = 40
const WELL: ServerModel = { parallel: PARALLEL, service: exponential(MEAN) }
/** Requests a millisecond that so many good servers work off at 70 % of their time. */
const at70 = (servers: number): number => (servers * PARALLEL * 0.7) / MEAN
const well = (count: number, model = WELL): ServerModel[] => Array.from({ length: count }, () => model)

/** The odd server is the first. */
export const BALANCE_CASES: readonly BalanceCase[] = [
  { name: 'equal servers, 70 % busy', servers: well(SERVERS), rate: at70(SERVERS) },
  {
    name: 'one is 10 × slower',
    servers: [{ parallel: PARALLEL, service: exponential(10 * MEAN) }, ...well(SERVERS - 1)],
    rate: at70(SERVERS - 1),
  },
  {
    name: 'bimodal: nine of ten requests take 16 ms, one 256 ms',
    servers: well(SERVERS, { parallel: PARALLEL, service: (random) => (random() < 0.9 ? 16 : 256) }),
    rate: at70(SERVERS),
  },
  {
    name: 'one fails after 0.1 ms (no ejection, no retries)',
    servers: [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...well(SERVERS - 1)],
    rate: at70(SERVERS - 1),
  },
]
