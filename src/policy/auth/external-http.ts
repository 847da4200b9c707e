/**
 * External authorization over HTTP, as nginx (`auth_request`), Traefik (forward auth) and services that are made for
 * them have it: a 2xx lets the request pass, whatever else the response says.
 */
import { Fields } from '../../message/fields.ts'
import type { Exchange } from '../exchange.ts'
import type { OutgoingResponse } from '../services.ts'
import {
  claimsOf,
  dropBody,
  type ExternalAnswer,
  type ExternalProtocol,
  fieldsNamed,
  isRefusal,
  statusForClient,
  type Told,
} from './external-answer.ts'
import type { ExternalPlan } from './plan.ts'

/** Of a refusal: what makes it one that a client understands. */
const REFUSAL_FIELDS: readonly string[] = [
  'location',
  'www-authenticate',
  'retry-after',
  'content-type',
  'content-language',
  'content-encoding',
]

export class HttpAuthorization implements ExternalProtocol {
  readonly #plan: ExternalPlan

  constructor(plan: ExternalPlan) {
    this.#plan = plan
  }

  /** Without the body of the request, whatever its method. */
  request({ method, origin, clientAddress, id }: Exchange, { authority, target, headers }: Told) {
    const fields = new Fields()
    for (const [name, value] of headers) fields.add(name, value)
    const { scheme } = origin
    fields.add('x-original-method', method)
    fields.add('x-original-uri', target)
    fields.add('x-original-host', authority)
    if (authority !== '') fields.add('x-original-url', `${scheme}://${authority}${target}`)
    fields.add('x-forwarded-method', method)
    fields.add('x-forwarded-proto', scheme)
    fields.add('x-forwarded-host', authority)
    fields.add('x-forwarded-uri', target)
    fields.add('x-forwarded-for', clientAddress)
    fields.add('x-real-ip', clientAddress)
    fields.add('x-request-id', id)
    return { method: 'GET', path: this.#plan.path, fields }
  }

  read({ status, fields, body }: OutgoingResponse): ExternalAnswer {
    const { responseHeaders, clientHeaders } = this.#plan
    const responseFields = fieldsNamed(fields, clientHeaders)
    if (status >= 200 && status < 300) {
      dropBody(body)
      const requestFields = fieldsNamed(fields, responseHeaders)
      return { type: 'allowed', identity: { claims: claimsOf(requestFields), requestFields, responseFields } }
    }
    if (!isRefusal(status, fields)) {
      dropBody(body)
      return { type: 'failed', detail: `the authorization service answered ${status}` }
    }
    const given = new Fields()
    for (const [name, value] of fieldsNamed(fields, REFUSAL_FIELDS)) given.add(name, value)
    for (const [name, value] of responseFields) if (!REFUSAL_FIELDS.includes(name)) given.add(name, value)
    if (!given.has('cache-control')) given.add('cache-control', 'no-store')
    const detail = `the authorization service answered ${status}`
    return {
      type: 'denied',
      response: { status: statusForClient(status), fields: given, body, reason: 'AuthDenied', detail },
    }
  }
}
