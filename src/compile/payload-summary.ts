/** Summaries of ConfigMaps and Secrets for the compiler: their keys, never their contents. */
import type { ConditionReason } from '../api/condition.ts'
import type { Payload } from '../api/kinds.ts'
import type { KubeObject } from '../api/object.ts'
import type { Reference } from '../api/references.ts'
import { nodeId } from './reference-graph.ts'
import { objectId, type PayloadSummary, type ResourceSet } from './resource-set.ts'

const NONE: ReadonlyMap<string, string> = new Map()

/** @param refused see {@link PayloadSummary} */
export function payloadSummaryOf(payload: Payload, object: KubeObject, refused = NONE): PayloadSummary {
  const { type } = object as KubeObject & { readonly type?: string }
  return { ...(type === undefined ? {} : { type }), keys: new Set(payloadKeys(payload, object)), refused }
}

export function payloadKeys({ base64, text }: Payload, object: KubeObject): string[] {
  const fields = object as unknown as Readonly<Record<string, Readonly<Record<string, string>> | undefined>>
  return [...Object.keys((text && fields[text]) ?? {}), ...Object.keys(fields[base64] ?? {})]
}

/** Why referenced content is not available; undefined = it is available. */
export function payloadFault(
  resources: ResourceSet,
  reference: Reference,
): { readonly reason: ConditionReason; readonly message: string } | undefined {
  const { namespace, name, key, type } = reference
  const kind = reference.kind === 'Secret' ? 'Secret' : 'ConfigMap'
  const what = `${kind} ${namespace}/${name}`
  const face = resources.payloads.get(nodeId(kind, `${namespace}/${name}`))
  if (face === undefined) {
    const message = resources.rejected.has(objectId(kind, `${namespace}/${name}`))
      ? `${what} exists but is not valid; correct it`
      : `there is no ${what} that may be read; create it, or correct the name`
    return { reason: `${kind}NotFound`, message }
  }
  if (type !== undefined && face.type !== type) {
    const message = `${what} is of type ${face.type ?? 'Opaque'}, and only one of type ${type} may be used here; name another, or create it anew with that type`
    return { reason: 'SecretTypeNotAllowed', message }
  }
  if (key === undefined) return face.refused.size === 0 ? undefined : quotaFault(what, [...face.refused.values()][0]!)
  if (!face.keys.has(key))
    return { reason: 'KeyNotFound', message: `${what} has no key ${key}; add it, or correct the key` }
  const refused = face.refused.get(key)
  return refused === undefined ? undefined : quotaFault(`key ${key} of ${what}`, refused)
}

function quotaFault(what: string, why: string): { readonly reason: ConditionReason; readonly message: string } {
  return { reason: 'QuotaExceeded', message: `${what} is not used: ${why}` }
}
