import type { PolicySet } from '../policy/policy-set.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import type { PackedTables } from '../snapshot/packed.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'

/**
 * A generation of tables. Policies, backends and TLS are referred to by index from the packed records; only what
 * changed is sent.
 */
export interface TablesUpdate {
  readonly type: 'tables'
  readonly generation: number
  readonly tables: PackedTables
  /** True: forget all policies, backends and TLS known so far (first message to a thread, or a new control thread). */
  readonly full: boolean
  readonly policies: readonly { readonly index: number; readonly policy: PolicySet | null }[]
  readonly backends: readonly {
    readonly index: number
    readonly backend: BackendConfig | null
    /**
     * The Backend's own row in the shared endpoint table, for its limits; absent where the table is full. Put in by the
     * publisher.
     */
    readonly slot?: number
  }[]
  readonly hostTls: readonly { readonly index: number; readonly tls: HostTls | null }[]
}
