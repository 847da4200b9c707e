import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReservedDestinationTracker } from '../../../src/control/endpoints/reserved-destinations.ts'
import { DialGuard } from '../../../src/transport/dial-guard.ts'
import { service, slice, world } from '../../compile/world.ts'

const HTTPS = [{ name: 'https', port: 443, protocol: 'TCP' as const }]
const POD = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  POD_NAMESPACE: 'gateway',
  HEADGATE_SERVICE: 'headgate',
  HEADGATE_REPLICAS: 'headgate-replicas',
}
/** What names in front of us lead to. */
type Zone = Readonly<Record<string, readonly string[]>>
const NOWHERE: readonly string[] = []
const neighbourhoodOf = (inCluster: boolean, pod: object, addresses: readonly string[] = [], zone: Zone = {}) =>
  new ReservedDestinationTracker(
    inCluster,
    pod as Readonly<Record<string, string>>,
    { addresses: (name) => zone[name] ?? NOWHERE },
    () => addresses,
  )

const resources = world({
  services: [
    service('default/kubernetes', HTTPS, { clusterIP: '10.96.0.1' }),
    service('gateway/headgate', [{ name: 'http', port: 80, protocol: 'TCP' }], {
      clusterIP: '10.96.0.9',
      clusterIPs: ['10.96.0.9', 'fd00:96::9'],
    }),
    service('gateway/headgate-replicas', [{ name: 'signals', port: 9902, protocol: 'TCP' }], { clusterIP: 'None' }),
  ],
  slices: [
    slice('default/kubernetes', 'kubernetes', {
      endpoints: [{ addresses: ['172.18.0.2'] }],
      ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
    }),
    slice('default/forged', 'kubernetes', {
      endpoints: [{ addresses: ['10.0.0.5'] }],
      ports: [{ name: 'https', port: 8080, protocol: 'TCP' }],
    }),
    slice('gateway/headgate-x', 'headgate', { endpoints: [{ addresses: ['10.0.0.7'] }, { addresses: ['10.0.0.8'] }] }),
    slice('gateway/replicas-6', 'headgate-replicas', { addressType: 'IPv6', endpoints: [{ addresses: ['fd00::8'] }] }),
  ],
})

describe('the reserved destinations of this process', () => {
  const guardOf = (neighbourhood: ReservedDestinationTracker, known = resources) =>
    new DialGuard({ ...neighbourhood.of(known), denyCIDRs: [], ownPorts: [8080, 9902] })

  it('in a cluster is the API server by its Service, its endpoints and the environment, and every replica', () => {
    const neighbourhood = neighbourhoodOf(true, POD, ['10.0.0.7'])
    assert.deepEqual(neighbourhood.services, ['default/kubernetes', 'gateway/headgate', 'gateway/headgate-replicas'])
    const guard = guardOf(neighbourhood)
    for (const [address, port, why] of [
      ['10.96.0.1', 443, /API server/],
      ['172.18.0.2', 6443, /API server/],
      ['10.96.0.9', 80, /this gateway itself/],
      ['fd00:96::9', 80, /this gateway itself/],
      ['10.0.0.7', 9902, /port of this gateway/],
      ['10.0.0.8', 9902, /port of this gateway/],
      ['10.0.0.8', 8080, /port of this gateway/],
      ['fd00::8', 9902, /port of this gateway/],
      ['fd00::8', 8080, /port of this gateway/],
      ['10.1.1.1', 10_250, /kubelet/],
      ['127.0.0.1', 80, /loopback/],
    ] as const)
      assert.match(guard.refuses(address, port) ?? '', why, `${address} ${port}`)
    for (const [address, port] of [
      ['172.18.0.2', 80],
      ['10.0.0.5', 8080],
      ['10.0.0.8', 80],
    ] as const)
      assert.equal(guard.refuses(address, port), undefined, `${address} ${port}`)
    const early = guardOf(neighbourhoodOf(true, POD), world({}))
    assert.match(early.refuses('10.96.0.1', 443) ?? '', /API server/, 'before anything was read')
  })

  it('is the same object until something that matters differs', () => {
    const neighbourhood = neighbourhoodOf(true, POD)
    const first = neighbourhood.of(resources)
    assert.equal(neighbourhood.of({ ...resources }), first)
    const { services } = resources
    const more = services.edit()
    more.set('a/b', service('a/b', HTTPS))
    assert.equal(neighbourhood.of({ ...resources, services: more.freeze() }), first)
    more.delete('default/kubernetes')
    assert.notEqual(neighbourhood.of({ ...resources, services: more.freeze() }), first)
  })

  it('in a folder is that of the environment, and no object of a manifest', () => {
    const neighbourhood = neighbourhoodOf(false, POD, ['10.0.0.7'])
    assert.deepEqual(neighbourhood.services, [])
    const guard = guardOf(neighbourhood)
    assert.match(guard.refuses('10.96.0.1', 443) ?? '', /API server/)
    assert.equal(guard.refuses('172.18.0.2', 6443), undefined)
    assert.equal(guard.refuses('127.0.0.1', 10_250), undefined)
    assert.match(guard.refuses('127.0.0.1', 9902) ?? '', /port of this gateway/)
  })
})

describe('every address in front of us that the cluster shows', () => {
  const front = service(
    'gateway/headgate',
    [
      { name: 'http', port: 80, protocol: 'TCP', nodePort: 30_080 },
      { name: 'alt', port: 8000, protocol: 'TCP', nodePort: 30_081 },
    ],
    {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.9',
      externalIPs: ['198.51.100.20', '2001:db8:20::1'],
      loadBalancerIP: '198.51.100.19',
      healthCheckNodePort: 32_000,
    },
  )
  const withStatus = {
    ...front,
    object: {
      ...front.object,
      metadata: { ...front.object.metadata, uid: 'uid-of-the-service' },
      status: { loadBalancer: { ingress: [{ ip: '198.51.100.21' }, { hostname: 'LB.cloud.example' }] } },
    },
  }
  const known = world({ services: [withStatus] })
  const zone = { 'lb.cloud.example': ['198.51.100.22', '2001:db8:22::1'], 'edge.example': ['198.51.100.23'] }
  const pod = {
    ...POD,
    HEADGATE_ADDRESSES: 'edge.example,198.51.100.24',
    HEADGATE_HOST_PORTS: '81,444',
    HEADGATE_HOST_IPS: '172.18.0.3,fd00:18::3',
  }
  const guardOf = (neighbourhood: ReservedDestinationTracker, of = known) =>
    new DialGuard({ ...neighbourhood.of(of), denyCIDRs: [], ownPorts: [8080, 9902] })

  it('is closed at the ports that reach the gateway, and at no others', () => {
    const guard = guardOf(neighbourhoodOf(true, pod, [], zone))
    for (const [address, ports, free] of [
      ['10.96.0.9', [80, 8000], [443]],
      ['198.51.100.19', [80, 8000], [443]],
      ['198.51.100.20', [80, 8000], [443]],
      ['2001:db8:20::1', [80, 8000], [443]],
      ['198.51.100.21', [80, 8000], [443]],
      ['198.51.100.22', [80, 8000], [443]],
      ['2001:db8:22::1', [80, 8000], [443]],
      // What a proxy at a given address maps to us nobody says.
      ['198.51.100.23', [80, 443, 8000, 81, 444], [22]],
      ['198.51.100.24', [80, 443, 8000, 81, 444], [22]],
      ['172.18.0.3', [81, 444], [80, 443]],
      ['fd00:18::3', [81, 444], [80, 443]],
    ] as const) {
      for (const port of ports)
        assert.match(guard.refuses(address, port) ?? '', /this gateway itself/, `${address} ${port}`)
      for (const port of free) assert.equal(guard.refuses(address, port), undefined, `${address} ${port}`)
      if (address.includes('.'))
        for (const form of [`::ffff:${address}`, `64:ff9b::${address}`, `::${address}`])
          assert.match(guard.refuses(form, ports[0]) ?? '', /this gateway itself/, form)
    }
  })

  it('is closed at every address when a node port reaches the gateway', () => {
    const guard = guardOf(neighbourhoodOf(true, pod))
    for (const address of ['172.18.0.2', 'fd00:18::2', '203.0.113.9', '10.244.0.1'])
      for (const port of [30_080, 30_081, 32_000]) assert.match(guard.refuses(address, port) ?? '', /node port/)
    assert.equal(guard.refuses('172.18.0.2', 30_082), undefined)
    assert.equal(guardOf(neighbourhoodOf(true, pod), world({})).refuses('172.18.0.2', 30_080), undefined)
  })

  it('follows the pods of the installation from node to node', () => {
    const neighbourhood = neighbourhoodOf(true, pod)
    const before = neighbourhood.of(known)
    neighbourhood.useOwn({ nodeAddresses: ['172.18.0.4', 'fd00:18::4'], podAddresses: ['10.244.4.4'] })
    assert.notEqual(neighbourhood.of(known), before)
    const guard = guardOf(neighbourhood)
    for (const address of ['172.18.0.3', '172.18.0.4', 'fd00:18::4'])
      assert.match(guard.refuses(address, 81) ?? '', /itself/)
    assert.match(guard.refuses('10.244.4.4', 8080) ?? '', /port of this gateway/)
    neighbourhood.useOwn({ nodeAddresses: ['172.18.0.5'], podAddresses: [] })
    assert.equal(guardOf(neighbourhood).refuses('172.18.0.4', 81), undefined)
  })

  it('is known where the namespace of the Service is not watched, by who reads the Service itself', () => {
    const neighbourhood = neighbourhoodOf(true, pod)
    const nothing = world({})
    assert.equal(neighbourhood.identity(nothing), undefined)
    neighbourhood.useOwn({ service: withStatus.object, nodeAddresses: [], podAddresses: [] })
    assert.equal(neighbourhood.identity(nothing), 'uid-of-the-service')
    const guard = guardOf(neighbourhood, nothing)
    assert.match(guard.refuses('198.51.100.21', 80) ?? '', /itself/)
    assert.match(guard.refuses('192.0.2.1', 30_080) ?? '', /node port/)
    const other = { ...withStatus.object, metadata: { ...withStatus.object.metadata, name: 'other' } }
    neighbourhood.useOwn({ service: other, nodeAddresses: [], podAddresses: [] })
    assert.equal(guardOf(neighbourhood, nothing).refuses('198.51.100.21', 80), undefined, 'another Service is not ours')
  })

  it('is another guard only where something differs', () => {
    const neighbourhood = neighbourhoodOf(true, pod)
    const before = neighbourhood.of(known)
    neighbourhood.useOwn({ nodeAddresses: [], podAddresses: [] })
    assert.equal(neighbourhood.of(known), before)
  })
})

describe('the API server', () => {
  const guardOf = (pod: object, of = resources, zone: Zone = {}) =>
    new DialGuard({ ...neighbourhoodOf(true, pod, [], zone).of(of), denyCIDRs: [], ownPorts: [] })

  it('is refused at its port at every address, of whichever family of its node', () => {
    for (const address of ['172.18.0.2', 'fd00:18::2', '10.9.9.9', '64:ff9b::172.18.0.2'])
      assert.match(guardOf(POD).refuses(address, 6443) ?? '', /API server/, address)
    assert.match(guardOf(POD, world({})).refuses('fd00:18::2', 6443) ?? '', /API server/, 'before anything was read')
  })

  it('is refused so at the port of its own slice, unless too many others have it', () => {
    const at = (port: number) =>
      world({
        slices: [
          slice('default/kubernetes', 'kubernetes', {
            endpoints: [{ addresses: ['172.18.0.2'] }],
            ports: [{ name: 'https', port, protocol: 'TCP' }],
          }),
        ],
      })
    assert.match(guardOf(POD, at(16_443)).refuses('fd00:18::2', 16_443) ?? '', /API server/)
    assert.match(guardOf(POD, at(443)).refuses('172.18.0.2', 443) ?? '', /API server/)
    assert.equal(guardOf(POD, at(443)).refuses('198.51.100.9', 443), undefined)
  })

  it('is refused where the environment names it, by every address of the name', () => {
    const pod = { ...POD, KUBERNETES_SERVICE_HOST: 'api.cloud.example' }
    const guard = guardOf(pod, world({}), { 'api.cloud.example': ['198.51.100.30', '2001:db8:30::1'] })
    for (const address of ['198.51.100.30', '2001:db8:30::1'])
      assert.match(guard.refuses(address, 443) ?? '', /API server/, address)
  })
})

describe('addresses of this machine', () => {
  it('are closed at our own ports from when they are there, and not when they are gone', () => {
    let addresses = ['192.0.2.7']
    const neighbourhood = new ReservedDestinationTracker(false, {}, { addresses: () => NOWHERE }, () => addresses)
    const refuses = (address: string) =>
      new DialGuard({ ...neighbourhood.of(resources), denyCIDRs: [], ownPorts: [8080] }).refuses(address, 8080)
    addresses = ['192.0.2.7', '2001:db8::9']
    assert.equal(refuses('2001:db8::9'), undefined)
    neighbourhood.look()
    assert.match(refuses('2001:db8::9') ?? '', /port of this gateway/)
    addresses = ['2001:db8::9']
    neighbourhood.look()
    assert.equal(refuses('192.0.2.7'), undefined)
  })
})
