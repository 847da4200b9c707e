/** IPv4 and IPv6: one Service in both, one in IPv6 alone, and Headgate itself by both. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { ask, type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl } from '../lib/kubernetes.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'families'

const addressTypes = 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}'
const bothFamilies = (await kubectl('get', 'nodes', '-o', addressTypes)).includes(':')
const skip = bothFamilies ? false : 'the cluster has one family only'

let door: Entrance

before(async () => {
  if (!bothFamilies) return
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

/** A program that listens there, behind a Service of these families, and a Route to it. */
async function serve(name: string, host: string, families: object): Promise<string> {
  const options = { namespace: NAMESPACE, name, replicas: 3, host }
  const plain = service(options)
  const hostname = `${name}.example`
  await apply(
    deployment(options),
    { ...plain, spec: { ...plain.spec, ...families } },
    backend(NAMESPACE, name),
    route(NAMESPACE, name, hostname),
  )
  await rolledOut(NAMESPACE, name)
  await until('traffic', async () => (await door.ask(hostname)).status === 200)
  return hostname
}

async function families(name: string): Promise<readonly string[]> {
  const label = `kubernetes.io/service-name=${name}`
  const listed = await kubectl(
    'get',
    'endpointslices',
    '-n',
    NAMESPACE,
    '-l',
    label,
    '-o',
    'jsonpath={.items[*].addressType}',
  )
  return listed.split(' ').sort()
}

/** What the Backend's status says of its endpoints. */
const healthy = (name: string) =>
  kubectl(
    'get',
    `backend.headgate.dev/${name}`,
    '-n',
    NAMESPACE,
    '-o',
    'jsonpath={.status.conditions[?(@.type=="Healthy")].message}',
  )

/** Of Headgate's pods. @param which index, or `*` */
async function addressesOf(which: string): Promise<readonly string[]> {
  const label = `app.kubernetes.io/instance=${RELEASE}`
  const path = `jsonpath={.items[${which}].status.podIPs[*].ip}`
  return (await kubectl('get', 'pods', '-n', SYSTEM, '-l', label, '-o', path)).split(' ')
}

const rolling = (name: string, hostname: string) =>
  underLoad(`${name}, rolling update`, { namespace: NAMESPACE, host: hostname }, async () => {
    await kubectl('rollout', 'restart', `deployment/${name}`, '-n', NAMESPACE)
    await rolledOut(NAMESPACE, name)
  })

describe('a Service in both families', { skip }, () => {
  it('is served without a failure although its program listens on IPv4 only: a pod is one endpoint', async () => {
    const hostname = await serve('both', '0.0.0.0', { ipFamilyPolicy: 'RequireDualStack' })
    assert.deepEqual(await families('both'), ['IPv4', 'IPv6'])
    await until('three endpoints', async () => (await healthy('both')).startsWith('3 of 3 '))
    await rolling('both', hostname)
  })

  it('is served over IPv6 where that comes first', async () => {
    const hostname = await serve('six-first', '::', {
      ipFamilyPolicy: 'RequireDualStack',
      ipFamilies: ['IPv6', 'IPv4'],
    })
    assert.equal((await door.ask(hostname)).status, 200)
  })
})

describe('a Service with IPv6 only', { skip }, () => {
  it('is served, also while it is rolled', async () => {
    const hostname = await serve('six', '::', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] })
    assert.deepEqual(await families('six'), ['IPv6'])
    await rolling('six', hostname)
  })
})

describe('Headgate', { skip }, () => {
  it('does not dial its replicas’ own ports at any of their addresses', async () => {
    const addresses = await addressesOf('*')
    assert.ok(addresses.filter((address) => address.includes(':')).length >= 2, addresses.join())
    const endpoints = addresses.map((address) => ({ address, port: 9902 }))
    await apply({
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'ourselves', namespace: NAMESPACE },
      spec: { endpoints },
    })
    await apply(route(NAMESPACE, 'ourselves', 'ourselves.example'))
    await until('all are refused', async () => {
      const said = await healthy('ourselves')
      return addresses.every((address) => said.includes(`${address} port 9902`))
    })
    assert.equal((await door.ask('ourselves.example', '/metrics')).status, 503)
  })

  it('is reachable by both addresses of its pods', async () => {
    const addresses = await addressesOf('0')
    assert.equal(addresses.length, 2)
    for (const address of addresses) {
      const host = address.includes(':') ? `[${address}]` : address
      assert.equal((await ask(`${host}:8080`, '/', { host: 'six.example' })).status, 200, address)
    }
  })
})
