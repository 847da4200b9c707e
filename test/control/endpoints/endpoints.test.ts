import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createValidator } from '../../../src/api/validate.ts'
import { type CompiledEndpoints, Endpoints, type EndpointsOptions } from '../../../src/control/endpoints/endpoints.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import { ProcessBlock } from '../../../src/shared-memory/process-block.ts'
import { FrozenMap } from '../../../src/snapshot/frozen-map.ts'
import type { BackendConfig, EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { DialGuard } from '../../../src/transport/dial-guard.ts'
import { SETTINGS, slice, world } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'
import { received } from './received.ts'

const validator = createValidator(readSchemas())
const at = (address: string): EndpointAddress => ({ address, port: 80, weight: 1, state: 'ready' })

function room(t: TestContext, options: Partial<EndpointsOptions> = {}) {
  const time = new VirtualTime()
  const sent: ToWorker[] = []
  const changed: string[] = []
  const block = new ProcessBlock(ProcessBlock.allocate(1))
  const endpoints = new Endpoints({
    table: new EndpointTable(EndpointTable.allocate(1, 64)),
    block,
    validator,
    share: { clients: 1, upstreams: 1, seed: 'seed' },
    inCluster: false,
    time: time.keeper(),
    random: () => 0.5,
    resources: () => world({}),
    events: {
      send: (message) => sent.push(message),
      changed: (backend) => changed.push(backend),
      unreachable: () => {},
      sent: () => {},
      problem: () => {},
      nameHealth: () => {},
    },
    ...options,
  })
  t.after(() => endpoints.stop())
  endpoints.useSettings(SETTINGS, [{ name: 'http', address: '127.0.0.1', port: 8_080 }])
  const build = (sets: Readonly<Record<string, EndpointAddress[]>>): CompiledEndpoints => {
    const map = new FrozenMap<readonly EndpointAddress[]>().edit()
    const backends = new FrozenMap<BackendConfig>().edit()
    for (const [id, set] of Object.entries(sets)) {
      map.set(id, set)
      backends.set(id, { id, protocol: 'HTTP' } as BackendConfig)
    }
    const built = { endpoints: map.freeze(), snapshot: { backends: backends.freeze() } }
    endpoints.compiling()
    for (const _ of endpoints.prepare(built));
    return built
  }
  const withdrawn = () =>
    sent.flatMap((message) => (message.type === 'endpoints' && message.connects === null ? [message.backend] : []))
  return { endpoints, sent, changed, build, withdrawn }
}

describe('the room of endpoints', () => {
  it('sends settings first, then a set for each Backend, and returns the Backends that changed', (t) => {
    const { sent, changed, build } = room(t)
    build({ 'a/one': [at('192.0.2.1')], 'a/two': [at('192.0.2.2'), at('192.0.2.3')] })
    assert.equal(sent[0]?.type, 'settings')
    assert.deepEqual(
      sent.flatMap((message) =>
        message.type === 'endpoints' ? [[message.backend, received(sent, message.backend).length]] : [],
      ),
      [
        ['a/one', 1],
        ['a/two', 2],
      ],
    )
    assert.deepEqual(changed, ['a/one', 'a/two'])
  })

  it('sends the zone and the place of this replica as its Service lists them, and judges no endpoint anew', (t) => {
    const pod = { POD_NAMESPACE: 'gateway', POD_NAME: 'hg-2', HEADGATE_REPLICAS: 'headgate-replicas' }
    const before = { ...process.env }
    Object.assign(process.env, pod)
    t.after(() => {
      process.env = before
    })
    const replicas = (...serving: readonly boolean[]) =>
      world({
        slices: [
          slice('gateway/r', 'headgate-replicas', {
            endpoints: serving.map((serves, i) => ({
              addresses: [`192.0.2.${i}`],
              conditions: { ready: true, serving: serves },
              zone: 'b',
              targetRef: { kind: 'Pod', namespace: 'gateway', name: `hg-${i + 1}` },
            })),
          }),
        ],
      })
    let now = replicas(true, true, false)
    const { endpoints, sent, build } = room(t, { inCluster: true, resources: () => now })
    const places = () =>
      sent.flatMap((message) => (message.type === 'settings' ? [message.settings.topology.placeInZone] : []))
    build({ 'a/one': [at('198.51.100.1')] })
    const judge = t.mock.method(DialGuard.prototype, 'refuses')
    now = replicas(true, true, true)
    endpoints.refreshGuards()
    endpoints.refreshGuards()
    assert.deepEqual(places(), [
      { index: 1, count: 2 },
      { index: 1, count: 3 },
    ])
    assert.deepEqual(endpoints.topology.replicas, [['b', 3]])
    assert.equal(judge.mock.callCount(), 0)
  })

  it('withdraws a Backend when tables without it serve, also when older tables began to serve during the build', (t) => {
    const { endpoints, build, withdrawn } = room(t)
    const first = build({ 'a/one': [at('192.0.2.1')], 'a/two': [at('192.0.2.2')] })
    const second = build({ 'a/one': [at('192.0.2.1')] })
    endpoints.settled(first)
    assert.deepEqual(withdrawn(), [], 'the tables in force name it')
    endpoints.settled(second)
    assert.deepEqual(withdrawn(), ['a/two'])
    assert.deepEqual(endpoints.rows('a/two'), [])
  })

  it('keeps a Backend that comes back before it is withdrawn', (t) => {
    const { endpoints, build, withdrawn } = room(t)
    build({ 'a/one': [at('192.0.2.1')] })
    build({})
    const third = build({ 'a/one': [at('192.0.2.1')] })
    endpoints.settled(third)
    assert.deepEqual(withdrawn(), [])
    assert.equal(endpoints.rows('a/one').length, 1)
  })
})
