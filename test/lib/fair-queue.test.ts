import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FairQueue } from '../../src/lib/fair-queue.ts'

function takeAll(queue: FairQueue): string[] {
  const taken: string[] = []
  for (let next = queue.take(); next !== undefined; next = queue.take()) taken.push(`${next.group}/${next.key}`)
  return taken
}

describe('a fair queue', () => {
  it('serves groups in turn, regardless of how many keys another has', () => {
    const queue = new FairQueue()
    for (let i = 0; i < 5_000; i++) queue.add('noisy', `r${i}`)
    queue.add('calm', 'shop')
    queue.add('other', 'a')
    queue.add('other', 'b')
    const taken = takeAll(queue)
    assert.equal(taken.length, 5_003)
    assert.deepEqual(taken.slice(0, 5), ['noisy/r0', 'calm/shop', 'other/a', 'noisy/r1', 'other/b'])
    assert.equal(queue.groups, 0)
  })

  it('holds each key once, at its first position', () => {
    const queue = new FairQueue()
    for (const key of ['x', 'y', 'x']) queue.add('a', key)
    assert.equal(queue.size, 2)
    assert.deepEqual(takeAll(queue), ['a/x', 'a/y'])
  })

  it('alternates between the newest and the oldest key of a group with order `alternate`', () => {
    const queue = new FairQueue({ order: 'alternate' })
    for (const key of ['1', '2', '3', '4', '5']) queue.add('a', key)
    queue.add('a', '2')
    assert.deepEqual(takeAll(queue), ['a/2', 'a/1', 'a/5', 'a/3', 'a/4'])
  })

  it('makes no key wait longer than twice the number of keys while all keys of a group are added again and again', () => {
    const queue = new FairQueue({ order: 'alternate' })
    const keys = Array.from({ length: 50 }, (_, i) => `r${i}`)
    const waiting = new Map<string, number>()
    for (let turn = 0; turn < 2_000; turn++) {
      for (const key of keys) {
        queue.add('noisy', key)
        if (!waiting.has(key)) waiting.set(key, turn)
      }
      const { key } = queue.take()!
      assert.ok(turn - waiting.get(key)! <= 2 * keys.length, `${key} waited ${turn - waiting.get(key)!} turns`)
      waiting.delete(key)
    }
    assert.equal(waiting.size, 49)
    for (const since of waiting.values()) assert.ok(2_000 - since <= 2 * keys.length)
  })

  it('delays a group with expensive keys until the others have used as much', () => {
    const queue = new FairQueue({ quantum: 1 })
    for (let i = 0; i < 10; i++) queue.add('heavy', `h${i}`)
    for (let i = 0; i < 40; i++) queue.add('light', `l${i}`)
    const work: Record<string, number> = { heavy: 0, light: 0 }
    for (let i = 0; i < 20; i++) {
      const { group } = queue.take(0)!
      const cost = group === 'heavy' ? 10 : 1
      queue.charge(group, cost)
      work[group]! += cost
    }
    assert.ok(Math.abs(work.heavy! - work.light!) <= 11, JSON.stringify(work))
  })

  it('keeps the debt of a group while others wait, and drops it when the queue is empty', () => {
    const queue = new FairQueue({ quantum: 1 })
    queue.add('heavy', 'h')
    for (let i = 0; i < 30; i++) queue.add('light', `l${i}`)
    assert.equal(queue.take(0)!.group, 'heavy')
    queue.charge('heavy', 10)
    queue.add('heavy', 'h again')
    const groups = Array.from({ length: 11 }, () => queue.take()!.group)
    assert.deepEqual(groups.indexOf('heavy'), 10)
    takeAll(queue)
    assert.equal(queue.groups, 0)
  })

  it('skips busy groups, which keep their credit', () => {
    const queue = new FairQueue()
    for (const key of ['1', '2']) for (const group of ['a', 'b', 'c']) queue.add(group, key)
    const busy = new Set(['a', 'b'])
    const take = () => queue.take(1, (group) => busy.has(group))
    assert.deepEqual([take()?.group, take()?.group, take()], ['c', 'c', undefined])
    assert.equal(queue.size, 4)
    busy.delete('b')
    assert.deepEqual([take()?.group, take()?.group, take()], ['b', 'b', undefined])
    busy.clear()
    assert.deepEqual(takeAll(queue), ['a/1', 'a/2'])
  })

  it('finds an available group regardless of the debt of busy ones', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 200 })), { maxLength: 40 }),
        fc.subarray(['a', 'b', 'c']),
        (charges, busy) => {
          const queue = new FairQueue()
          for (const group of ['a', 'b', 'c']) for (let i = 0; i < 50; i++) queue.add(group, `${i}`)
          for (const [group, cost] of charges) {
            queue.take(0)
            queue.charge(group, cost)
          }
          const next = queue.take(1, (group) => busy.includes(group))
          assert.equal(next === undefined, busy.length === 3)
          assert.ok(next === undefined || !busy.includes(next.group))
        },
      ),
    )
  })

  it('finds the largest group and drops its oldest key', () => {
    const queue = new FairQueue()
    for (const key of ['1', '2', '3']) queue.add('a', key)
    queue.add('b', '1')
    assert.equal(queue.largestGroup(), 'a')
    assert.equal(queue.dropOldest('a'), '1')
    assert.equal(queue.dropOldest('nobody'), undefined)
    assert.equal(queue.size, 3)
  })

  type Step = { readonly add: [string, string] } | { readonly delete: [string, string] } | 'take'
  const group = fc.constantFrom('a', 'b', 'c', 'd')
  const key = fc.constantFrom('1', '2', '3', '4', '5', '6')
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ add: fc.tuple(group, key) }) },
    { weight: 1, arbitrary: fc.record({ delete: fc.tuple(group, key) }) },
    { weight: 3, arbitrary: fc.constant<Step>('take') },
  )

  for (const order of ['oldest', 'alternate'] as const)
    it(`is work conserving, loses no key, and starves no group (${order})`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
          const queue = new FairQueue({ order })
          const model = new Map<string, Set<string>>()
          /** Turns of others since a group with keys had its own. */
          const passed = new Map<string, number>()
          const count = () => [...model.values()].reduce((sum, keys) => sum + keys.size, 0)
          for (const one of steps) {
            if (one === 'take') {
              const taken = queue.take()
              assert.equal(taken === undefined, count() === 0)
              if (taken === undefined) continue
              assert.ok(model.get(taken.group)?.delete(taken.key), 'it waited')
              passed.set(taken.group, 0)
              for (const [other, keys] of model)
                if (other !== taken.group && keys.size > 0) {
                  const turns: number = (passed.get(other) ?? 0) + 1
                  passed.set(other, turns)
                  assert.ok(turns <= 3, `${other} was passed over ${turns} times`)
                }
            } else if ('add' in one) {
              const [to, what] = one.add
              const keys = model.get(to) ?? new Set()
              if (keys.size === 0) passed.set(to, 0)
              model.set(to, keys.add(what))
              queue.add(to, what)
            } else {
              const [from, what] = one.delete
              assert.equal(queue.delete(from, what), model.get(from)?.delete(what) === true)
            }
            assert.equal(queue.size, count())
            assert.ok(queue.groups <= 4)
            if (queue.size === 0) assert.equal(queue.groups, 0)
          }
          assert.equal(takeAll(queue).length, count())
        }),
      )
    })

  it('shares work by cost: while both wait, two groups never differ by more than one key and one turn', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 }),
        (first, second) => {
          const costs = { a: first, b: second }
          const queue = new FairQueue({ quantum: 5 })
          for (const name of ['a', 'b'] as const) for (const i of costs[name].keys()) queue.add(name, `${i}`)
          const work = { a: 0, b: 0 }
          while (queue.sizeOf('a') > 0 && queue.sizeOf('b') > 0) {
            const { group: name, key: index } = queue.take(0)! as { group: 'a' | 'b'; key: string }
            const cost = costs[name][Number(index)]!
            queue.charge(name, cost)
            work[name] += cost
            assert.ok(Math.abs(work.a - work.b) <= 40 + 2 * 5, JSON.stringify(work))
          }
        },
      ),
    )
  })
})
