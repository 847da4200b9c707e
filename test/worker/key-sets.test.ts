/** A worker that asks control for newer keys: once for all, bounded in number and time. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { keySetDigest } from '../../src/policy/auth/key-set.ts'
import { KeySetRequests } from '../../src/worker/key-sets.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

const URL_OF = 'https://id.example/jwks'
const KEYS = new Uint8Array([1])
const DIGEST = keySetDigest(KEYS)

function world() {
  const time = new VirtualTime()
  const asked: string[] = []
  return { time, asked, requests: new KeySetRequests({ time: time.keeper(), ask: (url) => asked.push(url) }) }
}

describe('a question for newer keys', () => {
  it('is one for all who wait, and not asked again before it makes sense', async () => {
    const { time, asked, requests } = world()
    const waiting = Array.from({ length: 500 }, () => requests.check(URL_OF, KEYS))
    assert.deepEqual(asked, [URL_OF])
    requests.answered(URL_OF, DIGEST, 10_000, true)
    assert.deepEqual([...new Set(await Promise.all(waiting))], ['current'])
    assert.equal(requests.check(URL_OF, KEYS), 'current')
    await time.pass(10_000)
    assert.ok(requests.check(URL_OF, KEYS) instanceof Promise)
    assert.equal(asked.length, 2)
    requests.answered(URL_OF, DIGEST, 0, false)
    assert.ok(requests.check(URL_OF, KEYS) instanceof Promise)
    assert.equal(asked.length, 3)
  })

  it('about one set is no answer about another, which is newer', async () => {
    const { asked, requests } = world()
    const newer = new Uint8Array([2])
    const old = requests.check(URL_OF, KEYS)
    const fresh = requests.check(URL_OF, newer)
    assert.equal(asked.length, 2)
    requests.answered(URL_OF, DIGEST, 10_000, true)
    assert.equal(await old, 'current')
    assert.ok(requests.check(URL_OF, newer) instanceof Promise)
    assert.equal(asked.length, 2)
    requests.answered(URL_OF, keySetDigest(newer), 0, false)
    assert.equal(await fresh, 'unknown')
  })

  it('holds no more than a thousand requests, and none for ever', async () => {
    const { time, requests } = world()
    const waiting = Array.from({ length: 1_000 }, () => requests.check(URL_OF, KEYS))
    assert.equal(requests.check(URL_OF, KEYS), 'unknown')
    assert.ok(requests.check('https://other.example/', KEYS) instanceof Promise)
    await time.pass(12_000)
    assert.deepEqual([...new Set(await Promise.all(waiting))], ['unknown'])
    // Control is away: nobody waits again at once.
    assert.equal(requests.check(URL_OF, KEYS), 'unknown')
    // Late, and of use for the next.
    requests.answered(URL_OF, DIGEST, 1_000, true)
    assert.equal(requests.check(URL_OF, KEYS), 'current')
  })
})
