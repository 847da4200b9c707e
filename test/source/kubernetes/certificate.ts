/** Generates certificates for tests: X.509 v3 (RFC 5280), EC P-256, with a minimal DER encoder. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export interface Issued {
  readonly cert: string
  readonly key: string
}

interface Authority extends Issued {
  readonly name: string
  readonly privateKey: KeyObject
}

let serial = 1

export function authority(name: string): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  // basicConstraints: critical, CA:TRUE
  const extensions = [extension('551d13', sequence(der(0x01, Buffer.from([0xff]))), true)]
  const cert = certificate(name, name, publicKey, privateKey, extensions)
  return { name, privateKey, cert, key: pem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' })) }
}

/** For 127.0.0.1 as a server, and for any holder of the key as a client. */
export function issue(by: Authority, name: string): Issued {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  // subjectAltName: iPAddress
  const extensions = [extension('551d11', sequence(der(0x87, Buffer.from([127, 0, 0, 1]))), false)]
  const cert = certificate(name, by.name, publicKey, by.privateKey, extensions)
  return { cert, key: pem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' })) }
}

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'))

function certificate(subject: string, issuer: string, key: KeyObject, signer: KeyObject, extensions: Buffer[]): string {
  const year = (offset: number) => new Date(Date.now() + offset * 31_536_000_000).toISOString()
  const time = (date: string) => der(0x18, Buffer.from(`${date.replaceAll(/[-:T]/g, '').slice(0, 14)}Z`))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([serial++])),
    ECDSA_SHA256,
    nameOf(issuer),
    sequence(time(year(-1)), time(year(1))),
    nameOf(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, signer)
  return pem('CERTIFICATE', sequence(body, ECDSA_SHA256, der(0x03, Buffer.concat([Buffer.from([0]), signature]))))
}

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(text)))))
}

function extension(id: string, value: Buffer, critical: boolean): Buffer {
  return sequence(oid(id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value))
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function pem(what: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN ${what}-----\n${lines.join('\n')}\n-----END ${what}-----\n`
}
