import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LatencyProbe } from '../../../src/control/publish/latency-probe.ts'

function idOf(message: ReturnType<LatencyProbe['start']>): number {
  assert.ok(message.type === 'latency-probe')
  return message.id
}

describe('the latency probe', () => {
  it('ends when the last worker has answered, once', () => {
    const probe = new LatencyProbe()
    const first = idOf(probe.start([0, 1], 10))
    const second = idOf(probe.start([0, 1], 20))
    assert.equal(probe.answered(0, first), undefined)
    assert.equal(probe.answered(0, first), undefined)
    assert.equal(probe.answered(1, second), undefined)
    assert.equal(probe.answered(1, first), 10)
    assert.equal(probe.answered(1, first), undefined)
    assert.equal(probe.answered(0, second), 20)
    assert.equal(probe.answered(0, 99), undefined)
  })

  it('does not wait for a worker that is gone, and reports no time without an answer', () => {
    const probe = new LatencyProbe()
    const answered = idOf(probe.start([0, 1], 10))
    probe.answered(0, answered)
    const open = idOf(probe.start([0, 1], 20))
    probe.gone(1)
    assert.equal(probe.answered(0, answered), undefined)
    assert.equal(probe.answered(0, open), 20)
  })

  it('gives up the oldest when no worker answers', () => {
    const probe = new LatencyProbe()
    const ids = Array.from({ length: 2_000 }, (_, i) => idOf(probe.start([0], i)))
    assert.equal(probe.answered(0, ids[0]!), undefined)
    assert.equal(probe.answered(0, ids.at(-1)!), 1_999)
  })
})
