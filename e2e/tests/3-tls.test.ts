/** TLS on the chart's listener with Secrets as kubectl and cert-manager write them: missing, created, rotated. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { connect } from 'node:tls'
import { figure } from '../lib/figures.ts'
import { ask, type Entrance, entrance, install } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { tlsSecret } from '../lib/tls-secret.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'tls'
const HOST = 'tls.example'
/** Handshakes in a row that must show the same certificate: each goes to a replica and a worker by chance. */
const SURE = 12

let door: Entrance
let plainDoor: Entrance

const secret = (name: string, host: string, organization: string, annotations: object = {}) =>
  tlsSecret(NAMESPACE, name, host, { organization, annotations })

/** Of the certificate that a handshake for this host shows. */
async function organization(host: string): Promise<string | undefined> {
  const [address, port] = door.address.split(':') as [string, string]
  const socket = connect({ host: address, port: Number(port), servername: host, rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(5_000) })
    const { O } = socket.getPeerCertificate().subject
    return String(O)
  } finally {
    socket.destroy()
  }
}

const shows = (host: string, expected: string) =>
  until(
    `${host} shows the certificate of ${expected}`,
    async () => {
      for (let i = 0; i < SURE; i++) {
        const found = await organization(host)
        if (found !== expected) throw new Error(`${found}`)
      }
      return true
    },
    { every: 20 },
  )

before(async () => {
  await install()
  ;[door, plainDoor] = [await entrance(undefined, undefined, 443), await entrance()]
  await freshNamespace(NAMESPACE)
  const options = { namespace: NAMESPACE, name: 'shop', replicas: 2 }
  const tls = { certificates: [{ secretName: 'shop-tls' }] }
  await apply(
    ...[deployment(options), service(options), backend(NAMESPACE, 'shop')],
    route(NAMESPACE, 'shop', HOST, undefined, { tls }),
  )
  await rolledOut(NAMESPACE, 'shop')
})

after(async () => {
  door?.close()
  plainDoor?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

interface Condition {
  readonly type: string
  readonly status: string
  readonly message: string
}

async function resolvedRefs(): Promise<Condition | undefined> {
  const read = await get<{ status?: { conditions?: readonly Condition[] } }>('route.headgate.dev', 'shop', NAMESPACE)
  return read?.status?.conditions?.find(({ type }) => type === 'ResolvedRefs')
}

describe('a Route with tls', () => {
  it('reports a Secret that is missing, and serves its certificate once it is created', async () => {
    await until('ResolvedRefs', async () => /Secret tls\/shop-tls/.test((await resolvedRefs())?.message ?? ''))
    await apply(secret('shop-tls', HOST, 'first'))
    await shows(HOST, 'first')
    await until('ResolvedRefs', async () => (await resolvedRefs())?.status === 'True')
    assert.equal((await ask(plainDoor.address, '/x', { host: HOST })).status, 308, 'clear text is redirected')
  })

  it('shows a rotated certificate at once, and no request fails meanwhile', async () => {
    await underLoad(
      'Secret rotated',
      { namespace: NAMESPACE, host: HOST, scheme: 'https', perConnection: 10 },
      async () => {
        for (const next of ['second', 'third']) {
          const started = performance.now()
          await apply(secret('shop-tls', HOST, next))
          await shows(HOST, next)
          const took = performance.now() - started
          figure('Secret applied → certificate shown by all replicas', `${took.toFixed(0)} ms`, 'seconds')
          assert.ok(took < 20_000, `${took} ms`)
        }
      },
    )
  })

  it('keeps its certificate when the Secret becomes one that cannot be used, and says so', async () => {
    const broken = secret('shop-tls', HOST, 'broken')
    await apply({ ...broken, data: { ...broken.data, 'tls.crt': Buffer.from('no PEM').toString('base64') } })
    await until('ResolvedRefs', async () => (await resolvedRefs())?.status === 'False')
    assert.notEqual(await organization(HOST).catch(() => 'no handshake'), 'broken')
    await apply(secret('shop-tls', HOST, 'mended'))
    await shows(HOST, 'mended')
  })
})

describe('an Ingress with tls', () => {
  const host = 'issued.example'
  const path = { path: '/', pathType: 'Prefix', backend: { service: { name: 'shop', port: { name: 'http' } } } }

  it('shows the certificate of a Secret that cert-manager writes after it, and renews', async () => {
    await apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: {
        name: 'issued',
        namespace: NAMESPACE,
        annotations: { 'cert-manager.io/cluster-issuer': 'letsencrypt' },
      },
      spec: {
        ingressClassName: 'headgate',
        tls: [{ hosts: [host], secretName: 'issued-tls' }],
        rules: [{ host, http: { paths: [path] } }],
      },
    })
    await until('the Ingress is served', async () => (await ask(plainDoor.address, '/', { host })).status !== 404)
    // As cert-manager 1.x writes it; first the temporary one that it makes itself.
    const written = (organization: string) => {
      const annotations = { 'cert-manager.io/certificate-name': 'issued-tls', 'cert-manager.io/common-name': host }
      const made = secret('issued-tls', host, organization, annotations)
      const labels = { 'controller.cert-manager.io/fao': 'true' }
      return { ...made, metadata: { ...made.metadata, labels }, data: { ...made.data, 'ca.crt': '' } }
    }
    for (const issue of ['temporary', 'issued', 'renewed']) {
      await apply(written(issue))
      await shows(host, issue)
    }
  })
})
