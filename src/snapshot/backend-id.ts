/** Ids of Backends: `namespace/name`, or `service:namespace/name:port` for a Service that a rule names directly. */

import { SERVICE_PREFIX } from '../policy/backend-ref.ts'

/** Whose a backend id is. */
export function namespaceOf(id: string): string {
  return id.slice(id.startsWith(SERVICE_PREFIX) ? SERVICE_PREFIX.length : 0, id.indexOf('/'))
}
