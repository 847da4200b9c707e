/** Why handshakes fail: a closed list for the metric, and words for the log. */

import type { PeerListener } from '../transport/peer.ts'

/** In stable order: the index is the cell of the metric. Append only. */
export const HANDSHAKE_FAILURES = [
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
  /** The client does not accept the gateway's certificate, or something else that it was sent. */
  'RefusedByClient',
  'Timeout',
  'ClientGone',
  /** Too many handshakes at a time. */
  'Limit',
  'Other',
] as const

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number]

export interface FailedHandshake {
  readonly reason: HandshakeFailure
  /** What happened, for a person. */
  readonly detail: string
  /** As the client asked for it; '' = none. */
  readonly serverName: string
  /** The client's. */
  readonly address: string
  readonly listener: PeerListener
}

const BY_CODE: Readonly<Record<string, HandshakeFailure>> = {
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'NoSharedVersion',
  ERR_SSL_NO_PROTOCOLS_AVAILABLE: 'NoSharedVersion',
  ERR_SSL_NO_SHARED_CIPHER: 'NoSharedCipher',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'NoSharedCipher',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'NoSharedCipher',
  ERR_SSL_NO_SUITABLE_GROUPS: 'NoSharedCipher',
  ERR_SSL_NO_SHARED_GROUPS: 'NoSharedCipher',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'NoSharedProtocol',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'ClientCertificateMissing',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'Timeout',
  ECONNRESET: 'ClientGone',
  EPIPE: 'ClientGone',
}

export function failureOf(code: string): HandshakeFailure {
  return BY_CODE[code] ?? (code.includes('_ALERT_') ? 'RefusedByClient' : 'Other')
}
