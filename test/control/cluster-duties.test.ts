import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Condition, ConditionReason, ConditionType, Note, ObjectStatus } from '../../src/api/condition.ts'
import type { ResourceSet } from '../../src/compile/resource-set.ts'
import { ClusterDuties } from '../../src/control/cluster-duties.ts'
import { LastGoodVersions } from '../../src/control/last-good/last-good.ts'
import { type StatusTarget, statusTargetPath } from '../../src/control/status/status-target.ts'
import { Statuses } from '../../src/control/status/statuses.ts'
import type { WatchSink } from '../../src/source/kubernetes/client.ts'
import type { SourceEvent } from '../../src/source/source.ts'
import { backend, world as resourcesOf, service, slice, statusMap } from '../compile/world.ts'
import { settle, VirtualTime } from '../lib/virtual-time.ts'
import { FakeApi, type Stored } from './status/fake-api.ts'

function condition(type: ConditionType, status: 'True' | 'False', reason: ConditionReason, message = ''): Condition {
  return { type, status, reason, message, observedGeneration: 1 }
}

const accepted = condition('Accepted', 'True', 'Accepted')
const conflicted = condition('PartiallyInvalid', 'True', 'Conflicted', 'Route b/c was first')

const statusOf = (key: string, ...conditions: Condition[]): ObjectStatus => ({
  kind: 'Route',
  key,
  conditions,
  rules: 1,
})

const SERVICE = '/api/v1/namespaces/gateway/services/headgate'
const EVENTS = '/apis/events.k8s.io/v1/'

interface Event extends Stored {
  regarding: { kind: string; name: string }
  reason: string
  note: string
}

function world() {
  const time = new VirtualTime()
  const api = new FakeApi()
  const said: string[] = []
  let resources: ResourceSet = resourcesOf({})
  const watches = new Set<WatchSink>()
  const client = {
    ...api.client(),
    watch: (_path: string, _query: unknown, sink: WatchSink, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        watches.add(sink)
        signal.addEventListener('abort', () => {
          watches.delete(sink)
          resolve()
        })
      }),
  }
  const statusesOf = new WeakMap<ClusterDuties, Statuses>()
  const duties = (identity: string, more: { service?: string; addresses?: string[] } = { service: 'headgate' }) => {
    const statuses = new Statuses({
      time: time.keeper(),
      log: () => {},
      locate: () => undefined,
      endpoints: () => ({ total: 1, eligible: 1 }),
    })
    const one = new ClusterDuties({
      client,
      installation: { namespace: 'gateway', name: 'headgate', identity, addresses: [], ...more },
      statuses,
      lastGood: new LastGoodVersions({ time: time.keeper(), retain: () => {}, warn: () => {} }),
      time: time.keeper(),
      random: () => 0.5,
      log: { info: (line) => said.push(line), warn: (line) => said.push(line) },
      resources: () => resources,
      health: () => ({ eligible: 1 }),
    })
    statusesOf.set(one, statuses)
    return one
  }
  const event = (subject: StatusTarget): SourceEvent =>
    ({
      type: 'upsert',
      ...subject,
      raw: structuredClone(api.objects.get(statusTargetPath(subject))),
      origin: { cluster: true },
    }) as SourceEvent
  const put = (subject: StatusTarget): SourceEvent => {
    api.put(statusTargetPath(subject), { metadata: { generation: 1 } })
    return event(subject)
  }
  const putService = (ip: string, type = 'MODIFIED') => {
    const object = api.put(SERVICE, {
      apiVersion: 'v1',
      kind: 'Service',
      status: { loadBalancer: { ingress: [{ ip }] } },
    })
    for (const sink of watches) sink.line(Buffer.from(JSON.stringify({ type, object })))
  }
  const commit = (one: ClusterDuties, statuses: readonly ObjectStatus[], generation = 1) => {
    const sink = statusesOf.get(one)!
    for (const _ of sink.prepare(statusMap(statuses)));
    sink.commit(generation)
    sink.served(generation)
  }
  const events = () => [...api.objects].filter(([path]) => path.startsWith(EVENTS)).map(([, stored]) => stored as Event)
  const status = (subject: StatusTarget) =>
    api.objects.get(statusTargetPath(subject))?.status as Record<string, unknown>
  return {
    time,
    api,
    said,
    duties,
    put,
    event,
    putService,
    commit,
    statusesOf,
    events,
    status,
    use: (set: ResourceSet) => (resources = set),
  }
}

const route: StatusTarget = { kind: 'Route', key: 'a/a' }

suite('duties towards the cluster', () => {
  test('statuses come with the addresses of the Service, and follow them', async () => {
    const { time, duties, put, putService, commit, status } = world()
    putService('203.0.113.9')
    const one = duties('one')
    one.start()
    await time.pass(100)
    one.accept([put(route)])
    commit(one, [statusOf('a/a', accepted)])
    await time.pass(1_000)
    assert.deepEqual(status(route)?.addresses, [{ type: 'IPAddress', value: '203.0.113.9' }])
    putService('203.0.113.10')
    await time.pass(2_000)
    assert.deepEqual(status(route)?.addresses, [{ type: 'IPAddress', value: '203.0.113.10' }])
    await one.stop()
    assert.equal(time.pending, 0)
  })

  test('as long as the Service is not known, addresses stay as they are', async () => {
    const { time, api, duties, put, putService, commit, event, status } = world()
    putService('203.0.113.9')
    const first = duties('first')
    first.start()
    await time.pass(100)
    first.accept([put(route)])
    commit(first, [statusOf('a/a', accepted)])
    await time.pass(1_000)
    await first.stop()
    api.refuse = ({ verb, path }) => {
      if (verb === 'list' && path.endsWith('/services')) throw new Error('not now')
    }
    const next = duties('next')
    next.start()
    next.accept([event(route)])
    api.calls.length = 0
    commit(next, [statusOf('a/a', accepted)])
    await time.pass(10_000)
    assert.equal(next.leading, true)
    assert.equal(api.countOf('apply'), 0)
    assert.notEqual(status(route)?.addresses, undefined)
    await next.stop()
  })

  test('given addresses go before those of the Service', async () => {
    const { time, duties, put, putService, commit, status } = world()
    putService('203.0.113.9')
    const one = duties('one', { service: 'headgate', addresses: ['lb.example'] })
    one.start()
    await time.pass(100)
    one.accept([put(route)])
    commit(one, [statusOf('a/a', accepted)])
    await time.pass(1_000)
    assert.deepEqual(status(route)?.addresses, [{ type: 'Hostname', value: 'lb.example' }])
    await one.stop()
  })

  test('of two replicas one writes; when it goes the other writes what is new', async () => {
    const { time, api, said, duties, put, event, commit, status } = world()
    const [one, two] = [duties('one', {}), duties('two', {})]
    one.start()
    await time.pass(100)
    two.start()
    const seen = put(route)
    for (const each of [one, two]) {
      each.accept([seen])
      commit(each, [statusOf('a/a', accepted)])
    }
    await time.pass(5_000)
    assert.equal(api.countOf('apply'), 1)
    two.accept([event(route)])
    await one.stop()
    commit(two, [statusOf('a/a', accepted, conflicted)], 2)
    await time.pass(5_000)
    assert.equal(api.countOf('apply'), 2)
    assert.equal((status(route).conditions as unknown[]).length, 2)
    assert.equal(said.filter((line) => line.startsWith('writes statuses from now on')).length, 2)
    await two.stop()
  })

  test('a condition that has become bad is an Event once, not again after a restart', async () => {
    const { time, duties, put, event, commit, events } = world()
    const one = duties('one', {})
    one.start()
    await time.pass(100)
    one.accept([put(route)])
    commit(one, [statusOf('a/a', accepted)])
    await time.pass(1_000)
    assert.deepEqual(events(), [])
    commit(one, [statusOf('a/a', accepted, conflicted)], 2)
    await time.pass(3_000)
    assert.deepEqual(
      events().map(({ regarding, reason, note }) => [regarding.kind, regarding.name, reason, note]),
      [['Route', 'a', 'Conflicted', 'Route b/c was first']],
    )
    await one.stop()
    const next = duties('next', {})
    next.start()
    next.accept([event(route)])
    commit(next, [statusOf('a/a', accepted, conflicted)])
    await time.pass(60_000)
    assert.equal(events().length, 1)
    assert.equal(events()[0]?.series, undefined)
    await next.stop()
  })

  test('an Ingress has an Event of what it asks for in vain, once, and again when it comes back', async () => {
    const { time, api, duties, put, commit, statusesOf, events } = world()
    const one = duties('one', {})
    one.start()
    await time.pass(100)
    one.accept([put({ kind: 'Ingress', key: 'a/web' })])
    const note: Note = { reason: 'AnnotationsIgnored', message: 'Nothing is done about x', path: ['metadata'] }
    const told = (bad: boolean): ObjectStatus[] => [
      { ...statusOf('a/web', accepted, ...(bad ? [conflicted] : [])), kind: 'Ingress', notes: [note] },
    ]
    commit(one, told(true))
    await time.pass(1_000)
    assert.deepEqual(
      events()
        .map(({ reason }) => reason)
        .sort(),
      ['AnnotationsIgnored', 'Conflicted'],
    )
    const calls = api.countOf('create', 'mergePatch')
    statusesOf.get(one)!.recheckAll()
    await time.pass(120_000)
    assert.equal(api.countOf('create', 'mergePatch'), calls)
    commit(one, told(false), 2)
    await time.pass(1_000)
    commit(one, told(true), 3)
    await time.pass(70_000)
    assert.equal(events().find(({ reason }) => reason === 'Conflicted')?.series instanceof Object, true)
    assert.equal(events().length, 2)
    await one.stop()
  })

  test('the status of a Backend has its numbers of endpoints, ready or not', async () => {
    const { time, duties, put, commit, status, use } = world()
    const slices = [
      slice('a/1', 'api', {
        endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'], conditions: { ready: false } }],
      }),
    ]
    use(
      resourcesOf({
        backends: [backend('a/b', { service: { name: 'api', port: 80 } })],
        services: [service('a/api', [{ name: 'http', port: 80, protocol: 'TCP' }])],
        slices,
      }),
    )
    const subject: StatusTarget = { kind: 'Backend', key: 'a/b' }
    const one = duties('one', {})
    one.start()
    await time.pass(100)
    one.accept([put(subject)])
    commit(one, [{ kind: 'Backend', key: 'a/b', conditions: [accepted] }])
    await time.pass(1_000)
    assert.deepEqual(status(subject)?.endpoints, { total: 2, ready: 1, eligible: 1 })
    await one.stop()
  })

  test('last good versions are read before, written by the leader, and end with the Service', async () => {
    const { time, api, duties, putService } = world()
    putService('203.0.113.9')
    const one = duties('one')
    assert.deepEqual(await one.lastGood.read(), [])
    one.start()
    one.lastGood.keep([{ kind: 'Route', key: 'a/a', object: { spec: { rules: [] } } as never }])
    while (!api.objects.has('/api/v1/namespaces/gateway/configmaps/headgate-last-good')) {
      await time.pass(10)
      await settle()
    }
    const { ownerReferences } = api.objects.get('/api/v1/namespaces/gateway/configmaps/headgate-last-good')!.metadata
    assert.equal((ownerReferences as { kind: string }[])[0]?.kind, 'Service')
    assert.equal((await duties('two').lastGood.read()).length, 1)
    await one.stop()
    assert.equal(time.pending, 0)
  })
})
