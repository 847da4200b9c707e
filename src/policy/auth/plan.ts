/** What a worker gets of `auth`. */
import type { CredentialPlace } from './credential.ts'
import type { OidcPlan } from './oidc/plan.ts'

export interface AuthPlan {
  /** Whose credentials: caches of what was verified are theirs. */
  readonly owner: string
  readonly methods: readonly MethodPlan[]
  /** A request without any credential passes. */
  readonly anonymous: boolean
}

/** One of them. */
export type MethodPlan =
  | { readonly jwt: JwtPlan }
  | { readonly apiKey: ApiKeyPlan }
  | { readonly oidc: OidcPlan }
  | { readonly clientCertificate: ClientCertificatePlan }
  | { readonly external: ExternalPlan }
  | { readonly basic: BasicPlan }

export type CertificateField = 'Subject' | 'SubjectAltName' | 'Fingerprint'

export interface ClientCertificatePlan {
  /** Names in lower case. */
  readonly toHeaders: readonly { readonly field: CertificateField; readonly header: string }[]
}

/** Names of headers in lower case. */
export interface ExternalPlan {
  /** Id of the Backend. */
  readonly backend: string
  /** Namespace of who asks, which the Backend must allow; undefined: of nobody who needs permission. */
  readonly from: string | undefined
  readonly protocol: 'HTTP' | 'GRPC'
  readonly path: string
  readonly requestHeaders: readonly string[]
  readonly responseHeaders: readonly string[]
  readonly clientHeaders: readonly string[]
  readonly signIn?: SignInPlan
  /** Milliseconds. */
  readonly timeout: number
  readonly failOpen: boolean
  readonly cache?: {
    /** Milliseconds. */
    readonly ttl: number
    /** Selectors. */
    readonly by: readonly string[]
  }
}

export interface SignInPlan {
  readonly url: string
  readonly returnParam?: string
}

/** Fields by which a method tells the backend who the client is: no rule to that backend takes them from a client. */
export function identityFieldsOf(method: MethodPlan): readonly string[] {
  if ('jwt' in method) return method.jwt.claimsToHeaders.map(({ header }) => header)
  if ('clientCertificate' in method) return method.clientCertificate.toHeaders.map(({ header }) => header)
  if ('external' in method) return method.external.responseHeaders
  if ('apiKey' in method || 'basic' in method || 'oidc' in method) return []
  return method satisfies never
}

export interface BasicPlan {
  /** See {@link contentId}. */
  readonly content: string
  /** Shown to the user; undefined: the host. */
  readonly realm?: string
}

export interface ApiKeyPlan {
  /** See {@link contentId}. */
  readonly content: string
  readonly from: readonly CredentialPlace[]
}

export interface JwtPlan {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  readonly keys: KeySource
  readonly from: readonly CredentialPlace[]
  readonly claimsToHeaders: readonly { readonly claim: string; readonly header: string }[]
  readonly keepToken: boolean
  /** Milliseconds. */
  readonly clockSkew: number
}

/** `SigningKeys`: those of an issuer here, of which the public halves are used. */
export type KeyForm = 'PublicKeys' | 'SharedSecret' | 'KeySet' | 'SigningKeys'

export interface KeySource {
  readonly form: KeyForm
  /** See {@link contentId}. */
  readonly content: string
  /** Of a set that is fetched: newer keys can be asked for. */
  readonly url?: string
}
