/** A worker that asks control for newer keys: once for all, bounded in number and time. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KeySetRequests } from '../../src/worker/key-sets.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

const URL_OF = 'https://id.example/jwks'

function world() {
  const time = new VirtualTime()
  const asked: string[] = []
  return { time, asked, requests: new KeySetRequests({ time: time.keeper(), ask: (url) => asked.push(url) }) }
}

describe('a question for newer keys', () => {
  it('is one for all who wait, and not asked again before it makes sense', async () => {
    const { time, asked, requests } = world()
    const waiting = Array.from({ length: 500 }, () => requests.check(URL_OF))
    assert.deepEqual(asked, [URL_OF])
    requests.answered(URL_OF, 10_000, true)
    assert.deepEqual([...new Set(await Promise.all(waiting))], ['current'])
    assert.equal(requests.check(URL_OF), 'current')
    await time.pass(10_000)
    assert.ok(requests.check(URL_OF) instanceof Promise)
    assert.equal(asked.length, 2)
    requests.answered(URL_OF, 0, false)
    assert.ok(requests.check(URL_OF) instanceof Promise)
    assert.equal(asked.length, 3)
  })

  it('holds no more than a thousand requests, and none for ever', async () => {
    const { time, requests } = world()
    const waiting = Array.from({ length: 1_000 }, () => requests.check(URL_OF))
    assert.equal(requests.check(URL_OF), 'unknown')
    assert.ok(requests.check('https://other.example/') instanceof Promise)
    await time.pass(12_000)
    assert.deepEqual([...new Set(await Promise.all(waiting))], ['unknown'])
    // Control is away: nobody waits again at once.
    assert.equal(requests.check(URL_OF), 'unknown')
    // Late, and of use for the next.
    requests.answered(URL_OF, 1_000, true)
    assert.equal(requests.check(URL_OF), 'current')
  })
})
