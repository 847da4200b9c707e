/** The settings of the example: the certificate with which it serves https, the token with which services register. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultAuthorityFolder, issue, openLocalAuthority } from '../../src/cli/local-authority.ts'
import { EXAMPLE_REQUESTS } from '../requests.ts'

const DAYS = 30
const SECRET = { name: 'start-certificate', namespace: 'shop' }

export interface ExampleTls {
  /** File with the certificate of the authority that signed. */
  readonly authority: string
  /** For `--settings`. */
  readonly settings: string
  /** With the token of the admin API. */
  readonly tokenFile: string
  remove(): void
}

/**
 * @param folder that is served: the Secret goes there
 * @param authorityFolder undefined: the user's
 */
export function makeExampleTls(folder: string, https: number, authorityFolder: string | undefined): ExampleTls {
  const authority = openLocalAuthority(authorityFolder ?? defaultAuthorityFolder(), Date.now())
  const hosts = new Set(EXAMPLE_REQUESTS.map(({ host }) => host))
  const { certificate, key } = issue(
    authority,
    {
      use: 'server',
      subject: { organization: 'Headgate', commonName: 'npm start' },
      names: { dns: ['localhost', 'tls.localhost', ...hosts], ip: ['127.0.0.1', '::1'] },
      days: DAYS,
      keyType: 'ecdsa',
    },
    Date.now(),
  )
  const secret = join(folder, `${SECRET.name}.yaml`)
  rmSync(secret, { force: true })
  writeFileSync(secret, manifest(certificate, key), { flag: 'wx', mode: 0o600 })
  const place = mkdtempSync(join(tmpdir(), 'headgate-example-settings-'))
  const settings = join(place, 'settings.yaml')
  const tokenFile = join(place, 'token')
  writeFileSync(tokenFile, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  writeFileSync(settings, settingsText(https, tokenFile))
  return {
    authority: authority.file,
    settings,
    tokenFile,
    remove() {
      rmSync(secret, { force: true })
      rmSync(place, { recursive: true, force: true })
    },
  }
}

function manifest(certificate: string, key: string): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  return `# Made by npm start, and removed when it ends.
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: ${SECRET.name}, namespace: ${SECRET.namespace} }
data:
  tls.crt: ${base64(certificate)}
  tls.key: ${base64(key)}
`
}

function settingsText(https: number, tokenFile: string): string {
  return `listeners:
- { name: http, port: 8080 }
- { name: https, address: 127.0.0.1, port: ${https}, tls: {} }
admin: { tokenFile: ${JSON.stringify(tokenFile)} }
tls: { defaultCertificate: { secretName: ${SECRET.name}, namespace: ${SECRET.namespace} } }
`
}
