import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { createMetrics, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { RowDirectory } from '../../src/shared-memory/row-directory.ts'

const MINUTE = 60_000
const OK = 2

function counted(shared: SharedArrayBuffer, row: number, times: number): void {
  const metrics = new WorkerMetrics(shared, 0)
  const exchange = {
    listener: 0,
    method: 0,
    status: 200,
    grpc: -1,
    reason: -1,
    durationMs: 1,
    upstreamMs: 1,
    bytesIn: 0,
    bytesOut: 0,
  }
  for (let i = 0; i < times; i++) metrics.exchangeEnded({ ...exchange, backendRow: row })
}

suite('row directory', () => {
  test('a restarted control thread finds every backend in its row', () => {
    const shared = createMetrics({ workers: 1, backends: 8 })
    new RowDirectory(shared).sync(['shop/api', 'shop/web', 'service:shop/ünïcode:80'], 0)
    const rows = [...new RowDirectory(shared).entries()]
    const next = new RowDirectory(shared)
    next.sync(['service:shop/ünïcode:80', 'shop/new', 'shop/api'], 1)
    for (const { row, name } of rows) if (name !== 'shop/web') assert.equal(next.find(name), row)
    assert.equal(next.find('shop/web'), 0)
    assert.equal(new Set([...next.entries()].map((entry) => entry.row)).size, 3)
  })

  test('backends beyond the bound share row 0', () => {
    const directory = new RowDirectory(createMetrics({ workers: 1, backends: 2 }))
    directory.sync(['a/a', 'b/b', 'c/c', 'd/d'], 0)
    assert.deepEqual(
      ['a/a', 'b/b', 'c/c', 'd/d'].map((name) => directory.find(name)),
      [1, 2, 0, 0],
    )
  })

  test('a namespace with many backends leaves the others their rows, in any order', () => {
    const namespaceOf = (name: string) => name.slice(0, name.indexOf('/'))
    const many = Array.from({ length: 200 }, (_, i) => `noisy/b${i}`)
    const first = new RowDirectory(createMetrics({ workers: 1, backends: 10 }))
    first.sync([...many, 'calm/a', 'calm/b', 'other/a'], 0, namespaceOf)
    const of = (directory: RowDirectory, namespace: string) =>
      [...directory.entries()].filter(({ name }) => name.startsWith(`${namespace}/`)).length
    assert.deepEqual(
      ['calm', 'other', 'noisy'].map((namespace) => of(first, namespace)),
      [2, 1, 7],
    )
    const later = new RowDirectory(createMetrics({ workers: 1, backends: 10 }))
    later.sync(many, 0, namespaceOf)
    assert.equal(of(later, 'noisy'), 10, 'alone it has all')
    const kept = later.find('noisy/b0')
    later.sync([...many, 'calm/a', 'calm/b'], MINUTE, namespaceOf)
    later.sync([...many, 'calm/a', 'calm/b'], 12 * MINUTE, namespaceOf)
    assert.deepEqual([of(later, 'calm'), of(later, 'noisy'), later.find('noisy/b0')], [2, 8, kept])
    later.sync([...many, 'calm/a', 'calm/b'], 13 * MINUTE, namespaceOf)
    assert.deepEqual([of(later, 'calm'), of(later, 'noisy')], [2, 8], 'and it stays so')
  })

  test('a name that exceeds the row has no row of its own and takes none from others', () => {
    const directory = new RowDirectory(createMetrics({ workers: 1, backends: 2 }))
    directory.sync(['n'.repeat(401), 'a/a'], 0)
    assert.deepEqual([...directory.entries()], [{ row: 1, name: 'a/a' }])
  })

  test('a backend that returns within ten minutes continues its counters', () => {
    const shared = createMetrics({ workers: 1, backends: 1 })
    const directory = new RowDirectory(shared)
    directory.sync(['a/a'], 0)
    counted(shared, 1, 3)
    directory.sync([], MINUTE)
    assert.deepEqual([...directory.entries()], [])
    directory.sync(['b/b'], 2 * MINUTE)
    assert.equal(directory.find('b/b'), 0, 'requests of a/a may still be under way')
    directory.sync(['a/a'], 5 * MINUTE)
    assert.equal(directory.find('a/a'), 1)
    assert.equal(directory.requests(1, OK), 3)
  })

  test('a reassigned row starts at zero for its new backend', () => {
    const shared = createMetrics({ workers: 1, backends: 1 })
    const directory = new RowDirectory(shared)
    directory.sync(['a/a'], 0)
    counted(shared, 1, 3)
    directory.sync([], MINUTE)
    directory.sync(['b/b'], 12 * MINUTE)
    assert.equal(directory.find('b/b'), 1)
    assert.equal(directory.find('a/a'), 0)
    counted(shared, 1, 2)
    assert.equal(new RowDirectory(shared).requests(1, OK), 2)
  })

  test('after any history no two backends share a row, and no backend moves', () => {
    const names = fc.uniqueArray(fc.constantFrom(...'abcdefghij'), { maxLength: 10 })
    fc.assert(
      fc.property(fc.array(names, { maxLength: 30 }), (steps) => {
        const directory = new RowDirectory(createMetrics({ workers: 1, backends: 4 }))
        let before = new Map<string, number>()
        for (const [i, present] of steps.entries()) {
          directory.sync(present, i * 4 * MINUTE)
          const entries = [...directory.entries()]
          const after = new Map(entries.map(({ row, name }) => [name, row]))
          assert.equal(new Set(after.values()).size, entries.length)
          for (const name of after.keys()) assert.ok(present.includes(name))
          for (const [name, row] of before) if (present.includes(name)) assert.equal(after.get(name), row)
          before = after
        }
      }),
    )
  })
})
