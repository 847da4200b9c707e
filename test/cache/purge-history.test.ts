import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { labelOf, MAX_LABELS, namespaceLabel, writeLabels } from '../../src/cache/purge-labels.ts'
import { PLAIN, type PurgeRecord } from '../../src/cache/purge-record.ts'
import { HARD, KEPT, Purges } from '../../src/cache/purges.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'

const HISTORY = 77
const SHOP = namespaceLabel('shop')

function rig(ringBytes?: number) {
  const log = new PurgeLog(PurgeLog.allocate(2, ringBytes), 2)
  const control = new Purges(log, 1)
  const say = (record: Partial<PurgeRecord> & Pick<PurgeRecord, 'kind'>): number =>
    control.append({ ...PLAIN, ...record })
  const tag = (name: string, id: number, position = 0): number =>
    say({ kind: 'label', namespace: SHOP, label: labelOf('tag', name), id, position })
  return { log, say, tag, purges: new Purges(log, 0) }
}

/** An object of an archive that has the tag, fetched when everything up to a position was known. */
function verdict(purges: Purges, position: number, tag: string, history = HISTORY): number {
  const checked = purges.sequenceOf(history, position)
  if (checked === -1) return -1
  const labels = new Float64Array(MAX_LABELS)
  const object = {
    namespace: SHOP,
    host: 'h',
    path: '/',
    query: undefined,
    match: 'exact' as const,
    route: 'r',
    rule: 'r',
  }
  return purges.judge(checked, labels, writeLabels(labels, object, [labelOf('tag', tag)]), () => 'h/')
}

suite('places of purges in the history of all replicas', () => {
  test('an object of an archive is judged by what came behind its place', () => {
    const { purges, say, tag } = rig()
    say({ kind: 'history', label: HISTORY, position: 10 })
    tag('a', 1, 11)
    tag('b', 2, 12)
    assert.equal(purges.history, HISTORY)
    assert.equal(purges.position, 12)
    assert.equal(verdict(purges, 10, 'a'), HARD)
    assert.equal(verdict(purges, 11, 'a'), KEPT)
    assert.equal(verdict(purges, 11, 'b'), HARD)
    assert.equal(verdict(purges, 12, 'b'), KEPT)
    assert.equal(verdict(purges, 9, 'c'), -1, 'older than what is known')
    assert.equal(verdict(purges, 12, 'c', 78), -1, 'of another history')
    assert.equal(verdict(purges, 99, 'b'), KEPT, 'known elsewhere before here')
  })

  test('a purge of this process acts on archives before it has a place, and when it has one', () => {
    const { purges, say, tag } = rig()
    say({ kind: 'history', label: HISTORY, position: 0 })
    tag('a', 1, 1)
    tag('own', 2)
    assert.equal(verdict(purges, 1, 'own'), HARD)
    tag('b', 3, 2)
    say({ kind: 'mark', id: 2, position: 3 })
    assert.equal(purges.position, 3)
    assert.equal(verdict(purges, 2, 'own'), HARD)
    assert.equal(verdict(purges, 3, 'own'), KEPT)
    assert.equal(verdict(purges, 1, 'b'), HARD)
  })

  test('another history begins with nothing known', () => {
    const { purges, say, tag } = rig()
    say({ kind: 'history', label: HISTORY, position: 0 })
    tag('a', 1, 5)
    say({ kind: 'history', label: 99, position: 2 })
    assert.equal(purges.position, 2)
    assert.equal(verdict(purges, 5, 'b'), -1)
    assert.equal(verdict(purges, 2, 'b', 99), KEPT)
    say({ kind: 'history', label: 99, position: 0 })
    assert.equal(purges.position, 2, 'said again it is the same')
  })

  test('a thread that comes later knows the places that the rings still hold, and none before', () => {
    const { log, say, tag } = rig(1_024)
    say({ kind: 'history', label: HISTORY, position: 0 })
    for (let i = 1; i <= 50; i++) tag(`t${i}`, i, i)
    say({ kind: 'history', label: HISTORY, position: 0 })
    const later = new Purges(log, 0)
    assert.equal(later.position, 50)
    assert.equal(verdict(later, 10, 'x'), -1)
    assert.equal(verdict(later, 49, 't50'), HARD)
    assert.equal(verdict(later, 50, 't50'), KEPT)
  })

  test('without a history nothing of an archive is judged', () => {
    const { purges, tag } = rig()
    tag('a', 0)
    assert.equal(purges.history, 0)
    assert.equal(verdict(purges, 0, 'a', 0), -1)
  })
})
