import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LoopGuard } from '../../src/exchange/loop-guard.ts'
import { BLOCK_LINES } from '../../src/http/field-lines.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import type { RuleView } from '../../src/snapshot/route-tables.ts'

const rule = (key: string): RuleView => ({
  ...{ route: key, rule: 'x', key, policyIndex: 0, backends: [], levels: null, divided: false },
})
const A = rule('tenant-a/shop/main')
const B = rule('tenant-b/blog/main')
const guard = new LoopGuard({ seed: 'seed', passes: 3 })

/** The field as a request has it that was sent on by these. */
function passed(...blocks: FieldBlock[]): Fields {
  const fields = new Fields()
  for (const block of blocks) fields.add('cdn-loop', block.pairs[1]!)
  return fields
}

describe('the loop guard', () => {
  it('lets a request pass each rule once, and as often in all as it may', () => {
    assert.equal(guard.detect(passed(), A), undefined)
    assert.match(guard.detect(passed(guard.block(A)), A) ?? '', /passed this rule before/)
    assert.equal(guard.detect(passed(guard.block(A)), B), undefined)
    const rules = ['1', '2', '3'].map((name) => guard.block(rule(name)))
    assert.equal(guard.detect(passed(...rules.slice(0, 2)), B), undefined)
    assert.match(guard.detect(passed(...rules), B) ?? '', /3 times, which is limits\.passes/)
    assert.match(guard.detect(passed(new FieldBlock(['cdn-loop', 'x'.repeat(5_000)])), B) ?? '', /longer than/)
  })

  it('knows its replicas and no other installation, whatever rules that has', () => {
    const replica = new LoopGuard({ seed: 'seed', passes: 3 })
    const other = new LoopGuard({ seed: 'another seed', passes: 3 })
    assert.ok(guard.detect(passed(replica.block(rule(A.key))), A))
    assert.equal(guard.detect(passed(other.block(A), other.block(A), other.block(A), other.block(A)), A), undefined)
  })

  it('writes one short line that discloses no name, equal for the same rule', () => {
    assert.match(guard.block(A).image(BLOCK_LINES), /^cdn-loop: headgate-[0-9a-f]{20};r=[0-9a-f]{12}\r\n$/)
    assert.deepEqual(guard.block(A).pairs, guard.block(rule(A.key)).pairs)
    assert.notDeepEqual(guard.block(A).pairs, guard.block(B).pairs)
  })
})
