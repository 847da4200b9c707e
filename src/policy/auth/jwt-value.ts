/** `auth.jwt`: what a user writes, and what of it a worker gets. */
import { parseDuration } from '../../lib/quantity.ts'
import { looseName } from '../../message/fields.ts'
import { contentId } from '../contents.ts'
import type { PolicyProblem, PolicyReference } from '../definition.ts'
import { checkFieldName } from '../header-edits/field-names.ts'
import { JWKS_SECRET, JWT_KEY_SECRET, SIGNING_KEYS_SECRET } from '../secret-types.ts'
import { type CredentialPlace, inLowerCase } from './credential.ts'
import { isMetadataAddress, KEY_SET, keySetAddress, keySetContent } from './key-set.ts'
import type { JwtPlan, KeyForm, KeySource } from './plan.ts'

/** Beside `issuerRule`: the Secret with the keys that sign its tokens, put there when the Route is validated. */
export const ISSUER_SECRET = Symbol('Secret of the issuer')

export interface JwtValue {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms?: readonly string[]
  readonly keys: Readonly<Record<string, string | undefined>> & { readonly [ISSUER_SECRET]?: string }
  readonly from?: readonly CredentialPlace[]
  readonly claimsToHeaders?: readonly { readonly claim: string; readonly header: string }[]
  readonly keepToken?: boolean
  readonly clockSkew?: string
}

const DEFAULT_ALGORITHMS = ['RS256', 'ES256', 'EdDSA']
export const DEFAULT_FROM: readonly CredentialPlace[] = [{ header: 'authorization', scheme: 'Bearer' }]
const DEFAULT_SKEW = '30s'

/** The Secrets that keys may be had from, by the field that names one. */
const KEY_SECRETS: Readonly<Record<string, { readonly form: KeyForm; readonly type: string; readonly key: string }>> = {
  publicKeySecretName: { form: 'PublicKeys', type: JWT_KEY_SECRET.type, key: JWT_KEY_SECRET.publicKey },
  sharedSecretName: { form: 'SharedSecret', type: JWT_KEY_SECRET.type, key: JWT_KEY_SECRET.secret },
  jwksSecretName: { form: 'KeySet', type: JWKS_SECRET.type, key: JWKS_SECRET.key },
}

export function* checkJwtFields({ algorithms, keys, from, claimsToHeaders }: JwtValue): Generator<PolicyProblem> {
  if (keys.jwksURI !== undefined && keySetAddress(keys.jwksURI) === undefined)
    yield {
      path: ['keys', 'jwksURI'],
      message: 'is no address of https or http without user, password and fragment; the keys are fetched from there',
    }
  for (const [i, algorithm] of (algorithms ?? []).entries())
    if (algorithm.startsWith('HS') !== (keys.sharedSecretName !== undefined))
      yield {
        path: ['algorithms', i],
        message: algorithm.startsWith('HS')
          ? `${algorithm} goes with sharedSecretName alone: with public keys everybody could make tokens`
          : `${algorithm} cannot be verified with a shared key; write HS256, or name a public key`,
      }
  const taken = new Set((from ?? []).flatMap(({ header }) => (header === undefined ? [] : [looseName(header)])))
  for (const [i, { claim, header }] of (claimsToHeaders ?? []).entries()) {
    const problem = checkFieldName(header.toLowerCase())
    if (problem !== undefined) yield { path: ['claimsToHeaders', i, 'header'], message: problem }
    if (/[{}]/.test(claim))
      yield { path: ['claimsToHeaders', i, 'claim'], message: 'is no path of a claim: names with dots between them' }
    if (taken.has(looseName(header)))
      yield { path: ['claimsToHeaders', i, 'header'], message: 'is the header of a token or of another claim' }
    taken.add(looseName(header))
  }
}

/** @param value may not have been validated */
export function* jwtReferences(value: unknown): Generator<PolicyReference> {
  const { keys: given, issuer } = fieldsOf(value)
  const keys = fieldsOf(given)
  for (const [field, { type, key }] of Object.entries(KEY_SECRETS)) {
    const name = keys[field]
    if (typeof name === 'string') yield { path: ['keys', field], kind: 'Secret', name, key, type }
  }
  const url = keySetAddress(keys.jwksURI)
  if (url === undefined || typeof issuer !== 'string') return
  const type = issuerOf(url, issuer)
  yield { path: ['keys', 'jwksURI'], kind: KEY_SET, name: url, ...(type === undefined ? {} : { type }) }
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** What metadata must say; a key set alone does not say whose it is. */
function issuerOf(url: string, issuer: string): string | undefined {
  return isMetadataAddress(url) ? issuer : undefined
}

export function planJwt(jwt: JwtValue, namespace: string | undefined): JwtPlan {
  const { issuer, audiences, keys, claimsToHeaders = [], keepToken = false, clockSkew = DEFAULT_SKEW } = jwt
  const shared = keys.sharedSecretName !== undefined
  return {
    issuer,
    audiences,
    algorithms: jwt.algorithms ?? (shared ? ['HS256'] : DEFAULT_ALGORITHMS),
    keys: keySource(jwt, namespace),
    from: (jwt.from ?? DEFAULT_FROM).map(inLowerCase),
    claimsToHeaders: claimsToHeaders.map(({ claim, header }) => ({
      claim,
      header: header.toLowerCase(),
    })),
    keepToken,
    clockSkew: parseDuration(clockSkew),
  }
}

function keySource({ keys, issuer }: JwtValue, namespace: string | undefined): KeySource {
  const url = keySetAddress(keys.jwksURI)
  if (url !== undefined)
    return { form: 'KeySet', content: keySetContent(url, issuerOf(url, issuer), namespace ?? ''), url }
  const signers = keys[ISSUER_SECRET]
  if (signers !== undefined && namespace !== undefined) {
    const { type, all } = SIGNING_KEYS_SECRET
    return { form: 'SigningKeys', content: contentId({ kind: 'Secret', namespace, name: signers, key: all, type }) }
  }
  const [field, secret] = Object.entries(KEY_SECRETS).find(([name]) => keys[name] !== undefined) ?? []
  if (field === undefined || secret === undefined || namespace === undefined)
    throw new TypeError('keys of tokens stand in a Secret of a namespace')
  const { form, type, key } = secret
  return { form, content: contentId({ kind: 'Secret', namespace, name: keys[field]!, key, type }) }
}
