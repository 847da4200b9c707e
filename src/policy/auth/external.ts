/**
 * The method `external`: a service is asked about each request, and an answer that lets one pass is kept where the rule
 * says so. The body of the request is never sent. It fails closed unless it is told otherwise.
 */
import { hash } from 'node:crypto'
import { GatewayError } from '../../lib/error.ts'
import { REASONS, type Reason } from '../../lib/reason.ts'
import { looseName } from '../../message/fields.ts'
import { authorityOf } from '../../pattern/host.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'
import { type ValueReader, valueReader } from '../variables.ts'
import { type ExternalAnswer, type ExternalProtocol, fieldsNamed, type Told } from './external-answer.ts'
import { GrpcAuthorization } from './external-grpc.ts'
import { HttpAuthorization } from './external-http.ts'
import type { AuthMethod, Identity, Judgement } from './method.ts'
import type { ExternalPlan } from './plan.ts'
import { signInInstead } from './sign-in.ts'

/** Beside the fields of an answer: the digest, map slots and objects. */
const ENTRY_BYTES = 1_024
/** Calls for one request: another one where the first was not received. */
const MAX_CALLS = 2

export class ExternalMethod implements AuthMethod {
  readonly from = []
  readonly kept = false
  readonly claimsToHeaders = []
  readonly scheme = undefined
  readonly states: readonly string[]
  readonly reads: readonly string[]
  readonly answers: boolean
  readonly #plan: ExternalPlan
  readonly #owner: string
  readonly #services: Pick<FilterServices, 'client' | 'memos'>
  readonly #protocol: ExternalProtocol
  /** Of everything that the service is asked by. */
  readonly #digest: string
  readonly #by: readonly ValueReader[]
  /** Calls under way whose answer is kept, by its key. */
  readonly #running = new Map<string, Promise<Judgement>>()

  constructor(plan: ExternalPlan, owner: string, services: Pick<FilterServices, 'client' | 'memos' | 'clock'>) {
    this.#plan = plan
    this.#owner = owner
    this.#services = services
    this.states = plan.responseHeaders.map(looseName)
    const told = plan.requestHeaders.map(looseName)
    this.reads = this.states.filter((name) => told.includes(name))
    this.answers = plan.clientHeaders.length > 0
    this.#protocol =
      plan.protocol === 'GRPC' ? new GrpcAuthorization(plan, () => services.clock.wall()) : new HttpAuthorization(plan)
    this.#digest = hash('sha256', JSON.stringify([owner, plan]), 'base64url')
    this.#by = plan.cache?.by.map(valueReader) ?? []
  }

  get wants(): string {
    return `the consent of ${this.#plan.backend}`
  }

  claims(): boolean {
    return false
  }

  judge(): Judgement {
    return { fault: 'invalid' }
  }

  judgeExchange(x: Exchange): Judgement | Promise<Judgement> {
    const told = this.#tell(x)
    const key = this.#keyOf(x, told)
    if (key === undefined) return this.#ask(x, told, undefined)
    const known = this.#services.memos.get(this.#owner, key) as Identity | undefined
    if (known !== undefined) return known
    const running = this.#running.get(key)
    if (running === undefined) return this.#askForAll(x, told, key)
    // A refusal is for who asked, since its body is read once, and so is what has a cookie for one client.
    return running.then((judgement) =>
      'claims' in judgement && !setsCookie(judgement) ? judgement : this.#ask(x, told, undefined),
    )
  }

  #tell({ origin: { scheme, host, port }, originalPath, query, request }: Exchange): Told {
    return {
      authority: host === '' ? '' : authorityOf(scheme, host, port),
      target: query === undefined ? originalPath : `${originalPath}?${query}`,
      headers: fieldsNamed(request, this.#plan.requestHeaders),
    }
  }

  /** Everything that the service is told but what is new in each request. @returns undefined: nothing is kept */
  #keyOf(x: Exchange, { authority, target, headers }: Told): string | undefined {
    if (this.#plan.cache === undefined) return undefined
    const by = this.#by.map((read) => read(x))
    if (by.includes(undefined)) return undefined
    const facts = [
      x.route,
      x.rule,
      x.method,
      x.host,
      x.origin.scheme,
      authority,
      target,
      x.clientAddress,
      x.clientCertificate?.fingerprint ?? '',
      headers,
      by,
    ]
    return `external ${this.#digest} ${hash('sha256', JSON.stringify(facts), 'base64url')}`
  }

  #askForAll(x: Exchange, told: Told, key: string): Promise<Judgement> {
    // It does not end with the first of those that wait for it.
    const judgement = this.#ask(x, told, new AbortController().signal).finally(() => this.#running.delete(key))
    this.#running.set(key, judgement)
    return judgement.then((known) => {
      if ('claims' in known && known.note === undefined) this.#keep(key, known)
      return known
    })
  }

  /** Not one that has a cookie for its client: the next one may be another. */
  #keep(key: string, identity: Identity): void {
    const { requestFields = [], responseFields = [], removedFields = [] } = identity
    if (setsCookie(identity)) return
    const fields = [...requestFields, ...responseFields, removedFields]
    const size = ENTRY_BYTES + 2 * JSON.stringify(fields).length + 4 * JSON.stringify(identity.claims).length
    this.#services.memos.set(this.#owner, key, identity, size, this.#plan.cache!.ttl)
  }

  async #ask(x: Exchange, told: Told, signal: AbortSignal | undefined): Promise<Judgement> {
    const answer = await this.#answer(x, told, signal)
    if (answer.type === 'allowed') return isAmbient(told) ? { ...answer.identity, ambient: true } : answer.identity
    if (answer.type === 'failed') return this.#failed(answer)
    return { response: (this.#plan.signIn && signInInstead(this.#plan.signIn, x, answer.response)) ?? answer.response }
  }

  async #answer(x: Exchange, told: Told, signal: AbortSignal | undefined): Promise<ExternalAnswer> {
    const { backend, from, timeout } = this.#plan
    const call = { backend, from, timeout, cause: x, ...(signal === undefined ? {} : { signal }) }
    for (let calls = 1; ; calls++)
      try {
        const request = { ...this.#protocol.request(x, told), ...call }
        return await this.#protocol.read(await this.#services.client.request(request))
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error
        const { reason } = error
        const detail = `the authorization service cannot be asked: ${reason}`
        if (calls === MAX_CALLS || REASONS[reason].retry !== 'never-sent')
          return { type: 'failed', detail, isDown: isOutage(reason) }
      }
  }

  #failed({ detail, isDown = true }: Extract<ExternalAnswer, { type: 'failed' }>): Judgement {
    if (!isDown || !this.#plan.failOpen) return { fault: 'unavailable', detail }
    return { claims: Object.create(null), note: `passed by failOpen: ${detail}` }
  }
}

/** It would sign another client in as the one that asked. */
function setsCookie({ responseFields = [] }: Identity): boolean {
  return responseFields.some(([name]) => name === 'set-cookie')
}

/** Cookies and passwords are attached by browsers, whichever page asks: the service may have decided by them. */
function isAmbient({ headers }: Told): boolean {
  return headers.some(([name, value]) => name === 'cookie' || (name === 'authorization' && !/^bearer /i.test(value)))
}

/**
 * What `failOpen` is for: the service is down. It is not for one that is not there, may not be used or is not who it
 * should be, and not for a share that requests have used up, since whoever sends them would open the door.
 */
function isOutage(reason: Reason): boolean {
  return REASONS[reason].source === 'upstream' && reason !== 'Overloaded' && !reason.startsWith('UpstreamCertificate')
}
