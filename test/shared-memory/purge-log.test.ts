import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { MAX_PURGE_RECORD, PurgeLog } from '../../src/shared-memory/purge-log.ts'

const record = (...words: number[]): Uint8Array => new Uint8Array(new Int32Array(words).buffer)
const wordsOf = (bytes: Uint8Array): number[] => [...new Int32Array(bytes.buffer)]

function readAll(log: PurgeLog, writer: number, from = log.oldest(writer)) {
  const records: [sequence: number, words: number[]][] = []
  const next = log.read(writer, from, (sequence, bytes) => records.push([sequence, wordsOf(bytes)]))
  return { records, next }
}

suite('purge log', () => {
  test('records of all writers are found, each with its sequence', () => {
    const log = new PurgeLog(PurgeLog.allocate(2), 2)
    assert.equal(log.last, 0)
    assert.equal(log.append(1, record(1, 2)), 1)
    assert.equal(log.append(0, record(3, 4, 5, 6)), 2)
    assert.equal(log.append(1, record(7, 8)), 3)
    assert.equal(log.last, 3)
    const first = readAll(log, 1)
    assert.deepEqual(first.records, [
      [1, [1, 2]],
      [3, [7, 8]],
    ])
    assert.deepEqual(readAll(log, 0).records, [[2, [3, 4, 5, 6]]])
    log.append(1, record(9, 9))
    assert.deepEqual(readAll(log, 1, first.next).records, [[4, [9, 9]]])
  })

  test('a ring that is full forgets its oldest records, and tells a reader that had not read them', () => {
    const log = new PurgeLog(PurgeLog.allocate(2, 256), 2)
    const start = log.oldest(0)
    for (let i = 1; i <= 10; i++) log.append(0, record(i, i))
    assert.equal(log.hasForgotten(0), false)
    const { next } = readAll(log, 0)
    for (let i = 11; i <= 20; i++) log.append(0, record(i, i))
    assert.equal(log.hasForgotten(0), true)
    assert.equal(log.hasForgotten(1), false)
    assert.equal(readAll(log, 0, start).next, undefined)
    assert.deepEqual(
      readAll(log, 0, next).records.map(([sequence]) => sequence),
      [11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    )
    assert.equal(readAll(log, 0).records.length, 16, 'all that fits is kept')
  })

  test('a record whose writer was terminated before it had a sequence is younger than all before it', () => {
    const buffer = PurgeLog.allocate(1)
    const log = new PurgeLog(buffer, 1)
    log.append(0, record(1, 1))
    log.append(0, record(2, 2))
    // As if the thread had been terminated behind the store of the head: the record's sequence is still 0.
    const cells = new Int32Array(buffer)
    const at = cells.lastIndexOf(2, cells.length) - 2
    assert.equal(cells[at], 2, 'the sequence of the second record')
    cells[at] = 0
    cells[0] = 1
    const { records } = readAll(log, 0)
    assert.deepEqual(records, [
      [1, [1, 1]],
      [2, [2, 2]],
    ])
    assert.equal(log.last, 2)
  })

  test('sequences go on behind 2³², and none is 0', () => {
    const buffer = PurgeLog.allocate(1)
    new Int32Array(buffer)[0] = -2
    const log = new PurgeLog(buffer, 1)
    assert.equal(log.append(0, record(1, 1)), 2 ** 32 - 1)
    assert.equal(log.append(0, record(2, 2)), 1)
    assert.equal(log.last, 1)
  })

  test('refuses what is no record', () => {
    const log = new PurgeLog(PurgeLog.allocate(1), 1)
    for (const bytes of [0, 4, 12, MAX_PURGE_RECORD + 8])
      assert.throws(() => log.append(0, new Uint8Array(bytes)), RangeError)
    log.append(0, new Uint8Array(MAX_PURGE_RECORD - 8))
    assert.throws(() => new PurgeLog(PurgeLog.allocate(3, 256), 2), TypeError)
    assert.throws(() => PurgeLog.allocate(1, 300), TypeError)
  })

  test('who waits for the next record is woken by it', async () => {
    const log = new PurgeLog(PurgeLog.allocate(1), 1)
    const moved = log.moved(0)
    log.append(0, record(1, 1))
    await moved
    await log.moved(0)
  })

  test('while threads write as fast as they can, no record is torn, none is lost unnoticed, and order is kept', async () => {
    const writers = 3
    const records = 20_000
    const buffer = PurgeLog.allocate(writers, 4_096)
    const log = new PurgeLog(buffer, writers)
    const threads = Array.from(
      { length: writers },
      (_, writer) =>
        new Worker(new URL('./purge-log-writer.ts', import.meta.url), {
          workerData: { buffer, writers, writer, records },
        }),
    )
    let running = writers
    for (const thread of threads) void once(thread, 'exit').then(() => running--)
    const positions = threads.map((_, writer) => log.oldest(writer))
    const numbers = threads.map(() => 0)
    let lapses = 0
    const readOn = (): void => {
      for (let writer = 0; writer < writers; writer++) {
        let missed = false
        let before = numbers[writer]!
        const next = log.read(writer, positions[writer]!, (sequence, bytes) => {
          const [owner, number] = wordsOf(bytes) as [number, number]
          assert.equal(owner, writer)
          assert.equal(bytes.length, 8 + 8 * (number % 7))
          assert.ok(wordsOf(bytes).every((word, i) => word === (i % 2 === 0 ? writer : number)))
          assert.ok(sequence > 0 && sequence <= log.last)
          assert.ok(before === 0 || number === before + 1, `${number} behind ${before}`)
          before = number
        })
        if (next === undefined) {
          missed = true
          lapses++
        }
        // Where records were missed the next number is any.
        numbers[writer] = missed ? 0 : before
        positions[writer] = next ?? log.oldest(writer)
      }
    }
    while (running > 0) {
      readOn()
      await new Promise((resolve) => setImmediate(resolve))
    }
    do readOn()
    while (numbers.includes(0))
    assert.deepEqual(
      numbers,
      threads.map(() => records),
    )
    assert.ok(log.last >= writers * records)
    assert.ok(lapses >= 0)
  })
})
