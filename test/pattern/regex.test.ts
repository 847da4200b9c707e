import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compilePattern, MAX_AUTOMATON_BYTES, Pattern, substitutionProblem } from '../../src/pattern/regex.ts'

function pattern(source: string): Pattern {
  const compiled = compilePattern(source)
  assert.ok(compiled instanceof Pattern, JSON.stringify(compiled))
  return compiled
}

describe('a pattern', () => {
  it('matches the whole text or not at all', () => {
    assert.ok(pattern('/a/[0-9]+').matches('/a/42'))
    assert.ok(!pattern('/a/[0-9]+').matches('/a/42/'))
    assert.ok(!pattern('/a').matches('x/a'))
    assert.ok(pattern('a|ab').matches('ab'))
  })
  it('reports why a pattern is invalid', () => {
    for (const source of ['(', 'a(?=b)', '(a)\\1', 'x{1001}', '[z-a]', 'a**', 'a'.repeat(1025), '(?:[^a]{100}){20}']) {
      const compiled = compilePattern(source)
      assert.ok(!(compiled instanceof Pattern) && compiled.error.length > 0, source)
    }
  })
  it('takes linear time where a backtracking engine takes exponential time', () => {
    const text = 'a'.repeat(12_000)
    const started = performance.now()
    assert.ok(!pattern('(a+)+b').matches(text))
    assert.ok(!pattern('(a|a)*b').matches(text))
    assert.ok(!pattern('(.*)(.*)(.*)(.*)[ab]{50}c').matches(text))
    assert.equal(pattern('(a*)*$').replaceFirst(text, 'x'), 'x')
    assert.ok(performance.now() - started < 5000)
  })
  it('throws for a text longer than its size allows, instead of reporting no match', () => {
    const large = pattern('.*a.{400}b')
    assert.ok(large.maxLength >= 1000 && large.maxLength < 16_000)
    const started = performance.now()
    // No rhythm, so that the automaton meets ever new states; the last character decides.
    const text = Array.from({ length: large.maxLength - 1 }, (_, i) => (Math.imul(i, i * 7919) & 64 ? 'a' : 'b')).join(
      '',
    )
    assert.equal(large.matches(`${text}a`), false)
    assert.ok(performance.now() - started < 2000)
    for (const ask of [(text: string) => large.matches(text), (text: string) => large.replaceFirst(text, '')])
      assert.throws(() => ask('a'.repeat(large.maxLength + 1)), { name: 'GatewayError', reason: 'UriTooLong' })
    assert.ok(pattern('/api/v[0-9]+/.*').maxLength > 65_536)
  })
  it('replaces the first match, with groups', () => {
    assert.equal(pattern('/v([0-9]+)/(.*)').replaceFirst('/v2/users', '/$2/$1'), '/users/2')
    assert.equal(pattern('a').replaceFirst('banana', '[$0]'), 'b[a]nana')
    assert.equal(pattern('x').replaceFirst('banana', 'y'), 'banana')
    assert.equal(pattern('(a)|(b)').replaceFirst('b', '<$1$2>'), '<b>')
    assert.equal(pattern('a').replaceFirst('a', '$$0 $$ &'), '$0 $ &')
    assert.equal(pattern('(a)').replaceFirst('a', '$10'), 'a0')
    assert.equal(pattern('a').replaceFirst('a', '\\n$`'), '\\n$`')
    assert.equal(pattern('').replaceFirst('a', 'x'), 'xa')
  })
  it('validates substitutions', () => {
    assert.equal(substitutionProblem(pattern('(a)'), '/$1/$0/$$'), undefined)
    for (const text of ['$2', '$', 'a$', '$a', '$$$'])
      assert.notEqual(substitutionProblem(pattern('(a)'), text), undefined, text)
  })
})

describe('the memory of a pattern', () => {
  it('is bounded for any use, without a change of results', () => {
    const large = pattern('.*a.{380}b')
    const fresh = large.bytes
    for (let round = 0; round < 5; round++) {
      const text = noise(2_500, round)
      assert.equal(large.matches(`${text}b`), /a.{380}b$/.test(`${text}b`))
      assert.ok(large.bytes <= fresh + MAX_AUTOMATON_BYTES, `${large.bytes} bytes`)
    }
    // The library would have let it grow to 8 MiB: that the bound is really on its automaton shows in that there is
    // growth at all.
    assert.ok(
      large.bytes > fresh + MAX_AUTOMATON_BYTES / 4,
      `${large.bytes - fresh} bytes: is it the automaton that is bounded?`,
    )
    large.shrink()
    assert.equal(large.bytes, fresh)
    assert.ok(large.matches(`a${'x'.repeat(380)}b`) && !large.matches('b'))
  })
  it('of a usual pattern stays below the bound', () => {
    const path = pattern('/v[0-9]+/(users|orders)(/[a-z0-9-]+)*')
    for (let i = 0; i < 1_000; i++) assert.ok(path.matches(`/v${i}/orders/a-${i}/${noise(8, i)}`))
    assert.ok(path.bytes < 16 * 1024, `${path.bytes} bytes`)
  })
  it('is that of the program for a literal, which needs no automaton', () => {
    const literal = pattern('/a/1')
    assert.ok(literal.matches('/a/1') && !literal.matches('/a/2'))
    assert.equal(literal.bytes, pattern('/a/1').bytes)
  })
})

/** Letters without a rhythm, so that an automaton meets ever new states. */
function noise(length: number, seed: number): string {
  return Array.from({ length }, (_, i) => (Math.imul(i + seed, (i + seed) * 7919) & 64 ? 'a' : 'b')).join('')
}
