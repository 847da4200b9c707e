import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { compareMatches, type OrderedMatch } from '../../src/snapshot/order.ts'
import type { Match, ValueMatch } from '../../src/snapshot/snapshot.ts'
import { ANY } from '../suite/router.ts'

function ordered(match: Partial<Match>, origin: Partial<Omit<OrderedMatch, 'match'>> = {}): OrderedMatch {
  return { match: { ...ANY, ...match }, created: undefined, route: 'ns/a', ruleOrder: 0, matchOrder: 0, ...origin }
}

const value = (name: string): ValueMatch => ({ name, type: 'Present', value: '' })

describe('the order of matches', () => {
  it('is that of api.md, each line deciding before the next', () => {
    const lines: OrderedMatch[] = [
      ordered({ path: { type: 'Exact', value: '/a' } }),
      ordered({ path: { type: 'RegularExpression', value: '/a/[a-z]+' } }),
      ordered({ path: { type: 'RegularExpression', value: '/a.*' } }),
      ordered({ path: { type: 'PathPrefix', value: '/a/b' } }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, method: 'GET' }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, headers: [value('x'), value('y')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, headers: [value('x')], queryParams: [value('q')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, headers: [value('x')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, queryParams: [value('q')], cookies: [value('c')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, queryParams: [value('q')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, cookies: [value('c')], sourceCIDRs: ['10.0.0.0/8'] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, cookies: [value('c')] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' }, sourceCIDRs: ['10.0.0.0/8'] }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { created: 1, route: 'z/z' }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { created: 2 }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { route: 'ns/a', ruleOrder: 0, matchOrder: 0 }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { route: 'ns/a', ruleOrder: 0, matchOrder: 1 }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { route: 'ns/a', ruleOrder: 1 }),
      ordered({ path: { type: 'PathPrefix', value: '/a' } }, { route: 'ns/b' }),
      ordered({}),
    ]
    lines.forEach((one, i) => {
      lines.forEach((other, j) => {
        assert.equal(Math.sign(compareMatches(one, other)), Math.sign(i - j), `${i} against ${j}`)
      })
    })
  })

  it('is total: no two matches are equal, and no circle can be made', () => {
    const list = fc.array(fc.constantFrom(value('a'), value('b')), { maxLength: 2 })
    const one = fc.record({
      match: fc.record({
        path: fc.record({
          type: fc.constantFrom('Exact' as const, 'PathPrefix' as const, 'RegularExpression' as const),
          value: fc.constantFrom('/', '/a', '/b', '/a/b'),
        }),
        method: fc.constantFrom('GET', 'PUT'),
        headers: list,
        queryParams: list,
        cookies: list,
        sourceCIDRs: fc.array(fc.constant('10.0.0.0/8'), { maxLength: 2 }),
      }),
      created: fc.constantFrom(undefined, 1, 2),
      route: fc.constantFrom('a/a', 'a/b', 'a-b/a'),
      ruleOrder: fc.nat(2),
      matchOrder: fc.nat(2),
    })
    fc.assert(
      fc.property(one, one, one, (a, b, c) => {
        assert.equal(Math.sign(compareMatches(a, b)), -Math.sign(compareMatches(b, a)) || 0)
        if (compareMatches(a, b) <= 0 && compareMatches(b, c) <= 0) assert.ok(compareMatches(a, c) <= 0)
        const origin = (x: OrderedMatch): string => `${x.created} ${x.route} ${x.ruleOrder} ${x.matchOrder}`
        if (compareMatches(a, b) === 0) assert.equal(origin(a), origin(b))
      }),
      { numRuns: 5000 },
    )
  })
})
