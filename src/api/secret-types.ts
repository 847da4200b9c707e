/** Types of Secrets: a Secret is used for what its type says, and for nothing else (security.md). */

export const TLS_SECRET = 'kubernetes.io/tls'
/** A CA bundle: PEM under {@link CA_KEY}. */
export const CA_SECRET = 'headgate.dev/ca'
export const CA_KEY = 'ca.crt'
