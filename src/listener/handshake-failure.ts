/** Why handshakes fail, by a closed list for the metric and in words for the log. */
import type { HandshakeFailure } from '../shared-memory/metric-labels.ts'

import type { PeerListener } from '../transport/peer.ts'

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

/** @returns OpenSSL's reason alone: its message has the thread, the function and the line of its source, too */
export function detailOf(error: Error & { readonly reason?: unknown }): string {
  return typeof error.reason === 'string' ? error.reason : error.message
}
