/** One way to tell who a client is: where its credential is, and whether it is good. */
import type { CredentialPlace } from './credential.ts'

export interface Identity {
  readonly claims: Readonly<Record<string, unknown>>
  /** Who the credential belongs to, where the gateway has a name for that. */
  readonly consumer?: string
}

/** `unavailable`: it cannot be judged, since keys are missing. `detail`: why, for the access log alone. */
export type Judgement = Identity | { readonly fault: 'invalid' | 'expired' | 'unavailable'; readonly detail?: string }

export interface AuthMethod {
  readonly from: readonly CredentialPlace[]
  /** The credential goes on to the backend. */
  readonly kept: boolean
  readonly claimsToHeaders: readonly { readonly claim: string; readonly header: string }[]
  /** Of the challenge (RFC 9110 §11.6.1). */
  readonly scheme: string
  /** For people: `a token of https://id.example/ for shop`. */
  readonly wants: string
  /** Where several methods read one place: whether this one is meant. */
  claims(text: string): boolean
  /** A promise only where something has to be waited for. */
  judge(text: string): Judgement | Promise<Judgement>
}
