/** The key of the example by which tokens are signed: made anew by each start. */
import { generateKeyPairSync } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'start-keys.yaml'

export interface SigningKeys {
  remove(): void
}

/** @param folder that is served: the Secret goes there */
export function makeSigningKeys(folder: string): SigningKeys {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const path = join(folder, FILE)
  rmSync(path, { force: true })
  writeFileSync(path, manifest(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()), {
    flag: 'wx',
    mode: 0o600,
  })
  return { remove: () => rmSync(path, { force: true }) }
}

function manifest(pem: string): string {
  return `# Made by npm start, and removed when it ends.
apiVersion: v1
kind: Secret
type: headgate.dev/signing-keys
metadata: { name: start-signing-keys, namespace: shop }
data:
  start.pem: ${Buffer.from(pem).toString('base64')}
`
}
