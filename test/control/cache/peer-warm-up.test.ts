import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type PartState, PeerWarmUp, type WarmUpPart } from '../../../src/control/cache/peer-warm-up.ts'
import type { ReplicaAnswer } from '../../../src/control/cache/replica-questions.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const NOTHING = { requested: 0, hits: 0, stored: 0, others: 0, failed: 0, problems: [] }

/** @param answer of the other replica, to each question */
function working(urls: readonly string[], answer: (part: WarmUpPart, asked: number) => ReplicaAnswer<PartState>) {
  const time = new VirtualTime()
  const parts: WarmUpPart[] = []
  let keys = 0
  const work = new PeerWarmUp('b', urls, 1, {
    time: time.keeper(),
    newKey: () => String(++keys),
    ask: async (part) => {
      parts.push(part)
      return answer(part, parts.length)
    },
  })
  return { time, work, parts }
}

const done = (count: number): ReplicaAnswer<PartState> => ({
  answer: { ...NOTHING, state: 'finished', urls: count, requested: count, stored: count },
})

describe('a list that another replica works on', () => {
  it('goes in parts that fit a message, each with a key of its own', async () => {
    const urls = Array.from({ length: 600 }, (_, i) => `http://h/${i}`.padEnd(i < 100 ? 8_000 : 20, 'x'))
    const { time, work, parts } = working(urls, ({ urls: some }) => done(some.length))
    await time.pass(5_000)
    assert.deepEqual([work.finished, work.fault, work.view.stored], [true, undefined, 600])
    assert.deepEqual(
      parts.flatMap((part) => part.urls),
      urls,
    )
    assert.equal(new Set(parts.map(({ key }) => key)).size, parts.length)
    for (const part of parts) {
      assert.ok(part.urls.length <= 250)
      assert.ok(JSON.stringify(part).length < 300_000)
    }
  })

  it('is not told again while it is worked on, and is where its replica has forgotten it', async () => {
    const { time, work, parts } = working(['http://h/'], (_part, asked) => {
      if (asked === 3) return { why: 'its control thread is being restarted' }
      if (asked === 4) return { answer: 'lost' }
      return asked < 6 ? { answer: { ...NOTHING, state: 'running', urls: 1 } } : done(1)
    })
    await time.pass(5_000)
    assert.equal(work.view.stored, 1)
    assert.deepEqual(
      parts.map(({ urls }) => urls.length),
      [1, 0, 0, 1, 1, 0],
    )
    assert.equal(new Set(parts.map(({ key }) => key)).size, 1)
  })

  it('ends in the end, whatever its replica answers', async () => {
    for (const [answer, within, fault] of [
      [{ why: 'older', final: true }, 0, /older/],
      [{ why: 'silent' }, 11_000, /silent/],
      [{ answer: 'lost' }, 11_000, /does not go on/],
      [{ answer: 'busy' }, 601_000, /does not go on/],
      [{ answer: { ...NOTHING, state: 'running', urls: 1 } }, 601_000, /does not go on/],
    ] as const) {
      const { time, work } = working(['http://h/', 'http://i/'], () => answer)
      await time.pass(within / 2)
      assert.equal(work.finished, within === 0)
      await time.pass(within / 2)
      assert.ok(work.finished, JSON.stringify(answer))
      assert.match(work.fault!, fault)
    }
  })
})
