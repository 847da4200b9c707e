/**
 * `auth`: lets a request pass whose credential is good, and hands on who it belongs to. It answers 401 without saying
 * more than a client needs (RFC 6750 §3), and 503 where it cannot judge: nothing passes by omission.
 */
import type { Reason } from '../../lib/reason.ts'
import { looseName } from '../../message/fields.ts'
import { AMBIENT_CREDENTIAL, CLAIMS, CONSUMER } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { compileTemplate, type Template } from '../variables.ts'
import { ApiKeyMethod } from './api-key.ts'
import {
  type CredentialPlace,
  type FoundCredential,
  findCredential,
  keepCredential,
  removeCredentials,
  samePlace,
} from './credential.ts'
import { JwtMethod } from './jwt.ts'
import type { AuthMethod, Identity, Judgement } from './method.ts'
import type { AuthPlan, MethodPlan } from './plan.ts'

interface IdentityHeader {
  readonly name: string
  readonly value: Template
}

interface Method {
  readonly auth: AuthMethod
  readonly headers: readonly IdentityHeader[]
}

type ChallengeError = '' | 'invalid_request' | 'invalid_token'

class Authentication {
  readonly #anonymous: boolean
  readonly #methods: readonly Method[]
  /** Where any of the methods looks. */
  readonly #places: readonly CredentialPlace[]
  /** Fields that a backend takes for true: never as a client sent them. */
  readonly #claimed: readonly string[]
  /** Of the challenge; one for each scheme. */
  readonly #schemes: readonly string[]

  constructor({ owner, methods, anonymous }: AuthPlan, services: FilterServices) {
    this.#anonymous = anonymous
    this.#methods = methods.map((plan) => methodOf(plan, owner, services))
    const places: CredentialPlace[] = []
    for (const place of this.#methods.flatMap(({ auth }) => auth.from))
      if (!places.some((one) => samePlace(one, place))) places.push(place)
    this.#places = places
    this.#claimed = this.#methods.flatMap(({ headers }) => headers.map(({ name }) => looseName(name)))
    this.#schemes = [...new Set(this.#methods.map(({ auth }) => auth.scheme))]
  }

  /** Identities, and where credentials are: a key in trailers is not verified, and not handed on. */
  get fields(): readonly string[] {
    const credentials = this.#places.flatMap(({ header }) => (header === undefined ? [] : [looseName(header)]))
    return [...this.#claimed, ...credentials]
  }

  get effect(): string {
    const wanted = this.#methods.map(({ auth }) => auth.wants)
    return `wants ${[...wanted, ...(this.#anonymous ? ['no credential'] : [])].join(', or ')}`
  }

  onRequest(x: Exchange): RequestDecision | Promise<RequestDecision> {
    for (const name of this.#claimed) x.request.removeLoosely(name)
    const found = findCredential(x, this.#places)
    if (found === 'several') return this.#refuse(x, 'CredentialAmbiguous', 'invalid_request')
    if (found === undefined) return this.#anonymous ? undefined : this.#refuse(x, 'CredentialMissing', '')
    const { text, place } = found
    const method = this.#methodFor(text, place)
    if (method === undefined) return this.#refuse(x, 'CredentialInvalid', 'invalid_token', 'iss is of no method')
    const judgement = method.auth.judge(text)
    if (judgement instanceof Promise) return judgement.then((late) => this.#decide(x, method, found, late))
    return this.#decide(x, method, found, judgement)
  }

  /** Of several that read one place it is the one that the credential names, which then has to prove it. */
  #methodFor(text: string, place: CredentialPlace): Method | undefined {
    const here = this.#methods.filter(({ auth }) => auth.from.some((one) => samePlace(one, place)))
    return here.length === 1 ? here[0] : here.find(({ auth }) => auth.claims(text))
  }

  #decide(x: Exchange, method: Method, found: FoundCredential, judgement: Judgement): RequestDecision {
    if (!('fault' in judgement)) return this.#accept(x, method, found, judgement)
    const { fault, detail } = judgement
    if (fault === 'unavailable') return this.#refuse(x, 'AuthUnavailable', '', detail)
    return this.#refuse(x, fault === 'expired' ? 'CredentialExpired' : 'CredentialInvalid', 'invalid_token', detail)
  }

  #accept(x: Exchange, { auth, headers }: Method, found: FoundCredential, { claims, consumer }: Identity): undefined {
    const { place } = found
    x.set(CLAIMS, claims)
    if (consumer !== undefined) x.set(CONSUMER, consumer)
    if (place.cookie !== undefined) x.set(AMBIENT_CREDENTIAL, true)
    for (const one of this.#places)
      if (auth.kept && one === place) keepCredential(x, found)
      else removeCredentials(x, one)
    for (const { name, value } of headers) {
      const text = value.render(x, null)
      if (text !== '') x.request.add(name, text)
    }
    return undefined
  }

  /** @param error of RFC 6750 §3.1; empty: the client has not tried yet, or it is not its fault */
  #refuse(x: Exchange, reason: Reason, error: ChallengeError, detail?: string): RequestDecision {
    const response = problemResponse(reason, x)
    if (reason !== 'AuthUnavailable')
      for (const scheme of this.#schemes) {
        const said = error === '' || scheme !== 'Bearer' ? '' : `, error="${error}"`
        // A host in normal form has no character that would have to be escaped.
        response.fields.add('www-authenticate', `${scheme} realm="${x.host}"${said}`)
      }
    return { type: 'respond', response: detail === undefined ? response : { ...response, detail } }
  }
}

function methodOf(plan: MethodPlan, owner: string, services: FilterServices): Method {
  const auth: AuthMethod =
    'jwt' in plan ? new JwtMethod(plan.jwt, owner, services) : new ApiKeyMethod(plan.apiKey, services)
  const headers = auth.claimsToHeaders.map(({ claim, header }) => ({
    name: header,
    value: compileTemplate(`%{claim:${claim}}`, 'request'),
  }))
  return { auth, headers }
}

export function authFilter(plan: AuthPlan, services: FilterServices): Filter {
  const authentication = new Authentication(plan, services)
  const { effect } = authentication
  return {
    name: 'auth',
    requestFields: authentication.fields,
    onRequest: (x) => authentication.onRequest(x),
    explain: () => ({ filter: 'auth', effect }),
  }
}
