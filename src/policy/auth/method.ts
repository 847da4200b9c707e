/** One way to tell who a client is: where its credential is, and whether it is good. */
import type { Milliseconds } from '../../lib/clock.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { Exchange } from '../exchange.ts'
import type { CredentialPlace } from './credential.ts'
import type { CredentialLease, LeaseState } from './lease.ts'

/** Name in lower case, and value. */
export type Field = readonly [name: string, value: string]

export interface Identity {
  /** How long it is good; absent: as long as the request that came with it. */
  readonly lease?: CredentialLease
  readonly claims: Readonly<Record<string, unknown>>
  /** Who the credential belongs to, where the gateway has a name for that. */
  readonly consumer?: string
  /** Browsers attach the credential by themselves, wherever it stands. */
  readonly ambient?: boolean
  /** What the backend gets besides claims; names are among `states` of the method. */
  readonly requestFields?: readonly Field[]
  /** What the backend does not get, in lower case. */
  readonly removedFields?: readonly string[]
  /** For the access log: why it passed, where that is not to be expected. */
  readonly note?: string
  /** What the client gets with the response, whoever gives it. */
  readonly responseFields?: readonly Field[]
}

/**
 * `unavailable`: it cannot be judged, since keys are missing. `limited`: too many were wrong. `detail`: why, for the
 * access log alone.
 */
export type Fault =
  | { readonly fault: 'invalid' | 'expired' | 'unavailable'; readonly detail?: string }
  | { readonly fault: 'limited'; readonly retryAfter: Milliseconds; readonly detail?: string }

/** A response: the method itself says what the client gets, which has not been let pass. */
export type Judgement = Identity | Fault | { readonly response: LocalResponse }

export interface AuthMethod {
  readonly from: readonly CredentialPlace[]
  /** The credential goes on to the backend. */
  readonly kept: boolean
  readonly claimsToHeaders: readonly { readonly claim: string; readonly header: string }[]
  /** Other fields that the backend takes from this method alone, see {@link looseName}. */
  readonly states?: readonly string[]
  /** Its identities may have `responseFields`. */
  readonly answers?: boolean
  /** Those of `states` that it also reads as the client has sent them: they are removed behind its judgement. */
  readonly reads?: readonly string[]
  /** Of the challenge (RFC 9110 §11.6.1); undefined: the method answers who has no credential. */
  readonly scheme: string | undefined
  /** Instead of the host. */
  readonly realm?: string | undefined
  /** What stands behind the realm in the challenge. */
  readonly parameters?: string
  /** For people: `a token of https://id.example/ for shop`. */
  readonly wants: string
  /** Where several methods read one place: whether this one is meant. */
  claims(text: string): boolean
  /** A promise only where something has to be waited for. */
  judge(text: string, x: Exchange): Judgement | Promise<Judgement>
  /** Of a method whose credential is no text of the request. @returns undefined: it is not there */
  judgeExchange?(x: Exchange): Judgement | Promise<Judgement> | undefined
  /** Requests to paths of its own, before any credential is looked for. @returns undefined: it is none of them */
  serve?(x: Exchange): LocalResponse | Promise<LocalResponse> | undefined
  /** For a request without any credential. @returns undefined: it is refused by the challenge alone */
  begin?(x: Exchange): LocalResponse | Promise<LocalResponse> | undefined
  /** Its credential is in cookies of sessions: see `takeSessionCookies`. */
  readonly sessions?: boolean
}

/** Of a credential that is judged anew: what it says now. @param left where it is good */
export function leaseAfter(judgement: Judgement, left: () => LeaseState): LeaseState {
  if ('response' in judgement) return 'CredentialInvalid'
  if (!('fault' in judgement)) return left()
  if (judgement.fault === 'unavailable') return 'AuthUnavailable'
  return judgement.fault === 'expired' ? 'CredentialExpired' : 'CredentialInvalid'
}
