/** `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md): how long a client waits for a call. */
import type { Milliseconds } from '../lib/clock.ts'

const PATTERN = /^(\d{1,8})([HMSmun])$/

/** Milliseconds of a unit. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }

/** Eight digits. */
const MOST = 99_999_999

/**
 * One to eight digits and a unit. 0 is allowed, against the grammar: clients whose deadline has passed send it.
 *
 * @returns undefined where it is not valid
 */
export function parseGrpcTimeout(value: string): Milliseconds | undefined {
  const [, digits, unit] = PATTERN.exec(value) ?? []
  return digits === undefined ? undefined : Number(digits) * UNITS[unit!]!
}

/**
 * Rounded down, so that the server gives up before its client does, in the finest unit that eight digits hold.
 *
 * @param timeout longest is 99,999,999 hours
 */
export function formatGrpcTimeout(timeout: Milliseconds): string {
  if (timeout < 1) return `${Math.max(1, Math.floor(timeout * 1_000))}u`
  for (const unit of ['m', 'S', 'M', 'H']) {
    const count = Math.floor(timeout / UNITS[unit]!)
    if (count <= MOST) return `${count}${unit}`
  }
  return `${MOST}H`
}
