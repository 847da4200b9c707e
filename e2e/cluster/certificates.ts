/** The cluster's own authority and a certificate for everybody who takes part. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execute } from '../lib/execute.ts'
import { type ClusterLayout, NODE_ADDRESS, NODE_NAME } from './cluster-layout.ts'

const API_SERVER_NAMES = [
  'DNS:localhost',
  'DNS:kubernetes',
  'DNS:kubernetes.default',
  'DNS:kubernetes.default.svc',
  'IP:127.0.0.1',
  'IP:10.96.0.1',
  `IP:${NODE_ADDRESS}`,
]

/** Who logs in: the subject says with which rights. */
const CLIENTS: Readonly<Record<string, string>> = {
  admin: '/O=system:masters/CN=admin',
  controllers: '/CN=system:kube-controller-manager',
  scheduler: '/CN=system:kube-scheduler',
  proxy: '/CN=system:kube-proxy',
  dns: '/O=system:masters/CN=dns',
}

export async function createCertificates(layout: ClusterLayout): Promise<void> {
  const folder = join(layout.state, 'certificates')
  if (existsSync(join(folder, 'complete'))) return
  mkdirSync(folder, { recursive: true })
  const openssl = (...args: string[]) => execute('openssl', args, { cwd: folder })
  const newKey = (name: string) => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
  ]
  await openssl('req', '-x509', ...newKey('ca'), '-out', 'ca.crt', '-days', '30', '-subj', '/CN=headgate-e2e')
  await openssl('genrsa', '-out', 'service-accounts.key', '2048')
  await openssl('rsa', '-in', 'service-accounts.key', '-pubout', '-out', 'service-accounts.pub')
  const issue = async (name: string, subject: string, names: readonly string[]) => {
    const extensions = `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`
    writeFileSync(join(folder, `${name}.ext`), extensions)
    await openssl('req', ...newKey(name), '-out', `${name}.csr`, '-subj', subject)
    const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', `${++serial}`, '-days', '30']
    await openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.crt`, '-extfile', `${name}.ext`)
  }
  let serial = 1
  await issue('apiserver', '/CN=kube-apiserver', API_SERVER_NAMES)
  const nodeNames = [`DNS:${NODE_NAME}`, 'IP:127.0.0.1', `IP:${NODE_ADDRESS}`]
  await issue('node', `/O=system:nodes/CN=system:node:${NODE_NAME}`, nodeNames)
  for (const [name, subject] of Object.entries(CLIENTS)) await issue(name, subject, [`DNS:${name}`])
  for (const name of ['node', ...Object.keys(CLIENTS)]) writeKubeconfig(layout, name)
  writeFileSync(join(folder, 'complete'), '')
}

function writeKubeconfig(layout: ClusterLayout, name: string): void {
  const certificates = join(layout.state, 'certificates')
  const cluster = { server: 'https://127.0.0.1:6443', 'certificate-authority': join(certificates, 'ca.crt') }
  const user = {
    'client-certificate': join(certificates, `${name}.crt`),
    'client-key': join(certificates, `${name}.key`),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'e2e', cluster }],
    users: [{ name, user }],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user: name } }],
    'current-context': 'e2e',
  }
  writeFileSync(join(layout.state, `${name}.kubeconfig`), JSON.stringify(config, null, 2), { mode: 0o600 })
}
