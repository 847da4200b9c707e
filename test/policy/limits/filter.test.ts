import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bodyLimit, limitsOf } from '../../../src/policy/limits/filter.ts'
import { timeouts } from '../../../src/policy/timeouts/filter.ts'
import { make, PLAIN, TestExchange, testDeps } from '../exchange.ts'

describe('the body limit', () => {
  const filter = make(bodyLimit, { limits: { maxRequestBytes: 10 } })
  const policy = { ...PLAIN, limits: { maxRequestBytes: 10 } }
  const refusal = (requestBodyLength: number | undefined) => {
    const verdict = filter.onRequest!(new TestExchange({ policy, requestBodyLength: requestBodyLength as number }))
    return verdict === undefined
      ? undefined
      : 'type' in verdict && verdict.type === 'respond'
        ? verdict.response
        : assert.fail()
  }

  it('refuses by the length that the head announces, and closes the connection', () => {
    assert.equal(refusal(11)?.status, 413)
    assert.equal(refusal(11)?.reason, 'BodyTooLarge')
  })

  it('lets pass what is no longer than the limit, and what does not say', () => {
    for (const length of [0, 10, undefined]) assert.equal(refusal(length), undefined)
  })

  it('goes by the limit that an earlier filter lowered', () => {
    const x = new TestExchange({ policy, requestBodyLength: 5 })
    x.deadline.maxRequestBytes = 4
    assert.notEqual(filter.onRequest!(x), undefined)
  })

  it('allows no body at all at 0, and is not there without a limit', () => {
    const none = make(bodyLimit, { limits: { maxRequestBytes: 0 } })
    const x = new TestExchange({ policy: { ...PLAIN, limits: { maxRequestBytes: 0 } }, requestBodyLength: 1 })
    assert.notEqual(none.onRequest!(x), undefined)
    assert.equal(bodyLimit.create(PLAIN, testDeps()), undefined)
  })
})

describe('the limits of a policy set', () => {
  it('are those of its timeouts and limits, and cannot be changed for everyone', () => {
    const limits = limitsOf({ ...PLAIN, limits: { maxRequestBytes: 7 } })
    assert.deepEqual(limits, { request: 0, backendRequest: 0, responseHead: 60_000, idle: 60_000, maxRequestBytes: 7 })
    assert.ok(Object.isFrozen(limits))
  })

  it('are explained where there are any', () => {
    const none = { request: 0, backendRequest: 0, responseHead: 0, idle: 0, tunnelIdle: 0 }
    assert.equal(make(timeouts, { timeouts: none }).explain!(new TestExchange())?.effect, 'sets no timeout')
    const some = make(timeouts, { timeouts: { ...none, request: 30_000 } }).explain!(new TestExchange())
    assert.equal(some?.effect, 'sets the timeouts request 30000 ms')
  })
})
