import { type BackendName, backendIdOf } from '../backend-ref.ts'
import type { PolicyDefinition, PolicyPlace, PolicyProblem, PolicyReference } from '../definition.ts'
import { type MirrorPlan, mirrorRequests } from './filter.ts'

/** As it stands in the document. */
export interface Mirror {
  readonly backendRef: BackendName
  readonly percent?: number
}

/** `mirror`: copies of requests for another Backend, whose responses nobody sees. */
export const mirror: PolicyDefinition<Mirror, MirrorPlan> = {
  key: 'mirror',
  phase: 'mirror',
  check: checkMirror,
  references: { kinds: ['Backend', 'Service'], find: mirrorReferences },
  plan({ backendRef, percent = 100 }, namespace) {
    if (percent === 0) return undefined
    return { backend: backendIdOf(backendRef, namespace), from: namespace, percent }
  },
  receiver: ({ backend, from }) => ({ backend, from }),
  create: mirrorRequests,
}

/** The settings have no namespace in which to find a Backend or a Service. */
function checkMirror({ backendRef }: Mirror, place: PolicyPlace): readonly PolicyProblem[] {
  if (place === 'Route' || (backendRef.name !== undefined && backendRef.namespace !== undefined)) return []
  return [{ path: ['backendRef'], message: 'in the settings, state name and namespace of a Backend' }]
}

function* mirrorReferences(value: unknown): Generator<PolicyReference> {
  const ref = (value as Partial<Mirror> | null | undefined)?.backendRef as Readonly<Record<string, unknown>> | undefined
  const { name, namespace, service } = ref ?? {}
  const path = ['backendRef']
  if (typeof service === 'object' && service !== null) {
    const { name: of, port } = service as Readonly<Record<string, unknown>>
    if (typeof of === 'string' && (typeof port === 'string' || typeof port === 'number'))
      yield { path: [...path, 'service'], kind: 'Service', name: of, port }
  } else if (typeof name === 'string')
    yield { path, kind: 'Backend', name, ...(typeof namespace === 'string' ? { namespace } : {}) }
}
