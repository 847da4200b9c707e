import { type BackendName, backendIdOf, backendReferences } from '../backend-ref.ts'
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

function mirrorReferences(value: unknown): Iterable<PolicyReference> {
  return backendReferences((value as Partial<Mirror> | null | undefined)?.backendRef)
}
