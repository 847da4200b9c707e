import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FIRST_PAUSE, LONGEST_PAUSE, RELEASED, WARM_UP, WarmUp } from '../../src/link/warm-up.ts'
import { composeChain } from '../../src/policy/chain.ts'
import { FilterRegistry } from '../../src/policy/registry.ts'
import { settle, VirtualTime } from '../lib/virtual-time.ts'
import { PLAIN, testDeps } from '../policy/exchange.ts'

/** A warm-up of one filter on virtual time, without chance: what happened, and when. */
function warming(run: (attempt: number, signal: AbortSignal) => Promise<void>) {
  const time = new VirtualTime()
  const events: string[] = []
  const note = (text: string): void => void events.push(`${time.now} ${text}`)
  let attempt = 0
  const registry = new FilterRegistry()
  registry.register({
    name: 'f',
    phase: 'plugin',
    create: () => ({
      name: 'f',
      onRequest: () => undefined,
      warmUp(signal) {
        note('try')
        signal.addEventListener('abort', () => note('abort'))
        return run(++attempt, signal)
      },
    }),
  })
  const deps = testDeps()
  const warmUp = new WarmUp(composeChain(PLAIN, deps, registry)!, {
    timers: time.keeper(),
    random: () => 0,
    failed: (error) => note(String(error)),
    warm: () => note('warm'),
  })
  warmUp.wait(() => note('tried'))
  return { time, events, warmUp, deps }
}

describe('a warm-up', () => {
  it('is tried again after pauses that double up to a limit, and reports its first failure', async () => {
    const { time, events, warmUp } = warming((attempt) =>
      attempt < 9 ? Promise.reject(new Error('no')) : Promise.resolve(),
    )
    warmUp.start()
    await time.pass(400_000)
    const tries = events.filter((event) => event.endsWith('try')).map((event) => Number.parseInt(event, 10))
    const pauses = tries.slice(1).map((at, i) => at - tries[i]!)
    assert.deepEqual(
      pauses,
      [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * FIRST_PAUSE),
    )
    assert.equal(pauses.at(-1), LONGEST_PAUSE)
    assert.deepEqual(
      events.filter((event) => event.includes('Error') || event.endsWith('warm')),
      ['0 Error: f: no', `${tries.at(-1)} warm`],
    )
    assert.equal(time.pending, 0)
  })

  it('fails at its bound, and a try that succeeds too late counts for nothing', async () => {
    const late = Promise.withResolvers<void>()
    const { time, events, warmUp } = warming((attempt) => (attempt === 1 ? late.promise : new Promise(() => {})))
    warmUp.start()
    await time.pass(WARM_UP)
    assert.equal(warmUp.failed, true)
    late.resolve()
    await time.pass(1)
    assert.deepEqual(events, [
      '0 try',
      `${WARM_UP} Error: a filter was not ready within ${WARM_UP} ms`,
      `${WARM_UP} abort`,
      `${WARM_UP} tried`,
    ])
  })

  for (const [what, run, passed] of [
    ['while it is tried', () => new Promise<void>(() => {}), 1],
    ['between two tries', () => Promise.reject(new Error('no')), 1],
    ['once it is warm', () => Promise.resolve(), 10_000],
  ] as const)
    it(`fires its signal, and is not tried again, when it is disposed of ${what}`, async () => {
      const { time, events, warmUp } = warming(run)
      warmUp.start()
      await time.pass(passed)
      warmUp.dispose()
      await time.pass(600_000)
      const ends = events.map((event) => event.replace(/^\d+ /, ''))
      assert.deepEqual([ends.filter((e) => e === 'try').length, ends.filter((e) => e === 'abort').length], [1, 1])
      assert.equal(time.pending, 0)
    })

  it('never begins when it is disposed of before', async () => {
    const { time, events, warmUp } = warming(() => Promise.resolve())
    warmUp.dispose()
    warmUp.start()
    await time.pass(10_000)
    assert.deepEqual(events, [])
  })

  it('lets those that still wait go on some in a turn, in their order', async () => {
    const { time, warmUp } = warming(() => Promise.resolve())
    const gone: number[] = []
    // One waits already.
    for (let i = 1; i < 2 * RELEASED + 10; i++) warmUp.wait(() => void gone.push(i))
    warmUp.wait(() => void gone.push(0))()
    warmUp.start()
    await settle()
    const turns = [gone.length]
    await time.pass(0, () => void turns.push(gone.length))
    assert.deepEqual([...new Set(turns)], [RELEASED - 1, 2 * RELEASED - 1, 2 * RELEASED + 9])
    assert.deepEqual(
      gone,
      gone.toSorted((a, b) => a - b),
    )
  })

  it('reports a listener of its signal that throws', async () => {
    const { time, warmUp, deps } = warming((_, signal) => {
      signal.addEventListener('abort', () => {
        throw new Error('a mistake')
      })
      return new Promise(() => {})
    })
    warmUp.start()
    await time.pass(WARM_UP)
    assert.match(String(deps.reports.map(({ error }) => error)), /a mistake/)
    warmUp.dispose()
  })
})
