/**
 * Secrets of TLS: the type that each must have, and the keys that are read of it. A Secret of another type is never
 * used, so whoever may write a Route cannot have other Secrets of the namespace sent anywhere.
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
