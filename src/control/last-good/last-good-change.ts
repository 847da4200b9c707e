/** What is kept for the next process, or for another replica. */
import type { Backend } from '../../api/backend.ts'
import type { Route } from '../../api/route.ts'
import type { HostnameReservation } from '../../compile/resource-set.ts'

/**
 * A last good version that outlives the process; and, by the same way, a hostname that is kept (`HostnameReservation`).
 */
export interface LastGood {
  readonly kind: 'Route' | 'Backend' | 'Hostname'
  readonly key: string
  readonly object: unknown
}

/** To be kept, or no longer (`object` undefined). */
export interface LastGoodChange {
  readonly kind: LastGood['kind']
  readonly key: string
  readonly object: Route | Backend | HostnameReservation | undefined
}
