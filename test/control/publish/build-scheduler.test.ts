import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BuildScheduler } from '../../../src/control/publish/build-scheduler.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const now = systemTimers.monotonic

/** Resolves when the rebuild has ended so many times. */
function counted(
  steps: () => Generator<void, number>,
  failed: (error: unknown) => void = (error) => assert.fail(String(error)),
) {
  const world = { whole: true }
  const done: { result: number; since: number }[] = []
  let wake: () => void = () => {}
  const rebuild = new BuildScheduler<number>({
    steps,
    done(result, since) {
      done.push({ result, since })
      wake()
    },
    failed(error) {
      failed(error)
      wake()
    },
    time: systemTimers,
    mayBegin: () => world.whole,
  })
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds())
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  return { rebuild, done, until, world }
}

describe('a rebuild', () => {
  it('is one for a burst of changes', async () => {
    let state = 0
    const { rebuild, done, until } = counted(function* () {
      yield
      return state
    })
    const before = now()
    for (; state < 50; state++) rebuild.request()
    await until(() => done.length > 0)
    assert.deepEqual(
      done.map(({ result }) => result),
      [50],
    )
    assert.ok(done[0]!.since >= before && done[0]!.since <= now())
  })

  it('is not put off for ever by a steady stream of changes', async () => {
    const { rebuild, done, until } = counted(function* () {
      yield
      return 0
    })
    const begun = now()
    const stream = setInterval(() => rebuild.request(), 1)
    await until(() => done.length > 0)
    clearInterval(stream)
    assert.ok(now() - begun < 1_000)
    rebuild.stop()
  })

  it('never holds the loop, however much there is to do', async () => {
    const { rebuild, done, until } = counted(function* () {
      for (let i = 0; i < 400; i++) {
        const end = now() + 0.5
        while (now() < end);
        yield
      }
      return 1
    })
    let turns = 0
    const others = setInterval(() => turns++, 1)
    rebuild.request(true)
    await until(() => done.length > 0)
    clearInterval(others)
    // 200 ms of work: others had a turn every few milliseconds.
    assert.ok(turns >= 15, `${turns} turns`)
  })

  it('that is running takes up no change half-way: the next one does, and at once', async () => {
    let state = 'old'
    const seen: string[] = []
    const { rebuild, done, until } = counted(function* () {
      const taken = state
      yield
      if (taken === 'old') {
        state = 'new'
        rebuild.request()
      }
      yield
      seen.push(taken)
      return 0
    })
    rebuild.request(true)
    await until(() => done.length === 2)
    assert.deepEqual(seen, ['old', 'new'])
  })

  it('does not look at a world that is half changed', async () => {
    const { rebuild, done, until, world } = counted(function* () {
      yield
      return 1
    })
    world.whole = false
    rebuild.request(true)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual(done, [])
    world.whole = true
    rebuild.resume()
    await until(() => done.length === 1)
    rebuild.resume()
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(done.length, 1, 'and only once')
  })

  it('that fails leaves things as they are and does not keep the next from running', async () => {
    const errors: unknown[] = []
    let broken = true
    const { rebuild, done, until } = counted(
      function* () {
        yield
        if (broken) throw new Error('broken')
        return 7
      },
      (error) => errors.push(error),
    )
    rebuild.request(true)
    await until(() => errors.length === 1)
    broken = false
    rebuild.request(true)
    await until(() => done.length === 1)
    assert.equal(done[0]!.result, 7)
  })

  it('does not come after a stop', async () => {
    const { rebuild, done } = counted(function* () {
      yield
      return 0
    })
    rebuild.request(true)
    rebuild.stop()
    rebuild.request(true)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual(done, [])
  })
})
