import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allocateCache } from '../../../src/cache/memory/buffers.ts'
import { Claims, RowState } from '../../../src/cache/memory/claims.ts'
import { bellsOf, divideCache, ROW_WORDS, UNIT_BYTES } from '../../../src/cache/memory/layout.ts'
import { KEY_RECORD_AT, Records } from '../../../src/cache/memory/record.ts'
import { Doorbells } from '../../../src/shared-memory/doorbells.ts'

const BYTES = 4 * 1_024 * 1_024
const WORKERS = 2

/** @param inRow keys stand in the rows, as short ones do */
function make(inRow: boolean) {
  const buffers = allocateCache(BYTES, WORKERS, [1, 2])!
  const layout = divideCache(buffers.memory.byteLength, WORKERS)!
  const records = new Records(buffers.memory)
  const bells = new Doorbells(buffers.bells, WORKERS, bellsOf(layout))
  const claims = [0, 1].map((worker) => new Claims(records, layout, bells, worker))
  let next = layout.segmentsAt
  /** A key in memory, which others compare. */
  const keyed = (text: string) => {
    const key = Buffer.from(text)
    if (inRow) return { key, record: 0 }
    const record = next
    next += 4
    records.bytes.set(key, record * UNIT_BYTES + KEY_RECORD_AT)
    return { key, record }
  }
  const claim = (worker: number, text: string, low = 7, high = 9) => {
    const { key, record } = keyed(text)
    return claims[worker]!.claim(low, high, record, key, key.length)
  }
  const follow = (worker: number, text: string, low = 7, high = 9) => {
    const key = Buffer.from(text)
    return claims[worker]!.follow(low, high, key, key.length)
  }
  return { claims: claims as [Claims, Claims], claim, follow, layout, records }
}

for (const inRow of [true, false])
  describe(`claims of keys in ${inRow ? 'their rows' : 'records'}`, () => {
    it('are of whole keys: two with the same hash stand side by side, and a third has none', () => {
      const { claims, claim, follow } = make(inRow)
      const rows = ['a', 'b'].map((key, i) => claim(i, key)!.row)
      assert.equal(new Set(rows).size, 2)
      assert.equal(claim(0, 'c'), undefined)
      assert.equal(claim(1, 'a'), undefined)
      assert.equal(follow(0, 'b')!.row, rows[1])
      assert.equal(follow(0, 'c'), undefined)
      claims[0].end(rows[0]!, RowState.Recorded)
      assert.equal(follow(0, 'a'), undefined)
      assert.notEqual(claim(0, 'c'), undefined)
    })

    it('are used again behind all others, and tell who still follows that they are not the same', () => {
      const { claims, claim, follow, layout } = make(inRow)
      const first = claim(0, 'a')!
      const followed = follow(1, 'a')!
      assert.deepEqual(followed, first)
      claims[0].end(first.row, RowState.Failed)
      for (let i = 0; i < layout.rows - 1; i++) {
        const { row } = claim(0, `other ${i}`, i, i)!
        assert.notEqual(row, first.row)
        claims[0].end(row, RowState.Recorded)
        assert.equal(claims[1].state(first.row), RowState.Failed)
      }
      assert.equal(claim(0, 'again')!.row, first.row)
      assert.notEqual(claims[1].serial(first.row), followed.serial)
      assert.equal(claims[0].followed(first.row), false)
    })

    it('are followed in a row in which a worker died while it made it its own', () => {
      const { claims, claim, follow, layout, records } = make(inRow)
      const first = claim(0, 'a')!
      claims[0].end(first.row, RowState.Failed)
      // The serial was made odd, and nothing else was done.
      Atomics.add(records.words, layout.rowsAt + first.row * ROW_WORDS, 1)
      claims[1].failAll(0)
      for (let i = 0; i < layout.rows - 1; i++) claims[0].end(claim(0, `${i}`, i, i)!.row, RowState.Recorded)
      const again = claim(0, 'a')!
      assert.equal(again.row, first.row)
      assert.deepEqual(follow(1, 'a'), again)
    })

    it('go with a worker that died, wherever it was', () => {
      const { claims, claim, follow, layout, records } = make(inRow)
      const ended = claim(0, 'ended')!
      claim(0, 'waiting', 7, 7 << 20)
      const other = claim(1, 'of another worker')!
      // It died between the two steps of ending a fill: the state is stored, and the row stands in its bucket.
      Atomics.store(records.words, layout.rowsAt + ended.row * ROW_WORDS + 1, RowState.Recorded)
      claims[1].failAll(0)
      assert.deepEqual([follow(1, 'ended'), follow(1, 'waiting', 7, 7 << 20)], [undefined, undefined])
      assert.deepEqual(follow(0, 'of another worker'), other)
      assert.notEqual(claim(1, '1'), undefined)
      assert.equal(claim(1, '2'), undefined)
    })
  })
