/** Status codes of gRPC (grpc/doc/statuscodes.md), and those that stand for an HTTP status or for a failure here. */
import { REASONS, type Reason } from './reason.ts'

/** By code; the names are label values of a metric. */
export const GRPC_STATUS_NAMES = Object.freeze([
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const)

export type GrpcStatusName = (typeof GRPC_STATUS_NAMES)[number]
export type GrpcStatus = number

export const GRPC_UNKNOWN: GrpcStatus = codeOf('UNKNOWN')
/** Instead of a code: a call has none, or none that is a code. */
export const NO_GRPC_STATUS: GrpcStatus = -1

function codeOf(name: GrpcStatusName): GrpcStatus {
  return GRPC_STATUS_NAMES.indexOf(name)
}

/** grpc/doc/http-grpc-status-mapping.md; all others are UNKNOWN, 200 among them. */
const OF_HTTP: ReadonlyMap<number, GrpcStatus> = new Map([
  [400, codeOf('INTERNAL')],
  [401, codeOf('UNAUTHENTICATED')],
  [403, codeOf('PERMISSION_DENIED')],
  [404, codeOf('UNIMPLEMENTED')],
  [429, codeOf('UNAVAILABLE')],
  [431, codeOf('INTERNAL')],
  [502, codeOf('UNAVAILABLE')],
  [503, codeOf('UNAVAILABLE')],
  [504, codeOf('UNAVAILABLE')],
])

/** Where a code says more than that of the reason's HTTP status. */
const OF_REASON: Partial<Record<Reason, GrpcStatusName>> = {
  RequestTimeout: 'DEADLINE_EXCEEDED',
  BodyTooLarge: 'RESOURCE_EXHAUSTED',
  Overloaded: 'RESOURCE_EXHAUSTED',
  MemoryLimit: 'RESOURCE_EXHAUSTED',
  RateLimited: 'RESOURCE_EXHAUSTED',
  TooManyRequestsAtOnce: 'RESOURCE_EXHAUSTED',
  GrpcStatusMissing: 'UNKNOWN',
}

export function grpcStatusOfHttp(status: number): GrpcStatus {
  return OF_HTTP.get(status) ?? GRPC_UNKNOWN
}

export function grpcStatusOfReason(reason: Reason): GrpcStatus {
  const name = OF_REASON[reason]
  return name === undefined ? grpcStatusOfHttp(REASONS[reason].status) : codeOf(name)
}

/** @param value of `grpc-status`. @returns {@link NO_GRPC_STATUS} where it is no number of one to three digits */
export function parseGrpcStatus(value: string | undefined): GrpcStatus {
  return value !== undefined && /^\d{1,3}$/.test(value) ? Number(value) : NO_GRPC_STATUS
}
