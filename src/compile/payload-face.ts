/** ConfigMaps and Secrets as a compile knows them: which contents there are, and never what is in them. */
import type { ConditionReason } from '../api/condition.ts'
import type { Payload } from '../api/kinds.ts'
import type { KubeObject } from '../api/object.ts'
import type { Reference } from '../api/references.ts'
import { nodeId } from './reference-graph.ts'
import { type PayloadFace, type ResourceSet, refusedKey } from './resource-set.ts'

const NONE: ReadonlyMap<string, string> = new Map()

/** @param refused see {@link PayloadFace} */
export function payloadFaceOf(payload: Payload, object: KubeObject, refused = NONE): PayloadFace {
  const { type } = object as KubeObject & { readonly type?: string }
  return { ...(type === undefined ? {} : { type }), keys: new Set(payloadKeys(payload, object)), refused }
}

export function payloadKeys({ base64, text }: Payload, object: KubeObject): string[] {
  const fields = object as unknown as Readonly<Record<string, Readonly<Record<string, string>> | undefined>>
  return [...Object.keys((text && fields[text]) ?? {}), ...Object.keys(fields[base64] ?? {})]
}

/** What keeps somebody from the content that is referred to; undefined = it is there. */
export function payloadFault(
  resources: ResourceSet,
  reference: Reference,
): { readonly reason: ConditionReason; readonly message: string } | undefined {
  const { namespace, name, key, type } = reference
  const kind = reference.kind === 'Secret' ? 'Secret' : 'ConfigMap'
  const what = `${kind} ${namespace}/${name}`
  const face = resources.payloads.get(nodeId(kind, `${namespace}/${name}`))
  if (face === undefined) {
    const message = resources.refused.has(refusedKey(kind, `${namespace}/${name}`))
      ? `${what} exists but is not valid; correct it`
      : `there is no ${what} that may be read; create it, or correct the name`
    return { reason: `${kind}NotFound`, message }
  }
  if (type !== undefined && face.type !== type) {
    const message = `${what} is of type ${face.type ?? 'Opaque'}, and only one of type ${type} may be used here; name another, or create it anew with that type`
    return { reason: 'SecretTypeNotAllowed', message }
  }
  if (key === undefined) return face.refused.size === 0 ? undefined : crowded(what, [...face.refused.values()][0]!)
  if (!face.keys.has(key))
    return { reason: 'KeyNotFound', message: `${what} has no key ${key}; add it, or correct the key` }
  const refused = face.refused.get(key)
  return refused === undefined ? undefined : crowded(`key ${key} of ${what}`, refused)
}

function crowded(what: string, why: string): { readonly reason: ConditionReason; readonly message: string } {
  return { reason: 'QuotaExceeded', message: `${what} is not used: ${why}` }
}
