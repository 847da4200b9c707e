/**
 * `auth`: lets a request pass whose credential is good, and hands on who it belongs to. It answers 401 without saying
 * more than a client needs (RFC 6750 §3), and 503 where it cannot judge: nothing passes by omission.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { Reason } from '../../lib/reason.ts'
import { type Fields, looseName } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { CredentialNames } from '../../pattern/concealed.ts'
import { AMBIENT_CREDENTIAL, attribute, CLAIMS, CONSUMER, KEPT_FIELD, NOTE } from '../attribute.ts'
import { ASSUMED_CREDENTIAL, type DryRun } from '../dry-run.ts'
import type { DryExchange, Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { compileTemplate, type Template } from '../variables.ts'
import { ApiKeyMethod } from './api-key.ts'
import { BasicMethod } from './basic.ts'
import { ClientCertificateMethod } from './client-certificate.ts'
import {
  type CredentialPlace,
  type FoundCredential,
  findCredential,
  keepCredential,
  removeCredentials,
  type SearchedPlace,
  samePlace,
  searchedPlace,
} from './credential.ts'
import { ExternalMethod } from './external.ts'
import { JwtMethod } from './jwt.ts'
import { LEASE } from './lease.ts'
import type { AuthMethod, Fault, Field, Identity, Judgement } from './method.ts'
import { OidcMethod } from './oidc/oidc.ts'
import type { AuthPlan, MethodPlan } from './plan.ts'

interface IdentityHeader {
  readonly name: string
  readonly value: Template
}

interface Method {
  readonly auth: AuthMethod
  readonly headers: readonly IdentityHeader[]
}

/** What the client gets with its response. */
const RESPONSE_FIELDS = attribute<readonly Field[]>('response fields of auth')

type ChallengeError = '' | 'invalid_request' | 'invalid_token'

class Authentication {
  readonly #anonymous: boolean
  readonly #methods: readonly Method[]
  /** Where any of the methods looks. */
  readonly #places: readonly SearchedPlace[]
  /** Those that look in each of them. */
  readonly #readers: ReadonlyMap<CredentialPlace, readonly Method[]>
  /** Fields that a backend takes for true: never as a client sent them. */
  readonly #claimed: readonly string[]
  /** Of those, what a method reads first: removed before the request passes. */
  readonly #readFirst: readonly string[]
  /** Those whose credential is no text of the request. */
  readonly #beside: readonly Method[]
  /** Those at which a browser signs in. */
  readonly #signIns: readonly Method[]
  /** Of the challenge; one for each scheme. */
  readonly #challengers: readonly AuthMethod[]

  constructor({ owner, methods, anonymous }: AuthPlan, services: FilterServices) {
    this.#anonymous = anonymous
    this.#methods = methods.map((plan) => methodOf(plan, owner, services))
    const places: CredentialPlace[] = []
    for (const place of this.#methods.flatMap(({ auth }) => auth.from))
      if (!places.some((one) => samePlace(one, place))) places.push(place)
    this.#places = places.map(searchedPlace)
    this.#readers = new Map(
      this.#places.map((place) => [place, this.#methods.filter(({ auth }) => reads(auth, place))]),
    )
    this.#readFirst = this.#methods.flatMap(({ auth }) => auth.reads ?? [])
    this.#claimed = this.#methods
      .flatMap(({ auth, headers }) => [...headers.map(({ name }) => looseName(name)), ...(auth.states ?? [])])
      .filter((name) => !this.#readFirst.includes(name))
    this.#beside = this.#methods.filter(({ auth }) => auth.judgeExchange !== undefined)
    this.#signIns = this.#methods.filter(({ auth }) => auth.serve !== undefined)
    const schemes = new Map(this.#methods.toReversed().map(({ auth }) => [auth.scheme, auth]))
    schemes.delete(undefined)
    this.#challengers = [...schemes.values()].reverse()
  }

  /** Identities, and where credentials are: a key in trailers is not verified, and not handed on. */
  get fields(): readonly string[] {
    const credentials = this.#places.flatMap(({ header }) => (header === undefined ? [] : [looseName(header)]))
    return [...this.#claimed, ...this.#readFirst, ...credentials]
  }

  /** Where credentials are. */
  get names(): CredentialNames {
    const headers = this.#places.flatMap(({ header }) => (header === undefined ? [] : [header]))
    const parameters = this.#places.flatMap(({ query }) => (query === undefined ? [] : [query]))
    return { headers: new Set(headers), parameters: new Set(parameters) }
  }

  get effect(): string {
    const wanted = this.#methods.map(({ auth }) => auth.wants)
    return `wants ${[...wanted, ...(this.#anonymous ? ['no credential'] : [])].join(', or ')}`
  }

  onRequest(x: Exchange): RequestDecision | Promise<RequestDecision> {
    for (const name of this.#claimed) x.request.removeLoosely(name)
    const served = this.#ask('serve', x)
    if (served !== undefined) return served
    const found = findCredential(x, this.#places)
    if (found === 'several') return this.#refuse(x, 'CredentialAmbiguous', 'invalid_request')
    for (const method of this.#beside) {
      if (found !== undefined && this.#rankOf(found.place) < this.#methods.indexOf(method)) break
      const judgement = method.auth.judgeExchange!(x)
      if (judgement !== undefined) return this.#await(x, method, undefined, judgement)
    }
    if (found === undefined)
      return this.#anonymous ? this.#pass(x) : (this.#ask('begin', x) ?? this.#refuse(x, 'CredentialMissing', ''))
    const { text, place } = found
    const method = this.#methodFor(text, place)
    if (method === undefined) return this.#refuse(x, 'CredentialInvalid', 'invalid_token', 'iss is of no method')
    return this.#await(x, method, found, method.auth.judge(text, x))
  }

  /** As a request that passes: its credential is neither verified nor known. */
  rehearse(x: DryRun): void {
    for (const name of this.#claimed) x.request.removeLoosely(name)
    this.#pass(x)
    const found = findCredential(x, this.#places)
    if (found === undefined && this.#anonymous) return
    const kept = found !== undefined && found !== 'several' && this.#readers.get(found.place)!.some(keeps)
    if (!kept) for (const place of this.#places) removeCredentials(x, place, true)
    x.set(CLAIMS, {})
    x.set(ASSUMED_CREDENTIAL, { states: new Set(this.#claimed), places: this.names })
  }

  /** What the first method answers that has something to say. */
  #ask(what: 'serve' | 'begin', x: Exchange): RequestDecision | Promise<RequestDecision> {
    for (const { auth } of this.#signIns) {
      const response = auth[what]?.(x)
      if (response instanceof Promise) return response.then((late) => ({ type: 'respond', response: late }))
      if (response !== undefined) return { type: 'respond', response }
    }
    return undefined
  }

  /** The first whose credential is present decides: the position of the first that looks there. */
  #rankOf(place: CredentialPlace): number {
    return this.#methods.findIndex(({ auth }) => reads(auth, place))
  }

  #await(
    x: Exchange,
    method: Method,
    found: FoundCredential | undefined,
    judgement: Judgement | Promise<Judgement>,
  ): RequestDecision | Promise<RequestDecision> {
    if (judgement instanceof Promise) return judgement.then((late) => this.#decide(x, method, found, late))
    return this.#decide(x, method, found, judgement)
  }

  /** Of several that read one place it is the one that the credential names, which then has to prove it. */
  #methodFor(text: string, place: CredentialPlace): Method | undefined {
    const here = this.#readers.get(place)!
    return here.length === 1 ? here[0] : here.find(({ auth }) => auth.claims(text))
  }

  #decide(x: Exchange, method: Method, found: FoundCredential | undefined, judgement: Judgement): RequestDecision {
    if ('response' in judgement) return { type: 'respond', response: judgement.response }
    return 'fault' in judgement ? this.#refuseFor(x, judgement) : this.#accept(x, method, found, judgement)
  }

  #refuseFor(x: Exchange, judgement: Fault): RequestDecision {
    const { fault, detail } = judgement
    switch (fault) {
      case 'unavailable':
        return this.#refuse(x, 'AuthUnavailable', '', detail)
      case 'limited':
        return refusal(limited(x, judgement.retryAfter), detail)
      case 'expired':
        return this.#refuse(x, 'CredentialExpired', 'invalid_token', detail)
      default:
        return this.#refuse(x, 'CredentialInvalid', 'invalid_token', detail)
    }
  }

  #pass(x: DryExchange): undefined {
    for (const name of this.#readFirst) x.request.removeLoosely(name)
  }

  #accept(x: Exchange, { auth, headers }: Method, found: FoundCredential | undefined, identity: Identity): undefined {
    const { claims, consumer, lease, ambient, requestFields, removedFields, responseFields } = identity
    this.#pass(x)
    x.set(CLAIMS, claims)
    if (consumer !== undefined) x.set(CONSUMER, consumer)
    if (identity.note !== undefined) x.set(NOTE, identity.note)
    if (lease !== undefined) x.set(LEASE, lease)
    if (ambient === true || found?.place.cookie !== undefined) x.set(AMBIENT_CREDENTIAL, true)
    for (const one of this.#places)
      if (auth.kept && found !== undefined && one === found.place) {
        keepCredential(x, found)
        if (one.header !== undefined) x.set(KEPT_FIELD, one.header)
      } else removeCredentials(x, one, one === found?.place)
    for (const { name, value } of headers) {
      const text = value.render(x, null)
      if (text !== '') x.request.add(name, text)
    }
    if (removedFields !== undefined) for (const name of removedFields) x.request.removeLoosely(looseName(name))
    if (requestFields !== undefined) for (const [name, value] of requestFields) x.request.add(name, value)
    if (responseFields !== undefined && responseFields.length > 0) x.set(RESPONSE_FIELDS, responseFields)
    return undefined
  }

  /** @param error of RFC 6750 §3.1; empty: the client has not tried yet, or it is not its fault */
  #refuse(x: Exchange, reason: Reason, error: ChallengeError, detail?: string): RequestDecision {
    const response = problemResponse(reason, x)
    if (reason !== 'AuthUnavailable')
      for (const { scheme, realm = x.host, parameters = '' } of this.#challengers) {
        const said = error === '' || scheme !== 'Bearer' ? '' : `, error="${error}"`
        // A host in normal form has no character that would have to be escaped.
        response.fields.add('www-authenticate', `${scheme} realm="${realm}"${parameters}${said}`)
      }
    return refusal(response, detail)
  }

  get sessions(): boolean {
    return this.#methods.some(({ auth }) => auth.sessions === true)
  }

  /** Whether some method has fields for the client. */
  get answers(): boolean {
    return this.#methods.some(({ auth }) => auth.answers === true)
  }

  onResponse(x: Exchange, head: ResponseHead): undefined {
    const fields = x.get(RESPONSE_FIELDS)
    if (fields !== undefined) addResponseFields(head.fields, fields)
  }
}

function keeps({ auth }: Method): boolean {
  return auth.kept
}

function reads({ from }: AuthMethod, place: CredentialPlace): boolean {
  return from.some((one) => samePlace(one, place))
}

function refusal(response: LocalResponse, detail: string | undefined): RequestDecision {
  return { type: 'respond', response: detail === undefined ? response : { ...response, detail } }
}

/** A cookie goes beside those of the backend; of any other field there is one. */
function addResponseFields(fields: Fields, added: readonly Field[]): void {
  for (const [name] of added) if (name !== 'set-cookie') fields.remove(name)
  for (const [name, value] of added) fields.add(name, value)
}

/** Who guesses, and everybody at the same address, comes again later. */
function limited(x: Exchange, retryAfter: Milliseconds): LocalResponse {
  const response = problemResponse('TooManyAttempts', x)
  response.fields.add('retry-after', String(Math.max(1, Math.ceil(retryAfter / 1_000))))
  return response
}

function methodOf(plan: MethodPlan, owner: string, services: FilterServices): Method {
  const auth = authMethodOf(plan, owner, services)
  const headers = auth.claimsToHeaders.map(({ claim, header }) => ({
    name: header,
    value: compileTemplate(`%{claim:${claim}}`, 'request'),
  }))
  return { auth, headers }
}

function authMethodOf(plan: MethodPlan, owner: string, services: FilterServices): AuthMethod {
  if ('jwt' in plan) return new JwtMethod(plan.jwt, owner, services)
  if ('apiKey' in plan) return new ApiKeyMethod(plan.apiKey, services)
  if ('basic' in plan) return new BasicMethod(plan.basic, owner, services)
  if ('oidc' in plan) return new OidcMethod(plan.oidc, owner, services)
  if ('external' in plan) return new ExternalMethod(plan.external, owner, services)
  return new ClientCertificateMethod(plan.clientCertificate)
}

export function authFilter(plan: AuthPlan, services: FilterServices): Filter {
  const authentication = new Authentication(plan, services)
  const { effect, answers, sessions } = authentication
  return {
    name: 'auth',
    requestFields: authentication.fields,
    ...(sessions ? { sessions } : {}),
    onRequest: (x) => authentication.onRequest(x),
    ...(answers ? { onResponse: (x: Exchange, head: ResponseHead) => authentication.onResponse(x, head) } : {}),
    credentials: authentication.names,
    explain: () => ({
      filter: 'auth',
      effect: `${effect}; not verified here: what follows is for one that is accepted`,
    }),
    rehearse: (x) => authentication.rehearse(x),
  }
}
