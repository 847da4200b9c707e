/**
 * How an instance of the example service behaves: set by flags when it starts, changed by `PUT /_control` while it
 * runs.
 */

export const DISTRIBUTIONS = ['fixed', 'uniform', 'exponential'] as const
export type Distribution = (typeof DISTRIBUTIONS)[number]

export interface Behaviour {
  /** Shown in every answer, so that one sees which instance served. */
  readonly name: string
  /** Milliseconds before an answer begins. */
  readonly latency: number
  /** Milliseconds that latency varies by, see `distribution`. */
  readonly jitter: number
  /** fixed: latency alone. uniform: latency ± jitter. exponential: latency + jitter on average, with a long tail. */
  readonly distribution: Distribution
  /** 0 … 1: this share of the requests gets `errorStatus`. */
  readonly errorRate: number
  readonly errorStatus: number
  /** 0 … 1: this share of the connections is reset instead of answered. */
  readonly resetRate: number
  /** What /healthz says: 200 or 503. */
  readonly healthy: boolean
  /** What /readyz says: 200 or 503. */
  readonly ready: boolean
  /** Bytes of a plain text answer; 0: the answer is a JSON echo of the request. */
  readonly size: number
}

export const QUIET: Behaviour = {
  name: 'service',
  latency: 0,
  jitter: 0,
  distribution: 'fixed',
  errorRate: 0,
  errorStatus: 503,
  resetRate: 0,
  healthy: true,
  ready: true,
  size: 0,
}

const MAX_SIZE = 100 * 1024 * 1024

const RULES: { readonly [Key in keyof Behaviour]: (value: unknown) => string | undefined } = {
  name: (value) =>
    typeof value === 'string' && /^[\w.-]{1,63}$/.test(value) ? undefined : 'a word of letters, digits, . _ -',
  latency: (value) => between(value, 0, 600_000, 'milliseconds'),
  jitter: (value) => between(value, 0, 600_000, 'milliseconds'),
  distribution: (value) =>
    DISTRIBUTIONS.some((one) => one === value) ? undefined : `one of ${DISTRIBUTIONS.join(', ')}`,
  errorRate: (value) => between(value, 0, 1, 'a share'),
  errorStatus: (value) => (Number.isInteger(value) ? between(value, 400, 599, 'a status') : 'a whole number'),
  resetRate: (value) => between(value, 0, 1, 'a share'),
  healthy: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  ready: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  size: (value) => (Number.isInteger(value) ? between(value, 0, MAX_SIZE, 'bytes') : 'a whole number'),
}

/**
 * @param change what came from a flag or a request
 * @throws {TypeError} names the member that is unknown or wrong, and what it should be
 */
export function changed(behaviour: Behaviour, change: unknown): Behaviour {
  if (typeof change !== 'object' || change === null || Array.isArray(change))
    throw new TypeError('an object with members to change is expected')
  for (const [key, value] of Object.entries(change)) {
    if (!Object.hasOwn(RULES, key)) throw new TypeError(`${key}: not known; there are ${Object.keys(RULES).join(', ')}`)
    const expected = RULES[key as keyof Behaviour](value)
    if (expected !== undefined) throw new TypeError(`${key}: ${expected} is expected`)
  }
  return { ...behaviour, ...change }
}

/** @param chance uniform in [0, 1) */
export function latencyOf(behaviour: Behaviour, chance: number): number {
  const { latency, jitter, distribution } = behaviour
  if (distribution === 'uniform') return Math.max(0, latency + jitter * (2 * chance - 1))
  if (distribution === 'exponential') return latency - jitter * Math.log(1 - chance)
  return latency
}

function between(value: unknown, least: number, most: number, unit: string): string | undefined {
  const fits = typeof value === 'number' && value >= least && value <= most
  return fits ? undefined : `${unit} from ${least} to ${most}`
}
