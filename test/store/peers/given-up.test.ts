import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLAIN, type PurgeRecord } from '../../../src/cache/purge-record.ts'
import { GivenUpRecords } from '../../../src/store/peers/given-up.ts'
import { HeardPurges } from '../../../src/store/peers/heard-purges.ts'
import type { Hello } from '../../../src/store/peers/peer-wire.ts'

const hello = (first: number, more: Partial<Hello> = {}): Hello => ({
  ...{ type: 'hello', process: 'p', incarnation: '1', first, fresh: true, lost: false },
  ...more,
})

/** What somebody purges who knew so many records when it was cut off. */
function purged(position: number, first: number, more: Partial<Hello>): readonly string[] {
  const purges: PurgeRecord[] = []
  const heard = new HeardPurges((record) => purges.push(record))
  heard.welcome(hello(1))
  const texts = Array.from({ length: position }, () => '')
  assert.equal(heard.accept(hello(1), 1, texts), position)
  purges.length = 0
  assert.equal(heard.welcome(hello(first, more)), Math.max(position, first - 1))
  return purges.map(({ kind, namespace }) => `${kind} ${namespace}`)
}

describe('records that are not kept for a replica that was away', () => {
  it('are known by their namespaces', () => {
    const given = new GivenUpRecords()
    for (const [i, namespace] of [5, 6, 5, 7, 6].entries()) given.add({ ...PLAIN, kind: 'url', namespace }, i + 1)
    assert.deepEqual(purged(2, 6, { given: given.known }), ['all 5', 'all 6', 'all 7'])
    assert.deepEqual(purged(3, 6, { given: given.known }), ['all 6', 'all 7'])
    assert.deepEqual(purged(5, 6, { given: given.known }), [])
  })

  it('are everything where that is not known', () => {
    const given = new GivenUpRecords()
    given.add({ ...PLAIN, kind: 'all', namespace: 5 }, 1)
    given.add({ ...PLAIN, kind: 'everything' }, 2)
    given.add({ ...PLAIN, kind: 'label', namespace: 6 }, 3)
    assert.deepEqual(purged(1, 4, { given: given.known }), ['everything 0'])
    assert.deepEqual(purged(2, 4, { given: given.known }), ['all 6'])
    assert.deepEqual(purged(1, 4, {}), ['everything 0'], 'a Headgate of before')
    assert.deepEqual(purged(2, 4, { given: given.known, incarnation: '2' }), ['everything 0'], 'another count')
    for (let i = 0; i < 5_000; i++) given.add({ ...PLAIN, kind: 'label', namespace: 1 + i }, 4 + i)
    assert.ok(given.known.namespaces.length <= 4_096)
    assert.deepEqual(purged(2, 5_004, { given: given.known }), ['everything 0'])
  })
})
