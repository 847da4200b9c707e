/**
 * Requests of the gateway's own, besides those of its clients: external calls, mirrors, revalidation. They take the
 * same way to an endpoint: balancer, pools, dial guard, and the share of the Backend's namespace.
 */

import { NO_KEY } from '../balance/balancer.ts'
import { GatewayError } from '../lib/error.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { CDN_LOOP_FIELD } from '../message/cdn-loop.ts'
import { FieldBlock } from '../message/field-block.ts'
import { Fields } from '../message/fields.ts'
import { FRAMING_FIELDS } from '../message/framing-fields.ts'
import { makeRequestId, REQUEST_ID_FIELD } from '../policy/request-id/request-id.ts'
import type { OutgoingClient, OutgoingRequest, OutgoingResponse } from '../policy/services.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'
import { allows } from './backend-grant.ts'
import { noEndpoint, pickEndpoint } from './endpoint-pick.ts'
import type { ExchangeContext } from './exchange-context.ts'
import { OutgoingCall } from './outgoing-call.ts'

/** Of one connection, of the framing or of ours, which are not the caller's to state (RFC 9110 §7.6.1). */
const UNSENT: readonly string[] = [CDN_LOOP_FIELD, 'expect', ...FRAMING_FIELDS]

/** The gateway itself is the client. */
const NO_FIELDS = new FieldBlock([])

export class UpstreamClient implements OutgoingClient {
  readonly #context: ExchangeContext
  readonly #find: (id: string) => LinkedBackend | undefined

  /** @param find a Backend by its id, also one that tables name no more and that only requests that wait may need */
  constructor(context: ExchangeContext, find: (id: string) => LinkedBackend | undefined) {
    this.#context = context
    this.#find = find
  }

  request(request: OutgoingRequest): Promise<OutgoingResponse> {
    const response = new Promise<OutgoingResponse>((resolve, reject) => {
      checkRequestLine(request)
      const context = this.#context
      const backend = this.#find(request.backend)
      if (backend === undefined || !allows(backend, request.from))
        throw new GatewayError('BackendNotFound', request.backend)
      const signal = request.signal ?? request.cause?.signal ?? null
      if (signal?.aborted === true) throw new GatewayError('ClientGone', 'the call was given up')
      takePlace(context, backend)
      const endpoint = pickEndpoint(context.observer, backend, NO_KEY, null)
      if (endpoint === undefined) {
        leavePlace(context, backend)
        throw noEndpoint(context.endpoints, backend)
      }
      const { body, timeout } = request
      new OutgoingCall(context, {
        backend,
        endpoint,
        request: upstreamRequest(context, request, endpoint.authority),
        body: body ?? null,
        signal,
        timeout,
        resolve,
        reject,
        over: () => leavePlace(context, backend),
      }).begin(false)
    })
    // Not every caller wants to know, and a rejection that nobody handles would end the thread.
    response.catch(() => {})
    return response
  }
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PATH = /^\/[\x21-\x7e]*$/

/** Fields check their values themselves. @throws {TypeError} */
function checkRequestLine({ method, path }: OutgoingRequest): void {
  if (!METHOD.test(method)) throw new TypeError(`not a method: ${JSON.stringify(method)}`)
  if (!PATH.test(path)) throw new TypeError(`not a path: ${JSON.stringify(path)}`)
}

/** @throws {GatewayError} `Overloaded` */
function takePlace(context: ExchangeContext, backend: LinkedBackend): void {
  if (!backend.share.enter(context.active - context.streams))
    throw new GatewayError('Overloaded', 'the namespace of the Backend has its share of all requests at a time')
  context.active++
  if (backend.requestPlaces.take()) return
  context.active--
  backend.share.exit()
  throw new GatewayError(
    'Overloaded',
    `${backend.id} has maxConcurrentRequests (${backend.requestPlaces.limit}) in flight`,
  )
}

function leavePlace(context: ExchangeContext, backend: LinkedBackend): void {
  context.active--
  backend.share.exit()
  backend.requestPlaces.give()
}

function upstreamRequest(context: ExchangeContext, request: OutgoingRequest, authority: string): UpstreamRequest {
  const { method, path, body, cause } = request
  const fields = new Fields()
  request.fields.forEach((name, value) => {
    if (!UNSENT.includes(name) && name !== REQUEST_ID_FIELD) fields.add(name, value)
  })
  for (const passed of cause?.request.all(CDN_LOOP_FIELD) ?? []) fields.add(CDN_LOOP_FIELD, passed)
  const bodyLength = body?.length ?? 0
  if (body !== undefined) fields.add('content-length', String(bodyLength))
  return {
    method,
    target: path,
    host: fields.get('host') === undefined ? authority : undefined,
    fields,
    bodyLength,
    forwarding: NO_FIELDS,
    passed: context.loops.callBlock,
    id: request.fields.get(REQUEST_ID_FIELD) ?? makeRequestId(context.random),
    acceptsTrailers: request.trailers === true,
    upgrade: null,
  }
}
