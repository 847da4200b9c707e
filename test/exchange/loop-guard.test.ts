import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LoopGuard } from '../../src/exchange/loop-guard.ts'
import { Fields } from '../../src/message/fields.ts'
import type { RuleView } from '../../src/snapshot/route-tables.ts'

const rule = (key: string): RuleView => ({ route: key, rule: 'x', key, policyIndex: 0, backends: [] })
const A = rule('tenant-a/shop/main')
const B = rule('tenant-b/blog/main')
const guard = new LoopGuard({ seed: 'seed', passes: 3 })

/** The field as a request has it that was sent on by these. */
function passed(...lines: string[]): Fields {
  const fields = new Fields()
  for (const line of lines) fields.add('cdn-loop', line.slice('cdn-loop: '.length, -2))
  return fields
}

describe('the loop guard', () => {
  it('lets a request pass each rule once, and as often in all as it may', () => {
    assert.equal(guard.detect(passed(), A), undefined)
    assert.match(guard.detect(passed(guard.line(A)), A) ?? '', /passed this rule before/)
    assert.equal(guard.detect(passed(guard.line(A)), B), undefined)
    const rules = ['1', '2', '3'].map((name) => guard.line(rule(name)))
    assert.equal(guard.detect(passed(...rules.slice(0, 2)), B), undefined)
    assert.match(guard.detect(passed(...rules), B) ?? '', /3 times, which is limits\.passes/)
    assert.match(guard.detect(passed(`cdn-loop: ${'x'.repeat(5_000)}\r\n`), B) ?? '', /longer than/)
  })

  it('knows its replicas and no other installation, whatever rules that has', () => {
    const replica = new LoopGuard({ seed: 'seed', passes: 3 })
    const other = new LoopGuard({ seed: 'another seed', passes: 3 })
    assert.ok(guard.detect(passed(replica.line(rule(A.key))), A))
    assert.equal(guard.detect(passed(other.line(A), other.line(A), other.line(A), other.line(A)), A), undefined)
  })

  it('writes one short line that tells no name, the same for the same rule', () => {
    assert.match(guard.line(A), /^cdn-loop: headgate-[0-9a-f]{20};r=[0-9a-f]{12}\r\n$/)
    assert.equal(guard.line(A), guard.line(rule(A.key)))
    assert.notEqual(guard.line(A), guard.line(B))
  })
})
