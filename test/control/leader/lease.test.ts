import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { LeaderElector, type LeaseClient } from '../../../src/control/leader/lease.ts'
import type { TimerClock } from '../../../src/lib/clock.ts'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { settle, VirtualTime } from '../../lib/virtual-time.ts'
import { FakeApi, type Line, type Stored, unreachable } from '../status/fake-api.ts'

const PATH = '/apis/coordination.k8s.io/v1/namespaces/gateway/leases/headgate'

interface Spec {
  holderIdentity: string
  leaseDurationSeconds: unknown
  leaseTransitions: number
  renewTime: string
}

function world() {
  const time = new VirtualTime()
  const api = new FakeApi()
  const heard: string[] = []
  const elector = (identity: string, line: Line = {}, keeper: TimerClock = time.keeper(), client?: LeaseClient) => {
    const one = new LeaderElector({
      client: client ?? api.client(line),
      namespace: 'gateway',
      name: 'headgate',
      identity,
      time: keeper,
      random: () => 0.5,
      events: {
        leading: () => heard.push(`${identity} leads`),
        lost: () => heard.push(`${identity} lost`),
        problem: (message) => heard.push(`${identity}: ${message}`),
      },
    })
    one.start()
    return one
  }
  const spec = () => (api.objects.get(PATH) as Stored & { spec: Spec }).spec
  return { time, api, heard, elector, spec }
}

suite('leader election', () => {
  test('the first takes a free Lease, the others wait and see who leads', async () => {
    const { time, heard, elector, spec } = world()
    const a = elector('a')
    await time.pass(100)
    const b = elector('b')
    await time.pass(60_000)
    assert.deepEqual([a.leading, b.leading, b.holder], [true, false, 'a'])
    assert.deepEqual(heard, ['a leads'])
    assert.equal(spec().leaseDurationSeconds, 15)
    assert.match(spec().renewTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  })

  test('who holds it writes once in a retry period and does not look first', async () => {
    const { time, api, elector } = world()
    elector('a')
    await time.pass(1_000)
    api.calls.length = 0
    await time.pass(20_000)
    assert.deepEqual([api.countOf('update'), api.countOf('get', 'create')], [10, 0])
  })

  test('on exit the Lease is free at once', async () => {
    const { time, heard, elector, spec } = world()
    const a = elector('a')
    await time.pass(100)
    const b = elector('b')
    await time.pass(3_000)
    await a.stop()
    assert.equal(spec().holderIdentity, '')
    await time.pass(2_500)
    assert.equal(b.leading, true)
    assert.deepEqual(heard, ['a leads', 'a lost', 'b leads'])
    assert.equal(spec().leaseTransitions, 2 - 1)
    assert.equal(time.pending > 0, true)
  })

  test('nothing goes on after a stop', async () => {
    const { time, api, elector } = world()
    const a = elector('a')
    await time.pass(5_000)
    await a.stop()
    assert.equal(time.pending, 0)
    const calls = api.calls.length
    await time.pass(60_000)
    assert.equal(api.calls.length, calls)
  })

  test('one that dies silently is followed after the duration, not before', async () => {
    const { time, elector } = world()
    let dead = false
    const line = {
      there: () => {
        if (dead) throw unreachable()
      },
    }
    elector('a', line)
    await time.pass(100)
    const b = elector('b')
    await time.pass(4_000)
    dead = true
    await time.pass(12_500)
    assert.equal(b.leading, false)
    await time.pass(5_500)
    assert.equal(b.leading, true)
  })

  test('an outage shorter than the renew deadline changes nothing, a longer one ends leading on the deadline', async () => {
    const { time, heard, elector } = world()
    let away = false
    const line = {
      there: () => {
        if (away) throw unreachable()
      },
    }
    const a = elector('a', line)
    await time.pass(2_100)
    away = true
    await time.pass(7_000)
    assert.equal(a.leading, true)
    away = false
    await time.pass(4_000)
    away = true
    await time.pass(9_999)
    await time.pass(100)
    assert.equal(a.leading, false)
    assert.equal(heard.filter((line) => line.includes('Unreachable')).length, 2)
    away = false
    await time.pass(3_000)
    assert.equal(a.leading, true)
  })

  test('an API server that hangs is as good as none', async () => {
    const { time, elector } = world()
    let hang = false
    const a = elector('a', { there: () => (hang ? new Promise(() => {}) : undefined) })
    await time.pass(1_000)
    hang = true
    await time.pass(10_500)
    assert.equal(a.leading, false)
    hang = false
    await time.pass(8_000)
    assert.equal(a.leading, true)
  })

  test('what a dead connection has written all the same is ours when we see it', async () => {
    const { time, heard, elector } = world()
    let lose = false
    const a = elector('a', {
      back: () => {
        if (lose) throw unreachable()
      },
    })
    await time.pass(3_000)
    lose = true
    await time.pass(4_000)
    lose = false
    await time.pass(20_000)
    assert.equal(a.leading, true)
    assert.deepEqual(
      heard.filter((line) => /lost|leads/.test(line)),
      ['a leads'],
    )
  })

  test('two that reach for it at once: one has it', async () => {
    const { time, elector } = world()
    const wait = () => new Promise<void>((resolve) => void time.after(50, resolve))
    const both = [elector('a', { there: wait }), elector('b', { there: wait })]
    await time.pass(10_000)
    assert.equal(both.filter((one) => one.leading).length, 1)
  })

  test('a holder with a broken clock counts by its signs of life', async () => {
    for (const renewTime of ['1970-01-01T00:00:00.000000Z', '2999-01-01T00:00:00.000000Z', 'nonsense']) {
      const { time, api, elector } = world()
      const foreign = (n: number) =>
        api.put(PATH, {
          spec: {
            holderIdentity: 'x',
            leaseDurationSeconds: 15,
            leaseTransitions: 0,
            renewTime,
            acquireTime: String(n),
          },
        })
      foreign(0)
      const a = elector('a')
      for (let n = 1; n <= 10; n++) {
        await time.pass(4_000)
        foreign(n)
        assert.equal(a.leading, false)
      }
      await time.pass(14_000)
      assert.equal(a.leading, false)
      await time.pass(6_000)
      assert.equal(a.leading, true)
    }
  })

  for (const duration of [0, -5, 1e12, 'soon', null, Number.NaN])
    test(`a duration of ${JSON.stringify(duration)} keeps nobody out for ever`, async () => {
      const { time, api, elector } = world()
      api.put(PATH, { spec: { holderIdentity: 'x', leaseDurationSeconds: duration } })
      const a = elector('a')
      await time.pass(14_000)
      assert.equal(a.leading, false)
      await time.pass(5_000)
      assert.equal(a.leading, true)
    })

  test('our own clock may stand still or jump: every renewal is another one, and leading goes on', async () => {
    const { time, api, heard, elector } = world()
    let wall = 1_800_000_000_000
    const a = elector(
      'a',
      {},
      time.keeper(0, () => wall),
    )
    const b = elector('b')
    await time.pass(30_000)
    wall -= 86_400_000
    await time.pass(30_000)
    wall += 10 * 86_400_000
    await time.pass(30_000)
    assert.deepEqual([a.leading, b.leading], [true, false])
    assert.deepEqual(heard, ['a leads'])
    const written = api.calls.filter(({ verb }) => verb === 'update')
    const times = written.map(({ body }) => (body as { spec: Spec }).spec.renewTime)
    assert.equal(new Set(times).size, times.length)
  })

  test('a deleted Lease is created again, one that is taken away is given up', async () => {
    const { time, api, heard, elector } = world()
    const a = elector('a')
    await time.pass(3_000)
    api.objects.delete(PATH)
    await time.pass(5_000)
    assert.equal(a.leading, true)
    api.put(PATH, { spec: { holderIdentity: 'x', leaseDurationSeconds: 15 } })
    await time.pass(3_000)
    assert.equal(a.leading, false)
    assert.deepEqual(heard.at(-1), 'a lost')
  })

  test('a count of transitions at its limit, which any user may have written, does not prevent leading', async () => {
    const { time, api, elector, spec } = world()
    api.put(PATH, { spec: { holderIdentity: 'gone', leaseDurationSeconds: 15, leaseTransitions: 2 ** 31 - 1 } })
    const a = elector('a')
    await time.pass(30_000)
    assert.equal(a.leading, true)
    // The API has 32 bits.
    assert.ok(spec().leaseTransitions < 2 ** 31)
  })

  test('what others have written beside it stays', async () => {
    const { time, api, elector } = world()
    api.put(PATH, { metadata: { labels: { team: 'x' } }, spec: { holderIdentity: '', preferredHolder: 'y' } })
    elector('a')
    await time.pass(5_000)
    const stored = api.objects.get(PATH) as Stored & { spec: Record<string, unknown> }
    assert.deepEqual([stored.metadata.labels, stored.spec.preferredHolder], [{ team: 'x' }, 'y'])
  })

  test('without permission it reports that once and goes on asking', async () => {
    const { time, api, heard, elector } = world()
    api.refuse = () => {
      throw new ApiError(403, 'Forbidden', 'leases.coordination.k8s.io "headgate" is forbidden')
    }
    const a = elector('a')
    await time.pass(60_000)
    assert.equal(heard.length, 1)
    assert.match(heard[0]!, /Lease gateway\/headgate cannot be had: .* is forbidden/)
    api.refuse = () => {}
    await time.pass(5_000)
    assert.equal(a.leading, true)
  })

  test('an answer that is no Lease does no harm', async () => {
    const { time, heard, elector } = world()
    const client: LeaseClient = {
      get: () => Promise.resolve({ items: [] }),
      create: () => Promise.resolve(null),
      update: () => Promise.resolve(null),
    }
    const a = elector('a', {}, time.keeper(), client)
    await time.pass(10_000)
    assert.equal(a.leading, false)
    assert.match(heard[0]!, /not a Lease/)
    await a.stop()
  })

  test('times with which there could be two leaders are refused', () => {
    const { time, api } = world()
    const make = (times: object) =>
      new LeaderElector({
        client: api.client(),
        namespace: 'n',
        name: 'n',
        identity: 'a',
        time: time.keeper(),
        random: () => 0,
        events: { leading() {}, lost() {}, problem() {} },
        times,
      })
    assert.throws(() => make({ renewDeadline: 15_000 }), TypeError)
    assert.throws(() => make({ retryPeriod: 0 }), TypeError)
  })
})

/** What the network does to one elector for a while. */
const weather = fc.record({
  who: fc.nat(2),
  from: fc.integer({ min: 0, max: 60_000 }),
  lasts: fc.integer({ min: 1, max: 30_000 }),
  what: fc.constantFrom('cut', 'answers lost', 'slow', 'hangs'),
})
const lives = fc.array(
  fc.record({ starts: fc.nat(20_000), stops: fc.option(fc.integer({ min: 5_000, max: 60_000 })), offset: fc.nat(1e9) }),
  { minLength: 3, maxLength: 3 },
)

suite('leader election among several', () => {
  test('there are never two leaders, each by its own clock, and one again when all is well', async () => {
    await fc.assert(
      fc.asyncProperty(
        lives,
        fc.array(weather, { maxLength: 8 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        async (plans, storms, chance) => {
          const random = () => chance.next().value as number
          const time = new VirtualTime()
          const api = new FakeApi()
          const now = (who: number, what: string) =>
            storms.some(
              (one) => one.who === who && one.what === what && time.now >= one.from && time.now < one.from + one.lasts,
            )
          const electors = plans.map(({ offset }, who) => {
            const hop = (): Promise<void> | void => {
              if (now(who, 'cut')) throw unreachable()
              if (now(who, 'hangs')) return new Promise(() => {})
              const delay = now(who, 'slow') ? random() * 20_000 : random() * 20
              return new Promise((resolve) => void time.after(delay, resolve))
            }
            const wall = () => 1_800_000_000_000 + (random() - 0.5) * 1e9
            return new LeaderElector({
              client: api.client({
                there: hop,
                back: async () => {
                  if (now(who, 'answers lost')) throw unreachable()
                  await hop()
                },
              }),
              namespace: 'gateway',
              name: 'headgate',
              identity: `e${who}`,
              time: time.keeper(offset, wall),
              random,
              events: { leading() {}, lost() {}, problem() {} },
            })
          })
          const stopping: Promise<void>[] = []
          plans.forEach(({ starts, stops }, who) => {
            time.after(starts, () => electors[who]!.start())
            if (stops !== null && stops > starts) time.after(stops, () => void stopping.push(electors[who]!.stop()))
          })
          const look = () => {
            const leaders = electors.filter((one) => one.leading).length
            assert.ok(leaders <= 1, `${leaders} leaders at ${time.now}`)
          }
          await time.pass(140_000, look)
          await settle()
          const alive = plans.filter(({ starts, stops }) => stops === null || stops <= starts).length
          assert.equal(electors.filter((one) => one.leading).length, alive > 0 ? 1 : 0)
          await Promise.all([Promise.all(stopping), ...electors.map((one) => one.stop()), time.pass(10_000)])
          assert.equal(time.pending, 0)
        },
      ),
      { numRuns: 60 },
    )
  })
})
