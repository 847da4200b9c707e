import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { EventRecorder, type Notice } from '../../../src/control/status/events.ts'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'
import { FakeApi, type Line, type Stored, unreachable } from './fake-api.ts'

const COLLECTION = '/apis/events.k8s.io/v1/namespaces/a/events'

function notice(name = 'shop', note = 'no Backend a/b', reason = 'BackendNotFound'): Notice {
  const regarding = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', namespace: 'a', name, uid: `uid-of-${name}` }
  return { regarding, type: 'Warning', reason, action: 'Compile', note }
}

interface Event extends Stored {
  series?: { count: number; lastObservedTime: string }
  note: string
  eventTime: string
}

/** Refuses what the API server's own validation refuses of a new Event. */
function validate(body: unknown): void {
  const { action, reason, note, reportingController, reportingInstance, eventTime, regarding, metadata } =
    body as Record<string, string> & {
      regarding: { namespace: string }
      metadata: { namespace: string; name: string }
    }
  const wrong =
    !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(eventTime ?? '') ||
    !action ||
    action.length > 128 ||
    !reason ||
    reason.length > 128 ||
    Buffer.byteLength(note ?? '') > 1024 ||
    !/^([a-z0-9.-]+\/)?[A-Za-z0-9_.-]+$/.test(reportingController ?? '') ||
    !reportingInstance ||
    reportingInstance.length > 128 ||
    regarding.namespace !== metadata.namespace ||
    metadata.name.length > 253 ||
    !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(metadata.name)
  if (wrong) throw new ApiError(422, 'Invalid', `not a valid Event: ${JSON.stringify(body)}`)
}

function world(line: Line = {}) {
  const time = new VirtualTime()
  const api = new FakeApi()
  const problems: string[] = []
  let leading = true
  api.refuse = ({ verb, body }) => {
    if (verb === 'create') validate(body)
  }
  const recorder = () =>
    new EventRecorder({
      client: api.client(line),
      time: time.keeper(),
      random: () => 0.5,
      instance: `headgate-${'x'.repeat(200)}`,
      leading: () => leading,
      problem: (message) => problems.push(message),
    })
  const events = () => [...api.objects.values()] as Event[]
  return { time, api, problems, recorder, events, lead: (yes: boolean) => (leading = yes) }
}

suite('Events', () => {
  test('are as the API wants them, beside the object', async () => {
    const { time, recorder, events, problems } = world()
    recorder().record(notice('a'.repeat(250), 'ä'.repeat(2_000)))
    await time.pass(0)
    const [event] = events()
    assert.equal(event?.metadata.namespace, 'a')
    assert.match(event?.note ?? '', /^ä+…$/)
    assert.deepEqual(problems, [])
  })

  test('the same again is a series of one Event, written once a minute', async () => {
    const { time, api, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 100; i++) {
      one.record(notice())
      await time.pass(2_000)
    }
    await time.pass(60_000)
    assert.equal(events().length, 1)
    assert.equal(events()[0]?.series?.count, 100)
    assert.ok(api.calls.length <= 6, String(api.calls.length))
    assert.equal(one.dropped, 0)
  })

  test('other objects, reasons and words are other Events', async () => {
    const { time, recorder, events } = world()
    const one = recorder()
    for (const each of [
      notice(),
      notice('other'),
      notice('shop', 'no Backend a/c'),
      notice('shop', 'no', 'Conflicted'),
    ])
      one.record(each)
    await time.pass(1_000)
    assert.equal(events().length, 4)
  })

  test('of one object so many are written, then one a minute; the others are dropped and counted', async () => {
    const { time, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 200; i++) one.record(notice('shop', `word ${i}`))
    one.record(notice('other'))
    await time.pass(10_000)
    assert.deepEqual([events().length, one.dropped], [11, 190])
    await time.pass(60_000)
    one.record(notice('shop', 'later'))
    await time.pass(1_000)
    assert.equal(events().length, 12)
  })

  test('over all objects there are never more waiting than so many', async () => {
    const { time, api, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 3_000; i++) one.record(notice(`r${i}`))
    await time.pass(0)
    assert.ok(api.calls.length <= 25)
    await time.pass(120_000)
    assert.equal(events().length, 256)
    assert.equal(one.dropped, 3_000 - 256)
  })

  const of = (namespace: string, name: string, note?: string): Notice => {
    const one = notice(name, note)
    return { ...one, regarding: { ...one.regarding, namespace, uid: `${namespace} ${name}` } }
  }

  test('5,000 of one namespace leave the others their turns and their room', async () => {
    const { time, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 5_000; i++) one.record(of('noisy', `r${i}`))
    await time.pass(1_000)
    one.record(of('calm', 'shop'))
    await time.pass(400)
    assert.ok(
      events().some(({ metadata }) => metadata.namespace === 'calm'),
      'the next turn is its own',
    )
    await time.pass(300_000)
    assert.equal(events().length, 256 + 1)
  })

  test('whose room is needed by others loses some of it; who has less than they loses nothing', async () => {
    const { time, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 3_000; i++) one.record(of('noisy', `r${i}`))
    for (let i = 0; i < 100; i++) one.record(of('calm', `c${i}`))
    for (let i = 0; i < 3_000; i++) one.record(of('noisy', `more-${i}`))
    await time.pass(300_000)
    const count = (namespace: string) => events().filter(({ metadata }) => metadata.namespace === namespace).length
    assert.deepEqual([count('calm'), count('noisy')], [100, 156])
    assert.equal(one.dropped, 6_100 - 256)
  })

  test('hundreds of series that go on in one namespace leave room for the Events of another', async () => {
    const { time, recorder, events } = world()
    const one = recorder()
    for (let i = 0; i < 256; i++) one.record(of('noisy', `r${i}`))
    await time.pass(60_000)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 256; i++) one.record(of('noisy', `r${i}`))
      one.record(of('calm', `shop-${round}`))
      await time.pass(1_000)
      assert.ok(events().some(({ metadata }) => metadata.name.startsWith(`shop-${round}.`)))
    }
  })

  for (const [what, error] of [
    ['a used-up quota', new ApiError(403, 'Forbidden', 'events "x" is forbidden: exceeded quota: few')],
    ['a role that is not bound there', new ApiError(403, 'Forbidden', 'cannot create resource "events"')],
    ['a limit of the API server', new ApiError(429, 'TooManyRequests', 'limit reached', { retryAfter: 600_000 })],
  ] as const)
    test(`${what} in one namespace silences no other`, async () => {
      const { time, api, recorder, events } = world()
      api.refuse = ({ path }) => {
        if (path.includes('/noisy/')) throw error
      }
      const one = recorder()
      for (let i = 0; i < 20; i++) one.record(of('noisy', `r${i}`))
      await time.pass(2_000)
      one.record(of('calm', 'shop'))
      await time.pass(1_000)
      assert.deepEqual(
        events().map(({ metadata }) => metadata.namespace),
        ['calm'],
      )
    })

  test('a later process, or another replica, comes to the same Event and leaves it if it is fresh', async () => {
    const { time, api, recorder, events } = world()
    const first = recorder()
    first.record(notice())
    await time.pass(1_000)
    first.stop()
    recorder().record(notice())
    await time.pass(1_000)
    assert.equal(events().length, 1)
    assert.equal(events()[0]?.series, undefined)
    await time.pass(1_800_000)
    recorder().record(notice())
    await time.pass(1_000)
    assert.equal(events()[0]?.series?.count, 2)
    assert.equal(api.countOf('mergePatch'), 1)
  })

  test('one that has expired is made anew', async () => {
    const { time, api, recorder, events } = world()
    const one = recorder()
    one.record(notice())
    await time.pass(61_000)
    api.objects.clear()
    one.record(notice())
    await time.pass(1_000)
    assert.equal(events().length, 1)
    assert.equal(one.dropped, 0)
  })

  test('only the leader writes', async () => {
    const { time, api, recorder, lead } = world()
    const one = recorder()
    lead(false)
    one.record(notice())
    await time.pass(1_000)
    assert.deepEqual([api.calls.length, one.dropped], [0, 0])
  })

  test('in an outage they are tried three times and dropped', async () => {
    let away = true
    let attempts = 0
    const line: Line = {
      there: () => {
        attempts++
        if (away) throw unreachable()
      },
    }
    const { time, recorder, events, problems } = world(line)
    const one = recorder()
    for (let i = 0; i < 100; i++) one.record(notice(`r${i}`))
    await time.pass(600_000)
    assert.ok(attempts <= 100, String(attempts))
    assert.deepEqual(problems, [])
    away = false
    await time.pass(1_200_000)
    assert.equal(events().length + one.dropped, 100)
  })

  test('what is refused is dropped; the cause is reported once', async () => {
    const { time, api, recorder, problems } = world()
    api.refuse = () => {
      throw new ApiError(422, 'Invalid', 'note: too long')
    }
    const one = recorder()
    for (let i = 0; i < 5; i++) one.record(notice(`r${i}`))
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, one.dropped, problems.length], [5, 5, 1])
  })

  test('without permission it reports that once and is silent for ten minutes', async () => {
    const { time, api, recorder, problems } = world()
    api.refuse = () => {
      throw new ApiError(403, 'Forbidden', 'events.events.k8s.io is forbidden')
    }
    const one = recorder()
    for (let i = 0; i < 50; i++) {
      one.record(notice(`r${i}`))
      await time.pass(10_000)
    }
    assert.equal(api.calls.length, 1)
    assert.equal(problems.length, 1)
    assert.match(problems[0]!, /grant "create" and "patch"/)
  })

  test('a namespace that goes away is no problem', async () => {
    const { time, api, recorder, problems } = world()
    api.refuse = () => {
      throw new ApiError(403, 'Forbidden', 'unable to create new content in namespace a because it is being terminated')
    }
    recorder().record(notice())
    await time.pass(1_000)
    assert.deepEqual(problems, [])
    assert.equal(api.objects.has(COLLECTION), false)
  })

  test('after a stop nothing is written', async () => {
    const { time, api, recorder } = world()
    const one = recorder()
    one.record(notice())
    one.stop()
    one.record(notice('other'))
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, time.pending], [0, 0])
  })
})
