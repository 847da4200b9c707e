import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RequestPlaces } from '../../src/limit/request-places.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'

const WORKERS = 3

function places(slot: number, limit: () => number): readonly RequestPlaces[] {
  const table = new EndpointTable(EndpointTable.allocate(WORKERS, 8))
  return Array.from({ length: WORKERS }, (_, worker) => new RequestPlaces(slot, worker, table, limit))
}

function takeAll(one: RequestPlaces): number {
  let taken = 0
  while (taken < 1_000 && one.take()) taken++
  return taken
}

describe('the requests that a Backend may have in flight', () => {
  it('are those of all workers, whoever has them', () => {
    let limit = 5
    const [a, b, c] = places(2, () => limit) as [RequestPlaces, RequestPlaces, RequestPlaces]
    assert.deepEqual([takeAll(a), takeAll(b)], [5, 0])
    a.give()
    assert.deepEqual([takeAll(c), c.inFlight], [1, 5])
    limit = 7
    assert.deepEqual([takeAll(b), a.limit], [2, 7])
    limit = 1
    b.give()
    assert.equal(b.take(), false)
    limit = 0
    assert.equal(takeAll(a), 1_000)
  })

  it('are left to others by half where that is asked for, and of one there is no half', () => {
    for (const [limit, half] of [
      [5, 2],
      [1, 0],
      [0, 1_000],
    ] as const) {
      const [one] = places(2, () => limit) as [RequestPlaces]
      let taken = 0
      while (taken < 1_000 && one.takeOfHalf()) taken++
      assert.equal(taken, half)
    }
  })

  it('are divided among the workers where no row is left to count in, and one is left to each', () => {
    for (const [limit, each] of [
      [7, 2],
      [2, 1],
      [0, 1_000],
    ] as const) {
      const workers = places(-1, () => limit)
      assert.deepEqual(
        workers.map((one) => takeAll(one)),
        [each, each, each],
      )
      for (let i = 0; i < each; i++) workers[0]!.give()
      assert.equal(takeAll(workers[0]!), each)
    }
  })
})
