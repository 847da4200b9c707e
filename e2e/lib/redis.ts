/**
 * Redis in the cluster: a Deployment that speaks TLS alone and wants a password, with the Secrets that Headgate reads
 * and the settings that name them. It keeps nothing: a new pod is an empty store.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { makeCertificate, toPem } from '../../src/tls/certificate-maker.ts'
import { apply, kubectl } from './kubernetes.ts'
import { until } from './wait.ts'

/** Any image whose entry point is `redis-server`, or a script that starts it. */
const IMAGE = process.env.HEADGATE_E2E_REDIS_IMAGE ?? 'headgate-e2e-redis:debian'
const PORT = 6380
const DAYS = 30

const NAME = 'redis'
const PASSWORD_SECRET = 'redis-password'
const CA_SECRET = 'redis-ca'

export interface Redis {
  /** Values of the chart. */
  readonly values: Readonly<Record<string, string>>
  delete(): Promise<void>
  create(): Promise<void>
  /** Until a connection to its Service is accepted: later than its pod is ready by what kube-proxy takes. */
  accepts(): Promise<void>
}

export async function startRedis(namespace: string): Promise<Redis> {
  const password = randomBytes(24).toString('base64url')
  const host = `${NAME}.${namespace}.svc`
  const { authority, chain, key } = certificatesFor(host)
  const encoded = (texts: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text).toString('base64')]))
  const secret = (name: string, type: string, texts: Readonly<Record<string, string>>) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type, data: encoded(texts) },
  })
  const configuration = [
    ...['port 0', `tls-port ${PORT}`, 'tls-cert-file /redis/tls.crt', 'tls-key-file /redis/tls.key'],
    ...['tls-ca-cert-file /redis/ca.crt', 'tls-auth-clients no', `requirepass ${password}`],
    ...['save ""', 'appendonly no', 'dir /tmp', 'bind * -::*', ''],
  ]
  await apply(
    secret(PASSWORD_SECRET, 'headgate.dev/redis', { password }),
    secret(CA_SECRET, 'headgate.dev/ca', { 'ca.crt': authority }),
    secret('redis-server', 'Opaque', {
      ...{ 'redis.conf': configuration.join('\n'), 'tls.crt': chain, 'tls.key': key, 'ca.crt': authority },
    }),
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: NAME, namespace } },
      spec: { selector: { app: NAME }, ports: [{ port: PORT, targetPort: PORT }] },
    },
  )
  const create = async (): Promise<void> => {
    await apply(deployment(namespace))
    await kubectl('rollout', 'status', `deployment/${NAME}`, '-n', namespace, '--timeout=60s')
  }
  await create()
  return {
    values: {
      'settings.redis.addresses[0]': `${host}:${PORT}`,
      'settings.redis.namespace': namespace,
      'settings.redis.secretName': PASSWORD_SECRET,
      'settings.redis.tls.caSecretName': CA_SECRET,
    },
    create,
    accepts: () => accepts(namespace),
    delete: async () => {
      await kubectl('delete', 'deployment', NAME, '-n', namespace, '--cascade=foreground', '--wait')
    },
  }
}

async function accepts(namespace: string): Promise<void> {
  const address = await kubectl('get', 'service', NAME, '-n', namespace, '-o', 'jsonpath={.spec.clusterIP}')
  const dial = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: address, port: PORT })
      const end = (accepted: boolean): void => {
        socket.destroy()
        resolve(accepted)
      }
      socket.once('connect', () => end(true)).once('error', () => end(false))
    })
  await until('a connection to Redis', dial, { every: 5 })
}

const deployment = (namespace: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: NAME, namespace },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: NAME } },
    template: {
      metadata: { labels: { app: NAME } },
      spec: {
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        terminationGracePeriodSeconds: 1,
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            ...{ name: 'redis', image: IMAGE, imagePullPolicy: 'IfNotPresent', args: ['/redis/redis.conf'] },
            readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
            volumeMounts: [
              { name: 'server', mountPath: '/redis', readOnly: true },
              { name: 'data', mountPath: '/tmp' },
            ],
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
        volumes: [
          { name: 'server', secret: { secretName: 'redis-server' } },
          { name: 'data', emptyDir: {} },
        ],
      },
    },
  },
})

/** An authority of its own, in PEM like what it has signed. */
function certificatesFor(host: string): { readonly authority: string; readonly chain: string; readonly key: string } {
  const [issuer, server] = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }))
  const serial = () => {
    const bytes = randomBytes(16)
    bytes[0]! &= 0x7f
    return bytes
  }
  const time = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + DAYS * 86_400_000) }
  const by = { subject: { commonName: 'e2e Redis authority' }, ...issuer! }
  const authority = makeCertificate(
    { subject: by.subject, publicKey: issuer!.publicKey, serial: serial(), ...time, use: 'authority' },
    by,
  )
  const names = { dns: [host] }
  const chain = makeCertificate(
    { subject: { commonName: host }, publicKey: server!.publicKey, serial: serial(), ...time, use: 'server', names },
    by,
  )
  return {
    authority: toPem('CERTIFICATE', authority),
    chain: toPem('CERTIFICATE', chain),
    key: server!.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
