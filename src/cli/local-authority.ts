/**
 * A certificate authority of this machine's user, for trying things: made once and kept, so that it has to be trusted
 * once. Its key never leaves its folder.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { homedir, hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import {
  type AlternativeNames,
  type DistinguishedName,
  type Issuer,
  makeCertificate,
  toPem,
} from '../tls/certificate-maker.ts'
import { makeFolder } from './make-folder.ts'

const DAY = 86_400_000
const AUTHORITY_DAYS = 3_650
/** Clocks differ. */
const BEFORE = 3_600_000

export interface LocalAuthority {
  /** File with its certificate, for browsers and `curl --cacert`. */
  readonly file: string
  /** It was made now. */
  readonly fresh: boolean
  readonly issuer: Issuer
}

export interface CertificateOrder {
  readonly use: 'server' | 'client'
  readonly subject: DistinguishedName
  readonly names: AlternativeNames
  readonly days: number
  readonly keyType: 'ecdsa' | 'rsa'
}

/** PEM. */
export interface IssuedCertificate {
  readonly certificate: string
  readonly key: string
  readonly notAfter: Date
}

/** As the XDG base directory specification says. */
export function defaultAuthorityFolder(env: NodeJS.ProcessEnv = process.env): string {
  const data = env.XDG_DATA_HOME
  return join(data?.startsWith('/') ? data : join(homedir(), '.local', 'share'), 'headgate', 'ca')
}

/**
 * @param folder is made if it is not there
 * @throws what the system says of files that cannot be read or written
 */
export function openLocalAuthority(folder: string, now: number): LocalAuthority {
  makeFolder(folder, 0o700)
  const keyFile = join(folder, 'ca.key')
  const file = join(folder, 'ca.crt')
  const fresh = writeNew(keyFile, 0o600, () => pemOf(newKey('ecdsa')))
  const privateKey = createPrivateKey(readFileSync(keyFile))
  const publicKey = createPublicKey(privateKey)
  const subject = {
    organization: 'Headgate',
    commonName: `Headgate local CA of ${userInfo().username}@${hostname()}`.slice(0, 64),
  }
  const issuer = { subject, privateKey, publicKey }
  writeNew(file, 0o644, () =>
    toPem(
      'CERTIFICATE',
      makeCertificate(
        { ...validity(now, AUTHORITY_DAYS), subject, publicKey, serial: serial(), use: 'authority' },
        issuer,
      ),
    ),
  )
  return { file, fresh, issuer }
}

export function issue({ issuer }: LocalAuthority, order: CertificateOrder, now: number): IssuedCertificate {
  const key = newKey(order.keyType)
  const { use, subject, names } = order
  const times = validity(now, order.days)
  const der = makeCertificate(
    { ...times, use, subject, names, publicKey: createPublicKey(key), serial: serial() },
    issuer,
  )
  return { certificate: toPem('CERTIFICATE', der), key: pemOf(key), notAfter: times.notAfter }
}

/** Another process may be doing the same: the first one's file counts. @returns whether it was written now */
function writeNew(file: string, mode: number, text: () => string): boolean {
  try {
    readFileSync(file)
    return false
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  try {
    writeFileSync(file, text(), { flag: 'wx', mode })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

function newKey(type: 'ecdsa' | 'rsa'): KeyObject {
  return type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

function pemOf(key: KeyObject): string {
  return String(key.export({ type: 'pkcs8', format: 'pem' }))
}

function validity(now: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(now - BEFORE), notAfter: new Date(now + days * DAY) }
}

/** RFC 5280 §4.1.2.2: positive, and not to be guessed. */
function serial(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytes
}
