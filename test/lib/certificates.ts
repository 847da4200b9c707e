/** Certificates for tests: an authority made on the spot, and what it issues. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import {
  type AlternativeNames,
  type DistinguishedName,
  type Issuer,
  makeCertificate,
  makeRevocationList,
  toPem,
} from '../../src/tls/certificate-maker.ts'

const MINUTE = 60_000
const DAY = 86_400_000

export type KeyType = 'ec' | 'rsa' | 'ed25519'

export interface Issued {
  /** PEM: the leaf, then the intermediate authorities. */
  readonly cert: string
  /** PEM, PKCS #8. */
  readonly key: string
  readonly serial: Buffer
  readonly x509: X509Certificate
}

export interface IssueOptions {
  readonly subject?: DistinguishedName
  readonly use?: 'server' | 'client'
  readonly keyType?: KeyType
  readonly names?: AlternativeNames
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** PEM; default: new ones. Issuing thousands with one key is quick. */
  readonly keys?: KeyPair
}

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function keyPair(type: KeyType = 'ec'): KeyPair {
  if (type === 'ec') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  if (type === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  return generateKeyPairSync('ed25519')
}

export function keyPem({ privateKey }: KeyPair): string {
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }))
}

function serialNumber(): Buffer {
  const bytes = randomBytes(16)
  bytes[0]! &= 0x7f
  return bytes
}

export class TestAuthority {
  /** PEM of its own certificate. */
  readonly ca: string
  readonly issuer: Issuer
  /** PEM of it and of those between it and the root, as servers send them. */
  readonly #chain: string
  #lists = 0

  constructor(commonName = 'Test CA', parent: TestAuthority | null = null, keyType: KeyType = 'ec') {
    this.issuer = { subject: { organization: 'Headgate tests', commonName }, ...keyPair(keyType) }
    const der = makeCertificate(
      {
        subject: this.issuer.subject,
        publicKey: this.issuer.publicKey,
        serial: serialNumber(),
        notBefore: new Date(Date.now() - MINUTE),
        notAfter: new Date(Date.now() + 3650 * DAY),
        use: 'authority',
      },
      parent?.issuer ?? this.issuer,
    )
    this.ca = toPem('CERTIFICATE', der)
    this.#chain = parent === null ? '' : this.ca + parent.#chain
  }

  issue(options: IssueOptions = {}): Issued {
    const { use = 'server', keys = keyPair(options.keyType), names = {} } = options
    const serial = serialNumber()
    const der = makeCertificate(
      {
        subject: options.subject ?? { commonName: names.dns?.[0] ?? use },
        publicKey: keys.publicKey,
        serial,
        notBefore: options.notBefore ?? new Date(Date.now() - MINUTE),
        notAfter: options.notAfter ?? new Date(Date.now() + 90 * DAY),
        use,
        names,
      },
      this.issuer,
    )
    return {
      cert: toPem('CERTIFICATE', der) + this.#chain,
      key: keyPem(keys),
      serial,
      x509: new X509Certificate(der),
    }
  }

  /** A server's certificate for these names. */
  server(...dns: readonly string[]): Issued {
    return this.issue({ names: { dns } })
  }

  client(commonName: string, names: AlternativeNames = {}): Issued {
    return this.issue({ use: 'client', subject: { commonName }, names })
  }

  /** PEM of a revocation list of this authority. */
  revoke(revoked: readonly Pick<Issued, 'serial'>[], nextUpdate = new Date(Date.now() + DAY)): string {
    const list = { serials: revoked.map(({ serial }) => serial), thisUpdate: new Date(Date.now() - MINUTE), nextUpdate }
    this.#lists++
    return toPem('X509 CRL', makeRevocationList({ ...list, number: this.#lists }, this.issuer))
  }
}

/** SHA-256 of the DER form, as the gateway writes it. */
export function fingerprintOf({ x509 }: Issued): string {
  return createHash('sha256').update(x509.raw).digest('hex')
}
