/**
 * Bundles of certificate authorities by which client certificates are verified, and lists of those that are revoked
 * (RFC 5280 §5).
 */
import { type CertificateFault, parseCertificate } from './certificate.ts'
import { DerReader, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME } from './der-reader.ts'
import { parsePem } from './pem.ts'

export interface AuthorityBundle {
  /** PEM of the certificates alone. */
  readonly pem: string
  /** Milliseconds since the epoch: when the first of them ends. */
  readonly notAfter: number
  /** Subjects: Base64 of their DER form. */
  readonly subjects: readonly string[]
}

export interface RevocationLists {
  /** PEM of the lists alone. */
  readonly pem: string
  /** Milliseconds since the epoch: when the first of them has to be replaced; infinity = never. */
  readonly nextUpdate: number
  /** Issuers: Base64 of their DER form. */
  readonly issuers: readonly string[]
}

/** Each handshake that asks for a client certificate sends the subjects of all of them. */
export const MAX_AUTHORITIES = 128
export const MAX_AUTHORITY_BYTES = 262_144
export const MAX_LISTS = 128
export const MAX_LIST_BYTES = 1_048_576

export function readAuthorities(text: string): AuthorityBundle | CertificateFault {
  if (text.length > MAX_AUTHORITY_BYTES)
    return { fault: `ca.crt is larger than ${MAX_AUTHORITY_BYTES} bytes; leave out what no client needs` }
  const blocks = parsePem(text, MAX_AUTHORITIES)
  if ('fault' in blocks) return { fault: `ca.crt cannot be used: ${blocks.fault}` }
  const pem: string[] = []
  const subjects = new Set<string>()
  let notAfter = Number.POSITIVE_INFINITY
  for (const block of blocks) {
    if (block.label !== 'CERTIFICATE' && block.label !== 'X509 CERTIFICATE') continue
    const x509 = parseCertificate(block)
    const subject = x509 && subjectOf(x509.raw)
    if (x509 === undefined || subject === undefined)
      return { fault: `ca.crt cannot be used: certificate ${pem.length + 1} in it is damaged` }
    if (!x509.ca && x509.subject !== x509.issuer)
      return {
        fault: `ca.crt cannot be used: certificate ${pem.length + 1} in it is not one of an authority (no basicConstraints CA)`,
      }
    pem.push(block.text)
    subjects.add(subject)
    notAfter = Math.min(notAfter, x509.validToDate.getTime())
  }
  if (pem.length === 0) return { fault: 'ca.crt has no certificate in PEM' }
  return { pem: pem.join(''), notAfter, subjects: [...subjects] }
}

/** Of a bundle that was read before: whether it is whole, without a look into its certificates. */
export function checkAuthorities(text: string): CertificateFault | undefined {
  const blocks = parsePem(text, MAX_AUTHORITIES)
  if ('fault' in blocks) return { fault: `ca.crt cannot be used: ${blocks.fault}` }
  return blocks.length === 0 ? { fault: 'ca.crt has no certificate in PEM' } : undefined
}

export function readRevocationLists(text: string): RevocationLists | CertificateFault {
  if (text.length > MAX_LIST_BYTES) return { fault: `ca.crl is larger than ${MAX_LIST_BYTES} bytes` }
  const blocks = parsePem(text, MAX_LISTS)
  if ('fault' in blocks) return { fault: `ca.crl cannot be used: ${blocks.fault}` }
  const pem: string[] = []
  const issuers = new Set<string>()
  let nextUpdate = Number.POSITIVE_INFINITY
  for (const block of blocks) {
    if (block.label !== 'X509 CRL') continue
    const list = readList(block.der)
    if (list === undefined) return { fault: `ca.crl cannot be used: list ${pem.length + 1} in it is damaged` }
    pem.push(block.text)
    issuers.add(list.issuer)
    nextUpdate = Math.min(nextUpdate, list.nextUpdate)
  }
  if (pem.length === 0) return { fault: 'ca.crl has no revocation list (X509 CRL) in PEM' }
  return { pem: pem.join(''), nextUpdate, issuers: [...issuers] }
}

/** @returns Base64 of the DER form; undefined where the certificate is damaged */
function subjectOf(certificate: Uint8Array): string | undefined {
  try {
    const body = new DerReader(certificate).enter(SEQUENCE).enter(SEQUENCE)
    // Version, in a tag of its own; then serial number, algorithm, issuer and validity.
    if (body.peek() === 0xa0) body.next()
    body.next(INTEGER)
    for (let i = 0; i < 3; i++) body.next(SEQUENCE)
    return Buffer.from(body.next(SEQUENCE).whole).toString('base64')
  } catch {
    return undefined
  }
}

function readList(der: Uint8Array): { readonly issuer: string; readonly nextUpdate: number } | undefined {
  try {
    const outer = new DerReader(der)
    const list = outer.enter(SEQUENCE)
    if (!outer.atEnd) return undefined
    const body = list.enter(SEQUENCE)
    // Algorithm and signature.
    list.next(SEQUENCE)
    list.next()
    if (!list.atEnd) return undefined
    if (body.peek() === INTEGER) body.next()
    body.next(SEQUENCE)
    const issuer = Buffer.from(body.next(SEQUENCE).whole).toString('base64')
    body.time()
    const limited = body.peek() === UTC_TIME || body.peek() === GENERALIZED_TIME
    const nextUpdate = limited ? body.time() : Number.POSITIVE_INFINITY
    while (!body.atEnd) body.next()
    return { issuer, nextUpdate }
  } catch {
    return undefined
  }
}
