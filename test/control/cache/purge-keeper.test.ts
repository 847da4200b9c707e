import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MAX_LABELS, namespaceLabel, writeLabels } from '../../../src/cache/purge-labels.ts'
import type { PurgeRecord } from '../../../src/cache/purge-record.ts'
import { purgeRecords } from '../../../src/cache/purge-request.ts'
import { HARD, KEPT, Purges } from '../../../src/cache/purges.ts'
import { PurgeKeeper } from '../../../src/control/cache/purge-keeper.ts'
import { PurgeLog } from '../../../src/shared-memory/purge-log.ts'
import type { PurgeStore, PurgeStoreEvents } from '../../../src/store/purge-store.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually } from '../../feature/harness.ts'

/** One history, in memory, for several processes. */
class History {
  id = 71
  readonly records: PurgeRecord[] = []
  away = false
  readonly #tellers = new Set<() => void>()

  open(known: { history: number; position: number }, events: PurgeStoreEvents): PurgeStore {
    let position = known.history === this.id ? known.position : 0
    const tell = (): void => {
      if (this.away) return
      for (; position < this.records.length; position++)
        events.told({ ...this.records[position]!, position: position + 1 })
    }
    if (!this.away) events.began(this.id, position, known.history !== 0 && known.history !== this.id)
    this.#tellers.add(tell)
    tell()
    return {
      append: async (records) => {
        if (this.away) throw new Error('away')
        this.records.push(...records)
        for (const one of this.#tellers) one()
      },
      reach: async () => ({ members: Array.from(this.#tellers, () => ({ name: '', acts: true })), complete: true }),
      stop: async () => void this.#tellers.delete(tell),
    }
  }

  /** All that connect again. */
  back(): void {
    this.away = false
    for (const tell of this.#tellers) tell()
  }
}

function processOf(history?: History) {
  const log = new PurgeLog(PurgeLog.allocate(2), 2)
  const worker = new Purges(log, 0)
  const control = () => {
    const keeper = new PurgeKeeper({ log, writer: 1, time: systemTimers, random: Math.random, failure: () => {} })
    void keeper.use(history && ((known, events) => history.open(known, events)))
    return keeper
  }
  const labels = new Float64Array(MAX_LABELS)
  const judge = (path: string, checked: number, namespace = 'shop'): number => {
    const own = { namespace: namespaceLabel(namespace), host: 'h', path, query: undefined, match: 'exact' as const }
    return worker.judge(checked, labels, writeLabels(labels, { ...own, route: 'shop/a', rule: 'b' }), () => `h${path}`)
  }
  return { log, worker, control, judge }
}

function recordsOf(path: string): readonly PurgeRecord[] {
  const records = purgeRecords('shop', { urls: [`http://h${path}`] })
  assert.ok(!('fault' in records))
  return records
}

suite('the keeper of purges', () => {
  test('a purge acts in its own process at once, and in the others', async () => {
    const history = new History()
    const [a, b] = [processOf(history), processOf(history)]
    const [keeper, other] = [a.control(), b.control()]
    const begun = [a.log.last, b.log.last] as const
    const id = keeper.purge(recordsOf('/x'))
    assert.equal(a.judge('/x', begun[0]), HARD)
    const fetched = a.worker.last
    const reach = await keeper.reach(id, 1_000)
    assert.deepEqual([reach?.kept, reach?.members.length], [true, 2])
    assert.equal(b.judge('/x', begun[1]), HARD)
    assert.equal(b.judge('/y', begun[1]), KEPT)
    assert.equal(a.judge('/x', fetched), KEPT, 'its echo does not purge again')
    for (const one of [keeper, other]) void one.stop()
  })

  test('what a worker purges goes to the other processes', async () => {
    const history = new History()
    const [a, b] = [processOf(history), processOf(history)]
    const keepers = [a.control(), b.control()]
    for (const keeper of keepers) keeper.start()
    a.worker.append({ ...recordsOf('/x')[0]!, id: 5 })
    a.worker.append({ ...recordsOf('/mine')[0]!, id: 0 })
    await eventually(() => assert.equal(b.judge('/x', 0), HARD))
    assert.equal(b.judge('/mine', 0), KEPT)
    for (const keeper of keepers) void keeper.stop()
  })

  test('what the history does not take is sent when it is back, also by the next control thread', async () => {
    const history = new History()
    const [a, b] = [processOf(history), processOf(history)]
    const other = b.control()
    const first = a.control()
    await first.reach(first.purge(recordsOf('/before')), 1_000)
    history.away = true
    const id = first.purge(recordsOf('/x'))
    assert.deepEqual(await first.reach(id, 20), { kept: false, members: [], complete: false })
    assert.equal(a.judge('/x', 0), HARD)
    void first.stop()
    history.back()
    const second = a.control()
    second.start()
    await eventually(() => assert.equal(b.judge('/x', 0), HARD))
    assert.deepEqual(
      history.records.map(({ id }) => id === 0),
      [false, false],
      'nothing is sent twice',
    )
    for (const keeper of [second, other]) void keeper.stop()
  })

  test('a history that says twice in one turn that it is back gets what waits once', async () => {
    const history = new History()
    history.away = true
    const log = new PurgeLog(PurgeLog.allocate(1), 1)
    let failed = 0
    const time = {
      ...systemTimers,
      after: (delay: number, run: () => void) => {
        if (delay === 500) failed++
        return systemTimers.after(delay, run)
      },
    }
    const keeper = new PurgeKeeper({ log, writer: 0, time, random: Math.random, failure: () => {} })
    let say: PurgeStoreEvents['failure'] = () => {}
    void keeper.use((known, events) => {
      say = events.failure
      const store = history.open(known, events)
      const append: PurgeStore['append'] = async (records) => {
        await nextTurn()
        await store.append(records)
      }
      return { ...store, append }
    })
    const id = keeper.purge(recordsOf('/x'))
    await eventually(() => assert.equal(failed, 1, 'it waits for the next try'))
    history.back()
    say(undefined)
    say(undefined)
    assert.equal((await keeper.reach(id, 1_000))?.kept, true)
    for (let turn = 0; turn < 5; turn++) await nextTurn()
    assert.equal(history.records.length, 1)
    void keeper.stop()
  })

  test('another history purges everything that was fetched before', async () => {
    const history = new History()
    const a = processOf(history)
    const first = a.control()
    await first.reach(first.purge(recordsOf('/x')), 1_000)
    const begun = a.log.last
    assert.equal(a.judge('/y', begun), KEPT)
    void first.stop()
    history.id = 72
    history.records.length = 0
    const second = a.control()
    assert.equal(a.judge('/y', begun), HARD)
    assert.equal(a.worker.history, 72)
    void second.stop()
  })

  test('too many that wait are one purge of all that their namespace has', async () => {
    const history = new History()
    history.away = true
    const [a, b] = [processOf(history), processOf(history)]
    const [keeper, other] = [a.control(), b.control()]
    keeper.purge([{ ...recordsOf('/small')[0]!, namespace: namespaceLabel('small') }])
    for (let i = 0; i < 4_200; i++) {
      keeper.purge(recordsOf(`/${i}`))
      a.worker.refresh()
    }
    history.back()
    await eventually(() => assert.equal(b.judge('/any', 0), HARD))
    await eventually(() => assert.equal(b.judge('/small', 0, 'small'), HARD))
    assert.equal(b.judge('/any', 0, 'small'), KEPT)
    assert.ok(history.records.length < 300, `${history.records.length} records`)
    for (const one of [keeper, other]) void one.stop()
  })

  test('without a history nothing waits', async () => {
    const a = processOf()
    const keeper = a.control()
    const id = keeper.purge(recordsOf('/x'))
    assert.equal(a.judge('/x', 0), HARD)
    assert.equal(await keeper.reach(id, 1_000), undefined)
    void keeper.stop()
  })
})
