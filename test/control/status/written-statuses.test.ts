import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Seen } from '../../../src/control/status/seen-statuses.ts'
import type { StatusDocument } from '../../../src/control/status/status-document.ts'
import { WrittenStatuses } from '../../../src/control/status/written-statuses.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const document: StatusDocument = { conditions: [], rest: { rules: 1 } }

function seen(uid: string): Seen {
  return { uid, resourceVersion: '2', generation: 1, className: undefined, conditions: [], rest: '{}' }
}

suite('what was written lately', () => {
  test('of one namespace is not forgotten because much was written in another', () => {
    const time = new VirtualTime()
    const written = new WrittenStatuses(time.keeper())
    written.note('Route calm/shop', document, seen('calm'))
    for (let i = 0; i < 5_000; i++) written.note(`Route noisy/r${i}`, document, seen(`${i}`))
    time.now = 100
    const wait = (id: string, uid: string) => written.waitFor(id, document, seen(uid), 'all').wait
    assert.equal(wait('Route calm/shop', 'calm'), 4_900)
    assert.equal(wait('Route noisy/r4999', '4999'), 4_900)
    assert.equal(wait('Route noisy/r0', '0'), 0, 'it is bounded')
  })
})
