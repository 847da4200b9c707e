/** What a fault of an endpoint did to requests, out of what clients and the access log say. */
import type { Outcome } from './fault-load.ts'

/** Wall clock. */
export interface FaultTimes {
  readonly began: number
  readonly ended: number
  /** The endpoint was not taken any more. */
  readonly out: number | undefined
  /** The first request after the fault was sent that it served. */
  readonly back: number | undefined
}

/** A line of the access log, as far as it is read here. */
export interface AccessLine {
  readonly time: string
  readonly host?: string
  readonly endpoint?: string
  readonly attempts?: number
}

export interface FaultRow {
  readonly fault: string
  /** Requests of which an attempt met the endpoint while it failed. */
  readonly met: number
  /** Milliseconds from the fault until the endpoint was not taken any more. */
  readonly outAfter: number | undefined
  /** Milliseconds from the fault until the last request was sent that met it. */
  readonly lastAfter: number | undefined
  readonly gets: Failures
  readonly posts: Failures
  /** Milliseconds from the end of the fault until it served again. */
  readonly backAfter: number | undefined
}

export interface Failures {
  readonly failed: number
  /** While the endpoint failed. */
  readonly of: number
  /** How often which status; 0 is a connection that broke. */
  readonly statuses: Readonly<Record<number, number>>
}

/**
 * @param authority of the endpoint that failed, the only one of its Backend: more than one attempt means that one of
 *   them met it
 */
export function faultRow(
  fault: string,
  { began, ended, out, back }: FaultTimes,
  outcomes: readonly Outcome[],
  log: readonly AccessLine[],
  authority: string,
): FaultRow {
  const met = log
    .filter(({ endpoint, attempts = 0 }) => endpoint === authority || attempts > 1)
    .map(({ time }) => Date.parse(time))
    .filter((time) => time >= began && time < ended)
  const failures = (method: Outcome['method']): Failures => {
    const all = outcomes.filter((outcome) => outcome.method === method && outcome.at >= began && outcome.at < ended)
    const statuses: Record<number, number> = {}
    let failed = 0
    for (const { status } of all) {
      if (status === 200) continue
      failed++
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    return { failed, of: all.length, statuses }
  }
  return {
    fault,
    met: met.length,
    outAfter: out === undefined ? undefined : out - began,
    lastAfter: met.length === 0 ? undefined : Math.max(...met) - began,
    gets: failures('GET'),
    posts: failures('POST'),
    backAfter: back === undefined ? undefined : back - ended,
  }
}

/** `0 of 507`, or `2 of 109 (2 × 504)`. */
export function describeFailures({ failed, of, statuses }: Failures): string {
  const list = Object.entries(statuses).map(([status, times]) => `${times} × ${status}`)
  return `${failed} of ${of}${list.length === 0 ? '' : ` (${list.join(', ')})`}`
}
