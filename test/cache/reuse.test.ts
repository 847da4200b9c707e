import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseRequestDirectives } from '../../src/cache/cache-control.ts'
import { CacheFlag, type CacheNumbers, emptyNumbers, expireAt } from '../../src/cache/cache-numbers.ts'
import {
  currentAge,
  isErrorStatus,
  judgeMissing,
  judgeReuse,
  mayServeOnError,
  reuseVerdict,
  usefulUntil,
} from '../../src/cache/reuse.ts'

const BORN = Date.UTC(2026, 10, 29, 12)

/** Arrived 2 s old, fresh for 60 s. */
function numbers(more: Partial<CacheNumbers> = {}): CacheNumbers {
  return { ...emptyNumbers(), status: 200, born: BORN, received: BORN + 2_000, lifetime: 60_000, ...more }
}

/** @param age seconds */
function judge(age: number, request = '', more: Partial<CacheNumbers> = {}) {
  return judgeReuse(numbers(more), parseRequestDirectives([request]), BORN + age * 1_000, reuseVerdict())
}

const reason = (...parameters: Parameters<typeof judge>) => {
  const { outcome, reason } = judge(...parameters)
  return outcome === reason ? reason : `${outcome} ${reason}`
}

const { AlwaysValidate, Immutable, MarkedStale, NeverStale, Validator } = CacheFlag

describe('what is reused', () => {
  it('RFC 9111 §4.2: is fresh while its lifetime is greater than its age', () => {
    assert.equal(reason(59.999), 'Fresh')
    assert.equal(reason(60), 'Validate Expired')
    assert.equal(reason(61), 'Validate Expired')
  })

  it('RFC 9111 §5.1: the Age is whole seconds since its birth', () => {
    assert.deepEqual([judge(2).age, judge(12.999).age, judge(75).age], [2, 12, 75])
    assert.deepEqual([judge(2).ttl, judge(59.5).ttl, judge(75).ttl], [58, 0, -15])
  })

  it('RFC 9111 §5.2.2.4: no-cache is validated, fresh or not, whatever a client takes', () => {
    const flags = AlwaysValidate
    for (const age of [3, 70])
      assert.equal(reason(age, 'max-stale', { flags, staleWhileRevalidate: 60_000 }), 'Validate NoCache')
    assert.equal(judge(3, '', { flags, staleIfError: 60_000 }).staleIfError, false)
  })

  it('RFC 9111 §5.2.1.4: no-cache of the request is validated', () => {
    assert.equal(reason(3, 'no-cache'), 'Validate RequestNoCache')
    assert.equal(reason(70, 'no-cache, max-stale', { staleWhileRevalidate: 60_000 }), 'Validate RequestNoCache')
  })

  it('RFC 9111 §5.2.1.5: no-store of the request does not keep what is stored from it', () => {
    assert.equal(reason(3, 'no-store'), 'Fresh')
  })

  it('RFC 9111 §5.2.1.1: max-age of the request is the greatest age', () => {
    assert.equal(reason(5, 'max-age=5'), 'Fresh')
    assert.equal(reason(5.001, 'max-age=5'), 'Validate RequestMaxAge')
    assert.equal(reason(3, 'max-age=0'), 'Validate RequestMaxAge')
    assert.equal(reason(3, 'max-age=x'), 'Validate RequestMaxAge')
  })

  it('RFC 9111 §5.2.1.1: who states a greatest age gets nothing stale without max-stale', () => {
    assert.equal(reason(70, 'max-age=100', { staleWhileRevalidate: 60_000 }), 'Validate Expired')
    assert.equal(reason(70, 'max-age=100, max-stale'), 'Stale MaxStale')
    assert.equal(reason(70, 'max-age=70, max-stale'), 'Stale MaxStale')
    assert.equal(reason(70, 'max-age=65, max-stale'), 'Validate RequestMaxAge')
    assert.equal(reason(70, 'max-age=0, max-stale'), 'Validate RequestMaxAge')
    assert.equal(reason(70, 'max-age=0', { staleWhileRevalidate: 60_000 }), 'Validate Expired')
  })

  it('RFC 9111 §5.2.1.3: min-fresh of the request is the shortest freshness that is left', () => {
    assert.equal(reason(50, 'min-fresh=10'), 'Fresh')
    assert.equal(reason(50.001, 'min-fresh=10'), 'Validate RequestMinFresh')
    assert.equal(reason(70, 'min-fresh=0, max-stale', { staleWhileRevalidate: 60_000 }), 'Validate RequestMinFresh')
  })

  it('RFC 9111 §5.2.1.2: max-stale of the request is for how long it may have been stale', () => {
    assert.equal(reason(70, 'max-stale=10'), 'Stale MaxStale')
    assert.equal(reason(70.001, 'max-stale=10'), 'Validate Expired')
    assert.equal(reason(70_000, 'max-stale'), 'Stale MaxStale')
    assert.equal(reason(70, 'max-stale=x'), 'Validate Expired')
  })

  it('RFC 9111 §4.2.4: nothing is stale where must-revalidate, proxy-revalidate or s-maxage forbid it', () => {
    const more = { flags: NeverStale, staleWhileRevalidate: 60_000, staleIfError: 60_000 }
    assert.equal(reason(59, '', more), 'Fresh')
    assert.equal(reason(60, 'max-stale', more), 'Validate Expired')
    assert.equal(judge(59, '', more).staleIfError, true)
    assert.equal(judge(60, 'stale-if-error=100', more).staleIfError, false)
  })

  it('RFC 9111 §4.2.4: nothing is stale where nobody allows it', () => {
    assert.equal(reason(60.5), 'Validate Expired')
    assert.equal(judge(60).staleIfError, false)
  })

  it('RFC 9111 §5.2.1.7: only-if-cached is answered without the origin, else by 504', () => {
    assert.equal(reason(3, 'only-if-cached'), 'Fresh')
    assert.equal(reason(70, 'only-if-cached'), 'GatewayTimeout Expired')
    assert.equal(reason(3, 'only-if-cached, no-cache'), 'GatewayTimeout RequestNoCache')
    assert.equal(reason(70, 'only-if-cached, max-stale'), 'Stale MaxStale')
    const missing = (line: string) => judgeMissing(parseRequestDirectives([line]), reuseVerdict())
    assert.equal(missing('only-if-cached').outcome, 'GatewayTimeout')
    assert.deepEqual(missing(''), { outcome: 'Validate', reason: 'NotStored', age: 0, ttl: 0, staleIfError: false })
  })

  it('RFC 8246 §2: immutable is not validated by a reload while it is fresh, by no-cache it is', () => {
    assert.equal(reason(3, 'max-age=0', { flags: Immutable }), 'Fresh')
    assert.equal(reason(3, 'no-cache', { flags: Immutable }), 'Validate RequestNoCache')
    assert.equal(reason(70, 'max-age=0', { flags: Immutable }), 'Validate Expired')
  })
})

describe('what is served stale', () => {
  it('RFC 5861 §3: stale-while-revalidate serves it within its window, and no longer', () => {
    const more = { staleWhileRevalidate: 10_000 }
    assert.equal(reason(60, '', more), 'StaleWhileRevalidate')
    assert.equal(reason(69.999, '', more), 'StaleWhileRevalidate')
    assert.equal(reason(70, '', more), 'Validate Expired')
    assert.equal(reason(65, 'only-if-cached', more), 'StaleWhileRevalidate')
  })

  it('RFC 5861 §4: stale-if-error serves it within its window, of the response or of the request', () => {
    const error = (age: number, request: string, more: Partial<CacheNumbers> = {}) => {
      const directives = parseRequestDirectives([request])
      const may = mayServeOnError(numbers(more), directives, BORN + age * 1_000)
      assert.equal(judge(age, request, more).staleIfError, may)
      return may
    }
    const more = { staleIfError: 10_000 }
    assert.deepEqual([error(60, '', more), error(69.999, '', more), error(70, '', more)], [true, true, false])
    assert.deepEqual([error(70, 'stale-if-error=20'), error(80, 'stale-if-error=20')], [true, false])
    assert.deepEqual([error(65, 'stale-if-error=1', more), error(60, 'stale-if-error=0')], [true, false])
    // Fresh, and asked about only because the client wished it.
    assert.equal(error(3, 'no-cache'), true)
  })

  it('RFC 5861 §4: 500, 502, 503 and 504 are errors', () => {
    const errors = Array.from({ length: 1_000 }, (_, status) => status).filter(isErrorStatus)
    assert.deepEqual(errors, [500, 502, 503, 504])
  })
})

describe('what was purged softly', () => {
  it('is stale from then on, as if its lifetime had ended', () => {
    const purged = numbers({ staleWhileRevalidate: 10_000, staleIfError: 20_000 })
    expireAt(purged, BORN + 30_000)
    assert.equal(reason(30, '', purged), 'StaleWhileRevalidate')
    assert.equal(reason(40, '', purged), 'Validate MarkedStale')
    assert.deepEqual([judge(49, '', purged).staleIfError, judge(50, '', purged).staleIfError], [true, false])
  })

  it('is given to no client because it asks for stale ones', () => {
    const purged = numbers()
    expireAt(purged, BORN + 30_000)
    assert.equal(reason(31, 'max-stale', purged), 'Validate MarkedStale')
    assert.equal(judge(31, 'stale-if-error=100', purged).staleIfError, false)
  })

  it('is stale by the mark alone, which another thread may have set', () => {
    const more = { flags: MarkedStale }
    assert.equal(reason(3, '', more), 'Validate MarkedStale')
    assert.deepEqual([judge(3, '', more).ttl, judge(3, '', more).staleIfError], [0, false])
    assert.equal(reason(3, '', { ...more, staleWhileRevalidate: 10_000 }), 'StaleWhileRevalidate')
    assert.equal(judge(3, '', { ...more, staleIfError: 10_000 }).staleIfError, true)
  })

  it('keeps an end that came earlier, and is stale at once where it was born later', () => {
    const early = numbers()
    expireAt(early, BORN + 100_000)
    assert.equal(early.lifetime, 60_000)
    const late = numbers()
    expireAt(late, BORN - 5_000)
    assert.equal(late.lifetime, 0)
    assert.ok(late.flags & MarkedStale)
  })
})

describe('clocks', () => {
  it('RFC 9111 §4.2.3: nothing gets younger than it was when it arrived', () => {
    assert.equal(currentAge(numbers(), BORN + 1_000), 2_000)
    assert.equal(judge(1).age, 2)
    assert.equal(reason(0), 'Fresh')
  })

  it('RFC 9111 §4: without a clock that can be trusted nothing is reused', () => {
    assert.equal(reason(-0.001), 'Validate ClockSetBack')
    assert.equal(reason(-0.001, 'max-stale', { lifetime: 0 }), 'Validate ClockSetBack')
    assert.equal(judge(-0.001, '', { staleIfError: 60_000 }).staleIfError, false)
    assert.equal(reason(-0.001, '', { flags: AlwaysValidate }), 'Validate NoCache')
  })
})

describe('how long it is worth keeping', () => {
  const useful = (more: Partial<CacheNumbers>) => (usefulUntil(numbers(more)) - BORN) / 1_000

  it('ends with the last window in which it may be served', () => {
    assert.equal(useful({}), 60)
    assert.equal(useful({ staleWhileRevalidate: 10_000, staleIfError: 30_000 }), 90)
    assert.equal(useful({ staleIfError: 30_000, flags: NeverStale }), 60)
  })

  it('is longer where it can be validated: as long again, a minute to a day', () => {
    assert.equal(useful({ flags: Validator, lifetime: 600_000 }), 1_200)
    assert.equal(useful({ flags: Validator | AlwaysValidate, lifetime: 0 }), 60)
    assert.equal(useful({ flags: Validator, lifetime: 2 ** 31 * 1_000 }), 2 ** 31 + 86_400)
  })
})
