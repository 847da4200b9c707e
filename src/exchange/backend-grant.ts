import type { LinkedBackend } from '../link/linked-tables.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'

/**
 * Whether a namespace may have requests of the gateway's own sent to a Backend, as its `allowedNamespaces` says.
 *
 * @param from undefined: of nobody who needs permission
 */
export function allows({ id, plan }: LinkedBackend, from: string | undefined): boolean {
  const { allowed } = plan
  return from === undefined || namespaceOf(id) === from || allowed === 'All' || allowed?.includes(from) === true
}
