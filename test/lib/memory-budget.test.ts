import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  archiveBytes,
  divideMemory,
  formatMebibytes,
  type MemoryBudget,
  MIN_MEMORY,
} from '../../src/lib/memory-budget.ts'

const MiB = 1024 * 1024

/** Everything that may be taken at once: heaps at their limits, and what connections hold outside of them. */
function most({ workers, cache, archive, control, worker, connections, connectionBytes, heads }: MemoryBudget): number {
  const outside = Math.max(connections * 12 * 1024, connectionBytes) + heads
  return (
    96 * MiB +
    cache +
    archiveBytes(archive) +
    control.old +
    control.young +
    workers * (worker.old + worker.young + outside)
  )
}

describe('the memory budget', () => {
  it('never exceeds the limit, for any number of workers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300, max: 200_000 }),
        fc.integer({ min: 1, max: 128 }),
        fc.nat(300_000),
        fc.boolean(),
        (mebibytes, workers, cache, files) => {
          const budget = divideMemory(mebibytes * MiB, workers, cache * MiB, files)
          assert.ok(budget.cache <= (cache || mebibytes / 16) * MiB)
          assert.ok(budget.workers >= 1 && budget.workers <= workers)
          assert.ok(most(budget) <= mebibytes * MiB + 2 * MiB, `${most(budget) / MiB} of ${mebibytes} MiB`)
          assert.ok(budget.configuration < budget.control.old && budget.patterns < budget.worker.old)
        },
      ),
    )
  })
  it('never shrinks a part when the limit grows', () => {
    const sizes = [288, 384, 512, 768, 1_024, 4_096].map((mebibytes) => divideMemory(mebibytes * MiB, 1))
    for (const [i, budget] of sizes.entries())
      for (const part of ['configuration', 'patterns', 'connections', 'heads', 'file', 'files'] as const)
        if (i > 0) assert.ok(budget[part] >= sizes[i - 1]![part], `${part} at ${budget.limit / MiB} MiB`)
  })
  it('has room for files of the cache where they may be, and starts no fewer workers for them', () => {
    const filesOf = (mebibytes: number, workers: number): number | undefined =>
      divideMemory(mebibytes * MiB, workers, 0, true).archive?.files
    assert.deepEqual(
      [288, 512, 1_024, 2_048, 65_536].map((mebibytes) => filesOf(mebibytes, 2)),
      [undefined, 8_192, 69_905, 131_072, 131_072],
    )
    for (const mebibytes of [288, 384, 512, 1_024, 4_096]) {
      const [without, beside] = [false, true].map((files) => divideMemory(mebibytes * MiB, 8, 0, files))
      assert.equal(beside!.workers, without!.workers)
      assert.equal(without!.archive, null)
      assert.ok(beside!.control.old >= 96 * MiB && beside!.worker.old >= 40 * MiB && beside!.connections >= 256)
    }
  })
  it('starts fewer workers where memory does not suffice for all', () => {
    assert.deepEqual(
      [288, 384, 512, 1_024, 4_096].map((mebibytes) => divideMemory(mebibytes * MiB, 8).workers),
      [1, 2, 3, 6, 8],
    )
  })
  it("fits the chart's two workers into its 512 Mi", () => {
    const { workers, configuration } = divideMemory(512 * MiB, 2)
    assert.equal(workers, 2)
    // 5,000 Routes of two rules with their Backends take some 59 MiB (e2e/tests/6-scale.test.ts).
    assert.ok(configuration > 62 * MiB)
  })
  it('lets secure contexts take a quarter of what connections with TLS have, and clear text what it had', () => {
    for (const mebibytes of [288, 512, 4_096, 65_536]) {
      const { connections, connectionBytes, secureContexts } = divideMemory(mebibytes * MiB, 2)
      assert.equal(connectionBytes, connections * 12 * 1024)
      assert.ok(secureContexts >= 16 && secureContexts <= 1_024)
      assert.ok(secureContexts * 30 * 1024 <= connectionBytes / 4, `${secureContexts} of ${connectionBytes}`)
    }
  })
  it('gives every part its minimum where the limit is below their sum', () => {
    const { workers, control, worker, connections } = divideMemory(MIN_MEMORY / 4, 4)
    assert.equal(workers, 1)
    assert.ok(control.old >= 96 * MiB && worker.old >= 40 * MiB && connections >= 256)
  })
  it('gives the cache a sixteenth, or what was asked for as far as the minimums of the others leave it', () => {
    assert.deepEqual(
      [256, 300, 512, 4_096].map((mebibytes) => Math.floor(divideMemory(mebibytes * MiB, 2).cache / MiB)),
      [0, 6, 32, 256],
    )
    const { cache, control, worker, connections } = divideMemory(512 * MiB, 2, 4_096 * MiB)
    assert.equal(Math.floor(cache / MiB), 152)
    assert.deepEqual([control.old, worker.old], [96 * MiB, 40 * MiB])
    assert.ok(connections >= 256)
    assert.equal(divideMemory(512 * MiB, 2, 7 * MiB).cache, 7 * MiB)
  })
  it('rejects other values', () => {
    for (const [limit, workers] of [
      [0, 1],
      [Number.NaN, 1],
      [MiB, 0],
      [MiB, 1.5],
    ] as const)
      assert.throws(() => divideMemory(limit, workers), TypeError)
  })
  it('formats mebibytes, and what is less as it is', () => {
    assert.deepEqual([512 * MiB, 1.25 * MiB, 110_000].map(formatMebibytes), ['512 MiB', '1.3 MiB', '0.1 MiB'])
    assert.deepEqual([100_000, 900, 0].map(formatMebibytes), ['98 KiB', '1 KiB', '0 KiB'])
  })
})
