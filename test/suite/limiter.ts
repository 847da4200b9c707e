/** What every limiter promises, run on each implementation. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { LimiterRate, Limiters } from '../../src/limit/limiter.ts'

export interface LimiterRig {
  /** Room for a hundred keys at least. */
  readonly limiters: Limiters
  /** Lets time pass. */
  pass(milliseconds: number): void
}

const MINE = { owner: 'shop', name: 'per-client' }
const TEN: LimiterRate = { requests: 10, per: 1_000, burst: 3 }

export function limiterSuite(name: string, make: () => LimiterRig): void {
  describe(`a limiter: ${name}`, () => {
    it('allows a burst, then one after the other at the rate', () => {
      const rig = make()
      const limiter = rig.limiters.open(MINE, TEN)
      assert.deepEqual(
        [1, 2, 3].map(() => limiter.take('a')),
        [2, 1, 0].map((remaining) => ({ allowed: true, retryAfter: 0, remaining, resetAfter: 300 - 100 * remaining })),
      )
      assert.deepEqual(limiter.take('a'), { allowed: false, retryAfter: 100, remaining: 0, resetAfter: 300 })
      rig.pass(100)
      assert.deepEqual([limiter.take('a').allowed, limiter.take('a').allowed], [true, false])
      rig.pass(10_000)
      assert.equal(limiter.take('a').remaining, 2)
    })

    it('counts nothing that it refuses: who keeps asking is not held off for longer', () => {
      const rig = make()
      const limiter = rig.limiters.open(MINE, TEN)
      limiter.take('a', 3)
      for (let i = 0; i < 100; i++) assert.equal(limiter.take('a').allowed, false)
      rig.pass(100)
      assert.equal(limiter.take('a').allowed, true)
    })

    it('takes back what has not happened, and no more', () => {
      const rig = make()
      const limiter = rig.limiters.open(MINE, TEN)
      limiter.giveBack('a')
      limiter.take('a', 3)
      limiter.giveBack('a')
      assert.deepEqual([limiter.take('a').allowed, limiter.take('a').allowed], [true, false])
      for (let i = 0; i < 9; i++) limiter.giveBack('a')
      assert.equal(limiter.take('a').remaining, 2)
    })

    it('counts a quota however it is spread, in times that begin with the first request', () => {
      const rig = make()
      const limiter = rig.limiters.open(MINE, { quota: 3, per: 86_400_000 })
      rig.pass(1_000)
      assert.deepEqual(limiter.take('a'), { allowed: true, retryAfter: 0, remaining: 2, resetAfter: 86_400_000 })
      rig.pass(80_000_000)
      assert.equal(limiter.take('a', 2).remaining, 0)
      assert.deepEqual(limiter.take('a'), {
        allowed: false,
        retryAfter: 6_400_000,
        remaining: 0,
        resetAfter: 6_400_000,
      })
      assert.equal(limiter.take('b').allowed, true)
      limiter.giveBack('a')
      assert.equal(limiter.take('a').allowed, true)
      rig.pass(6_399_000)
      assert.equal(limiter.take('a').allowed, false)
      rig.pass(1_000)
      assert.deepEqual(limiter.take('a'), { allowed: true, retryAfter: 0, remaining: 2, resetAfter: 86_400_000 })
      assert.equal(limiter.take('a', 4).retryAfter, Number.POSITIVE_INFINITY)
    })

    it('holds nobody to a longer time that was stated before', () => {
      const rig = make()
      rig.limiters.open(MINE, { quota: 1, per: 30 * 86_400_000 }).take('a')
      assert.equal(rig.limiters.open(MINE, { quota: 1, per: 60_000 }).take('a').allowed, true)
    })

    it('takes as much as a request costs, and never what is over the burst', () => {
      const { limiters } = make()
      const limiter = limiters.open(MINE, TEN)
      const never = { allowed: false, retryAfter: Number.POSITIVE_INFINITY, remaining: 3, resetAfter: 0 }
      assert.deepEqual(limiter.take('a', 4), never)
      assert.equal(limiter.take('a', 2.5).remaining, 0)
      assert.equal(limiter.take('a', 2).retryAfter, 150)
      assert.equal(limiter.take('a', 0.5).allowed, true)
      for (const cost of [0, -1, Number.NaN]) assert.throws(() => limiter.take('a', cost), RangeError)
    })

    it('tells keys and scopes apart, and goes on with those of a scope', () => {
      const { limiters } = make()
      const once = { ...TEN, burst: 1 }
      const long = 'x'.repeat(10_000)
      const scopes = [MINE, { owner: 'shop', name: 'per-client a' }, { owner: 'team', name: 'per-client' }]
      for (const scope of scopes)
        for (const key of ['', 'b', 'a b', long, `${long}y`])
          assert.equal(limiters.open(scope, once).take(key).allowed, true, `${scope.owner} ${scope.name} ${key}`)
      for (const scope of scopes)
        for (const key of ['', 'b', 'a b', long, `${long}y`])
          assert.equal(limiters.open({ ...scope }, once).take(key).allowed, false)
    })

    it('gives nobody a new burst by another rate, and holds nobody to the old one', () => {
      const rig = make()
      rig.limiters.open(MINE, { requests: 1, per: 86_400_000, burst: 2 }).take('a', 2)
      const fast = rig.limiters.open(MINE, TEN)
      assert.equal(fast.take('a').allowed, false)
      rig.pass(100)
      assert.deepEqual([fast.take('a').allowed, fast.take('a').allowed], [true, false])
    })

    it('refuses a rate that is none', () => {
      const { limiters } = make()
      for (const wrong of [{ requests: 0 }, { per: 0 }, { burst: 0.5 }, { burst: Number.NaN }, { per: Infinity }])
        assert.throws(() => limiters.open(MINE, { ...TEN, ...wrong }), TypeError, JSON.stringify(wrong))
    })

    it('allows in no window more than the burst and the rate times its length, and what it says to wait', () => {
      const rates = fc.record({
        requests: fc.integer({ min: 1, max: 1_000 }),
        per: fc.integer({ min: 100, max: 60_000 }),
        burst: fc.integer({ min: 1, max: 20 }),
      })
      const takes = fc.record({
        // In hundredths of the time that one request takes: whatever the rate, the limit is near.
        wait: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
        cost: fc.oneof(
          fc.constant(1),
          fc.integer({ min: 1, max: 50 }).map((tenths) => tenths / 10),
        ),
        key: fc.constantFrom('a', 'b'),
      })
      fc.assert(
        fc.property(rates, fc.array(takes, { maxLength: 120 }), (rate, list) => {
          const rig = make()
          const limiter = rig.limiters.open(MINE, rate)
          const interval = rate.per / rate.requests
          const allowed: { at: number; key: string; cost: number }[] = []
          let at = 0
          const pass = (time: number): void => {
            rig.pass(time)
            at += time
          }
          for (const { wait, cost, key } of list) {
            pass((wait / 100) * interval)
            let admission = limiter.take(key, cost)
            if (!admission.allowed && Number.isFinite(admission.retryAfter)) {
              assert.ok(admission.retryAfter > 0)
              pass(admission.retryAfter)
              admission = limiter.take(key, cost)
              assert.equal(admission.allowed, true, 'what it says to wait is enough')
            }
            if (admission.allowed) allowed.push({ at, key, cost })
            assert.ok(admission.remaining >= 0 && admission.remaining <= rate.burst)
          }
          for (const [i, first] of allowed.entries()) {
            let sum = 0
            for (const { at: end, key, cost } of allowed.slice(i)) {
              if (key !== first.key) continue
              sum += cost
              const most = rate.burst + (end - first.at) / interval
              assert.ok(sum <= most + 0.01, `${sum} instead of ${most} within ${end - first.at} ms`)
            }
          }
        }),
      )
    })
  })
}
