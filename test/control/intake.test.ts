import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FieldProblem } from '../../src/api/object.ts'
import type { Impact } from '../../src/control/impact.ts'
import { Intake } from '../../src/control/intake.ts'
import type { SourceEvent } from '../../src/source/source.ts'

function upsert(name: string, seen?: number): SourceEvent {
  const origin = { file: 'a.yaml', line: 1 }
  return { type: 'upsert', kind: 'Route', key: `shop/${name}`, raw: {}, origin, ...(seen !== undefined && { seen }) }
}

const slice = (name: string, seen?: number): SourceEvent => ({ ...upsert(name, seen), kind: 'EndpointSlice' })

/** @param slow milliseconds that each object takes */
function intake(impactOf: (key: string) => Impact, slow = 0, warnings: readonly FieldProblem[] = []) {
  const seen: string[] = []
  const taken: Impact[] = []
  const times: number[] = []
  const endpoints: { readonly ids: readonly string[]; readonly since: number; readonly after: number }[] = []
  let told = 0
  let wake: () => void = () => {}
  const one = new Intake(
    {
      accept([event]) {
        const end = performance.now() + slow
        while (performance.now() < end);
        seen.push(event!.key)
        return impactOf(event!.key)
      },
      about: () => ({ origin: { file: 'a.yaml', line: 1 }, warnings }),
    },
    {
      endpoints: (ids, since) => endpoints.push({ ids, since, after: seen.length }),
      taken(impact, since) {
        taken.push(impact)
        times.push(since)
        wake()
      },
      warning: () => told++,
      now: () => performance.now(),
    },
  )
  const until = async (count: number): Promise<void> => {
    while (taken.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  return { one, seen, taken, times, endpoints, until, told: () => told }
}

describe('taking in a burst', () => {
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
    assert.deepEqual(other.taken, ['rebuild'])
  })

  it('does not hold the loop, and nothing is done before all of it is in, what came meanwhile included', async () => {
    const { one, seen, taken, until } = intake(() => 'rebuild', 1)
    let turns = 0
    let synced = -1
    const others = setInterval(() => turns++, 1)
    one.add(Array.from({ length: 100 }, (_, i) => upsert(`r${i}`)))
    assert.ok(seen.length < 20, `${seen.length} in the first turn`)
    assert.equal(one.busy, true)
    one.add([upsert('last')])
    one.whenEmpty(() => {
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

  it('lets endpoints overtake whatever else is waiting, in the turn that brings them', async () => {
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

  it('waits for what must be known before it judges anything, and then takes all of it', async () => {
    const { one, seen, taken, endpoints, until } = intake((key) =>
      key === 'shop/s' ? { endpoints: ['x'] } : 'rebuild',
    )
    const known = Promise.withResolvers<void>()
    let empty = false
    one.hold(known.promise)
    one.add([upsert('a')])
    one.add([upsert('b'), slice('s')])
    one.whenEmpty(() => {
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

  it('says since when the first of what it tells was known', async () => {
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

  it('tells some of the warnings of a burst, not all', () => {
    const { one, told } = intake(() => 'ignore', 0, [{ path: ['x'], reason: 'Unknown', message: 'odd' }])
    one.add(Array.from({ length: 100 }, (_, i) => upsert(`r${i}`)))
    assert.equal(told(), 20)
  })

  it('does nothing more after a stop', async () => {
    const { one, taken } = intake(() => 'rebuild', 1)
    one.add(Array.from({ length: 50 }, (_, i) => upsert(`r${i}`)))
    one.stop()
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual(taken, [])
  })
})
