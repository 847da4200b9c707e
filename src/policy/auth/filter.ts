/**
 * `auth`: lets a request pass whose credential is good, and hands on who it belongs to. It answers 401 without saying
 * more than a client needs (RFC 6750 §3), and 503 where it cannot judge: nothing passes by omission.
 */
import { readTokenHead, type TokenHead } from '../../auth/compact-token.ts'
import type { VerifiedToken } from '../../auth/jwt-verifier.ts'
import type { Reason } from '../../lib/reason.ts'
import { AMBIENT_CREDENTIAL, CLAIMS } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { compileTemplate, type Template } from '../variables.ts'
import { type CredentialPlace, findCredential, removeCredentials, samePlace } from './credential.ts'
import { type Judgement, JwtMethod } from './jwt.ts'
import type { AuthPlan, JwtPlan } from './plan.ts'

interface Identity {
  readonly header: string
  readonly value: Template
}

interface Method {
  readonly jwt: JwtMethod
  readonly plan: JwtPlan
  readonly identities: readonly Identity[]
}

/** A token where it was found, and the method that judges it. */
interface Presented {
  readonly method: Method
  readonly text: string
  readonly place: CredentialPlace
  readonly head: TokenHead
}

class Authentication {
  readonly #anonymous: boolean
  readonly #methods: readonly Method[]
  /** Where any of the methods looks. */
  readonly #places: readonly CredentialPlace[]
  /** Fields that a backend takes for true: never as a client sent them. */
  readonly #claimed: readonly string[]

  constructor({ owner, methods, anonymous }: AuthPlan, services: FilterServices) {
    this.#anonymous = anonymous
    this.#methods = methods.map(({ jwt: plan }) => ({
      jwt: new JwtMethod(plan, owner, services),
      plan,
      identities: plan.claimsToHeaders.map(({ claim, header }) => ({
        header,
        value: compileTemplate(`%{claim:${claim}}`, 'request'),
      })),
    }))
    const places: CredentialPlace[] = []
    for (const place of this.#methods.flatMap(({ plan }) => plan.from))
      if (!places.some((one) => samePlace(one, place))) places.push(place)
    this.#places = places
    this.#claimed = this.#methods.flatMap(({ identities }) =>
      identities.map(({ header }) => header.replaceAll('_', '-')),
    )
  }

  onRequest(x: Exchange): RequestDecision | Promise<RequestDecision> {
    for (const name of this.#claimed) x.request.removeLoosely(name)
    const presented = this.#presented(x)
    if (presented === undefined || 'type' in presented) return presented
    const judgement = presented.method.jwt.judge(presented.text, presented.head)
    if (judgement instanceof Promise) return judgement.then((late) => this.#decide(x, presented, late))
    return this.#decide(x, presented, judgement)
  }

  #presented(x: Exchange): Presented | RequestDecision {
    const found = findCredential(x, this.#places)
    if (found === 'several') return refuse(x, 'CredentialAmbiguous', 'invalid_request')
    if (found === undefined) return this.#anonymous ? undefined : refuse(x, 'CredentialMissing', '')
    const { text, place } = found
    const head = readTokenHead(text)
    if (head === undefined) return refuse(x, 'CredentialInvalid', 'invalid_token')
    const here = this.#methods.filter(({ plan }) => plan.from.some((one) => samePlace(one, place)))
    // Of several issuers in one place it is the one that the token names, which then has to prove it.
    const method = here.length === 1 ? here[0] : here.find(({ plan }) => plan.issuer === head.issuer)
    return method === undefined ? refuse(x, 'CredentialInvalid', 'invalid_token') : { method, text, place, head }
  }

  #decide(x: Exchange, presented: Presented, judgement: Judgement): RequestDecision {
    if (!('fault' in judgement)) return this.#accept(x, presented, judgement)
    if (judgement.fault === 'no-keys') return refuse(x, 'AuthUnavailable', '')
    return refuse(x, judgement.fault === 'expired' ? 'CredentialExpired' : 'CredentialInvalid', 'invalid_token')
  }

  #accept(x: Exchange, { method, place }: Presented, { claims }: VerifiedToken): undefined {
    x.set(CLAIMS, claims)
    if (place.cookie !== undefined) x.set(AMBIENT_CREDENTIAL, true)
    for (const one of this.#places) if (!method.plan.keepToken || one !== place) removeCredentials(x, one)
    for (const { header, value } of method.identities) {
      const text = value.render(x, null)
      if (text !== '') x.request.add(header, text)
    }
    return undefined
  }
}

export function authFilter(plan: AuthPlan, services: FilterServices): Filter {
  const authentication = new Authentication(plan, services)
  const effect = describe(plan)
  return {
    name: 'auth',
    onRequest: (x) => authentication.onRequest(x),
    explain: () => ({ filter: 'auth', effect }),
  }
}

/** @param error of RFC 6750 §3.1; empty: the client has not tried yet, or it is not its fault */
function refuse(x: Exchange, reason: Reason, error: '' | 'invalid_request' | 'invalid_token'): RequestDecision {
  const response = problemResponse(reason, x)
  // A host in normal form has no character that would have to be escaped.
  if (reason !== 'AuthUnavailable')
    response.fields.add('www-authenticate', `Bearer realm="${x.host}"${error === '' ? '' : `, error="${error}"`}`)
  return { type: 'respond', response }
}

function describe({ methods, anonymous }: AuthPlan): string {
  const issuers = methods.map(({ jwt }) => `a token of ${jwt.issuer} for ${jwt.audiences.join(' or ')}`)
  return `wants ${[...issuers, ...(anonymous ? ['no credential'] : [])].join(', or ')}`
}
