/** External authorization over gRPC, as services for Envoy have it (`ext_authz`, version 3). */
import { CHECK_PATH, type HeaderOption, readCheckResponse, writeCheckRequest } from '../../grpc/ext-authz.ts'
import { PREFIX_BYTES } from '../../grpc/message-frames.ts'
import { GatewayError } from '../../lib/error.ts'
import { isFieldValue } from '../../message/field-value.ts'
import { Fields } from '../../message/fields.ts'
import type { Exchange } from '../exchange.ts'
import { checkFieldName } from '../header-edits/field-names.ts'
import type { OutgoingResponse } from '../services.ts'
import { consumerOf } from './client-certificate.ts'
import {
  claimsOf,
  dropBody,
  type ExternalAnswer,
  type ExternalProtocol,
  isRefusal,
  statusForClient,
  type Told,
  wholeBody,
} from './external-answer.ts'
import type { Field } from './method.ts'
import type { ExternalPlan } from './plan.ts'

/** Of one response: headers for both sides, and the page of a refusal. */
const MAX_RESPONSE = 1024 * 1024
const OK = '0'
/** Of a refusal, beside `clientHeaders`. */
const REFUSAL_FIELDS: readonly string[] = ['location', 'www-authenticate', 'retry-after', 'content-type']

export class GrpcAuthorization implements ExternalProtocol {
  readonly #plan: ExternalPlan
  readonly #wall: () => number

  constructor(plan: ExternalPlan, wall: () => number) {
    this.#plan = plan
    this.#wall = wall
  }

  request(x: Exchange, { authority, target, headers }: Told) {
    const { timeout } = this.#plan
    const message = writeCheckRequest({
      id: x.id,
      method: x.method,
      path: target,
      host: authority,
      scheme: x.origin.scheme,
      size: x.requestBodyLength ?? -1,
      protocol: '',
      headers: joined(headers),
      clientAddress: x.clientAddress,
      principal: x.clientCertificate === null ? '' : consumerOf(x.clientCertificate),
      time: this.#wall(),
      extensions: [
        ['route', x.route],
        ['rule', x.rule],
      ],
    })
    const body = Buffer.alloc(PREFIX_BYTES + message.length)
    body.writeUInt32BE(message.length, 1)
    body.set(message, PREFIX_BYTES)
    const fields = new Fields()
    fields.add('content-type', 'application/grpc')
    fields.add('grpc-timeout', `${Math.max(1, Math.ceil(timeout))}m`)
    fields.add('x-request-id', x.id)
    return { method: 'POST', path: CHECK_PATH, fields, body, trailers: true }
  }

  async read({ status, fields, body }: OutgoingResponse): Promise<ExternalAnswer> {
    if (status !== 200) {
      dropBody(body)
      return { type: 'failed', detail: `the authorization service answered ${status}, which gRPC does not` }
    }
    const { bytes, trailers } = await wholeBody(body, MAX_RESPONSE)
    const code = trailers?.get('grpc-status') ?? fields.get('grpc-status')
    if (code !== OK)
      return {
        type: 'failed',
        detail: `the authorization service ended the call with grpc-status ${code ?? 'missing'}`,
      }
    const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    if (frame.length < PREFIX_BYTES || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - PREFIX_BYTES)
      throw new GatewayError('UpstreamProtocolError', 'the response of Check is not one plain message')
    try {
      return this.#answerOf(frame.subarray(PREFIX_BYTES))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { type: 'failed', detail: `the response of Check cannot be read: ${error.message}` }
    }
  }

  #answerOf(message: Uint8Array): ExternalAnswer {
    const { responseHeaders, clientHeaders } = this.#plan
    const { code, denied, ok, metadata } = readCheckResponse(message)
    if (code !== 0) return this.#refusal(code, denied)
    // What contradicts itself lets nothing pass.
    if (denied !== undefined) return this.#refusal(code, denied)
    if (ok?.editsQuery === true)
      return { type: 'failed', detail: 'the authorization service changes the query, which is not supported' }
    const requestFields = among(ok?.headers ?? [], responseHeaders)
    const removedFields = (ok?.removed ?? []).filter((name) => !responseHeaders.includes(name) && isRemovable(name))
    const responseFields = among(ok?.responseHeaders ?? [], clientHeaders)
    const claims = { ...claimsOf(requestFields), ...metadata }
    return { type: 'allowed', identity: { claims, requestFields, removedFields, responseFields } }
  }

  #refusal(code: number, denied: ReturnType<typeof readCheckResponse>['denied']): ExternalAnswer {
    const fields = new Fields()
    const detail = `the authorization service answered with the code ${code}`
    const status = denied?.status ?? 403
    for (const [name, value] of among(denied?.headers ?? [], [...REFUSAL_FIELDS, ...this.#plan.clientHeaders]))
      fields.add(name, value)
    if (!isRefusal(status, fields)) return { type: 'failed', detail: `${detail} and the status ${status}` }
    if (!fields.has('cache-control')) fields.add('cache-control', 'no-store')
    const body = denied === undefined || denied.body.length === 0 ? null : Buffer.from(denied.body)
    return {
      type: 'denied',
      response: { status: statusForClient(status), fields, body, reason: 'AuthDenied', detail },
    }
  }
}

/** A map has each name once; what a field cannot hold is left out. */
function among(headers: readonly HeaderOption[], names: readonly string[]): Field[] {
  return headers.flatMap(({ name, value }) =>
    names.includes(name) && isFieldValue(value) ? [[name, value] as const] : [],
  )
}

function joined(headers: readonly Field[]): readonly Field[] {
  const byName = new Map<string, string>()
  for (const [name, value] of headers) {
    const before = byName.get(name)
    byName.set(name, before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`)
  }
  return [...byName]
}

/** Framing, host and forwarding are the gateway's. */
function isRemovable(name: string): boolean {
  return checkFieldName(name) === undefined
}
