/** The request of a gRPC call: its deadline, and what of it the upstream gets. */
import { contentTypeOf } from '../grpc/content-type.ts'
import { formatGrpcTimeout, parseGrpcTimeout } from '../grpc/timeout.ts'
import { decodeWebText } from '../grpc/web-request.ts'
import { GatewayError } from '../lib/error.ts'
import type { BodyStepFactory } from '../message/body.ts'
import type { ProxyExchange } from './exchange.ts'
import { type GrpcCall, speaksGrpc } from './grpc-call.ts'

const TIMEOUT_FIELD = 'grpc-timeout'

/**
 * The deadline that the client states is one of the exchange where it comes before that of the rule.
 *
 * @throws {GatewayError} `BadGrpcRequest` where it is not valid, `RequestTimeout` where it has passed
 */
export function takeDeadline(x: ProxyExchange, call: GrpcCall): void {
  const values = x.request.all(TIMEOUT_FIELD)
  if (values.length === 0) return
  const timeout = values.length === 1 ? parseGrpcTimeout(values[0]!) : undefined
  if (timeout === undefined)
    throw new GatewayError('BadGrpcRequest', 'grpc-timeout is not one to eight digits and a unit')
  if (timeout === 0) throw new GatewayError('RequestTimeout', 'grpc-timeout is 0')
  call.deadlineStated = true
  const limits = x.deadline
  if (limits.request !== 0 && timeout >= limits.request) return
  limits.request = timeout
  call.deadlineIsSooner = true
}

/** Once the Backend is known: gRPC-Web becomes gRPC where that is what it speaks. */
export function prepareCall(x: ProxyExchange, call: GrpcCall): void {
  if (!call.isWeb || !speaksGrpc(x.backend!.plan.protocol)) return
  call.bridged = true
  x.request.set('content-type', contentTypeOf({ form: 'grpc', suffix: call.type.suffix }))
}

/** Decodes the request's body; null where it goes as it comes. */
export function callRequestStep(call: GrpcCall): BodyStepFactory | null {
  return call.bridged && call.type.form === 'web-text' ? decodeWebText : null
}

/** Of each attempt: an upstream that gets what is left of the time gives up when its client does. */
export function stateDeadline(x: ProxyExchange): void {
  const left = x.startedAt + x.limits!.request - x.context.timers.now
  x.request.set(TIMEOUT_FIELD, formatGrpcTimeout(left))
}
