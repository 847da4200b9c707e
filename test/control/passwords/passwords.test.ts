/** Who waits for a check of a password, for how long, and who gets none. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PasswordAnswer, PasswordQuestion } from '../../../src/auth/password-check.ts'
import { BURST, INTERVAL } from '../../../src/control/passwords/failed-attempts.ts'
import { HashThread } from '../../../src/control/passwords/hash-thread.ts'
import { ANSWER_WITHIN, Passwords } from '../../../src/control/passwords/passwords.ts'

interface Hashing {
  readonly hash: string
  readonly password: string
  settle(isRight: boolean): Promise<void>
  fail(): Promise<void>
}

function rig() {
  let now = 0
  const hashing: Hashing[] = []
  const warnings: string[] = []
  const passwords = new Passwords({
    time: { monotonic: () => now },
    thread: {
      check: (hash, password) => {
        const { promise, resolve, reject } = Promise.withResolvers<boolean>()
        const turn = () => new Promise<void>((done) => setImmediate(done))
        hashing.push({
          hash,
          password,
          settle: (isRight) => {
            resolve(isRight)
            return turn()
          },
          fail: () => {
            reject(new Error('gone'))
            return turn()
          },
        })
        return promise
      },
      stop: async () => {},
    },
    warn: (message) => void warnings.push(message),
  })
  return { passwords, hashing, warnings, advance: (by: number) => (now += by) }
}

const QUESTION: PasswordQuestion = {
  owner: 'shop',
  scope: 'users',
  client: '203.0.113.9',
  name: 'alice',
  hash: 'h',
  password: 'p',
  decoy: false,
}

/** Answers so far. */
function asking(passwords: Passwords) {
  const answers: PasswordAnswer[] = []
  const ask = (more: Partial<PasswordQuestion> = {}) =>
    passwords.ask({ ...QUESTION, ...more }, (answer) => void answers.push(answer))
  return { answers, ask }
}

describe('checks of passwords', () => {
  it('are made one at a time, in turns by namespace, once for all who ask the same', async () => {
    const { passwords, hashing } = rig()
    const { answers, ask } = asking(passwords)
    for (let i = 0; i < 4; i++) ask({ password: `${i}` })
    ask({ password: '0' })
    ask({ owner: 'blog' })
    assert.equal(hashing.length, 1)
    await hashing[0]!.settle(true)
    assert.deepEqual(answers, [{ result: 'right' }, { result: 'right' }])
    assert.equal(hashing.length, 2)
    await hashing[1]!.settle(false)
    await hashing[2]!.settle(true)
    // The other namespace did not wait for all of the first.
    assert.ok(hashing.slice(0, 3).some(({ password }) => password === 'p'))
    // What is known is answered at once, right or wrong.
    const before = answers.length
    ask({ password: '0' })
    assert.deepEqual(answers.slice(before), [{ result: 'right' }])
    assert.equal(hashing.length, 4)
  })

  it('are none for a client that had too many wrong, whoever it says it is, and none of others', async () => {
    const { passwords, hashing, advance } = rig()
    const { answers, ask } = asking(passwords)
    for (let i = 0; i < BURST; i++) {
      ask({ password: `${i}`, hash: `of user ${i}` })
      await hashing.at(-1)!.settle(false)
    }
    ask({ password: 'right' })
    assert.deepEqual(answers.at(-1), { result: 'limited', retryAfter: INTERVAL })
    assert.equal(hashing.length, BURST)
    for (const other of [{ client: '198.51.100.1' }, { owner: 'blog' }, { scope: 'others' }]) {
      ask({ ...other, password: 'right' })
      await hashing.at(-1)!.settle(true)
      assert.deepEqual(answers.at(-1), { result: 'right' })
    }
    advance(INTERVAL)
    ask({ password: 'right' })
    await hashing.at(-1)!.settle(true)
    assert.deepEqual(answers.at(-1), { result: 'right' })
    ask({ password: 'wrong' })
    await hashing.at(-1)!.settle(false)
    ask({ password: 'again' })
    assert.equal(answers.at(-1)!.result, 'limited')
  })

  it('that wait when the last wrong one is found are not made any more', async () => {
    const { passwords, hashing } = rig()
    const { answers, ask } = asking(passwords)
    for (let i = 0; i < BURST - 1; i++) {
      ask({ password: `${i}` })
      await hashing.at(-1)!.settle(false)
    }
    for (let i = 0; i < 5; i++) ask({ password: `together ${i}` })
    await hashing.at(-1)!.settle(false)
    assert.equal(hashing.length, BURST)
    assert.deepEqual(
      answers.slice(-5).map(({ result }) => result),
      ['wrong', 'limited', 'limited', 'limited', 'limited'],
    )
  })

  it('know no unknown user, even by the password of the decoy', async () => {
    const { passwords, hashing } = rig()
    const { answers, ask } = asking(passwords)
    ask({ decoy: true })
    await hashing[0]!.settle(true)
    ask({ decoy: true })
    assert.deepEqual(answers, [{ result: 'wrong' }, { result: 'wrong' }])
    ask()
    await hashing[1]!.settle(true)
    assert.deepEqual(answers.at(-1), { result: 'right' })
  })

  it('take as long for each name, whatever is known of another by the same hash', async () => {
    const { passwords, hashing } = rig()
    const { answers, ask } = asking(passwords)
    for (const name of ['nobody', 'somebody', 'alice']) {
      ask({ name, decoy: name !== 'alice' })
      await hashing.at(-1)!.settle(false)
    }
    assert.equal(hashing.length, 3)
    assert.deepEqual(answers, Array(3).fill({ result: 'wrong' }))
  })

  it('are so many that wait, of one client and of all, and none that nobody waits for', async () => {
    const { passwords, hashing, advance } = rig()
    const { answers, ask } = asking(passwords)
    for (let i = 0; i < 20; i++) ask({ password: `${i}` })
    assert.equal(answers.filter(({ result }) => result === 'unavailable').length, 12)
    for (let i = 0; i < 2_000; i++) ask({ client: `198.51.100.${i}` })
    assert.equal(answers.filter(({ result }) => result === 'unavailable').length, 12 + 2_000 - (1_024 - 8))
    advance(ANSWER_WITHIN + 1)
    await hashing[0]!.settle(false)
    assert.equal(hashing.length, 1)
    assert.equal(answers.length, 2_020)
    ask({ client: '192.0.2.1' })
    await hashing[1]!.settle(true)
    assert.deepEqual(answers.at(-1), { result: 'right' })
  })

  it('let nothing pass where the thread ends, and go on with the next', async () => {
    const { passwords, hashing, warnings } = rig()
    const { answers, ask } = asking(passwords)
    ask()
    ask({ password: 'other' })
    await hashing[0]!.fail()
    assert.equal(answers[0]!.result, 'unavailable')
    assert.match(warnings[0]!, /gone/)
    await hashing[1]!.settle(true)
    assert.deepEqual(answers[1], { result: 'right' })
  })

  it('are computed by a thread, which begins anew where it has ended', async (t) => {
    const thread = new HashThread()
    t.after(() => thread.stop())
    const hash = '$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/'
    assert.equal(await thread.check(hash, 'secret'), true)
    assert.equal(await thread.check(hash, 'other'), false)
    const under = thread.check(hash, 'secret')
    await thread.stop()
    await under.catch(() => {})
    assert.equal(await thread.check(hash, 'secret'), true)
  })
})
