/**
 * Makes certificates and revocation lists (RFC 5280): for trying things with a local authority, and for tests. Keys,
 * serial numbers and times come from the caller.
 */
import { createHash, type KeyObject, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { parseAddress } from '../pattern/cidr.ts'
import * as der from './der.ts'

export interface DistinguishedName {
  readonly commonName?: string
  readonly organization?: string
  readonly organizationalUnit?: string
  /** Two letters. */
  readonly country?: string
}

export interface AlternativeNames {
  /** In ASCII: a name with other letters in its form `xn--…`. */
  readonly dns?: readonly string[]
  /** Literals. */
  readonly ip?: readonly string[]
  readonly uri?: readonly string[]
  readonly email?: readonly string[]
}

export interface CertificateRequest {
  readonly subject: DistinguishedName
  readonly publicKey: KeyObject
  /** 1 … 20 bytes, not negative: the first bit is 0. */
  readonly serial: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  /** `authority` signs other certificates; the others are for the ends of a connection. */
  readonly use: 'authority' | 'server' | 'client'
  readonly names?: AlternativeNames
}

/** Who signs: an authority with its private key. */
export interface Issuer {
  readonly subject: DistinguishedName
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export interface RevocationList {
  readonly serials: readonly Uint8Array[]
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  /** Grows with each list of one issuer. */
  readonly number: number
}

/** @returns its DER form */
export function makeCertificate(request: CertificateRequest, issuer: Issuer): Buffer {
  const tbs = der.sequence(
    der.explicit(0, der.smallInteger(2)),
    der.integer(request.serial),
    signatureAlgorithm(issuer.privateKey),
    name(issuer.subject),
    der.sequence(der.time(request.notBefore), der.time(request.notAfter)),
    name(request.subject),
    publicKeyInfo(request.publicKey),
    der.explicit(3, der.sequence(...extensions(request, issuer))),
  )
  return signed(tbs, issuer.privateKey)
}

/** @returns its DER form */
export function makeRevocationList(list: RevocationList, issuer: Issuer): Buffer {
  const revoked = list.serials.map((serial) => der.sequence(der.integer(serial), der.time(list.thisUpdate)))
  const tbs = der.sequence(
    der.smallInteger(1),
    signatureAlgorithm(issuer.privateKey),
    name(issuer.subject),
    der.time(list.thisUpdate),
    der.time(list.nextUpdate),
    ...(revoked.length === 0 ? [] : [der.sequence(...revoked)]),
    der.explicit(
      0,
      der.sequence(
        extension('2.5.29.35', false, der.sequence(der.implicit(0, keyIdentifier(issuer.publicKey)))),
        extension('2.5.29.20', false, der.smallInteger(list.number)),
      ),
    ),
  )
  return signed(tbs, issuer.privateKey)
}

/** @param label `CERTIFICATE` or `X509 CRL` */
export function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function signed(tbs: Buffer, key: KeyObject): Buffer {
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  return der.sequence(tbs, signatureAlgorithm(key), der.bitString(sign(digest, tbs, key)))
}

function signatureAlgorithm(key: KeyObject): Buffer {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'))
    case 'rsa':
      return der.sequence(der.objectIdentifier('1.2.840.113549.1.1.11'), der.NULL)
    case 'ed25519':
      return der.sequence(der.objectIdentifier('1.3.101.112'))
    default:
      throw new TypeError(`keys of type ${key.asymmetricKeyType} cannot sign a certificate`)
  }
}

function publicKeyInfo(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

/** RFC 7093 §2, method 4 by SHA-256: any value that differs with the key would do. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha256').update(publicKeyInfo(key)).digest().subarray(0, 20)
}

const ATTRIBUTES = [
  ['country', '2.5.4.6'],
  ['organization', '2.5.4.10'],
  ['organizationalUnit', '2.5.4.11'],
  ['commonName', '2.5.4.3'],
] as const

function name(subject: DistinguishedName): Buffer {
  return der.sequence(
    ...ATTRIBUTES.flatMap(([attribute, id]) => {
      const text = subject[attribute]
      if (text === undefined) return []
      const value = attribute === 'country' ? der.printableString(text) : der.utf8String(text)
      return [der.set(der.sequence(der.objectIdentifier(id), value))]
    }),
  )
}

const DIGITAL_SIGNATURE = 0b1000_0000
const KEY_ENCIPHERMENT = 0b0010_0000
const SIGNS_CERTIFICATES_AND_LISTS = 0b0000_0110

function extensions({ use, publicKey, names }: CertificateRequest, issuer: Issuer): Buffer[] {
  const list = [
    extension('2.5.29.14', false, der.octetString(keyIdentifier(publicKey))),
    extension('2.5.29.35', false, der.sequence(der.implicit(0, keyIdentifier(issuer.publicKey)))),
  ]
  if (use === 'authority')
    list.push(
      extension('2.5.29.19', true, der.sequence(der.TRUE)),
      extension('2.5.29.15', true, der.namedBits(DIGITAL_SIGNATURE | SIGNS_CERTIFICATES_AND_LISTS)),
    )
  else {
    const encipherment = publicKey.asymmetricKeyType === 'rsa' ? KEY_ENCIPHERMENT : 0
    const purpose = use === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'
    list.push(
      extension('2.5.29.19', true, der.sequence()),
      extension('2.5.29.15', true, der.namedBits(DIGITAL_SIGNATURE | encipherment)),
      extension('2.5.29.37', false, der.sequence(der.objectIdentifier(purpose))),
    )
  }
  const alternatives = names === undefined ? [] : alternativeNames(names)
  if (alternatives.length > 0) list.push(extension('2.5.29.17', false, der.sequence(...alternatives)))
  return list
}

function alternativeNames({ dns = [], ip = [], uri = [], email = [] }: AlternativeNames): Buffer[] {
  return [
    ...email.map((text) => der.implicit(1, Buffer.from(text, 'latin1'))),
    ...dns.map((text) => der.implicit(2, Buffer.from(text, 'latin1'))),
    ...uri.map((text) => der.implicit(6, Buffer.from(text, 'latin1'))),
    ...ip.map((text) => der.implicit(7, ipBytes(text))),
  ]
}

function ipBytes(text: string): Buffer {
  const words = parseAddress(text)
  if (words === undefined) throw new TypeError(`${text} is no IP address`)
  const bytes = Buffer.alloc(16)
  words.forEach((word, i) => void bytes.writeInt32BE(word, i * 4))
  return isIPv4(text) ? bytes.subarray(12) : bytes
}

function extension(id: string, critical: boolean, content: Uint8Array): Buffer {
  const marks = critical ? [der.TRUE] : []
  return der.sequence(der.objectIdentifier(id), ...marks, der.octetString(content))
}
