/** What of a Backend's plan its balancer is made of. */
import { type ValueReader, valueReader } from '../policy/variables.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'

/** Whether the same balancer serves both. */
export function balancesAlike(a: BackendConfig, b: BackendConfig): boolean {
  return (
    a.algorithm === b.algorithm &&
    a.slowStart === b.slowStart &&
    a.zoneAware === b.zoneAware &&
    a.subsetSize === b.subsetSize
  )
}

/** What requests are hashed by: the first that one has. */
export function keyReaders({ hashOn }: BackendConfig): readonly ValueReader[] {
  return hashOn.map(valueReader)
}
