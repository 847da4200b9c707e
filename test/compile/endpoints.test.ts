import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { SliceEndpoint } from '../../src/api/kubernetes.ts'
import { inlineService, serviceBackendId } from '../../src/compile/backend-service.ts'
import { countEndpoints, endpointsOf } from '../../src/compile/endpoints.ts'
import type { EndpointAddress } from '../../src/snapshot/snapshot.ts'
import { backend, service, slice, type World, world } from './world.ts'

const PORTS = [{ name: 'http', port: 80, protocol: 'TCP' as const }]

function addresses(endpoints: readonly EndpointAddress[]): string[] {
  return endpoints.map(({ address, port, state }) => `${address} ${port} ${state}`)
}

function ofService(parts: World, port: number | string = 'http') {
  const services = parts.services ?? [service('a/api', PORTS)]
  return endpointsOf(world({ ...parts, services }), serviceBackendId('a', { name: 'api', port }))
}

const pod = (address: string, conditions?: SliceEndpoint['conditions']): SliceEndpoint => ({
  addresses: [address],
  ...(conditions && { conditions }),
})

suite('endpoints', () => {
  test('a backend id of a Service can be read back', () => {
    assert.deepEqual(inlineService('service:a/api:http'), { service: 'a/api', port: 'http' })
    assert.deepEqual(inlineService('service:a/api:80'), { service: 'a/api', port: 80 })
    assert.equal(inlineService('a/api'), undefined)
  })

  test('static endpoints keep weight and zone; names are lower-cased and marked as names', () => {
    const endpoints = [
      { address: '10.0.0.7', port: 8080, weight: 3, zone: 'a' },
      { address: '2001:DB8:0::1', port: 8080, weight: 1 },
      { address: 'Api.Partner.Example.', port: 443, weight: 1 },
    ]
    assert.deepEqual(endpointsOf(world({ backends: [backend('a/api', { endpoints })] }), 'a/api'), [
      { address: '10.0.0.7', port: 8080, weight: 3, zone: 'a', state: 'ready' },
      { address: '2001:db8::1', port: 8080, weight: 1, state: 'ready' },
      { address: 'api.partner.example', hostname: 'api.partner.example', port: 443, weight: 1, state: 'ready' },
    ])
  })

  test('a static endpoint written twice has both weights', () => {
    const endpoints = [
      { address: '10.0.0.7', port: 80, weight: 3 },
      { address: '10.0.0.7', port: 80, weight: 2 },
    ]
    const found = endpointsOf(world({ backends: [backend('a/api', { endpoints })] }), 'a/api')
    assert.deepEqual(found, [{ address: '10.0.0.7', port: 80, weight: 5, state: 'ready' }])
  })

  test('all slices of a Service come together, both families, each address and port once', () => {
    const slices = [
      slice('a/1', 'api', {
        endpoints: [pod('10.0.0.1'), pod('10.0.0.2', { ready: false, serving: true, terminating: true })],
      }),
      slice('a/2', 'api', { endpoints: [pod('10.0.0.2'), pod('10.0.0.3')] }),
      slice('a/3', 'api', { addressType: 'IPv6', endpoints: [pod('fd00::1')] }),
      slice('a/4', 'other', { endpoints: [pod('10.9.9.9')] }),
      slice('b/1', 'api', { endpoints: [pod('10.8.8.8')] }),
    ]
    assert.deepEqual(addresses(ofService({ slices })), [
      '10.0.0.1 8080 ready',
      '10.0.0.2 8080 ready',
      '10.0.0.3 8080 ready',
      'fd00::1 8080 ready',
    ])
    assert.deepEqual(ofService({ slices: slices.toReversed() }), ofService({ slices }))
  })

  const conditions: [name: string, SliceEndpoint['conditions'], state: string | undefined][] = [
    ['nothing known is ready', undefined, 'ready'],
    ['ready', { ready: true, serving: true, terminating: false }, 'ready'],
    ['not ready', { ready: false }, undefined],
    ['not ready although it says serving', { ready: false, serving: true, terminating: false }, undefined],
    ['terminating but serving drains', { ready: false, serving: true, terminating: true }, 'draining'],
    ['terminating and not serving is gone', { ready: false, serving: false, terminating: true }, undefined],
    ['terminating, of which no more is known, drains', { terminating: true }, 'draining'],
    [
      'ready while terminating, as publishNotReadyAddresses has it',
      { ready: true, serving: true, terminating: true },
      'ready',
    ],
  ]
  for (const [name, given, state] of conditions)
    test(`state of a pod: ${name}`, () => {
      const [found] = ofService({ slices: [slice('a/1', 'api', { endpoints: [pod('10.0.0.1', given)] })] })
      assert.equal(found?.state, state)
    })

  test('a port is selected by number or by name, and the slice has the number that is dialled', () => {
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP' as const, targetPort: 'web' },
      { name: 'admin', port: 81, protocol: 'TCP' as const },
      { name: 'dns', port: 53, protocol: 'UDP' as const },
    ]
    const slices = [
      slice('a/1', 'api', {
        endpoints: [pod('10.0.0.1')],
        ports: [
          { name: 'admin', port: 9000, protocol: 'TCP' },
          { name: 'http', port: 8080, protocol: 'TCP' },
          { name: 'dns', port: 5353, protocol: 'UDP' },
        ],
      }),
      // Pods of an older version, where the named target port is another number.
      slice('a/2', 'api', { endpoints: [pod('10.0.0.2')], ports: [{ name: 'http', port: 3000, protocol: 'TCP' }] }),
    ]
    const services = [service('a/api', ports)]
    assert.deepEqual(addresses(ofService({ services, slices }, 80)), ['10.0.0.1 8080 ready', '10.0.0.2 3000 ready'])
    assert.deepEqual(ofService({ services, slices }, 'http'), ofService({ services, slices }, 80))
    assert.deepEqual(addresses(ofService({ services, slices }, 'admin')), ['10.0.0.1 9000 ready'])
    assert.deepEqual(ofService({ services, slices }, 'dns'), [])
    assert.deepEqual(ofService({ services, slices }, 82), [])
  })

  test('the one port of a Service needs no name', () => {
    const services = [service('a/api', [{ port: 80, protocol: 'TCP' }])]
    const slices = [
      slice('a/1', 'api', { endpoints: [pod('10.0.0.1')], ports: [{ name: '', port: 8080, protocol: 'TCP' }] }),
    ]
    assert.deepEqual(addresses(ofService({ services, slices }, 80)), ['10.0.0.1 8080 ready'])
  })

  test('an ExternalName Service is its DNS name', () => {
    const services = [service('a/api', [], { type: 'ExternalName', externalName: 'Api.Partner.Example' })]
    assert.deepEqual(ofService({ services }, 443), [
      { address: 'api.partner.example', hostname: 'api.partner.example', port: 443, weight: 1, state: 'ready' },
    ])
  })

  test('a Backend takes its endpoints from its Service', () => {
    const parts = {
      backends: [backend('a/back', { service: { name: 'api', port: 'http' } })],
      services: [service('a/api', PORTS)],
      slices: [slice('a/1', 'api', { endpoints: [{ ...pod('10.0.0.1'), zone: 'z1' }] })],
    }
    const found = endpointsOf(world(parts), 'a/back')
    assert.deepEqual(found, [{ address: '10.0.0.1', port: 8080, weight: 1, zone: 'z1', state: 'ready' }])
  })

  test('a headless Service is its pods, as any other', () => {
    const services = [service('a/api', PORTS, { clusterIP: 'None' })]
    const slices = [slice('a/1', 'api', { endpoints: [{ ...pod('10.0.0.1'), hostname: 'api-0' }, pod('10.0.0.2')] })]
    assert.deepEqual(addresses(ofService({ services, slices }, 80)), ['10.0.0.1 8080 ready', '10.0.0.2 8080 ready'])
  })

  test('hints of zones count where every ready endpoint has them', () => {
    const hinted = (address: string, zone: string, zones: readonly string[]) => ({
      ...pod(address),
      zone,
      hints: { forZones: zones.map((name) => ({ name })), forNodes: [{ name: 'n1' }] },
    })
    const leaving = { ...pod('10.0.0.5', { ready: false, serving: true, terminating: true }), zone: 'a' }
    const all = [
      hinted('10.0.0.1', 'a', ['a']),
      hinted('10.0.0.2', 'a', ['b']),
      hinted('10.0.0.3', 'b', ['b', 'c']),
      leaving,
    ]
    const servesIn = (endpoints: readonly SliceEndpoint[]) => {
      const first = slice('a/1', 'api', { endpoints: endpoints.slice(2) })
      const second = slice('a/2', 'api', { endpoints: endpoints.slice(0, 2) })
      return ofService({ services: [service('a/api', PORTS)], slices: [first, second] }, 80).map(({ serves }) => serves)
    }
    assert.deepEqual(servesIn(all), [undefined, 'b', 'b,c', undefined])
    assert.deepEqual(servesIn([...all, { ...pod('10.0.0.6'), zone: 'b' }]), Array(5).fill(undefined))
    assert.deepEqual(servesIn([...all, hinted('10.0.0.6', 'b', [])]), Array(5).fill(undefined))
  })

  test('a pod in two slices at once is one endpoint, in the better state and with its zone', () => {
    const leaving = { ...pod('10.0.0.1', { ready: false, serving: true, terminating: true }), zone: 'a' }
    const states = [leaving, pod('10.0.0.1', { ready: false }), { ...pod('10.0.0.1'), zone: 'b' }, pod('10.0.0.1')]
    const slices = states.map((endpoint, i) => slice(`a/${i}`, 'api', { endpoints: [endpoint] }))
    for (const order of [slices, slices.toReversed()])
      assert.deepEqual(ofService({ slices: order }), [
        { address: '10.0.0.1', port: 8080, weight: 1, zone: 'b', state: 'ready' },
      ])
  })

  suite('of a dual-stack Service', () => {
    const of = (name: string, address: string, conditions?: SliceEndpoint['conditions']): SliceEndpoint => ({
      ...pod(address, conditions),
      targetRef: { kind: 'Pod', namespace: 'a', name },
    })
    const slices = [
      slice('a/6', 'api', {
        addressType: 'IPv6',
        endpoints: [of('one', 'FD00:0::1'), of('two', 'fd00::2'), of('six', 'fd00::6'), pod('fd00::9')],
      }),
      slice('a/4', 'api', { endpoints: [of('one', '10.0.0.1'), of('two', '10.0.0.2', { ready: false })] }),
      slice('a/5', 'api', { endpoints: [of('four', '10.0.0.4'), pod('10.0.0.9')] }),
    ]
    const inFamilies = (...ipFamilies: ('IPv4' | 'IPv6')[]) => {
      const { object, ...rest } = service('a/api', PORTS)
      return [{ ...rest, object: { ...object, spec: { ...object.spec, ipFamilies } } }]
    }

    test('a pod is one endpoint, at its address of the first family, in whatever state it is there', () => {
      const four = ['10.0.0.1', '10.0.0.4', '10.0.0.9', 'fd00::6', 'fd00::9']
      const six = ['10.0.0.4', '10.0.0.9', 'fd00::1', 'fd00::2', 'fd00::6', 'fd00::9']
      for (const order of [slices, slices.toReversed()]) {
        const found = (services?: World['services']) =>
          ofService({ slices: order, ...(services && { services }) }).map(({ address }) => address)
        assert.deepEqual(found(), four, 'IPv4 where the Service does not say')
        assert.deepEqual(found(inFamilies('IPv4', 'IPv6')), four)
        assert.deepEqual(found(inFamilies('IPv6', 'IPv4')), six)
        assert.deepEqual(found(inFamilies('IPv6')), six)
      }
    })

    test('and is counted once', () => {
      const resources = world({ services: inFamilies('IPv4', 'IPv6'), slices })
      const id = serviceBackendId('a', { name: 'api', port: 'http' })
      assert.deepEqual(countEndpoints(resources, id), { total: 6, ready: 5 })
    })

    test('a slice of the first family without the port hides nothing', () => {
      const other = slice('a/4', 'api', {
        endpoints: [of('one', '10.0.0.1')],
        ports: [{ name: 'other', port: 1, protocol: 'TCP' }],
      })
      assert.deepEqual(addresses(ofService({ slices: [other, slices[0]!] })).length, 4)
    })

    test('only pods are taken for the same', () => {
      const same = (address: string): SliceEndpoint => ({
        ...pod(address),
        targetRef: { kind: 'Machine', namespace: 'a', name: 'one' },
      })
      const found = ofService({
        slices: [
          slice('a/4', 'api', { endpoints: [same('10.0.0.1')] }),
          slice('a/6', 'api', { addressType: 'IPv6', endpoints: [same('fd00::1')] }),
        ],
      })
      assert.equal(found.length, 2)
    })
  })

  test('what is listed is counted, ready or not, each place once', () => {
    const slices = [
      slice('a/1', 'api', {
        endpoints: [pod('10.0.0.1'), pod('10.0.0.2', { ready: false }), pod('10.0.0.3', { terminating: true })],
      }),
      slice('a/2', 'api', { endpoints: [pod('10.0.0.1')] }),
      slice('a/3', 'api', { endpoints: [pod('10.0.0.9')], ports: [{ name: 'other', port: 1, protocol: 'TCP' }] }),
    ]
    const services = [service('a/api', PORTS)]
    const backends = [
      backend('a/back', { service: { name: 'api', port: 80 } }),
      backend('a/fixed', { endpoints: [{ address: '10.0.0.7', port: 80, weight: 1 }] }),
    ]
    const resources = world({ services, slices, backends })
    assert.deepEqual(countEndpoints(resources, 'a/back'), { total: 3, ready: 1 })
    assert.deepEqual(countEndpoints(resources, serviceBackendId('a', { name: 'api', port: 'http' })), {
      total: 3,
      ready: 1,
    })
    assert.deepEqual(countEndpoints(resources, 'a/fixed'), { total: 1, ready: 1 })
    assert.deepEqual(countEndpoints(resources, 'a/none'), { total: 0, ready: 0 })
  })

  test('of what is not there, there are none', () => {
    assert.deepEqual(endpointsOf(world({}), 'a/none'), [])
    assert.deepEqual(endpointsOf(world({}), 'service:a/none:80'), [])
  })
})
