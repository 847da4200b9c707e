/** Secrets of type `kubernetes.io/tls` with a certificate that signs itself. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { makeCertificate, toPem } from '../../src/tls/certificate-maker.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

export interface TlsSecretOptions {
  /** In the subject: by this a test tells a certificate from others. */
  readonly organization?: string
  readonly annotations?: object
}

export function tlsSecret(namespace: string, name: string, host: string, options: TlsSecretOptions = {}) {
  const { organization = 'e2e', annotations = {} } = options
  const subject = { commonName: host, organization }
  const serial = randomBytes(16)
  serial[0]! &= 0x7f
  const [notBefore, notAfter] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 90 * 86_400_000)]
  const request = { subject, publicKey, serial, notBefore, notAfter, use: 'server', names: { dns: [host] } } as const
  const chain = toPem('CERTIFICATE', makeCertificate(request, { subject, publicKey, privateKey }))
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const encoded = (text: string) => Buffer.from(text).toString('base64')
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, annotations },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': encoded(chain), 'tls.key': encoded(key) },
  }
}
