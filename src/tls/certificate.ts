/**
 * A certificate chain and its private key as a Secret holds them: read, checked against each other, and put in the
 * order in which a handshake sends them. What OpenSSL would refuse when a server is made of them is refused here, with
 * a cause for people.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { dnsNamesOf } from './certificate-names.ts'
import { type PemBlock, parsePem } from './pem.ts'

export interface CertificatePair {
  /** PEM: the leaf, then each issuer of the one before, as far as they are there. */
  readonly chain: string
  /** PEM of the key alone. */
  readonly key: string
  readonly facts: CertificateFacts
}

export interface CertificateFacts {
  /** DNS names in lower case; see `dnsNamesOf`. */
  readonly names: readonly string[]
  /** The subject has a common name, which nobody reads any more. */
  readonly commonNameOnly: boolean
  /** Milliseconds since the epoch. Of a chain: the time that all of it has in common, a root left out. */
  readonly notBefore: number
  readonly notAfter: number
  readonly selfSigned: boolean
  /** How the chain differs from what was written; as a clause. */
  readonly remark?: string
}

export interface CertificateFault {
  /** The end of a sentence: what is wrong and what to do. It never has a part of the key. */
  readonly fault: string
}

/** Of a chain. Each handshake without a session sends all of it. */
export const MAX_CERTIFICATES = 16
export const MAX_CHAIN_BYTES = 65_536
export const MAX_KEY_BYTES = 32_768

export function readCertificatePair(chain: string, key: string): CertificatePair | CertificateFault {
  const certificates = readCertificates(chain)
  if ('fault' in certificates) return { fault: `tls.crt cannot be used: ${certificates.fault}` }
  const privateKey = readPrivateKey(key)
  if ('fault' in privateKey) return { fault: `tls.key cannot be used: ${privateKey.fault}` }
  const leaf = certificates.find(({ x509 }) => x509.checkPrivateKey(privateKey.key))
  if (leaf === undefined)
    return { fault: 'tls.key is not the key of the certificate in tls.crt; store the two that were made together' }
  const costly = costlyKey(privateKey.key)
  if (costly !== undefined) return { fault: `tls.key cannot be used: ${costly}` }
  const path = pathOf(leaf, certificates)
  for (const { x509 } of path) {
    const weakness = weaknessOf(x509)
    if (weakness !== undefined) return { fault: `tls.crt cannot be used: ${weakness}; have it issued anew` }
  }
  return {
    chain: path.map(({ block }) => block.text).join(''),
    key: privateKey.text,
    facts: factsOf(path, certificates),
  }
}

interface ReadCertificate {
  readonly block: PemBlock
  readonly x509: X509Certificate
}

function readCertificates(text: string): readonly ReadCertificate[] | CertificateFault {
  if (text.length > MAX_CHAIN_BYTES)
    return { fault: `it is larger than ${MAX_CHAIN_BYTES} bytes; leave out what is no part of the chain` }
  const blocks = parsePem(text, MAX_CERTIFICATES)
  if ('fault' in blocks) return { fault: `${blocks.fault}; store the complete chain in PEM` }
  const certificates: ReadCertificate[] = []
  for (const block of blocks) {
    if (block.label !== 'CERTIFICATE' && block.label !== 'X509 CERTIFICATE') continue
    const x509 = parseCertificate(block)
    if (x509 === undefined)
      return { fault: `certificate ${certificates.length + 1} in it is damaged; store the complete chain in PEM` }
    if (certificates.every((other) => !other.x509.raw.equals(x509.raw))) certificates.push({ block, x509 })
  }
  return certificates.length > 0 ? certificates : { fault: 'it has no certificate in PEM; store the chain, leaf first' }
}

/** @returns undefined when it is none */
export function parseCertificate(block: PemBlock): X509Certificate | undefined {
  try {
    const x509 = new X509Certificate(block.der)
    // Computed from a part that is read late, and throws where the key is of no kind that is known.
    return x509.publicKey === undefined ? undefined : x509
  } catch {
    return undefined
  }
}

function readPrivateKey(text: string): { readonly key: KeyObject; readonly text: string } | CertificateFault {
  if (text.length > MAX_KEY_BYTES) return { fault: `it is larger than ${MAX_KEY_BYTES} bytes` }
  // OpenSSL writes the parameters of a curve before the key.
  const blocks = parsePem(text, 8)
  if ('fault' in blocks) return { fault: `${blocks.fault}; store the complete key in PEM` }
  const block = blocks.find(({ label }) => label.endsWith('PRIVATE KEY'))
  if (block === undefined) return { fault: 'it has no private key in PEM' }
  if (block.label === 'ENCRYPTED PRIVATE KEY' || block.headers.includes('ENCRYPTED'))
    return {
      fault: 'the key is encrypted, and there is nobody to give its passphrase; store it decrypted (openssl pkey)',
    }
  try {
    return { key: createPrivateKey(block.text), text: block.text }
  } catch {
    return { fault: `its block ${block.label} is damaged; store the complete key in PEM` }
  }
}

/** From the leaf to an issuer that is not there, or signed itself. */
function pathOf(leaf: ReadCertificate, certificates: readonly ReadCertificate[]): readonly ReadCertificate[] {
  const path = [leaf]
  const rest = new Set(certificates)
  for (let last = leaf; ; path.push(last)) {
    rest.delete(last)
    if (isSelfIssued(last.x509)) return path
    const issuer = [...rest].find(({ x509 }) => last.x509.checkIssued(x509))
    if (issuer === undefined) return path
    last = issuer
  }
}

/** Not asked of `checkIssued`, which wants the issuer to be an authority. */
function isSelfIssued({ subject, issuer }: X509Certificate): boolean {
  return subject === issuer
}

function factsOf(path: readonly ReadCertificate[], written: readonly ReadCertificate[]): CertificateFacts {
  const leaf = path[0]!.x509
  const names = dnsNamesOf(leaf.subjectAltName)
  const selfSigned = isSelfIssued(leaf)
  // Clients have the roots that they trust, and do not look at one that is sent.
  const judged = path.filter(({ x509 }, i) => i === 0 || !isSelfIssued(x509))
  const remark = remarkOn(path, written)
  return {
    names,
    commonNameOnly: leaf.subjectAltName === undefined && /(^|\n)CN=/.test(leaf.subject ?? ''),
    notBefore: Math.max(...judged.map(({ x509 }) => x509.validFromDate.getTime())),
    notAfter: Math.min(...judged.map(({ x509 }) => x509.validToDate.getTime())),
    selfSigned,
    ...(remark === undefined ? {} : { remark }),
  }
}

function remarkOn(path: readonly ReadCertificate[], written: readonly ReadCertificate[]): string | undefined {
  const left = written.length - path.length
  if (left > 0)
    return `${left} of the ${written.length} certificates in tls.crt ${left === 1 ? 'is' : 'are'} no part of its chain and not sent`
  return path.every((one, i) => one === written[i])
    ? undefined
    : 'the certificates in tls.crt are sent in the right order, leaf first, which is not how they are written'
}

/** Bits of RSA and DSA, and of curves, that level 2 of OpenSSL asks for (112 bits of security). */
const RSA_BITS = 2048
const CURVES: ReadonlySet<string> = new Set([
  'prime256v1',
  'secp384r1',
  'secp521r1',
  'brainpoolP256r1',
  'brainpoolP384r1',
  'brainpoolP512r1',
])
const WEAK_DIGEST = /md2|md4|md5|sha1(?!\d)|with-?sha-?1$/i

/** Each handshake signs with it, on a thread that serves everybody: 8,192 bits take more than ten milliseconds. */
const MOST_RSA_BITS = 4096

function costlyKey({ asymmetricKeyDetails: details }: KeyObject): string | undefined {
  const bits = details?.modulusLength ?? 0
  return bits <= MOST_RSA_BITS
    ? undefined
    : `a key of ${bits} bits would take too long in each handshake; use at most ${MOST_RSA_BITS} bits of RSA, or a curve`
}

/** What a handshake at OpenSSL's level 2 refuses of a certificate; undefined = nothing. */
export function weaknessOf(x509: X509Certificate): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = x509.publicKey
  const subject = x509.subject?.replaceAll('\n', ', ') ?? ''
  const whose = subject === '' ? 'its key' : `the key of ${subject.slice(0, 200)}`
  if (type === 'rsa' || type === 'rsa-pss') {
    if ((details?.modulusLength ?? 0) < RSA_BITS)
      return `${whose} has ${details?.modulusLength} bits, and TLS asks for ${RSA_BITS}`
  } else if (type === 'ec') {
    if (!CURVES.has(details?.namedCurve ?? ''))
      return `${whose} is on curve ${details?.namedCurve}, which TLS does not use`
  } else if (type !== 'ed25519' && type !== 'ed448') return `${whose} is of type ${type}, which TLS does not use`
  // A root is not verified by its signature.
  if (WEAK_DIGEST.test(x509.signatureAlgorithm ?? '') && !isSelfIssued(x509))
    return `it is signed with ${x509.signatureAlgorithm}, which TLS does not accept any more`
  return undefined
}
