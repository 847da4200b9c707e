/** A Backend as policies name it, and its id. */
import type { PolicyReference } from './definition.ts'

/** Begins the ids of Services that a rule or a policy names directly. */
export const SERVICE_PREFIX = 'service:'

/** Exactly one of `name` and `service`. */
export interface BackendName {
  readonly name?: string
  /** Of the Backend; none = that of the object in which it stands. */
  readonly namespace?: string
  readonly service?: { readonly name: string; readonly port: number | string }
}

/** The id of a Service that an object in `namespace` names directly. */
export function serviceId(
  namespace: string,
  { name, port }: { readonly name: string; readonly port: number | string },
) {
  return `${SERVICE_PREFIX}${namespace}/${name}:${port}`
}

/** @param namespace of the object in which it stands; undefined for the settings, where it names its own */
export function backendIdOf({ name, namespace, service }: BackendName, own: string | undefined): string {
  if (service !== undefined) return serviceId(own ?? '', service)
  return `${namespace ?? own ?? ''}/${name}`
}

/** @param ref of a value that may not have been validated */
export function* backendReferences(ref: unknown): Generator<PolicyReference> {
  if (typeof ref !== 'object' || ref === null) return
  const { name, namespace, service } = ref as Readonly<Record<string, unknown>>
  const path = ['backendRef']
  if (typeof service === 'object' && service !== null) {
    const { name: of, port } = service as Readonly<Record<string, unknown>>
    if (typeof of === 'string' && (typeof port === 'string' || typeof port === 'number'))
      yield { path: [...path, 'service'], kind: 'Service', name: of, port }
  } else if (typeof name === 'string')
    yield { path, kind: 'Backend', name, ...(typeof namespace === 'string' ? { namespace } : {}) }
}
