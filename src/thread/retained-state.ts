/** Versions of objects that outlive the control thread that served them. */
import type { Backend } from '../api/backend.ts'
import type { KubeObject } from '../api/object.ts'
import type { Route } from '../api/route.ts'
import type { HostnameReservation } from '../compile/resource-set.ts'

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

/** A version that is served, kept by the supervisor while a control thread works on its successor. */
export interface ServedVersion {
  readonly kind: 'Route' | 'Backend' | 'Ingress'
  readonly key: string
  readonly object: KubeObject
}
