/** Why a TLS connection to an endpoint failed, as reasons: whoever reads the access log learns what to correct. */
import type { X509Certificate } from 'node:crypto'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'

/** Codes of OpenSSL's verification (X509_verify_cert_error_string(3)), as node:tls names them. */
const VERDICTS: Readonly<Record<string, readonly [Reason, string]>> = {
  CERT_HAS_EXPIRED: ['UpstreamCertificateExpired', 'a certificate of its chain has expired'],
  CERT_NOT_YET_VALID: ['UpstreamCertificateExpired', 'a certificate of its chain is not valid yet'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['UpstreamCertificateSelfSigned', 'it is signed by itself and no trusted certificate'],
  SELF_SIGNED_CERT_IN_CHAIN: ['UpstreamCertificateUntrusted', 'its chain ends with an authority that is not trusted'],
  UNABLE_TO_GET_ISSUER_CERT: ['UpstreamCertificateUntrusted', 'the issuer of an authority is not known'],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: [
    'UpstreamCertificateUntrusted',
    'its issuer is neither trusted nor sent by the endpoint',
  ],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [
    'UpstreamCertificateUntrusted',
    'its issuer is neither trusted nor sent by the endpoint',
  ],
  CERT_UNTRUSTED: ['UpstreamCertificateUntrusted', 'its authority is not trusted for servers'],
  CERT_SIGNATURE_FAILURE: ['UpstreamCertificateUntrusted', 'it is not signed by the authority that it names'],
  INVALID_CA: ['UpstreamCertificateInvalid', 'it is issued by a certificate that is no authority'],
  INVALID_PURPOSE: ['UpstreamCertificateInvalid', 'it is not for servers (extended key usage)'],
  CERT_CHAIN_TOO_LONG: ['UpstreamCertificateInvalid', 'its chain is too long'],
  PATH_LENGTH_EXCEEDED: ['UpstreamCertificateInvalid', 'an authority of its chain may not issue authorities'],
}

/** @param authority of the endpoint */
export function tlsFault(error: NodeJS.ErrnoException, authority: string): GatewayError {
  if (error instanceof GatewayError) return error
  const code = error.code ?? ''
  const verdict = VERDICTS[code]
  if (verdict !== undefined) return new GatewayError(verdict[0], `${authority}: ${verdict[1]} (${code})`)
  if (code === 'ETIMEDOUT') return new GatewayError('ConnectTimeout', `${authority}: ${code}`)
  // node:tls gives errors of verification alone these codes, without a system call and without an OpenSSL library.
  if (isVerdict(error)) return new GatewayError('UpstreamCertificateInvalid', `${authority}: ${code}`)
  return new GatewayError('UpstreamTlsFailure', `${authority}: ${explain(error)}`)
}

function isVerdict({ code, syscall, ...rest }: NodeJS.ErrnoException): boolean {
  return syscall === undefined && !('library' in rest) && code !== undefined && /^(CERT|CRL|UNABLE|INVALID)_/.test(code)
}

/** Common causes in words. */
function explain(error: NodeJS.ErrnoException): string {
  const code = error.code ?? error.message
  switch (code) {
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `the endpoint does not speak TLS (${code})`
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
    case 'ERR_SSL_TLSV1_ALERT_VERSION':
      return `the endpoint speaks no version of TLS from 1.2 on (${code})`
    case 'ECONNRESET':
    case 'EPIPE':
      return `the endpoint closed the connection within the handshake (${code})`
    default:
      return code
  }
}

/** Alerts by which an endpoint refuses the client's certificate; over TLS 1.3 they come behind the handshake. */
const CERTIFICATE_ALERT =
  /^ERR_SSL_(TLSV13_ALERT_CERTIFICATE_REQUIRED|TLSV1_ALERT_(UNKNOWN_CA|ACCESS_DENIED)|SSLV?3?_ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)))$/

/** Whether the endpoint has refused the certificate, and so has read no request. */
export function refusesCertificate(code: string): boolean {
  return CERTIFICATE_ALERT.test(code)
}

/**
 * Compares the names in a certificate with the one that was meant: its alternative names alone, never its common name
 * (RFC 9525 §6.3), and a wildcard for one whole label.
 *
 * @param name undefined: the address is meant
 */
export function identityFault(
  certificate: X509Certificate,
  name: string | undefined,
  address: string,
  authority: string,
): GatewayError | undefined {
  const matches = name === undefined ? certificate.checkIP(address) : certificate.checkHost(name, STRICT)
  if (matches !== undefined) return undefined
  const names = certificate.subjectAltName
  const has = names === undefined ? 'has no alternative names' : `is for ${printable(names)}`
  return new GatewayError('UpstreamCertificateMismatch', `${authority}: its certificate ${has}, not ${name ?? address}`)
}

const STRICT = { subject: 'never', wildcards: true, partialWildcards: false } as const

const MAX_TEXT = 200

/** What an endpoint sends is not trusted in logs: one line of ASCII, of a limited length. */
function printable(text: string): string {
  const line = text.replace(/[^\x20-\x7e]/g, '?')
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT)}…` : line
}
