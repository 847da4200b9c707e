/**
 * The closed list of failure reasons of an exchange: `reason` in the body of an error response (RFC 9457), in the
 * access log, in a metric and in `explain`. `docs/errors.md` lists each reason; a test compares the two.
 */

/** How far the request had progressed at the failure, which decides whether it may be retried. */
export type RetryClass =
  /** The request did not reach the application: any method may be retried. */
  | 'never-sent'
  /** The request may have been processed: only idempotent methods (RFC 9110 §9.2.2) may be retried. */
  | 'maybe-processed'
  /** A retry would fail in the same way, or is not safe. */
  | 'never'

export interface ReasonInfo {
  /** HTTP status of the gateway's response; 0 where no response can be sent any more. */
  readonly status: number
  /** Short constant text: the `title` of the problem document. */
  readonly title: string
  readonly retry: RetryClass
  /** The origin of the failure: client, upstream, configuration, or the gateway itself. */
  readonly source: 'client' | 'upstream' | 'config' | 'gateway'
  /** The downstream connection must be closed after the response, because its framing is not reliable any more. */
  readonly close?: true
}

export const REASONS = {
  BadRequest: { status: 400, title: 'The request is not valid HTTP', retry: 'never', source: 'client', close: true },
  BadHost: {
    status: 400,
    title: 'The Host of the request is missing or not valid',
    retry: 'never',
    source: 'client',
    close: true,
  },
  BadPath: { status: 400, title: 'The path of the request is not acceptable', retry: 'never', source: 'client' },
  BadRewrite: { status: 400, title: 'The rewritten path is not acceptable', retry: 'never', source: 'config' },
  HeadTooLarge: { status: 431, title: 'The request head is too large', retry: 'never', source: 'client', close: true },
  TooManyHeaders: {
    status: 431,
    title: 'The request has too many header fields',
    retry: 'never',
    source: 'client',
    close: true,
  },
  TooManyConditions: {
    status: 503,
    title: 'The rules for this path have more conditions than may be compared for one request',
    retry: 'never',
    source: 'config',
  },
  UriTooLong: { status: 414, title: 'The request target is too long', retry: 'never', source: 'client', close: true },
  BodyTooLarge: {
    status: 413,
    title: 'The request body is larger than this route allows',
    retry: 'never',
    source: 'client',
    close: true,
  },
  RequestHeadTimeout: {
    status: 408,
    title: 'The request head did not arrive in time',
    retry: 'never',
    source: 'client',
    close: true,
  },
  RequestBodyTimeout: {
    status: 408,
    title: 'The request body did not arrive in time',
    retry: 'never',
    source: 'client',
    close: true,
  },
  ConnectNotAllowed: {
    status: 405,
    title: 'CONNECT is not served here',
    retry: 'never',
    source: 'client',
    close: true,
  },
  VersionNotSupported: {
    status: 505,
    title: 'This HTTP version is not supported',
    retry: 'never',
    source: 'client',
    close: true,
  },
  TransferCodingNotSupported: {
    status: 501,
    title: 'This transfer coding is not supported',
    retry: 'never',
    source: 'client',
    close: true,
  },
  ExpectationFailed: {
    status: 417,
    title: 'The expectation of the request cannot be met',
    retry: 'never',
    source: 'client',
    close: true,
  },
  ClientGone: { status: 0, title: 'The client went away', retry: 'never', source: 'client', close: true },
  HostNotFound: { status: 404, title: 'No route serves this host', retry: 'never', source: 'config' },
  RouteNotFound: { status: 404, title: 'No rule of this host matches the request', retry: 'never', source: 'config' },
  RuleClosed: {
    status: 503,
    title: 'This rule is closed because its newest version cannot be used',
    retry: 'never',
    source: 'config',
  },
  BackendNotFound: {
    status: 500,
    title: 'The backend of this rule does not exist or may not be used',
    retry: 'never',
    source: 'config',
  },
  NoEndpoint: { status: 503, title: 'The backend has no usable endpoint', retry: 'never', source: 'upstream' },
  Overloaded: { status: 503, title: 'The backend is at its limit', retry: 'never', source: 'upstream' },
  NotReady: {
    status: 503,
    title: 'The gateway has no routing table yet',
    retry: 'never',
    source: 'gateway',
    close: true,
  },
  ConnectFailure: {
    status: 502,
    title: 'The upstream could not be connected',
    retry: 'never-sent',
    source: 'upstream',
  },
  ConnectTimeout: {
    status: 504,
    title: 'The upstream did not accept the connection in time',
    retry: 'never-sent',
    source: 'upstream',
  },
  AddressNotAllowed: {
    status: 502,
    title: 'The upstream address may not be dialled',
    retry: 'never',
    source: 'config',
  },
  ResetBeforeResponse: {
    status: 502,
    title: 'The upstream closed the connection before it answered',
    retry: 'maybe-processed',
    source: 'upstream',
  },
  ResponseHeadTimeout: {
    status: 504,
    title: 'The upstream did not answer in time',
    retry: 'maybe-processed',
    source: 'upstream',
  },
  BackendRequestTimeout: {
    status: 504,
    title: 'The upstream did not finish in time',
    retry: 'maybe-processed',
    source: 'upstream',
  },
  RequestTimeout: { status: 504, title: 'The request did not finish in time', retry: 'never', source: 'upstream' },
  IdleTimeout: { status: 504, title: 'No byte moved for too long', retry: 'never', source: 'upstream' },
  UpstreamProtocolError: {
    status: 502,
    title: 'The upstream answered something that is not valid HTTP',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamHeadTooLarge: {
    status: 502,
    title: 'The head of the upstream response is too large',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamTruncated: {
    status: 502,
    title: 'The upstream closed the connection within its response',
    retry: 'never',
    source: 'upstream',
  },
  InternalError: { status: 500, title: 'The gateway failed', retry: 'never', source: 'gateway', close: true },
  ShuttingDown: { status: 503, title: 'The gateway is shutting down', retry: 'never', source: 'gateway', close: true },
  LoopDetected: { status: 508, title: 'The request has passed here before', retry: 'never', source: 'config' },
  MemoryLimit: {
    status: 503,
    title: 'The gateway has no memory for this request now',
    retry: 'never',
    source: 'gateway',
    close: true,
  },
  BadGrpcRequest: { status: 400, title: 'The request is not a valid gRPC call', retry: 'never', source: 'client' },
  GrpcStatusMissing: {
    status: 502,
    title: 'The upstream ended a gRPC call without grpc-status',
    retry: 'never',
    source: 'upstream',
  },
  ProtocolNotAllowed: {
    status: 501,
    title: 'The protocol asked for is not served here',
    retry: 'never',
    source: 'config',
  },
  OriginNotAllowed: {
    status: 403,
    title: 'A page of another origin may not open this connection',
    retry: 'never',
    source: 'client',
  },
  ClearTextOnTls: {
    status: 400,
    title: 'This port expects TLS and the request came in clear text; use https',
    retry: 'never',
    source: 'client',
    close: true,
  },
  TlsOnClearText: {
    status: 0,
    title: 'The client speaks TLS and the port expects clear text',
    retry: 'never',
    source: 'client',
    close: true,
  },
  MisdirectedRequest: {
    status: 421,
    title: 'The connection was not made for this host',
    retry: 'never',
    source: 'client',
  },
  ClearTextClosed: {
    status: 403,
    title: 'This host is not served in clear text; use https',
    retry: 'never',
    source: 'config',
  },
  ConnectionLimit: {
    status: 503,
    title: 'The gateway has as many connections as it can have',
    retry: 'never',
    source: 'gateway',
    close: true,
  },
  StreamRefused: {
    status: 503,
    title: 'The upstream did not process the request',
    retry: 'never-sent',
    source: 'upstream',
  },
  UpgradeNotSupported: {
    status: 502,
    title: 'The upstream cannot switch to this protocol',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamTlsFailure: {
    status: 502,
    title: 'The TLS handshake with the upstream failed',
    retry: 'never-sent',
    source: 'upstream',
  },
  UpstreamCertificateExpired: {
    status: 502,
    title: 'The certificate of the upstream is not valid at this time',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamCertificateMismatch: {
    status: 502,
    title: 'The certificate of the upstream is for another name',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamCertificateUntrusted: {
    status: 502,
    title: 'The certificate of the upstream is not from a trusted authority',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamCertificateSelfSigned: {
    status: 502,
    title: 'The certificate of the upstream is signed by itself',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamCertificateInvalid: {
    status: 502,
    title: 'The certificate of the upstream is not acceptable',
    retry: 'never',
    source: 'upstream',
  },
  UpstreamTlsUnavailable: {
    status: 503,
    title: 'The certificates for the connection to the upstream are missing',
    retry: 'never',
    source: 'config',
  },
  CredentialMissing: { status: 401, title: 'The request needs a credential', retry: 'never', source: 'client' },
  CredentialInvalid: { status: 401, title: 'The credential is not valid', retry: 'never', source: 'client' },
  CredentialExpired: { status: 401, title: 'The credential has expired', retry: 'never', source: 'client' },
  CredentialAmbiguous: {
    status: 400,
    title: 'The request has more than one credential',
    retry: 'never',
    source: 'client',
  },
  AccessDenied: { status: 403, title: 'The credential does not permit this', retry: 'never', source: 'client' },
  AuthUnavailable: {
    status: 503,
    title: 'Credentials cannot be verified at the moment',
    retry: 'never',
    source: 'config',
  },
  RateLimited: {
    status: 429,
    title: 'More requests came than may come in this time',
    retry: 'never',
    source: 'client',
  },
  RateLimitUnavailable: {
    status: 503,
    title: 'The requests of this time cannot be counted for the moment',
    retry: 'never',
    source: 'gateway',
  },
  TooManyRequestsAtOnce: {
    status: 503,
    title: 'As many requests are in flight as this route takes',
    retry: 'never',
    source: 'gateway',
  },
  TooManyAttempts: {
    status: 429,
    title: 'Too many wrong credentials came from this client',
    retry: 'never',
    source: 'client',
  },
  AuthDenied: { status: 403, title: 'The authorization service refuses this', retry: 'never', source: 'client' },
  AddressDenied: {
    status: 403,
    title: 'The address of the client may not come here',
    retry: 'never',
    source: 'client',
  },
  CrossSiteRequest: {
    status: 403,
    title: 'A page of another site may not do this with the credential of its visitor',
    retry: 'never',
    source: 'client',
  },
  TokenRequestRefused: {
    status: 400,
    title: 'The request for a token is not one that may be granted',
    retry: 'never',
    source: 'client',
  },
  SignInFailed: {
    status: 400,
    title: 'The sign-in could not be completed; begin it again at the page itself',
    retry: 'never',
    source: 'client',
  },
  SignInRefused: { status: 403, title: 'The identity provider refuses the sign-in', retry: 'never', source: 'client' },
  NotStored: {
    status: 504,
    title: 'Nothing usable is stored, and the client does not want the origin to be asked',
    retry: 'never',
    source: 'client',
  },
} as const satisfies Record<string, ReasonInfo>

export type Reason = keyof typeof REASONS

/** In stable order, for metrics in shared memory: a reason's index is its cell. Append only. */
export const REASON_LIST = Object.freeze(Object.keys(REASONS) as Reason[])
