/** Checks of passwords as a worker has them: nothing passes where control does not answer. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PasswordQuestion } from '../../src/auth/password-check.ts'
import { PasswordClient } from '../../src/worker/password-client.ts'

const QUESTION: PasswordQuestion = {
  owner: 'shop',
  scope: 'users',
  client: '203.0.113.9',
  name: 'alice',
  hash: 'h',
  password: 'p',
  decoy: false,
}

function rig() {
  let now = 0
  const timers = new Set<{ readonly due: number; readonly run: () => void }>()
  const sent: number[] = []
  const client = new PasswordClient(
    {
      monotonic: () => now,
      after(delay, run) {
        const timer = { due: now + delay, run }
        timers.add(timer)
        return () => void timers.delete(timer)
      },
    },
    (id) => void sent.push(id),
  )
  const advance = (by: number): void => {
    now += by
    for (const timer of timers) if (timer.due <= now && timers.delete(timer)) timer.run()
  }
  return { client, sent, timers, advance }
}

describe('the passwords of a worker', () => {
  it('are checked by control, and let nothing pass where it is slow, gone or asked too much', async () => {
    const { client, sent, timers, advance } = rig()
    const right = client.check(QUESTION)
    client.answered(sent.at(-1)!, { result: 'right' })
    assert.deepEqual(await right, { result: 'right' })
    assert.equal(timers.size, 0)
    const slow = client.check(QUESTION)
    advance(60_000)
    assert.equal((await slow).result, 'unavailable')
    // Too late, and of a question that nobody has asked.
    client.answered(sent.at(-1)!, { result: 'right' })
    client.answered(999, { result: 'right' })
    const gone = client.check(QUESTION)
    client.forget()
    assert.equal((await gone).result, 'unavailable')
    const many = Array.from({ length: 1_100 }, () => client.check(QUESTION))
    const before = sent.length
    assert.equal((await client.check(QUESTION)).result, 'unavailable')
    assert.equal(sent.length, before)
    client.forget()
    assert.ok((await Promise.all(many)).every(({ result }) => result === 'unavailable'))
    assert.equal(timers.size, 0)
  })

  it('of who guesses cost control no message until the time is over, and those of others do', async () => {
    const { client, sent, advance } = rig()
    const first = client.check(QUESTION)
    client.answered(sent.at(-1)!, { result: 'limited', retryAfter: 6_000 })
    assert.deepEqual(await first, { result: 'limited', retryAfter: 6_000 })
    advance(1_000)
    assert.deepEqual(await client.check({ ...QUESTION, name: 'bob' }), { result: 'limited', retryAfter: 5_000 })
    assert.equal(sent.length, 1)
    for (const other of [{ client: '198.51.100.1' }, { scope: 'others' }, { owner: 'blog' }]) {
      const asked = client.check({ ...QUESTION, ...other })
      client.answered(sent.at(-1)!, { result: 'right' })
      assert.equal((await asked).result, 'right')
    }
    advance(5_000)
    const again = client.check(QUESTION)
    client.answered(sent.at(-1)!, { result: 'right' })
    assert.equal((await again).result, 'right')
  })

  it('are known by digests that another process has not', () => {
    const [a, b] = [rig().client, rig().client]
    assert.equal(a.digest('x'), a.digest('x'))
    assert.notEqual(a.digest('x'), b.digest('x'))
  })
})
