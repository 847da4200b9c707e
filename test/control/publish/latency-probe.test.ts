import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EndpointLatency } from '../../../src/control/endpoints/endpoint-latency.ts'

function idOf(message: ReturnType<EndpointLatency['call']>): number {
  assert.ok(message.type === 'echo')
  return message.id
}

describe('echoes', () => {
  it('are over when the last worker has answered, once', () => {
    const echoes = new EndpointLatency()
    const first = idOf(echoes.call([0, 1], 10))
    const second = idOf(echoes.call([0, 1], 20))
    assert.equal(echoes.heard(0, first), undefined)
    assert.equal(echoes.heard(0, first), undefined)
    assert.equal(echoes.heard(1, second), undefined)
    assert.equal(echoes.heard(1, first), 10)
    assert.equal(echoes.heard(1, first), undefined)
    assert.equal(echoes.heard(0, second), 20)
    assert.equal(echoes.heard(0, 99), undefined)
  })

  it('do not wait for a worker that is gone, and tell no time that nobody has answered to', () => {
    const echoes = new EndpointLatency()
    const answered = idOf(echoes.call([0, 1], 10))
    echoes.heard(0, answered)
    const open = idOf(echoes.call([0, 1], 20))
    echoes.gone(1)
    assert.equal(echoes.heard(0, answered), undefined)
    assert.equal(echoes.heard(0, open), 20)
  })

  it('give up the oldest when nobody answers', () => {
    const echoes = new EndpointLatency()
    const ids = Array.from({ length: 2_000 }, (_, i) => idOf(echoes.call([0], i)))
    assert.equal(echoes.heard(0, ids[0]!), undefined)
    assert.equal(echoes.heard(0, ids.at(-1)!), 1_999)
  })
})
