import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ALL_REPLAY_BYTES, REPLAY_BYTES, ReplayBytes, replayBytes } from '../../src/exchange/replay-bytes.ts'

describe('bytes for another attempt', () => {
  it('come back in their order, once', () => {
    const sent = new ReplayBytes()
    for (const text of ['a', 'bc', 'd']) sent.add(Buffer.from(text))
    assert.equal(Buffer.concat(sent.take()).toString(), 'abcd')
    assert.deepEqual([sent.incomplete, Buffer.concat(sent.take()).length, replayBytes()], [false, 0, 0])
    sent.add(Buffer.from('again'))
    assert.equal(Buffer.concat(sent.take()).toString(), 'again')
  })

  it('are given up for a body that is too large, byte by byte, too', () => {
    for (const [size, count] of [
      [REPLAY_BYTES, 1],
      [1, REPLAY_BYTES + 1],
    ] as const) {
      const sent = new ReplayBytes()
      for (let i = 0; i < count; i++) sent.add(Buffer.alloc(size))
      assert.deepEqual([sent.incomplete, sent.take().length, replayBytes()], [true, 0, 0])
    }
  })

  it('are bounded over all requests, and given back by each', () => {
    const all: ReplayBytes[] = []
    for (let i = 0; i < 1_000; i++) {
      const sent = new ReplayBytes()
      sent.add(Buffer.alloc(60_000))
      all.push(sent)
    }
    assert.ok(replayBytes() <= ALL_REPLAY_BYTES)
    const whole = all.filter((sent) => !sent.incomplete)
    assert.ok(whole.length > 250 && whole.length < 300, `${whole.length}`)
    for (const sent of all) sent.drop()
    assert.equal(replayBytes(), 0)
  })
})
