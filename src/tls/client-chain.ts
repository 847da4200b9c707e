/**
 * The certificates that a client has shown, judged again while its connection is open: OpenSSL verifies them in the
 * handshake alone, and authorities and revocation lists change.
 */
import { X509Certificate } from 'node:crypto'
import { DerReader, INTEGER, SEQUENCE, UTC_TIME } from './der-reader.ts'
import { parsePem } from './pem.ts'

const GENERALIZED_TIME = 0x18
/** Certificates from a client up to a root. */
const MAX_DEPTH = 10
const MAX_BLOCKS = 256

/** @param first the client's own */
export function chainOf(first: X509Certificate): readonly X509Certificate[] {
  const chain = [first]
  for (
    let next = first.issuerCertificate;
    next !== undefined && chain.length < MAX_DEPTH;
    next = next.issuerCertificate
  ) {
    if (next.fingerprint256 === chain.at(-1)!.fingerprint256) break
    chain.push(next)
  }
  return chain
}

/**
 * Whether the client's certificate leads to a root among the authorities, by way of them or of what the client has
 * shown.
 *
 * @param pem of the authorities
 */
export function leadsTo(chain: readonly X509Certificate[], pem: string): boolean {
  const authorities = certificatesOf(pem)
  let last = chain[0]!
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const issues = (other: X509Certificate): boolean => last.checkIssued(other) && last.verify(other.publicKey)
    const authority = authorities.find(issues)
    if (authority?.checkIssued(authority) === true) return true
    const next = authority ?? chain.find((other) => other !== last && issues(other))
    if (next === undefined) return false
    last = next
  }
  return false
}

function certificatesOf(pem: string): readonly X509Certificate[] {
  const blocks = parsePem(pem, MAX_BLOCKS)
  return 'fault' in blocks ? [] : blocks.map(({ der }) => new X509Certificate(der))
}

/** Serial numbers by the issuer of their list; both as they stand in the DER form, in Base64. */
export type Revoked = ReadonlyMap<string, ReadonlySet<string>>

/** @param pem of revocation lists that were read before */
export function readRevoked(pem: string): Revoked {
  const revoked = new Map<string, Set<string>>()
  const blocks = parsePem(pem, MAX_BLOCKS)
  if ('fault' in blocks) return revoked
  for (const { der } of blocks) {
    const body = new DerReader(der).enter(SEQUENCE).enter(SEQUENCE)
    if (body.peek() === INTEGER) body.next()
    body.next(SEQUENCE)
    const issuer = base64(body.next(SEQUENCE).whole)
    body.time()
    if (body.peek() === UTC_TIME || body.peek() === GENERALIZED_TIME) body.time()
    const serials = revoked.get(issuer) ?? new Set()
    revoked.set(issuer, serials)
    if (body.peek() !== SEQUENCE) continue
    const entries = body.enter(SEQUENCE)
    while (!entries.atEnd) serials.add(base64(entries.enter(SEQUENCE).next(INTEGER).content))
  }
  return revoked
}

export function isRevoked(chain: readonly X509Certificate[], revoked: Revoked): boolean {
  return chain.some(({ raw }) => {
    const body = new DerReader(raw).enter(SEQUENCE).enter(SEQUENCE)
    // The version, in a tag of its own.
    if (body.peek() === 0xa0) body.next()
    const serial = base64(body.next(INTEGER).content)
    body.next(SEQUENCE)
    return revoked.get(base64(body.next(SEQUENCE).whole))?.has(serial) === true
  })
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
