import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type AttemptFailure,
  type BodyState,
  backoffDelay,
  MAX_REFUSALS,
  mayRetry,
  type RetryConfig,
} from '../../src/balance/retry.ts'
import { REASON_LIST, REASONS, type Reason } from '../../src/lib/reason.ts'

const POLICY: RetryConfig = {
  attempts: 2,
  reasons: ['ConnectFailure', 'ResetBeforeResponse'],
  codes: [503],
  grpcCodes: [],
  methods: ['GET', 'HEAD', 'OPTIONS', 'TRACE'],
  backoff: 25,
  budgetPercent: 20,
}

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'POST', 'PATCH', 'PURGE', 'get']

function failed(what: Reason | number, changes: Partial<AttemptFailure> = {}): AttemptFailure {
  return { what, grpcStatus: -1, reused: false, refreshed: false, refusals: 0, responseStarted: false, ...changes }
}

/** The methods that may be tried again. */
function methods(
  failure: AttemptFailure,
  decision: string,
  policy = POLICY,
  attempt = 0,
  body: BodyState = 'none',
): string {
  return METHODS.filter((method) => mayRetry(failure, method, policy, attempt, body) === decision).join(' ')
}

describe('mayRetry', () => {
  it('retries any method at another endpoint when the connection was not established', () => {
    assert.equal(methods(failed('ConnectFailure'), 'next-endpoint'), METHODS.join(' '))
    assert.equal(methods(failed('ConnectTimeout'), 'next-endpoint'), METHODS.join(' '))
  })

  it('retries an idempotent method once on a new connection when a reused one was reset, regardless of the policy', () => {
    const none: RetryConfig = { ...POLICY, attempts: 0, reasons: [] }
    const died = failed('ResetBeforeResponse', { reused: true })
    assert.equal(methods(died, 'fresh-connection', none), 'GET HEAD OPTIONS TRACE PUT DELETE')
    assert.equal(methods({ ...died, refreshed: true }, 'fresh-connection'), '')
  })

  it('retries only safe methods at another endpoint when a new connection was reset', () => {
    assert.equal(methods(failed('ResetBeforeResponse'), 'next-endpoint'), 'GET HEAD OPTIONS TRACE')
    const again = failed('ResetBeforeResponse', { reused: true, refreshed: true })
    assert.equal(methods(again, 'next-endpoint'), 'GET HEAD OPTIONS TRACE')
  })

  it('retries any method at once, whatever the policy, when the upstream says that it did not process it', () => {
    const none: RetryConfig = { ...POLICY, attempts: 0, reasons: [] }
    const refused = failed('StreamRefused')
    for (const body of ['none', 'untouched', 'replayable'] as const)
      assert.equal(methods(refused, 'again', none, 0, body), METHODS.join(' '))
    assert.equal(methods({ ...refused, refusals: MAX_REFUSALS - 1 }, 'again', none), METHODS.join(' '))
    assert.equal(methods({ ...refused, refusals: MAX_REFUSALS }, 'no', none), METHODS.join(' '))
    assert.equal(methods({ ...refused, refusals: MAX_REFUSALS }, 'next-endpoint'), METHODS.join(' '))
  })

  it('never repeats a POST that may have been processed', () => {
    const every: RetryConfig = { ...POLICY, codes: [500, 502, 503, 504], attempts: 10 }
    for (const reason of REASON_LIST.filter((reason) => REASONS[reason].retry !== 'never-sent'))
      for (const reused of [true, false])
        assert.equal(mayRetry(failed(reason, { reused }), 'POST', every, 0, 'none'), 'no', reason)
    assert.equal(mayRetry(failed(503), 'POST', every, 0, 'none'), 'no')
  })

  it('retries listed status codes for safe methods only', () => {
    assert.equal(methods(failed(503), 'next-endpoint'), 'GET HEAD OPTIONS TRACE')
    assert.equal(methods(failed(500), 'next-endpoint'), '')
  })

  it("stops after the policy's attempts, and retries only its reasons", () => {
    assert.equal(mayRetry(failed('ConnectFailure'), 'GET', POLICY, 1, 'none'), 'next-endpoint')
    assert.equal(mayRetry(failed('ConnectFailure'), 'GET', POLICY, 2, 'none'), 'no')
    assert.equal(mayRetry(failed('ConnectFailure'), 'GET', { ...POLICY, reasons: [] }, 0, 'none'), 'no')
    const connectOnly: RetryConfig = { ...POLICY, reasons: ['ConnectFailure'] }
    assert.equal(mayRetry(failed('ResetBeforeResponse'), 'GET', connectOnly, 0, 'none'), 'no')
  })

  it('never retries a timeout after which the request may have been processed', () => {
    for (const reason of ['ResponseHeadTimeout', 'BackendRequestTimeout', 'RequestTimeout'] as const)
      assert.equal(mayRetry(failed(reason), 'GET', POLICY, 0, 'none'), 'no')
  })

  it('never retries after a byte of the response was forwarded, or with a consumed body', () => {
    const what = fc.oneof(fc.constantFrom(...REASON_LIST), fc.constantFrom(500, 503))
    fc.assert(
      fc.property(what, fc.constantFrom(...METHODS), fc.boolean(), fc.boolean(), (what, method, reused, started) => {
        const failure = failed(what, { reused, responseStarted: started })
        assert.equal(mayRetry(failure, method, POLICY, 0, started ? 'none' : 'consumed'), 'no')
      }),
    )
  })

  it('retries with a body that is untouched or replayable', () => {
    for (const body of ['untouched', 'replayable'] as const)
      assert.equal(mayRetry(failed('ConnectFailure'), 'POST', POLICY, 0, body), 'next-endpoint')
  })
})

describe('backoffDelay', () => {
  it('doubles with each retry, up to 32 times the base, with jitter of one half', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, chance) => {
        const delay = backoffDelay(25, attempt, () => chance)
        const full = 25 * Math.min(2 ** attempt, 32)
        assert.ok(delay >= full / 2 && delay <= full)
      }),
    )
  })
})
