/**
 * The response of a gRPC call: that of the upstream, which must end with a status, and those of the gateway's own,
 * which take the form that the client can read: trailers-only, or the trailers of gRPC-Web.
 */
import { encodeBase64 } from '../grpc/base64.ts'
import { grpcContentType } from '../grpc/content-type.ts'
import { encodeStatusMessage, MAX_MESSAGE_BYTES } from '../grpc/status-message.ts'
import { webResponseStep } from '../grpc/web-response.ts'
import { trailerLines, trailersFrame } from '../grpc/web-trailers.ts'
import {
  GRPC_UNKNOWN,
  type GrpcStatus,
  grpcStatusOfHttp,
  grpcStatusOfReason,
  parseGrpcStatus,
} from '../lib/grpc-status.ts'
import { REASONS, type Reason } from '../lib/reason.ts'
import type { BodyStepFactory } from '../message/body.ts'
import { removeBodyFields } from '../message/body-fields.ts'
import { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import { discardBody, type LocalResponse } from '../message/local-response.ts'
import type { ProxyExchange } from './exchange.ts'
import type { GrpcCall } from './grpc-call.ts'

const STATUS = 'grpc-status'
const MESSAGE = 'grpc-message'
/** What the status consists of. */
const STATUS_FIELDS = [STATUS, MESSAGE, 'grpc-status-details-bin'] as const

// ---- of the upstream ----

/**
 * @returns undefined where the upstream speaks gRPC, its head in the form that the client reads; else the status that
 *   the client gets
 */
export function acceptHead(call: GrpcCall, head: ResponseHead): LocalResponse | undefined {
  const { fields } = head
  const stated = fields.get(STATUS)
  const type = grpcContentType(fields.get('content-type'))
  if (stated === undefined && (head.status !== 200 || type?.form !== 'grpc' || head.bodyLength === 0)) {
    fields.detach()
    return withStatus(call, fields, grpcStatusOfHttp(head.status), `HTTP ${head.status} without grpc-status`)
  }
  if (stated !== undefined) {
    call.status = parseGrpcStatus(stated)
    call.trailersOnly = head.bodyLength === 0 && !call.bridged
    if (call.trailersOnly) return undefined
    call.stated = statusOf(fields)
  }
  // Trailers follow: a length would leave them no place over HTTP/1.1.
  head.bodyLength = undefined
  fields.remove('content-length')
  if (!call.bridged) return undefined
  head.status = 200
  fields.remove('trailer')
  fields.set('content-type', call.responseType(type?.suffix))
  return undefined
}

/** Translates the body for a gRPC-Web client; null where it goes as it comes. */
export function callResponseStep(call: GrpcCall, head: ResponseHead): BodyStepFactory | null {
  if (!call.bridged) return null
  for (const name of STATUS_FIELDS) head.fields.remove(name)
  return webResponseStep(call.textResponse, call.stated === null ? '' : trailerLines(call.stated))
}

function statusOf(fields: Fields): Fields {
  const status = new Fields()
  for (const name of STATUS_FIELDS) {
    const value = fields.get(name)
    if (value !== undefined) status.add(name, value)
  }
  return status
}

/** The upstream's response is complete. @returns its trailers, with a status in any case */
export function acceptTrailers(x: ProxyExchange, call: GrpcCall, trailers: Fields | null): Fields | null {
  const stated = trailers?.get(STATUS)
  if (stated !== undefined) call.status = parseGrpcStatus(stated)
  if (stated !== undefined || call.trailersOnly) return trailers
  if (call.stated !== null) {
    // Clients look for it in the head only where nothing follows.
    if (call.bridged) return trailers
    const { stated: ours } = call
    trailers?.forEach((name, value) => {
      ours.add(name, value)
    })
    return ours
  }
  x.reason = 'GrpcStatusMissing'
  call.status = GRPC_UNKNOWN
  const ours = trailers ?? new Fields()
  stateStatus(ours, GRPC_UNKNOWN, messageOf(x, 'GrpcStatusMissing'))
  return ours
}

// ---- of the gateway ----

/** Trailers of a call that fails when its response has begun. */
export function failureTrailers(x: ProxyExchange, call: GrpcCall, reason: Reason): Fields {
  const trailers = new Fields()
  call.status = grpcStatusOfReason(reason)
  stateStatus(trailers, call.status, messageOf(x, reason))
  return trailers
}

/** A response of the gateway's own in the form that the client of the call can read. */
export function callResponse(x: ProxyExchange, call: GrpcCall, response: LocalResponse): LocalResponse {
  const { reason, fields, status } = response
  const stated = fields.get(STATUS)
  if (isWritten(call, response)) {
    call.status = parseGrpcStatus(stated)
    return response
  }
  if (reason !== undefined)
    return replaced(response, withStatus(call, fields, grpcStatusOfReason(reason), messageOf(x, reason)))
  if (stated === undefined)
    return replaced(response, withStatus(call, fields, grpcStatusOfHttp(status), textOf(response)))
  return replaced(response, withStatus(call, fields, parseGrpcStatus(stated), undefined))
}

/** Somebody has written a response of gRPC: a rule, or a filter. */
function isWritten(call: GrpcCall, { fields, body, reason }: LocalResponse): boolean {
  const form = grpcContentType(fields.get('content-type'))?.form
  if (reason !== undefined || form === undefined || (form !== 'grpc') !== call.isWeb) return false
  return call.isWeb ? body !== null : fields.has(STATUS)
}

function replaced(from: LocalResponse, to: LocalResponse): LocalResponse {
  discardBody(from)
  return from.reason === undefined ? to : { ...to, reason: from.reason }
}

/** @param message undefined: the fields have status and message already */
function withStatus(call: GrpcCall, fields: Fields, status: GrpcStatus, message: string | undefined): LocalResponse {
  call.status = status
  removeBodyFields(fields)
  fields.set('content-type', call.responseType())
  if (message !== undefined) stateStatus(fields, status, message)
  if (!call.isWeb) return { status: 200, fields, body: null }
  const frame = trailersFrame(trailerLines(statusOf(fields)))
  for (const name of STATUS_FIELDS) fields.remove(name)
  return { status: 200, fields, body: call.textResponse ? encodeBase64(frame) : frame }
}

function stateStatus(fields: Fields, status: GrpcStatus, message: string): void {
  fields.set(STATUS, `${status}`)
  fields.set(MESSAGE, encodeStatusMessage(message))
}

function messageOf(x: ProxyExchange, reason: Reason): string {
  return `${REASONS[reason].title} (${reason}, request ${x.id})`
}

/** What the author of a rule has to say, where it is a text. */
function textOf({ status, fields, body }: LocalResponse): string {
  const isText = fields.get('content-type')?.toLowerCase().startsWith('text/plain') === true
  if (isText && body instanceof Uint8Array && body.length > 0 && body.length <= MAX_MESSAGE_BYTES)
    return Buffer.from(body).toString('utf8').trim()
  return `HTTP ${status}`
}
