/**
 * The certificates that a client has shown, judged again while its connection is open: OpenSSL verifies them in the
 * handshake alone, and authorities and revocation lists change.
 */
import { X509Certificate } from 'node:crypto'
import { DerReader, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME } from './der-reader.ts'
import { type PemBlock, parsePem } from './pem.ts'

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

/** Values of a revocation list that are read in one step. */
const STEP = 256

/**
 * Judges chains by authorities and by the lists of what is revoked. Both are read first, in short steps: a list has
 * tens of thousands of entries.
 */
export class ChainJudge {
  readonly #steps: Generator<void, void>
  readonly #authorities: X509Certificate[] = []
  /** Null: no list is asked. */
  readonly #revoked: Map<string, Set<string>> | null
  #ready = false

  /**
   * @param ca PEM of authorities, which were read before
   * @param crl PEM of a list of each of them; '' = none is asked
   */
  constructor(ca: string, crl: string) {
    this.#revoked = crl === '' ? null : new Map()
    this.#steps = this.#read(ca, crl)
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Takes one step. */
  prepare(): void {
    this.#ready = this.#steps.next().done === true
  }

  *#read(ca: string, crl: string): Generator<void, void> {
    for (const { der } of blocksOf(ca)) {
      this.#authorities.push(new X509Certificate(der))
      yield
    }
    if (this.#revoked === null) return
    for (const { der } of blocksOf(crl)) {
      yield
      yield* readRevoked(der, this.#revoked)
    }
  }

  /**
   * Whether the client's certificate leads to a root among the authorities, by way of them or of what the client has
   * shown, and nothing on the way is revoked, or of an authority without a list.
   */
  accepts(chain: readonly X509Certificate[]): boolean {
    let last = chain[0]!
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      if (this.#isRevoked(last)) return false
      const issues = (other: X509Certificate): boolean => last.checkIssued(other) && last.verify(other.publicKey)
      const authority = this.#authorities.find(issues)
      if (authority?.checkIssued(authority) === true) return !this.#isRevoked(authority)
      const next = authority ?? chain.find((other) => other !== last && issues(other))
      if (next === undefined) return false
      last = next
    }
    return false
  }

  #isRevoked({ raw }: X509Certificate): boolean {
    if (this.#revoked === null) return false
    const body = new DerReader(raw).enter(SEQUENCE).enter(SEQUENCE)
    // The version, in a tag of its own.
    if (body.peek() === 0xa0) body.next()
    const serial = base64(body.next(INTEGER).content)
    body.next(SEQUENCE)
    return this.#revoked.get(base64(body.next(SEQUENCE).whole))?.has(serial) !== false
  }
}

function blocksOf(pem: string): readonly PemBlock[] {
  const blocks = parsePem(pem, MAX_BLOCKS)
  return 'fault' in blocks ? [] : blocks
}

/** @param revoked serial numbers by the issuer of their list; both as they stand in the DER form, in Base64 */
function* readRevoked(der: Uint8Array, revoked: Map<string, Set<string>>): Generator<void, void> {
  const body = new DerReader(der).enter(SEQUENCE).enter(SEQUENCE)
  if (body.peek() === INTEGER) body.next()
  body.next(SEQUENCE)
  const issuer = base64(body.next(SEQUENCE).whole)
  body.time()
  if (body.peek() === UTC_TIME || body.peek() === GENERALIZED_TIME) body.time()
  const serials = revoked.get(issuer) ?? new Set()
  revoked.set(issuer, serials)
  if (body.peek() !== SEQUENCE) return
  const entries = body.enter(SEQUENCE)
  for (let count = 1; !entries.atEnd; count++) {
    serials.add(base64(entries.enter(SEQUENCE).next(INTEGER).content))
    if (count % STEP === 0) yield
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
