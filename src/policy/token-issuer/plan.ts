/** What a worker gets of `tokenIssuer`, and the object in a Route that it is made of. */
import { parseDuration } from '../../lib/quantity.ts'
import { contentId } from '../contents.ts'
import { OAUTH_CLIENTS_SECRET, SIGNING_KEYS_SECRET } from '../secret-types.ts'

/** As it stands in a rule. */
export interface TokenIssuer {
  readonly issuer: string
  readonly signingKeySecretName: string
  readonly clientsSecretName: string
  readonly accessTokenTTL: string
  readonly refreshTokenTTL: string
  readonly store?: GrantStoreName
}

/** Where families of refresh tokens are kept. */
export type GrantStoreName = 'Redis' | 'Embedded'

export interface TokenIssuerPlan {
  /** Of the Route: records of another one are not found. */
  readonly namespace: string
  readonly issuer: string
  /** See {@link contentId}. */
  readonly signingKeys: string
  readonly clients: string
  /** Milliseconds. */
  readonly accessTokenTTL: number
  readonly refreshTokenTTL: number
  /** Absent: as the installation has it. */
  readonly store?: GrantStoreName
}

/** The Secrets, by the field that names each. */
export const ISSUER_SECRETS = {
  signingKeySecretName: SIGNING_KEYS_SECRET,
  clientsSecretName: OAUTH_CLIENTS_SECRET,
} as const

/** Where the metadata of an issuer are (RFC 8414 §3.1): its own path stands behind that of all. */
export function metadataPathOf(issuer: string): string {
  const { pathname } = new URL(issuer)
  return `/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname.replace(/\/$/, '')}`
}

export function planTokenIssuer(stated: TokenIssuer, namespace: string): TokenIssuerPlan {
  const { issuer, signingKeySecretName, clientsSecretName, accessTokenTTL, refreshTokenTTL, store } = stated
  const content = (name: string, { type, all }: { readonly type: string; readonly all: string }) =>
    contentId({ kind: 'Secret', namespace, name, key: all, type })
  return {
    namespace,
    issuer,
    signingKeys: content(signingKeySecretName, ISSUER_SECRETS.signingKeySecretName),
    clients: content(clientsSecretName, ISSUER_SECRETS.clientsSecretName),
    accessTokenTTL: parseDuration(accessTokenTTL),
    refreshTokenTTL: parseDuration(refreshTokenTTL),
    ...(store === undefined ? {} : { store }),
  }
}
