import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { SliceEndpoint } from '../../../src/api/kubernetes.ts'
import { createValidator } from '../../../src/api/validate.ts'
import { defaultBackend } from '../../../src/compile/backend.ts'
import { serviceBackendId } from '../../../src/compile/backend-service.ts'
import { endpointsOf } from '../../../src/compile/endpoints.ts'
import type { ResourceSet } from '../../../src/compile/resource-set.ts'
import { type CompiledEndpoints, Endpoints, type EndpointsOptions } from '../../../src/control/endpoints/endpoints.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import { LEAVING_TIME, ProcessBlock, workerThread } from '../../../src/shared-memory/process-block.ts'
import { FrozenMap } from '../../../src/snapshot/frozen-map.ts'
import type { BackendConfig, EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import { readRows } from '../../../src/thread/endpoint-rows.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { DialGuard } from '../../../src/transport/dial-guard.ts'
import { SETTINGS, service, slice, world } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'
import { received } from './received.ts'

const validator = createValidator(readSchemas())
const at = (address: string): EndpointAddress => ({ address, port: 80, weight: 1, state: 'ready' })

function room(t: TestContext, options: Partial<EndpointsOptions> = {}) {
  const time = new VirtualTime()
  const sent: ToWorker[] = []
  const changed: string[] = []
  const table = new EndpointTable(EndpointTable.allocate(1, 4_096))
  const block = new ProcessBlock(ProcessBlock.allocate(1))
  const endpoints = new Endpoints({
    table,
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
  return { endpoints, sent, changed, build, withdrawn, table, block, time }
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

  describe('of a Backend that no tables name any more', () => {
    const kept = (t: TestContext) => {
      const one = room(t)
      const { block, build, endpoints } = one
      block.setLive(workerThread(0), true)
      block.setPublished(1)
      endpoints.settled(build({ 'a/old': [at('192.0.2.1')] }))
      block.setPublished(2)
      return one
    }
    const used = ({ table }: ReturnType<typeof room>): number => [...table.identities.used()].length
    /** Workers have handled all that was sent. */
    const pass = ({ block, endpoints }: ReturnType<typeof room>): void => {
      block.passEpoch(0, block.epoch)
      endpoints.runMaintenance()
    }

    it('keeps its rows while a request of older tables waits, and gives them back behind it', async (t) => {
      const one = kept(t)
      one.block.setWaitedFor(0, 1)
      one.endpoints.settled(one.build({}))
      await one.time.pass(LEAVING_TIME - 200)
      assert.deepEqual(one.withdrawn(), [])
      const { slot } = one.endpoints.rows('a/old')[0]!
      assert.ok(one.table.eligible(slot))
      one.block.setWaitedFor(0, 2)
      await one.time.pass(100)
      assert.deepEqual(one.withdrawn(), ['a/old'])
      assert.equal(one.sent.at(-1)?.type, 'epoch', 'its rows are freed behind the message that withdraws them')
      assert.equal(used(one), 2, 'no worker has handled it yet')
      pass(one)
      assert.equal(used(one), 0)
    })

    it('keeps them while requests are in flight at it, which may be tried again', async (t) => {
      const one = kept(t)
      const slot = one.endpoints.slotOf('a/old')!
      one.table.acquire(0, slot)
      one.endpoints.settled(one.build({}))
      await one.time.pass(LEAVING_TIME / 2)
      assert.deepEqual(one.withdrawn(), [])
      one.table.release(0, slot)
      await one.time.pass(100)
      assert.deepEqual(one.withdrawn(), ['a/old'])
    })

    it('keeps nothing for a request that waits for ever', async (t) => {
      const one = kept(t)
      one.block.setWaitedFor(0, 1)
      one.endpoints.settled(one.build({}))
      await one.time.pass(LEAVING_TIME)
      assert.deepEqual(one.withdrawn(), ['a/old'])
      pass(one)
      assert.equal(used(one), 0)
    })

    it('keeps nothing for a worker that has gone', (t) => {
      const one = kept(t)
      one.block.setWaitedFor(0, 1)
      one.block.clearWorker(0)
      one.endpoints.settled(one.build({}))
      assert.deepEqual(one.withdrawn(), ['a/old'])
    })

    it('keeps nothing where its namespace waits for rows, which others that wait do not ask of it', async (t) => {
      const one = kept(t)
      const { table } = one
      one.block.setWaitedFor(0, 1)
      // Of another namespace, more than it may have.
      const many = Array.from({ length: table.identities.capacity }, (_, i) => at(`10.0.${i >> 8}.${i & 255}`))
      one.endpoints.settled(one.build({ 'b/many': many }))
      assert.ok(one.endpoints.health('b/many').leftOut)
      await one.time.pass(1_000)
      assert.deepEqual(one.withdrawn(), [])
      one.endpoints.settled(one.build({ 'b/many': many, 'a/many': many }))
      assert.ok(one.endpoints.health('a/many').leftOut)
      assert.deepEqual(one.withdrawn(), ['a/old'])
    })

    it('finds it as it was where tables name it again', async (t) => {
      const one = kept(t)
      one.block.setWaitedFor(0, 1)
      one.endpoints.settled(one.build({}))
      const before = one.endpoints.rows('a/old')
      const again = one.build({ 'a/old': [at('192.0.2.1')] })
      one.block.setWaitedFor(0, 0)
      await one.time.pass(2 * LEAVING_TIME)
      one.block.setPublished(3)
      one.endpoints.settled(again)
      assert.deepEqual([one.withdrawn(), one.endpoints.rows('a/old')], [[], before])
    })
  })

  describe('with the pods of a Service', () => {
    const ID = serviceBackendId('a', { name: 'api', port: 'http' })
    const address = (i: number): string => `10.0.${i >> 8}.${i & 255}`
    const pod = (i: number, ready = true): SliceEndpoint => ({ addresses: [address(i)], conditions: { ready } })
    const numbers = Array.from({ length: 1_000 }, (_, i) => i)
    let pods: SliceEndpoint[]
    let cut: (i: number) => number
    let resources: ResourceSet

    /** As the source reports it: only slices that changed are other objects. */
    function reslice(of?: number): void {
      const services = [service('a/api', [{ name: 'http', port: 80, protocol: 'TCP' }])]
      const parts = Array.from({ length: 10 }, (_, part) =>
        slice(`a/api-${part}`, 'api', { endpoints: pods.filter((_pod, i) => cut(i) === part) }),
      )
      const before = resources?.endpointSlices.get('a/api')
      const slices = parts.map((one, part) => (of === undefined || part === of ? one : before!.get(one.key)!))
      const next = world({ services, slices })
      resources = of === undefined ? next : { ...next, services: resources.services }
    }

    function opened(t: TestContext) {
      pods = numbers.map((i) => pod(i))
      cut = (i) => i % 10
      reslice()
      const made = room(t, { resources: () => resources })
      const compiled = {
        endpoints: FrozenMap.from([[ID, endpointsOf(resources, ID)]]),
        snapshot: { backends: FrozenMap.from([[ID, defaultBackend(ID)]]) },
      }
      made.endpoints.compiling()
      for (const _ of made.endpoints.prepare(compiled));
      made.endpoints.settled(compiled)
      const messages = () =>
        made.sent.splice(0).flatMap((message) => {
          if (message.type !== 'endpoints') return []
          return [{ ...message, rows: message.rows.flatMap((text) => readRows(text)) }]
        })
      assert.deepEqual(
        messages().map(({ complete, rows }) => [complete, rows.length]),
        [[true, 1_000]],
      )
      const podsChanged = () => made.endpoints.podsChanged([ID], 0, () => false)
      return { ...made, messages, podsChanged }
    }

    it('sends one row where one of a thousand changes, and nothing where none does', (t) => {
      const { messages, podsChanged, endpoints } = opened(t)
      pods[77] = { ...pod(77), zone: 'b' }
      reslice(7)
      podsChanged()
      const [message, ...others] = messages()
      assert.deepEqual([message!.complete, message!.gone, others], [false, [], []])
      assert.deepEqual(
        message!.rows.map(({ address: at_, zone }) => [at_, zone]),
        [[address(77), 'b']],
      )
      reslice(7)
      podsChanged()
      assert.deepEqual(messages(), [])
      assert.equal(endpoints.rows(ID).length, 1_000)
    })

    it('keeps the slot and all that is known of each, whatever slices list it', (t) => {
      const { messages, podsChanged, endpoints, table } = opened(t)
      const before = endpoints.rows(ID).map(({ address: at_, slot }) => [at_, slot])
      for (const { slot } of endpoints.rows(ID)) {
        table.latency.observe(slot, 40, false, 0)
        table.faults.failed(slot)
      }
      cut = (i) => (i * 7) % 10
      pods.reverse()
      reslice()
      podsChanged()
      assert.deepEqual(messages(), [])
      assert.deepEqual(
        endpoints.rows(ID).map(({ address: at_, slot }) => [at_, slot]),
        before,
      )
      for (const { slot } of endpoints.rows(ID)) assert.ok(table.cost(slot, 0) > 0)
    })
  })
})
