import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { BackendSpec } from '../../src/api/backend.ts'
import { serviceBackendId } from '../../src/compile/backend-service.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { UpstreamProtocol } from '../../src/snapshot/upstream-protocol.ts'
import { backend, compiled, route, service, world } from './world.ts'

/** A Service with one port, named by a rule, and by a Backend with these options. */
function resources(appProtocol: string | undefined, options: Partial<BackendSpec> = {}) {
  const port = {
    name: 'http',
    port: 80,
    protocol: 'TCP' as const,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }
  const rules = { direct: { backendRefs: [{ service: { name: 'api', port: 80 }, weight: 1, priority: 0 }] } }
  return world({
    services: [service('a/api', [port])],
    backends: [backend('a/api', { service: { name: 'api', port: 80 }, ...options })],
    routes: [route('a/web', { hostnames: ['x.example'], rules })],
  })
}

function protocols(set: ReturnType<typeof resources>, memo = new CompileState()): (string | undefined)[] {
  const { backends } = compiled(set, memo).snapshot
  const inline = backends.get(serviceBackendId('a', { name: 'api', port: 80 }))
  return [inline?.protocol, backends.get('a/api')?.protocol]
}

suite('appProtocol of a Service port', () => {
  const known: readonly (readonly [string | undefined, UpstreamProtocol])[] = [
    [undefined, 'HTTP'],
    ['http', 'HTTP'],
    ['HTTP', 'HTTP'],
    ['https', 'HTTPS'],
    ['grpc', 'GRPC'],
    ['kubernetes.io/h2c', 'H2C'],
    ['kubernetes.io/ws', 'HTTP'],
    ['kubernetes.io/wss', 'HTTPS'],
    ['example.com/own', 'HTTP'],
    ['postgresql', 'HTTP'],
    ['constructor', 'HTTP'],
  ]
  for (const [appProtocol, protocol] of known)
    test(`${appProtocol} is ${protocol}, of the Service named directly and of a Backend that states none`, () => {
      assert.deepEqual(protocols(resources(appProtocol)), [protocol, protocol])
    })

  test('does not count where the Backend states a protocol', () => {
    assert.deepEqual(protocols(resources('kubernetes.io/h2c', { protocol: 'HTTP' })), ['H2C', 'HTTP'])
  })

  test('https is verified by the name of the Service and the authorities of the system', () => {
    const { backends } = compiled(resources('https')).snapshot
    for (const { tls } of backends.values())
      assert.deepEqual(tls, {
        ca: undefined,
        serverName: undefined,
        serviceName: 'api.a.svc',
        clientCertificate: undefined,
        insecureSkipVerify: false,
      })
  })

  test('acts when it changes', () => {
    const memo = new CompileState()
    assert.deepEqual(protocols(resources('http'), memo), ['HTTP', 'HTTP'])
    assert.deepEqual(protocols(resources('kubernetes.io/h2c'), memo), ['H2C', 'H2C'])
    assert.deepEqual(protocols(resources(undefined), memo), ['HTTP', 'HTTP'])
  })
})
