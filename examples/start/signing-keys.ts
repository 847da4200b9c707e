/** The keys of the example by which tokens are signed and verified: made anew by each start. */
import { generateKeyPairSync } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'start-keys.yaml'
const NAMESPACE = 'shop'

export interface SigningKeys {
  remove(): void
}

/** @param folder that is served: the Secrets go there */
export function makeSigningKeys(folder: string): SigningKeys {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const path = join(folder, FILE)
  rmSync(path, { force: true })
  const text =
    secret('start-signing-keys', 'headgate.dev/signing-keys', privateKey.export({ type: 'pkcs8', format: 'pem' })) +
    secret('start-token-keys', 'headgate.dev/jwt-key', publicKey.export({ type: 'spki', format: 'pem' }))
  writeFileSync(path, `# Made by npm start, and removed when it ends.\n${text}`, { flag: 'wx', mode: 0o600 })
  return { remove: () => rmSync(path, { force: true }) }
}

function secret(name: string, type: string, pem: string | Buffer): string {
  return `apiVersion: v1
kind: Secret
type: ${type}
metadata: { name: ${name}, namespace: ${NAMESPACE} }
data:
  public.pem: ${Buffer.from(pem).toString('base64')}
---
`
}
