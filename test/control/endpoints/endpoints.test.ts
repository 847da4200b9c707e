import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createValidator } from '../../../src/api/validate.ts'
import { type CompiledEndpoints, Endpoints } from '../../../src/control/endpoints/endpoints.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import { ProcessBlock } from '../../../src/shared-memory/process-block.ts'
import { FrozenMap } from '../../../src/snapshot/frozen-map.ts'
import type { BackendConfig, EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { SETTINGS, world } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'
import { received } from './received.ts'

const validator = createValidator(readSchemas())
const at = (address: string): EndpointAddress => ({ address, port: 80, weight: 1, state: 'ready' })

function room(t: TestContext) {
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
