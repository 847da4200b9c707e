import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Condition, ConditionReason, ConditionType, ObjectStatus } from '../../../src/api/condition.ts'
import { givenAddresses, type HostAddress, serviceAddresses } from '../../../src/control/leader/address.ts'
import type { EndpointCounts } from '../../../src/control/status/status-document.ts'
import { StatusSink } from '../../../src/control/status/status-sink.ts'
import { type StatusTarget, statusTargetPath } from '../../../src/control/status/status-target.ts'
import { StatusWriter } from '../../../src/control/status/status-writer.ts'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import { statusMap } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'
import { FakeApi, type Line, type Stored, unreachable } from './fake-api.ts'

type Say = Readonly<Record<string, unknown>>

function condition(
  type: ConditionType,
  status: 'True' | 'False',
  reason: ConditionReason,
  generation: number,
  message = `${type} is ${status}`,
): Condition {
  return { type, status, reason, message, observedGeneration: generation }
}

function routeStatus(key: string, generation = 1, extra: readonly Condition[] = []): ObjectStatus {
  const conditions = [
    condition('Ready', 'False', 'Pending', generation),
    condition('Accepted', 'True', 'Accepted', generation),
    condition('Programmed', 'False', 'Pending', generation),
    ...extra,
  ]
  return { kind: 'Route', key, conditions, rules: 1 }
}

function wrongClass(key: string): ObjectStatus {
  return { kind: 'Route', key, conditions: [condition('Accepted', 'False', 'WrongClass', 1)], rules: 0 }
}

function backendStatus(key: string): ObjectStatus {
  return { kind: 'Backend', key, conditions: [condition('Accepted', 'True', 'Accepted', 1)] }
}

const route = (key: string): StatusTarget => ({ kind: 'Route', key })

function world(line: Line = {}) {
  const time = new VirtualTime()
  const api = new FakeApi()
  const problems: string[] = []
  let leading = true
  let counts: EndpointCounts = { total: 2, ready: 2, eligible: 2 }
  const sinks = new WeakMap<StatusWriter, StatusSink>()
  const make = () => {
    const writer = new StatusWriter({
      client: api.client(line),
      time: time.keeper(),
      random: () => 0.5,
      leading: () => leading,
      ours: (name) => name === undefined || name === 'headgate',
      endpoints: () => counts,
      events: { problem: (message) => problems.push(message) },
    })
    const sink = new StatusSink()
    sink.subscribe(writer)
    sinks.set(writer, sink)
    return writer
  }
  const event = (subject: StatusTarget, raw: unknown): SourceEvent =>
    ({ type: 'upsert', ...subject, raw, origin: { cluster: true } }) as SourceEvent
  const put = (subject: StatusTarget, fields: Say = {}): SourceEvent =>
    event(subject, api.put(statusTargetPath(subject), { metadata: { generation: 1 }, ...fields }))
  const commit = (writer: StatusWriter, statuses: readonly ObjectStatus[], generation: number, served = generation) => {
    const sink = sinks.get(writer)!
    for (const _ of sink.prepare(statusMap(statuses)));
    sink.commit(generation)
    sink.served(served)
  }
  const status = (subject: StatusTarget) => api.objects.get(statusTargetPath(subject))?.status as Say | undefined
  const conditionOf = (subject: StatusTarget, type: string) =>
    (status(subject)?.conditions as (Condition & { lastTransitionTime: string })[] | undefined)?.find(
      (one) => one.type === type,
    )
  /** What a watch would tell of an object now. */
  const echo = (writer: StatusWriter, subject: StatusTarget) =>
    writer.accept([event(subject, structuredClone(api.objects.get(statusTargetPath(subject))))])
  return {
    time,
    api,
    problems,
    make,
    put,
    commit,
    status,
    conditionOf,
    echo,
    lead: (yes: boolean) => (leading = yes),
    count: (now: EndpointCounts) => (counts = now),
  }
}

suite('the status writer', () => {
  test('writes the status of a compile once every worker serves it, with generation and time', async () => {
    const { time, api, make, put, commit, status, conditionOf } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 5, 4)
    await time.pass(1_000)
    assert.equal(api.countOf('apply'), 0)
    writer.served(5)
    await time.pass(0)
    assert.equal(api.countOf('apply'), 1)
    assert.equal(status(route('a/a'))?.rules, 1)
    const ready = conditionOf(route('a/a'), 'Ready')
    assert.deepEqual([ready?.status, ready?.observedGeneration], ['True', 1])
    assert.match(ready?.lastTransitionTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    const [{ path, body } = { path: '', body: {} }] = api.calls
    assert.equal(path, '/apis/headgate.dev/v1alpha1/namespaces/a/routes/a/status')
    assert.notEqual((body as Stored).metadata.resourceVersion, undefined)
  })

  test('reports that not every worker serves it when that takes long', async () => {
    const { time, make, put, commit, conditionOf } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 5, 4)
    await time.pass(9_900)
    assert.equal(conditionOf(route('a/a'), 'Programmed'), undefined)
    await time.pass(200)
    assert.equal(conditionOf(route('a/a'), 'Programmed')?.reason, 'Pending')
    writer.served(5)
    await time.pass(2_000)
    assert.equal(conditionOf(route('a/a'), 'Programmed')?.status, 'True')
  })

  test('a change of one Route does not concern the others, whose generation serves', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    const [a, b] = [routeStatus('a/a'), routeStatus('a/b')]
    writer.accept([put(route('a/a')), put(route('a/b'))])
    commit(writer, [a, b], 1)
    await time.pass(1_000)
    assert.equal(api.calls.length, 2)
    commit(writer, [a, routeStatus('a/b', 1, [condition('Stale', 'False', 'Current', 1)])], 2, 1)
    await time.pass(60_000)
    assert.deepEqual(
      api.calls.slice(2).map(({ path }) => path.split('/').at(-2)),
      ['b'],
    )
  })

  test('after a restart with 5,000 Routes nothing is written, nor read', async () => {
    const { time, api, make, put, commit } = world()
    const keys = Array.from({ length: 5_000 }, (_, i) => `a/route-${i}`)
    const statuses = () => keys.map((key) => routeStatus(key))
    const first = make()
    first.accept(keys.map((key) => put(route(key))))
    commit(first, statuses(), 1)
    await time.pass(400_000)
    assert.equal(api.countOf('apply'), 5_000)
    first.stop()
    api.calls.length = 0
    const next = make()
    next.accept(
      keys.map((key) => ({
        type: 'upsert',
        ...route(key),
        raw: structuredClone(api.objects.get(statusTargetPath(route(key)))),
        origin: { cluster: true },
      })) as SourceEvent[],
    )
    commit(next, statuses(), 1)
    next.recheckAll()
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, next.waiting], [0, 0])
  })

  test('writes at most 100 at once and 50 a second', async () => {
    const { time, api, make, put, commit } = world()
    const keys = Array.from({ length: 300 }, (_, i) => `a/route-${i}`)
    const writer = make()
    writer.accept(keys.map((key) => put(route(key))))
    commit(
      writer,
      keys.map((key) => routeStatus(key)),
      1,
    )
    await time.pass(0)
    assert.ok(api.countOf('apply') <= 100)
    await time.pass(1_000)
    assert.ok(api.countOf('apply') >= 140 && api.countOf('apply') <= 151, String(api.countOf('apply')))
    await time.pass(4_000)
    assert.equal(api.countOf('apply'), 300)
  })

  test('a condition keeps its time through edits that change only its message', async () => {
    const { time, api, make, put, commit, conditionOf } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a', 1, [condition('ResolvedRefs', 'False', 'BackendNotFound', 1, 'no b')])], 1)
    await time.pass(10_000)
    const before = conditionOf(route('a/a'), 'ResolvedRefs')?.lastTransitionTime
    commit(writer, [routeStatus('a/a', 1, [condition('ResolvedRefs', 'False', 'PortNotFound', 1, 'no c')])], 2)
    await time.pass(10_000)
    const after = conditionOf(route('a/a'), 'ResolvedRefs')
    assert.deepEqual([after?.reason, after?.lastTransitionTime], ['PortNotFound', before])
    commit(writer, [routeStatus('a/a', 1, [condition('ResolvedRefs', 'True', 'ResolvedRefs', 1)])], 3)
    await time.pass(10_000)
    assert.notEqual(conditionOf(route('a/a'), 'ResolvedRefs')?.lastTransitionTime, before)
    assert.equal(api.countOf('apply'), 3)
  })

  test('a message that is too long for the CRD is cut', async () => {
    const { time, make, put, commit, conditionOf } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a', 1, [condition('Stale', 'False', 'Current', 1, 'x'.repeat(5_000))])], 1)
    await time.pass(1_000)
    assert.equal(conditionOf(route('a/a'), 'Stale')?.message.length, 4_096)
  })

  test('only the leader writes, and a new one looks at everything', async () => {
    const { time, api, make, put, commit, lead } = world()
    const writer = make()
    lead(false)
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(60_000)
    assert.equal(api.calls.length, 0)
    lead(true)
    writer.recheckAll()
    await time.pass(0)
    assert.equal(api.countOf('apply'), 1)
  })

  test('who stops leading while writes wait writes no more', async () => {
    const { time, api, make, put, commit, lead } = world()
    const keys = Array.from({ length: 200 }, (_, i) => `a/route-${i}`)
    const writer = make()
    writer.accept(keys.map((key) => put(route(key))))
    commit(
      writer,
      keys.map((key) => routeStatus(key)),
      1,
    )
    await time.pass(100)
    lead(false)
    const count = api.countOf('apply')
    await time.pass(60_000)
    assert.deepEqual([api.countOf('apply'), writer.waiting], [count, 0])
  })

  test('what is for another installation is never written, valid or not', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    const refused: ObjectStatus = {
      kind: 'Route',
      key: 'a/broken',
      conditions: [condition('Accepted', 'False', 'Invalid', 1)],
      rules: 0,
    }
    writer.accept([put(route('a/other')), put(route('a/broken'), { spec: { ingressClassName: 'nginx', rules: 7 } })])
    commit(writer, [wrongClass('a/other'), refused], 1)
    writer.recheckAll()
    await time.pass(60_000)
    assert.equal(api.calls.length, 0)
  })

  test('after 409 it reads again and writes what is still to be written', async () => {
    const { time, api, make, put, commit, conditionOf } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    put(route('a/a'), { spec: { rules: [] } })
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(1_000)
    assert.deepEqual(
      api.calls.map(({ verb }) => verb),
      ['apply', 'get', 'apply'],
    )
    assert.equal(conditionOf(route('a/a'), 'Ready')?.status, 'True')
  })

  test('after 409 nothing is written when another writer has written the same', async () => {
    const { time, api, make, put, commit } = world()
    const other = make()
    const writer = make()
    const first = put(route('a/a'))
    for (const one of [other, writer]) one.accept([first])
    commit(other, [routeStatus('a/a')], 1)
    await time.pass(1_000)
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(1_000)
    assert.deepEqual(
      api.calls.map(({ verb }) => verb),
      ['apply', 'apply', 'get'],
    )
  })

  test('409 without end is met with longer and longer pauses', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    api.refuse = ({ verb }) => {
      if (verb === 'apply') throw new ApiError(409, 'Conflict', 'modified')
    }
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(600_000)
    assert.ok(api.countOf('apply') < 40, String(api.countOf('apply')))
  })

  test('an object that is gone is let go', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    api.objects.clear()
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, writer.waiting], [1, 0])
  })

  test('a status of what was deleted is not written', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a')), { type: 'delete', ...route('a/a') } as SourceEvent])
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(60_000)
    assert.equal(api.calls.length, 0)
  })

  test('422 is reported once and not tried again soon; another status is', async () => {
    const { time, api, problems, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    api.refuse = () => {
      throw new ApiError(422, 'Invalid', 'status.rules: must be positive')
    }
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(290_000)
    assert.deepEqual([api.calls.length, problems.length], [1, 1])
    assert.match(problems[0]!, /status of Route a\/a is refused: status\.rules: must be positive \(Invalid\)/)
    await time.pass(20_000)
    assert.deepEqual([api.calls.length, problems.length], [2, 1])
    commit(writer, [routeStatus('a/a', 2)], 2)
    await time.pass(100)
    assert.equal(api.calls.length, 3)
  })

  test('without permission for one kind it reports which verb on what, and writes the other', async () => {
    const { time, api, problems, make, put, commit, status } = world()
    const writer = make()
    const backend: StatusTarget = { kind: 'Backend', key: 'a/b' }
    api.refuse = ({ path }) => {
      if (path.includes('/routes/')) throw new ApiError(403, 'Forbidden', 'routes.headgate.dev "a" is forbidden')
    }
    writer.accept([put(route('a/a')), put(route('a/c')), put(backend)])
    commit(writer, [routeStatus('a/a'), routeStatus('a/c'), backendStatus('a/b')], 1)
    await time.pass(50_000)
    assert.notEqual(status(backend), undefined)
    assert.equal(problems.length, 1)
    assert.match(problems[0]!, /grant "patch" on routes\.headgate\.dev\/status/)
    assert.ok(api.calls.length <= 4)
    api.refuse = () => {}
    await time.pass(70_000)
    assert.notEqual(status(route('a/a')), undefined)
    assert.notEqual(status(route('a/c')), undefined)
  })

  test('an outage stops all of them, backs off, and nothing is forgotten', async () => {
    let away = true
    const line = {
      there: () => {
        if (away) throw unreachable()
      },
    }
    let attempts = 0
    const counting: Line = {
      there: () => {
        attempts++
        line.there()
      },
    }
    const { time, api, problems, make, put, commit } = world(counting)
    const keys = Array.from({ length: 100 }, (_, i) => `a/route-${i}`)
    const writer = make()
    writer.accept(keys.map((key) => put(route(key))))
    commit(
      writer,
      keys.map((key) => routeStatus(key)),
      1,
    )
    await time.pass(60_000)
    assert.ok(attempts < 60, `${attempts} attempts in a minute`)
    assert.equal(problems.length, 1)
    away = false
    await time.pass(60_000)
    assert.equal(api.countOf('apply'), 100)
  })

  test('objects that the API server cannot store delay no others', async () => {
    const { time, api, problems, make, put, commit, status } = world()
    const hostile = Array.from({ length: 50 }, (_, i) => `evil/route-${i}`)
    const writer = make()
    writer.accept([...hostile, 'shop/a', 'shop/b'].map((key) => put(route(key))))
    // Just small enough to be stored, and too large with a status: etcd says so, and the API server has no better
    // answer than 500.
    api.refuse = ({ path }) => {
      if (path.includes('/evil/')) throw new ApiError(500, 'InternalError', 'etcdserver: request is too large')
    }
    const statuses = hostile.map((key) => routeStatus(key))
    commit(writer, statuses, 1)
    await time.pass(60_000)
    commit(writer, [...statuses, routeStatus('shop/a')], 2)
    await time.pass(2_500)
    assert.notEqual(status(route('shop/a')), undefined)
    const before = api.calls.length
    await time.pass(300_000)
    assert.ok(api.calls.length - before < 300, `${api.calls.length - before} attempts in five minutes`)
    commit(writer, [...statuses, routeStatus('shop/a'), routeStatus('shop/b')], 3)
    await time.pass(2_500)
    assert.notEqual(status(route('shop/b')), undefined)
    assert.ok(problems.length <= hostile.length, `${problems.length} lines in the log`)
  })

  test('a status that is nested without end is replaced like any other', async () => {
    const { time, make, put, commit, status } = world()
    const writer = make()
    const event = put(route('a/a'))
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    writer.accept([
      {
        ...event,
        raw: { ...(event as { raw: object }).raw, status: { conditions: deep, rules: deep } },
      } as SourceEvent,
    ])
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(1_000)
    assert.equal(status(route('a/a'))?.rules, 1)
  })

  test('an API server that can store nothing is not pressed', async () => {
    const { time, api, problems, make, put, commit } = world()
    const keys = Array.from({ length: 1_000 }, (_, i) => `a/route-${i}`)
    const writer = make()
    writer.accept(keys.map((key) => put(route(key))))
    api.refuse = () => {
      throw new ApiError(500, 'InternalError', 'etcdserver: no leader')
    }
    const statuses = keys.map((key) => routeStatus(key))
    commit(writer, statuses, 1)
    await time.pass(60_000)
    assert.ok(api.calls.length < 800, `${api.calls.length} attempts in a minute`)
    assert.ok(problems.length < 10)
    api.refuse = () => {}
    await time.pass(120_000)
    assert.equal(
      api.objects
        .values()
        .filter(({ status }) => status !== undefined)
        .toArray().length,
      1_000,
    )
  })

  test('Retry-After is kept', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a')), put(route('a/b'))])
    api.refuse = () => {
      throw new ApiError(429, 'TooManyRequests', 'slow down', { retryAfter: 20_000 })
    }
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(100)
    commit(writer, [routeStatus('a/a'), routeStatus('a/b')], 2)
    await time.pass(19_000)
    assert.equal(api.calls.length, 1)
    await time.pass(2_000)
    assert.ok(api.calls.length >= 2)
  })

  test('who changes a status back is not fought with', async () => {
    const { time, api, problems, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 1)
    for (let second = 0; second < 600; second++) {
      await time.pass(1_000)
      writer.accept([put(route('a/a'), { status: { rules: 9 } })])
    }
    assert.ok(api.countOf('apply') < 12, String(api.countOf('apply')))
    assert.match(problems.join(), /Route a\/a is changed back by somebody else/)
    assert.equal(problems.length, 1)
  })

  test('an object created again under the same name gets its status at once', async () => {
    const { time, api, make, put, commit, status } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(1_000)
    api.objects.clear()
    writer.accept([put(route('a/a'))])
    await time.pass(0)
    assert.notEqual(status(route('a/a')), undefined)
  })

  test('a watch that is behind makes no second write', async () => {
    const { time, api, make, put, commit, echo } = world()
    const writer = make()
    const old = put(route('a/a'))
    writer.accept([old])
    commit(writer, [routeStatus('a/a')], 1)
    await time.pass(0)
    writer.accept([{ ...old } as SourceEvent])
    await time.pass(500)
    echo(writer, route('a/a'))
    await time.pass(60_000)
    assert.equal(api.countOf('apply'), 1)
  })

  test('an edit right after a write gets its status at once', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a', 1)], 1)
    await time.pass(0)
    writer.accept([put(route('a/a'), { metadata: { generation: 2 } })])
    commit(writer, [routeStatus('a/a', 2)], 2)
    await time.pass(0)
    assert.equal(api.countOf('apply'), 2)
  })

  test('what is known of an older version is not written onto a newer one', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'), { metadata: { generation: 2 } })])
    commit(writer, [routeStatus('a/a', 1)], 1)
    await time.pass(60_000)
    assert.equal(api.calls.length, 0)
    commit(writer, [routeStatus('a/a', 2)], 2)
    await time.pass(0)
    assert.equal(api.countOf('apply'), 1)
  })

  test('conditions that do not apply any more go, those of others do not count', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    const foreign = { type: 'Audited', status: 'True', reason: 'X', message: '', lastTransitionTime: 'then' }
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a', 1, [condition('Stale', 'False', 'Current', 1)])], 1)
    await time.pass(1_000)
    const stored = api.objects.get(statusTargetPath(route('a/a'))) as Stored & { status: { conditions: unknown[] } }
    const more = { ...stored.status, conditions: [...stored.status.conditions, foreign] }
    writer.accept([put(route('a/a'), { status: more })])
    await time.pass(60_000)
    assert.equal(api.countOf('apply'), 1)
    commit(writer, [routeStatus('a/a')], 2)
    await time.pass(10_000)
    assert.equal(api.countOf('apply'), 2)
  })

  test('after a stop nothing is written', async () => {
    const { time, api, make, put, commit } = world()
    const writer = make()
    writer.accept([put(route('a/a'))])
    commit(writer, [routeStatus('a/a')], 1)
    writer.stop()
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, time.pending], [0, 0])
  })
})

suite('statuses in fair turns', () => {
  const MANY = 5_000
  const latency = 20
  const broken = (key: string, generation: number, word: string): ObjectStatus =>
    routeStatus(key, generation, [condition('ResolvedRefs', 'False', 'BackendNotFound', generation, word)])

  function slowWorld() {
    const all = world({ there: () => new Promise<void>((resolve) => void all.time.after(latency, resolve)) })
    return all
  }

  for (const kind of ['Route', 'Backend', 'Ingress'] as const)
    test(`${MANY} of kind ${kind} in one namespace do not hold up a Route of another`, async () => {
      const { time, api, make, put, commit, conditionOf } = slowWorld()
      const writer = make()
      const subjects = Array.from({ length: MANY }, (_, i): StatusTarget => ({ kind, key: `noisy/r${i}` }))
      writer.useAddresses(givenAddresses(['203.0.113.9']))
      writer.accept(subjects.map((subject) => put(subject)))
      const statuses = subjects.map(({ key }) =>
        kind === 'Backend' ? backendStatus(key) : { ...routeStatus(key), kind },
      )
      commit(writer, statuses, 1)
      // The burst is used up, and the backlog is some 100 s long.
      await time.pass(10_000)
      assert.ok(api.countOf('apply') < 1_000)
      writer.accept([put(route('calm/shop'))])
      commit(writer, [...statuses, routeStatus('calm/shop')], 2)
      await time.pass(200)
      assert.equal(conditionOf(route('calm/shop'), 'Ready')?.status, 'True')
      await time.pass(120_000)
      assert.equal(api.countOf('apply'), MANY + 1, 'and nobody is forgotten')
    })

  test('nor does a storm of edits, every 100 ms, of all of them', async () => {
    const { time, make, put, commit, conditionOf } = slowWorld()
    const writer = make()
    const keys = Array.from({ length: 500 }, (_, i) => `noisy/r${i}`)
    for (let round = 1; round <= 100; round++) {
      const storm = keys.map((key) => broken(key, round, `word ${round}`))
      writer.accept(keys.map((key) => put(route(key), { metadata: { generation: round } })))
      const calm = Math.floor(round / 10)
      if (round % 10 === 0) writer.accept([put(route('calm/shop'), { metadata: { generation: calm } })])
      commit(writer, calm === 0 ? storm : [...storm, routeStatus('calm/shop', calm)], round)
      await time.pass(100)
      // Each edit of the calm one within a second.
      if (round % 10 === 9 && calm > 0) assert.equal(conditionOf(route('calm/shop'), 'Ready')?.observedGeneration, calm)
    }
  })

  test('within a namespace, what was just edited does not wait for thousands that came before it', async () => {
    const { time, make, put, commit, conditionOf } = slowWorld()
    const writer = make()
    const keys = Array.from({ length: MANY }, (_, i) => `noisy/r${i}`)
    writer.accept(keys.map((key) => put(route(key))))
    const statuses = keys.map((key) => routeStatus(key))
    commit(writer, statuses, 1)
    await time.pass(10_000)
    writer.accept([put(route('noisy/r2500'), { metadata: { generation: 2 } })])
    commit(writer, [...statuses, routeStatus('noisy/r2500', 2)], 2)
    await time.pass(200)
    assert.equal(conditionOf(route('noisy/r2500'), 'Ready')?.observedGeneration, 2)
  })

  test('a namespace in which writing is forbidden holds up no other', async () => {
    const { time, api, problems, make, put, commit, status } = slowWorld()
    const writer = make()
    api.refuse = ({ path }) => {
      if (path.includes('/noisy/')) throw new ApiError(403, 'Forbidden', 'the RoleBinding of namespace noisy is gone')
    }
    writer.accept([put(route('noisy/a')), put(route('noisy/b'))])
    commit(writer, [routeStatus('noisy/a'), routeStatus('noisy/b')], 1)
    await time.pass(1_000)
    writer.accept([put(route('calm/shop'))])
    commit(writer, [routeStatus('noisy/a'), routeStatus('noisy/b'), routeStatus('calm/shop')], 2)
    await time.pass(1_000)
    assert.notEqual(status(route('calm/shop')), undefined)
    assert.equal(problems.length, 1)
  })

  test('nor one with hundreds of objects that cannot be stored', async () => {
    const { time, api, make, put, commit, status } = slowWorld()
    const writer = make()
    const keys = Array.from({ length: 400 }, (_, i) => `noisy/r${i}`)
    api.refuse = ({ path }) => {
      if (path.includes('/noisy/')) throw new ApiError(500, 'InternalError', 'etcdserver: request is too large')
    }
    writer.accept(keys.map((key) => put(route(key))))
    const statuses = keys.map((key) => routeStatus(key))
    commit(writer, statuses, 1)
    await time.pass(10_000)
    for (let i = 0; i < 10; i++) {
      const key = `calm/shop-${i}`
      writer.accept([put(route(key))])
      statuses.push(routeStatus(key))
      commit(writer, statuses, 2 + i)
      await time.pass(200)
      assert.notEqual(status(route(key)), undefined, key)
    }
  })
})

suite('the status of a Backend', () => {
  const backend: StatusTarget = { kind: 'Backend', key: 'a/b' }

  test('counts its endpoints and shows whether it has any', async () => {
    const { time, make, put, commit, status, conditionOf } = world()
    const writer = make()
    writer.accept([put(backend)])
    commit(writer, [backendStatus('a/b')], 1)
    await time.pass(0)
    assert.deepEqual(status(backend)?.endpoints, { total: 2, ready: 2, eligible: 2 })
    assert.equal(conditionOf(backend, 'Healthy')?.status, 'True')
  })

  test('numbers alone are written at most every five seconds, going down or up at once', async () => {
    const { time, api, make, put, commit, count, conditionOf } = world()
    const writer = make()
    writer.accept([put(backend)])
    commit(writer, [backendStatus('a/b')], 1)
    await time.pass(0)
    for (let ready = 1; ready <= 30; ready++) {
      count({ total: 40, ready, eligible: ready })
      writer.endpointsChanged('a/b')
      await time.pass(1_000)
    }
    assert.ok(api.countOf('apply') >= 5 && api.countOf('apply') <= 8, String(api.countOf('apply')))
    await time.pass(5_000)
    assert.match(conditionOf(backend, 'Healthy')?.message ?? '', /^30 of 40/)
    count({ total: 40, ready: 0, eligible: 0 })
    writer.endpointsChanged('a/b')
    await time.pass(1_100)
    assert.equal(conditionOf(backend, 'Healthy')?.status, 'False')
  })

  test('a backend that is no object is passed over', async () => {
    const { time, api, make } = world()
    make().endpointsChanged('service:a/b:80')
    await time.pass(1_000)
    assert.equal(api.calls.length, 0)
  })
})

suite('addresses', () => {
  test('are written onto every Route that is reached, once they are known and when they change', async () => {
    const { time, api, make, put, commit, status } = world()
    const writer = make()
    const refused: ObjectStatus = {
      kind: 'Route',
      key: 'a/no',
      conditions: [condition('Accepted', 'False', 'Invalid', 1)],
      rules: 0,
    }
    writer.accept([put(route('a/a')), put(route('a/no'))])
    commit(writer, [routeStatus('a/a'), refused], 1)
    await time.pass(1_000)
    const addresses = givenAddresses(['203.0.113.9'])
    writer.useAddresses(addresses)
    writer.useAddresses([...addresses])
    await time.pass(10_000)
    assert.deepEqual(status(route('a/a'))?.addresses, [{ type: 'IPAddress', value: '203.0.113.9' }])
    assert.equal(status(route('a/no'))?.addresses, undefined)
    assert.equal(api.countOf('apply'), 3)
  })

  test('an Ingress gets them as its load balancer, and no conditions', async () => {
    const { time, api, make, put, commit, status } = world()
    const writer = make()
    const ingress = (name: string): StatusTarget => ({ kind: 'Ingress', key: `a/${name}` })
    const annotations = { 'kubernetes.io/ingress.class': 'nginx' }
    writer.accept([
      put(ingress('web'), { status: { loadBalancer: {} } }),
      put(ingress('other'), { spec: { ingressClassName: 'nginx' } }),
      put(ingress('old'), { metadata: { annotations } }),
    ])
    const statuses = ['web', 'other', 'old'].map((name) => ({ ...routeStatus(`a/${name}`), kind: 'Ingress' as const }))
    commit(writer, statuses, 1)
    await time.pass(1_000)
    assert.equal(api.calls.length, 0)
    writer.useAddresses(givenAddresses(['lb.example', '203.0.113.9']))
    await time.pass(1_000)
    assert.deepEqual(status(ingress('web')), {
      loadBalancer: { ingress: [{ ip: '203.0.113.9' }, { hostname: 'lb.example' }] },
    })
    assert.equal(api.countOf('apply'), 1)
    assert.equal(api.calls[0]?.path, '/apis/networking.k8s.io/v1/namespaces/a/ingresses/web/status')
  })

  const cases: [name: string, service: unknown, wanted: string[]][] = [
    [
      'a load balancer with addresses',
      { status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }] } } },
      ['203.0.113.9'],
    ],
    ['one with a name', { status: { loadBalancer: { ingress: [{ hostname: 'LB.example' }] } } }, ['lb.example']],
    [
      'both families',
      { status: { loadBalancer: { ingress: [{ ip: '2001:DB8::1' }, { ip: '192.0.2.1' }] } } },
      ['192.0.2.1', '2001:db8::1'],
    ],
    ['one that has none yet', { status: { loadBalancer: {} } }, []],
    ['external IPs', { spec: { clusterIP: '10.96.0.9', externalIPs: ['198.51.100.1'] } }, ['198.51.100.1']],
    ['one inside the cluster', { spec: { clusterIP: '10.96.0.9' } }, []],
    ['nothing', undefined, []],
    ['nonsense', { status: { loadBalancer: { ingress: 'x' } }, spec: 7 }, []],
  ]
  for (const [name, service, wanted] of cases)
    test(`of a Service: ${name}`, () => {
      assert.deepEqual(
        serviceAddresses(service).map(({ value }: HostAddress) => value),
        wanted,
      )
    })
})
