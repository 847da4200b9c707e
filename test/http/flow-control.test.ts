import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_WINDOW, LARGEST_WINDOW, ReceiveWindow, SendWindow } from '../../src/http/flow-control.ts'

describe('a send window', () => {
  it('is widened up to the largest window and not beyond', () => {
    const window = new SendWindow(DEFAULT_WINDOW)
    assert.ok(window.widen(LARGEST_WINDOW - DEFAULT_WINDOW))
    assert.equal(window.available, LARGEST_WINDOW)
    assert.equal(window.widen(1), false)
    assert.equal(window.available, LARGEST_WINDOW)
  })

  it('may become negative when the peer narrows its initial window', () => {
    const window = new SendWindow(100)
    window.available -= 80
    assert.ok(window.widen(-100))
    assert.equal(window.available, -80)
    assert.ok(window.widen(90))
    assert.equal(window.available, 10)
  })
})

describe('a receive window', () => {
  it('refuses what is over it', () => {
    const window = new ReceiveWindow(100)
    assert.ok(window.receive(60))
    assert.equal(window.receive(41), false)
    assert.ok(window.receive(40))
    assert.ok(window.receive(0))
    assert.equal(window.receive(1), false)
  })

  it('gives back what was consumed, half a window at a time', () => {
    const window = new ReceiveWindow(100)
    window.receive(100)
    assert.equal(window.consume(49), 0)
    assert.equal(window.unconsumed, 51)
    assert.equal(window.consume(1), 50)
    assert.equal(window.available, 50)
    assert.equal(window.consume(50), 50)
    assert.equal(window.available, 100)
  })

  it('grows, and gives back with it what was consumed', () => {
    const window = new ReceiveWindow(100)
    window.receive(80)
    window.consume(30)
    assert.equal(window.grow(1_000), 930)
    assert.equal(window.available, 950)
    assert.equal(window.unconsumed, 50)
    assert.equal(window.grow(10), 0, 'a window is never narrowed')
    assert.equal(window.grow(2 ** 40), LARGEST_WINDOW - 1_000)
  })

  it('never has more with the peer than its size, and never stalls a peer whose bytes are all consumed', () => {
    const step = fc.record({ receive: fc.nat(120), consume: fc.nat(120) })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.array(step), (size, steps) => {
        const window = new ReceiveWindow(size)
        let credit = size
        let unconsumed = 0
        for (const { receive, consume } of steps) {
          assert.equal(window.receive(receive), receive <= credit)
          if (receive <= credit) {
            credit -= receive
            unconsumed += receive
          }
          const taken = Math.min(consume, unconsumed)
          unconsumed -= taken
          credit += window.consume(taken)
          assert.equal(window.available, credit)
          assert.equal(window.unconsumed, unconsumed)
          assert.ok(credit + unconsumed <= size)
          if (unconsumed === 0) assert.ok(credit * 2 > size, 'more than half of it')
        }
      }),
    )
  })
})
