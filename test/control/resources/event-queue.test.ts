import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FieldProblem } from '../../../src/api/object.ts'
import { EventQueue } from '../../../src/control/resources/event-queue.ts'
import type { Impact } from '../../../src/control/resources/impact.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

function upsert(name: string, seen?: number): SourceEvent {
  const origin = { file: 'a.yaml', line: 1 }
  return { type: 'upsert', kind: 'Route', key: `shop/${name}`, raw: {}, origin, ...(seen !== undefined && { seen }) }
}

const slice = (name: string, seen?: number): SourceEvent => ({ ...upsert(name, seen), kind: 'EndpointSlice' })

/**
 * @param slow milliseconds that each object takes
 * @param parts in how many steps
 * @param clock stands still but for the time that objects take, whatever else the machine does; none = the real one
 */
function intake(
  impactOf: (key: string) => Impact,
  slow = 0,
  warnings: readonly FieldProblem[] = [],
  patience?: number,
  parts = 1,
  clock?: { now: number },
) {
  const now = (): number => clock?.now ?? performance.now()
  const seen: string[] = []
  const events: SourceEvent[] = []
  const taken: Impact[] = []
  const times: number[] = []
  const endpoints: { readonly ids: readonly string[]; readonly since: number; readonly after: number }[] = []
  let told = 0
  let wake: () => void = () => {}
  const one = new EventQueue(
    {
      *steps(event) {
        for (let part = 1; part <= parts; part++) {
          const end = now() + slow / parts
          if (clock !== undefined) clock.now = end
          while (now() < end);
          if (part < parts) yield
        }
        seen.push(event.key)
        events.push(event)
        return impactOf(event.key)
      },
      about: () => ({ origin: { file: 'a.yaml', line: 1 }, warnings }),
    },
    {
      endpoints: (ids, since) => endpoints.push({ ids, since, after: seen.length }),
      applied(impact, since) {
        taken.push(impact)
        times.push(since)
        wake()
      },
      warning: () => told++,
    },
    { ...systemTimers, monotonic: now },
    patience,
  )
  const until = async (count: number): Promise<void> => {
    while (taken.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  return { one, seen, events, taken, times, endpoints, until, told: () => told }
}

describe('the event queue', () => {
  const of = (namespace: string, name: string, kind: SourceEvent['kind'] = 'Route'): SourceEvent => ({
    ...upsert(name),
    kind,
    key: `${namespace}/${name}`,
  })
  it('keeps the order and asks for the most that any of it asks for, once', async () => {
    const { one, seen, taken, until } = intake((key) =>
      key === 'shop/a' ? 'ignore' : { endpoints: [`${key}-backend`] },
    )
    one.add(['a', 'b', 'c'].map(upsert))
    await until(1)
    assert.deepEqual(seen, ['shop/a', 'shop/b', 'shop/c'])
    assert.deepEqual(taken, [{ endpoints: ['shop/b-backend', 'shop/c-backend'] }])
    const other = intake((key) => (key === 'shop/b' ? 'rebuild' : { endpoints: ['x'] }))
    other.one.add(['a', 'b', 'c'].map(upsert))
    await other.until(1)
    assert.deepEqual(other.taken, ['rebuild'])
  })

  it('takes an object that is large in as many turns as it needs, and pods act meanwhile', async () => {
    const { one, seen, endpoints, taken, until } = intake(
      (key) => (key === 'shop/pods' ? { endpoints: ['pods'] } : 'rebuild'),
      60,
      [],
      undefined,
      60,
    )
    let turns = 0
    const others = setInterval(() => turns++, 1)
    one.add([upsert('large'), upsert('next')])
    assert.deepEqual(seen, [])
    one.add([slice('pods')])
    await until(1)
    clearInterval(others)
    assert.deepEqual(seen, ['shop/pods', 'shop/large', 'shop/next'])
    assert.equal(endpoints.length, 1)
    assert.deepEqual(taken, ['rebuild'])
    assert.ok(turns >= 8, `${turns} turns for others`)
  })

  it('does not block the loop, and nothing acts before all of it is applied, including later events', async () => {
    const { one, seen, taken, until } = intake(() => 'rebuild', 1)
    let turns = 0
    let synced = -1
    const others = setInterval(() => turns++, 1)
    one.add(Array.from({ length: 100 }, (_, i) => upsert(`r${i}`)))
    assert.ok(seen.length < 20, `${seen.length} in the first turn`)
    assert.equal(one.busy, true)
    one.add([upsert('last')])
    one.whenDrained(() => {
      synced = seen.length
    })
    await until(1)
    clearInterval(others)
    assert.equal(seen.at(-1), 'shop/last')
    assert.equal(taken.length, 1)
    assert.equal(synced, 101)
    assert.equal(one.busy, false)
    assert.ok(turns >= 5, `${turns} turns`)
  })

  it('applies endpoints before all pending events, in the turn that brings them', async () => {
    const { one, seen, taken, endpoints, until } = intake(
      (key) => (key.startsWith('shop/r') ? 'rebuild' : { endpoints: [`${key}-backend`] }),
      1,
    )
    one.add(Array.from({ length: 100 }, (_, i) => upsert(`r${i}`)))
    assert.equal(one.busy, true)
    one.add([upsert('r-last'), slice('s1'), slice('s2')])
    assert.ok(endpoints[0]!.ids.includes('shop/s1-backend'))
    assert.ok(endpoints[0]!.after < 20, `after ${endpoints[0]!.after} objects`)
    await until(1)
    // One call for both, but on a machine that did something else between them.
    assert.deepEqual(
      endpoints.flatMap(({ ids }) => ids),
      ['shop/s1-backend', 'shop/s2-backend'],
    )
    assert.equal(seen.length, 103)
    assert.deepEqual(taken, ['rebuild'])
  })

  it('holds events until the last good versions are read, and then applies all of them', async () => {
    const { one, seen, taken, endpoints, until } = intake((key) =>
      key === 'shop/s' ? { endpoints: ['x'] } : 'rebuild',
    )
    const known = Promise.withResolvers<void>()
    let empty = false
    one.holdUntil(known.promise)
    one.add([upsert('a')])
    one.add([upsert('b'), slice('s')])
    one.whenDrained(() => {
      empty = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([seen, endpoints.length, empty, one.busy], [['shop/s'], 1, false, true])
    known.resolve()
    await until(1)
    assert.deepEqual([seen, taken, empty], [['shop/s', 'shop/a', 'shop/b'], ['rebuild'], true])
  })

  it('takes ten thousand slices in turns, the first to come first', async () => {
    const { one, endpoints, until } = intake((key) => ({ endpoints: [key] }), 0.05)
    one.add(Array.from({ length: 1000 }, (_, i) => slice(`s${i}`)))
    assert.equal(one.busy, true)
    await until(1)
    const ids = endpoints.flatMap((batch) => batch.ids)
    assert.equal(new Set(ids).size, 1000)
    assert.ok(endpoints.length > 5, `${endpoints.length} batches`)
    assert.ok(endpoints[0]!.ids.includes('shop/s0'))
  })

  it('reports when the first of the applied events was seen', async () => {
    const { one, times, endpoints, until } = intake((key) => (key.includes('s') ? { endpoints: ['x'] } : 'rebuild'))
    one.add([{ ...upsert('a', 7), key: 'a' }, { ...upsert('b', 3), key: 'b' }, slice('s', 5)])
    await until(1)
    assert.deepEqual(times, [3])
    assert.equal(endpoints[0]!.since, 5)
    const before = performance.now()
    one.add([{ ...upsert('c'), key: 'c' }])
    await until(2)
    assert.ok(times[1]! >= before, 'an earlier burst is over')
  })

  it('reports some of the warnings of a burst, not all', () => {
    const odd = [{ path: ['x'], reason: 'Unknown', message: 'odd' }] as const
    const { one, told } = intake(() => 'ignore', 0, odd, undefined, 1, { now: 0 })
    one.add(Array.from({ length: 100 }, (_, i) => upsert(`r${i}`)))
    assert.equal(told(), 20)
    one.add([...Array.from({ length: 100 }, (_, i) => of('noisy', `r${i}`)), of('calm', 'shop')])
    assert.equal(told(), 41, 'each namespace its own')
  })

  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it('gives namespaces turns of equal time, so that few objects do not wait for thousands', async () => {
    const { one, seen, until } = intake(() => 'rebuild', 0.2, [], undefined, 1, { now: 0 })
    one.add([
      ...Array.from({ length: 500 }, (_, i) => of('noisy', `r${i}`)),
      ...Array.from({ length: 10 }, (_, i) => of('calm', `c${i}`)),
    ])
    await until(1)
    const last = seen.findLastIndex((key) => key.startsWith('calm/'))
    assert.ok(last < 40, `after ${last} objects`)
    assert.equal(seen.length, 510)
  })

  it('reports a namespace while another keeps sending more than can be applied', async () => {
    const { one, seen, taken, until } = intake(() => 'rebuild', 1, [], 100)
    one.add([of('calm', 'first')])
    await until(1)
    let flooding = true
    let wave = 0
    const flood = (async () => {
      for (; flooding && wave < 200; wave++) {
        one.add(Array.from({ length: 20 }, (_, i) => of('noisy', `r${(wave * 20 + i) % 1_000}`)))
        await turn()
      }
    })()
    await new Promise((resolve) => setTimeout(resolve, 150))
    const before = { seen: seen.length, taken: taken.length }
    const started = performance.now()
    one.add([of('calm', 'shop')])
    await until(before.taken + 2)
    const took = performance.now() - started
    assert.ok(seen.slice(before.seen).indexOf('calm/shop') < 40, 'at its next turn')
    assert.ok(took < 3_000, `${took} ms`)
    assert.equal(one.busy, false, 'what is in may be compiled')
    flooding = false
    await flood
    let empty = false
    one.whenDrained(() => {
      empty = true
    })
    assert.equal(empty, false, 'and whoever needs all of it waits for all of it')
    while (!empty) await turn()
    assert.equal(new Set(seen.filter((key) => key.startsWith('noisy/'))).size, Math.min(1_000, wave * 20))
  })

  it('takes objects in beside a flood of endpoints of another namespace', async () => {
    const { one, seen } = intake((key) => (key.startsWith('noisy/') ? { endpoints: [key] } : 'rebuild'), 1)
    one.add([of('noisy', 's', 'EndpointSlice')])
    for (let wave = 0; wave < 10; wave++) {
      one.add(Array.from({ length: 50 }, (_, i) => of('noisy', `s${wave}-${i}`, 'EndpointSlice')))
      if (wave === 2) one.add([of('calm', 'shop'), of('calm', 'web')])
      await turn()
    }
    assert.ok(seen.includes('calm/shop') && seen.includes('calm/web'))
    one.stop()
  })

  it('holds one version of an object at most: the newest, after the end of another of its name', async () => {
    const { one, events, until } = intake(() => 'rebuild')
    const known = Promise.withResolvers<void>()
    one.holdUntil(known.promise)
    for (let version = 0; version < 10_000; version++)
      one.add([{ ...of('a', 'edited'), raw: { version } } as SourceEvent])
    one.add([
      { type: 'delete', kind: 'Route', key: 'a/replaced' },
      { ...of('a', 'replaced'), raw: { version: 2 } } as SourceEvent,
    ])
    one.add([of('a', 'gone'), { type: 'delete', kind: 'Route', key: 'a/gone' }])
    known.resolve()
    await until(1)
    assert.deepEqual(
      events.map((event) => [event.type, event.key, event.type === 'upsert' ? event.raw : undefined]),
      [
        ['upsert', 'a/edited', { version: 9_999 }],
        ['delete', 'a/replaced', undefined],
        ['upsert', 'a/replaced', { version: 2 }],
        ['delete', 'a/gone', undefined],
      ],
    )
  })

  it('does nothing more after a stop', async () => {
    const { one, taken } = intake(() => 'rebuild', 1)
    one.add(Array.from({ length: 50 }, (_, i) => upsert(`r${i}`)))
    one.stop()
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual(taken, [])
  })
})
