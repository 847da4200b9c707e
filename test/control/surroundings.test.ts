import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Neighbourhood } from '../../src/control/surroundings.ts'
import { DialGuard } from '../../src/link/dial-guard.ts'
import { service, slice, world } from '../compile/world.ts'

const HTTPS = [{ name: 'https', port: 443, protocol: 'TCP' as const }]
const POD = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  POD_NAMESPACE: 'gateway',
  HEADGATE_SERVICE: 'headgate',
  HEADGATE_REPLICAS: 'headgate-replicas',
}
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

describe('what is around this process', () => {
  const guardOf = (neighbourhood: Neighbourhood, known = resources) =>
    new DialGuard({ ...neighbourhood.of(known), denyCIDRs: [], ownPorts: [8080, 9902] })

  it('in a cluster is the API server by its Service, its endpoints and the environment, and every replica', () => {
    const neighbourhood = new Neighbourhood(true, POD, ['10.0.0.7'])
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
    const early = guardOf(new Neighbourhood(true, POD, []), world({}))
    assert.match(early.refuses('10.96.0.1', 443) ?? '', /API server/, 'before anything was read')
  })

  it('is the same object until something that matters differs', () => {
    const neighbourhood = new Neighbourhood(true, POD, [])
    const first = neighbourhood.of(resources)
    assert.equal(neighbourhood.of({ ...resources }), first)
    const { services } = resources
    const more = services.edit()
    more.set('a/b', service('a/b', HTTPS))
    assert.equal(neighbourhood.of({ ...resources, services: more.freeze() }), first)
    more.delete('default/kubernetes')
    assert.notEqual(neighbourhood.of({ ...resources, services: more.freeze() }), first)
  })

  it('in a folder is what the environment says, and no object of a manifest', () => {
    const neighbourhood = new Neighbourhood(false, POD, ['10.0.0.7'])
    assert.deepEqual(neighbourhood.services, [])
    const guard = guardOf(neighbourhood)
    assert.match(guard.refuses('10.96.0.1', 443) ?? '', /API server/)
    assert.equal(guard.refuses('172.18.0.2', 6443), undefined)
    assert.equal(guard.refuses('127.0.0.1', 10_250), undefined)
    assert.match(guard.refuses('127.0.0.1', 9902) ?? '', /port of this gateway/)
  })
})
