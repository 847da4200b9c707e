/** The certificate that a client has shown in its handshake, as upstreams are told of it. */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { ClientCertificate } from '../message/client-certificate.ts'
import type { SecureServer } from './secure-server.ts'

/** Characters of subject and of names together: upstreams get them in the head of each request. */
const MAX_TEXT = 8_192

/**
 * Node has verified it when the session began; time has gone on where the session is resumed.
 *
 * @param wall milliseconds since the epoch
 * @returns null: none was shown, where none is demanded; a text: why it is refused
 */
export function clientCertificateOf(
  server: SecureServer,
  socket: TLSSocket,
  wall: number,
): ClientCertificate | null | string {
  const { trust } = server
  if (trust === null) return null
  const x509 = socket.getPeerX509Certificate()
  if (x509 === undefined) return server.options.clientCertificate?.mode === 'Optional' ? null : 'it is missing'
  if (!socket.authorized) return String(socket.authorizationError)
  if (wall < x509.validFromDate.getTime()) return 'it is not valid yet'
  if (wall > x509.validToDate.getTime()) return 'it has expired'
  if (wall > trust.crlEnd) return 'the revocation list has expired'
  return describe(x509)
}

function describe(x509: X509Certificate): ClientCertificate | string {
  const subject = printable((x509.subject ?? '').split('\n').reverse().join(','))
  const san = printable(x509.subjectAltName ?? '')
  if (subject.length + san.length > MAX_TEXT) return `its subject and names are longer than ${MAX_TEXT} characters`
  return { subject, san, fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase() }
}

/** What is not printable ASCII as RFC 2253 §2.4 writes it: the bytes of UTF-8 in hexadecimal. */
function printable(text: string): string {
  return text.replaceAll(/[^ -~]/gu, (char) =>
    Array.from(Buffer.from(char), (byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}
