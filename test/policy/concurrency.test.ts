import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WorkerPlaces } from '../../src/limit/places.ts'
import { concurrency } from '../../src/policy/concurrency/filter.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { NamedPlaces } from '../../src/shared-memory/named-places.ts'
import { PLAIN, SUMMARY, TestExchange, testDeps } from './exchange.ts'

const WORKERS = 2

/** The filters of a limit, one for each worker of a process. */
function rigOf(slots = 64) {
  const places = new NamedPlaces(NamedPlaces.allocate(WORKERS, slots), WORKERS)
  const filterOf = (worker: number, requests: number, origin = 'shop/web'): Filter => {
    const services = { ...testDeps(), places: new WorkerPlaces(worker, places) }
    return concurrency.create(
      { ...PLAIN, limits: { maxRequestBytes: -1, concurrency: { requests, origin } } },
      services,
    )!
  }
  const begin = (filter: Filter) => {
    const x = new TestExchange()
    const decision = filter.onRequest!(x)
    assert.ok(!(decision instanceof Promise))
    return { response: decision?.response, end: () => filter.onEnd!(x, SUMMARY) }
  }
  return { places, filterOf, begin }
}

describe('requests at a time', () => {
  it('are those of all workers, until each has ended', () => {
    const { filterOf, begin } = rigOf()
    const [a, b] = [filterOf(0, 3), filterOf(1, 3)]
    const taken = [begin(a), begin(a), begin(b)]
    const refused = begin(b)
    const { status, reason, detail, fields } = refused.response!
    assert.deepEqual([status, reason], [503, 'TooManyRequestsAtOnce'])
    assert.equal(detail, 'maxConcurrentRequests (3) are in flight')
    assert.equal(fields.get('retry-after'), '1')
    // Who was refused has nothing to give back.
    refused.end()
    assert.equal(begin(a).response?.status, 503)
    taken[0]!.end()
    assert.equal(begin(b).response, undefined)
    assert.equal(begin(a).response?.status, 503)
  })

  it('go on over edits of the limit, and are told apart by where it is stated', () => {
    const { filterOf, begin } = rigOf()
    const [before, other] = [filterOf(0, 1), filterOf(0, 1, 'shop/web api')]
    const first = begin(before)
    assert.equal(begin(other).response, undefined)
    const edited = filterOf(0, 2)
    assert.equal(begin(edited).response, undefined)
    assert.equal(begin(edited).response?.status, 503)
    // Begun with the chain before, ended with it.
    first.end()
    assert.equal(begin(edited).response, undefined)
  })

  it('of a worker that died are given back', () => {
    const { places, filterOf, begin } = rigOf()
    begin(filterOf(0, 1))
    assert.equal(begin(filterOf(1, 1)).response?.status, 503)
    places.clearWorker(0)
    assert.equal(begin(filterOf(1, 1)).response, undefined)
  })

  it('are divided evenly where there is no row for another name', () => {
    const { filterOf, begin } = rigOf(8)
    for (let i = 0; i < 7; i++) filterOf(0, 4, `shop/${i}`)
    const late = filterOf(0, 4, 'shop/late')
    const taken = [begin(late), begin(late)]
    assert.deepEqual(
      taken.map(({ response }) => response),
      [undefined, undefined],
    )
    assert.equal(begin(late).response?.status, 503)
    taken[0]!.end()
    assert.equal(begin(late).response, undefined)
  })
})
