/** Summaries of ConfigMaps and Secrets for the compiler: their keys, never their contents. */
import type { ConditionReason } from '../api/condition.ts'
import type { Payload } from '../api/kinds.ts'
import type { KubeObject } from '../api/object.ts'
import type { Reference } from '../api/references.ts'
import { hostOfAddress, KEY_SET } from '../policy/auth/key-set.ts'
import {
  API_KEYS_SECRET,
  JWKS_SECRET,
  JWT_KEY_SECRET,
  OAUTH_CLIENTS_SECRET,
  OIDC_CLIENT_SECRET,
  SHARED_WITH,
  SIGNING_KEYS_SECRET,
  secretKeysOf,
} from '../policy/secret-types.ts'
import { nodeId } from './reference-graph.ts'
import { objectId, type PayloadSummary, type ResourceSet, type SecretSummary } from './resource-set.ts'
import { tenancyOf } from './tenancy.ts'

const NONE: ReadonlyMap<string, string> = new Map()

/** @param refused see {@link PayloadSummary} */
export function payloadSummaryOf(
  payload: Payload,
  object: KubeObject,
  refused = NONE,
  secret?: SecretSummary,
): PayloadSummary {
  const { type } = object as KubeObject & { readonly type?: string }
  const sharedWith = type === undefined ? NOBODY : sharedNamespaces(object)
  return {
    ...(type === undefined ? {} : { type }),
    keys: new Set(payloadKeys(payload, object)),
    refused,
    ...(sharedWith.size === 0 ? {} : { sharedWith }),
    ...(secret === undefined ? {} : { secret }),
  }
}

const NOBODY: ReadonlySet<string> = new Set()

const SHARED = new WeakMap<KubeObject, ReadonlySet<string>>()

/** The namespaces besides its own that may use a Secret. */
export function sharedNamespaces(object: KubeObject): ReadonlySet<string> {
  const text = object.metadata.annotations?.[SHARED_WITH]
  if (text === undefined) return NOBODY
  let names = SHARED.get(object)
  if (names === undefined) SHARED.set(object, (names = new Set(text.split(',').flatMap((name) => name.trim() || []))))
  return names
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
  if (reference.kind === KEY_SET) return keySetFault(resources, reference)
  const { namespace, name, key, type, sharedWith } = reference
  const kind = reference.kind === 'Secret' ? 'Secret' : 'ConfigMap'
  const what = `${kind} ${namespace}/${name}`
  const face = resources.payloads.get(nodeId(kind, `${namespace}/${name}`))
  if (sharedWith !== undefined && face?.sharedWith?.has(sharedWith) !== true) {
    // Whether it exists is the business of its own namespace.
    const message = `there is no ${what} that is shared with namespace ${sharedWith}; have its annotation ${SHARED_WITH} name that namespace, or correct the name`
    return { reason: 'SecretNotAllowed', message }
  }
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
  const missing = secretKeysOf(type)?.required.find((one) => !face.keys.has(one))
  if (missing !== undefined && face.secret?.validity === undefined)
    return { reason: 'KeyNotFound', message: `${what} has no key ${missing}; add it` }
  if (face.secret?.fault !== undefined) return contentFault(what, face.secret, type)
  if (face.secret?.provider !== undefined)
    return { reason: 'KeysUnavailable', message: `the provider of ${what} cannot be used: ${face.secret.provider}` }
  if (key === undefined) return face.refused.size === 0 ? undefined : quotaFault(what, [...face.refused.values()][0]!)
  if (!face.keys.has(key))
    return { reason: 'KeyNotFound', message: `${what} has no key ${key}; add it, or correct the key` }
  const refused = face.refused.get(key)
  return refused === undefined ? undefined : quotaFault(`key ${key} of ${what}`, refused)
}

const TOKEN_KEYS: ReadonlySet<string | undefined> = new Set([
  API_KEYS_SECRET.type,
  JWT_KEY_SECRET.type,
  JWKS_SECRET.type,
  SIGNING_KEYS_SECRET.type,
  OAUTH_CLIENTS_SECRET.type,
  OIDC_CLIENT_SECRET.type,
])

function contentFault(what: string, { fault, validity }: SecretSummary, type: string | undefined) {
  const meanwhile = validity === undefined ? '' : ' (the version before is used until then)'
  const reason: ConditionReason = TOKEN_KEYS.has(type) ? 'KeyInvalid' : 'CertificateInvalid'
  return { reason, message: `${what} cannot be used: ${fault}${meanwhile}` }
}

function quotaFault(what: string, why: string): { readonly reason: ConditionReason; readonly message: string } {
  return { reason: 'QuotaExceeded', message: `${what} is not used: ${why}` }
}

/** Whether a namespace may have a key set fetched from there; the settings may. */
export function mayFetch(
  resources: Pick<ResourceSet, 'settings' | 'namespaces'>,
  namespace: string,
  url: string,
): boolean {
  const { host, port } = hostOfAddress(url)
  return namespace === '' || tenancyOf(resources).isTargetGranted(namespace, host, port)
}

function keySetFault(
  resources: ResourceSet,
  { name: url, type: issuer, sharedWith: namespace = '' }: Reference,
): { readonly reason: ConditionReason; readonly message: string } | undefined {
  const what = `the key set ${url}`
  if (!mayFetch(resources, namespace, url))
    return {
      reason: 'AddressNotAllowed',
      message: `${what} may not be fetched for namespace ${namespace}: tenancy is Strict, and upstreams.externalTargets of the settings do not allow it`,
    }
  const face = resources.payloads.get(nodeId(KEY_SET, `/${url}`))
  if (face?.keySet === undefined) return { reason: 'Pending', message: `${what} is being fetched` }
  const { fault, issuer: stated } = face.keySet
  const usable = face.keys.size > 0
  if (fault !== undefined) {
    const meanwhile = usable ? ' (the keys that were fetched last are used for up to 24 h)' : ''
    return { reason: 'KeysUnavailable', message: `${what} cannot be used: ${fault}${meanwhile}` }
  }
  if (issuer !== undefined && stated !== issuer)
    return {
      reason: 'KeyInvalid',
      message: `${what} is of the issuer ${JSON.stringify(stated)}, and the rule has ${JSON.stringify(issuer)}; correct the one that is wrong`,
    }
  const [refused] = face.refused.values()
  return refused === undefined ? undefined : quotaFault(what, refused)
}
