/** Values of the labels that series in shared memory have: their places in these lists are the rows of cells. */
import { GRPC_STATUS_NAMES, type GrpcStatus } from '../lib/grpc-status.ts'

/** Methods with a series of their own; all others count as `other`. */
export const METHODS = Object.freeze(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'other'] as const)

/** Row of {@link METHODS} for a method as received. */
export function methodClass(method: string): number {
  const index = (METHODS as readonly string[]).indexOf(method)
  return index < 0 ? METHODS.length - 1 : index
}

/**
 * Status codes with a series of their own; all others count under their class, such as `4xx`. `0`: no response was
 * sent.
 */
export const CODES = Object.freeze([
  ...[
    '0',
    '1xx',
    '2xx',
    '3xx',
    '4xx',
    '5xx',
    '101',
    '200',
    '201',
    '202',
    '204',
    '206',
    '301',
    '302',
    '303',
    '304',
    '307',
  ],
  ...[
    '308',
    '400',
    '401',
    '403',
    '404',
    '405',
    '406',
    '408',
    '409',
    '410',
    '412',
    '413',
    '414',
    '415',
    '416',
    '422',
    '429',
  ],
  ...['431', '499', '500', '501', '502', '503', '504', '505'],
])

/** Label values of a Backend's series: the class of the client's response; `none`: the client received none. */
export const CODE_CLASSES = Object.freeze(['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const)

/** Label values of connections that were closed for want of a PROXY header: docs/proxy-protocol.md. */
export const PROXY_HEADER_REFUSALS = Object.freeze([
  'missing',
  'malformed',
  'oversized',
  'checksum',
  /** The address is not trusted to send one. */
  'untrusted',
  'timeout',
  /** The connection ended before it. Health checks of load balancers do so. */
  'gone',
] as const)

export type ProxyHeaderRefusal = (typeof PROXY_HEADER_REFUSALS)[number]

/** Label values of gRPC calls. `other`: a status that has no name; `none`: the client received none. */
export const GRPC_CLASSES = Object.freeze([...GRPC_STATUS_NAMES, 'other', 'none'] as const)

/** In place of a row of {@link GRPC_CLASSES}: the request was no call of gRPC. */
export const NO_GRPC_CALL = -1

/** Row of {@link GRPC_CLASSES}. */
export function grpcClass(status: GrpcStatus): number {
  if (status < 0) return GRPC_CLASSES.length - 1
  return Math.min(status, GRPC_STATUS_NAMES.length)
}

/** Label values of TLS handshakes: how each ended. docs/tls.md. */
export const HANDSHAKE_RESULTS = Object.freeze([
  'full',
  'resumed',
  /** The first bytes are not TLS: a request in clear text, or nothing that is known. */
  'NotTls',
  'MalformedHello',
  /** No certificate for the name, and no default. */
  'NoCertificate',
  'NoSharedVersion',
  'NoSharedCipher',
  'NoSharedProtocol',
  'ClientCertificateMissing',
  'ClientCertificateRefused',
  /** The client does not accept the certificate, or something else that it was sent. */
  'RefusedByClient',
  'Timeout',
  'ClientGone',
  /** Too many of one source at a time. */
  'Limit',
  'Other',
] as const)

export type HandshakeResult = (typeof HANDSHAKE_RESULTS)[number]

export type HandshakeFailure = Exclude<HandshakeResult, 'full' | 'resumed'>
