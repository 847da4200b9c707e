/**
 * Secrets of TLS and of tokens: the type that each must have, and the keys that are read of it. A Secret of another
 * type is never used, so whoever may write a Route cannot have other Secrets of the namespace sent anywhere.
 */

/** As cert-manager and `kubectl create secret tls` make it. */
export const TLS_SECRET = {
  type: 'kubernetes.io/tls',
  /** PEM chain, leaf first. */
  certificate: 'tls.crt',
  /** PEM private key. */
  key: 'tls.key',
  /** DER response of the issuer's OCSP responder; optional. */
  ocsp: 'tls.ocsp-staple',
} as const

/** PEM bundle of certificate authorities. */
export const CA_SECRET = { type: 'headgate.dev/ca', key: 'ca.crt' } as const

/** PEM bundle of revocation lists. */
export const CRL_SECRET = { type: 'headgate.dev/crl', key: 'ca.crl' } as const

/** At least 32 random bytes, from which replicas derive the keys of their session tickets. */
export const TICKET_KEY_SECRET = { type: 'headgate.dev/session-ticket-key', key: 'key' } as const

/** Keys that verify tokens: public keys in PEM, or a secret that the issuer shares. */
export const JWT_KEY_SECRET = { type: 'headgate.dev/jwt-key', publicKey: 'public.pem', secret: 'secret' } as const

/** A JSON Web Key Set (RFC 7517) of public keys. */
export const JWKS_SECRET = { type: 'headgate.dev/jwks', key: 'jwks.json' } as const

/** Digests of API keys; each key of the data is a consumer, and all of them are one content. */
export const API_KEYS_SECRET = { type: 'headgate.dev/api-keys', all: '*' } as const

/** How Redis lets us in; the keys of Sentinel are for those that have a password of their own. */
export const REDIS_SECRET = {
  type: 'headgate.dev/redis',
  username: 'username',
  password: 'password',
  sentinelUsername: 'sentinel-username',
  sentinelPassword: 'sentinel-password',
} as const
/** Private keys that sign tokens; each key of the data is one of them, and all of them are one content. */
export const SIGNING_KEYS_SECRET = { type: 'headgate.dev/signing-keys', all: '*' } as const

/** Clients of a token issuer; each key of the data is a client id, and all of them are one content. */
export const OAUTH_CLIENTS_SECRET = { type: 'headgate.dev/oauth-clients', all: '*' } as const

/** Users and hashes of their passwords, as htpasswd writes them. */
export const HTPASSWD_SECRET = { type: 'headgate.dev/htpasswd', key: 'htpasswd' } as const
/** The client that the gateway is at an OpenID provider. Workers get what a browser may know of it, as one content. */
export const OIDC_CLIENT_SECRET = {
  type: 'headgate.dev/oidc-client',
  issuer: 'issuer',
  clientID: 'clientID',
  clientSecret: 'clientSecret',
  /** Optional: keys of sessions are derived from it instead of from the client's secret. */
  cookieSecret: 'cookieSecret',
  /** What workers get. */
  all: '*',
} as const

/** What is read of a Secret of each type, and no other key of it. */
const KEYS: Readonly<Record<string, { readonly required: readonly string[]; readonly optional: readonly string[] }>> = {
  [TLS_SECRET.type]: { required: [TLS_SECRET.certificate, TLS_SECRET.key], optional: [TLS_SECRET.ocsp] },
  [CA_SECRET.type]: { required: [CA_SECRET.key], optional: [] },
  [CRL_SECRET.type]: { required: [CRL_SECRET.key], optional: [] },
  [TICKET_KEY_SECRET.type]: { required: [TICKET_KEY_SECRET.key], optional: [] },
  [JWT_KEY_SECRET.type]: { required: [], optional: [JWT_KEY_SECRET.publicKey, JWT_KEY_SECRET.secret] },
  [JWKS_SECRET.type]: { required: [JWKS_SECRET.key], optional: [] },
  [HTPASSWD_SECRET.type]: { required: [HTPASSWD_SECRET.key], optional: [] },
  [API_KEYS_SECRET.type]: { required: [], optional: [API_KEYS_SECRET.all] },
  [REDIS_SECRET.type]: {
    required: [REDIS_SECRET.password],
    optional: [REDIS_SECRET.username, REDIS_SECRET.sentinelUsername, REDIS_SECRET.sentinelPassword],
  },
  [SIGNING_KEYS_SECRET.type]: { required: [], optional: [SIGNING_KEYS_SECRET.all] },
  [OAUTH_CLIENTS_SECRET.type]: { required: [], optional: [OAUTH_CLIENTS_SECRET.all] },
  [OIDC_CLIENT_SECRET.type]: {
    required: [OIDC_CLIENT_SECRET.issuer, OIDC_CLIENT_SECRET.clientID, OIDC_CLIENT_SECRET.clientSecret],
    optional: [OIDC_CLIENT_SECRET.cookieSecret, OIDC_CLIENT_SECRET.all],
  },
}

/** Undefined for a type that is not one of these. */
export function secretKeysOf(type: string | undefined) {
  return type !== undefined && Object.hasOwn(KEYS, type) ? KEYS[type] : undefined
}

/** Of a Secret: the namespaces besides its own that may use it, with commas between them. */
export const SHARED_WITH = 'headgate.dev/shared-with'
