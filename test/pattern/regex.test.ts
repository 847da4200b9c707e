import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compilePattern, Pattern, PatternCache, substitutionProblem } from '../../src/pattern/regex.ts'

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
  it('says why it cannot be one', () => {
    for (const source of ['(', 'a(?=b)', '(a)\\1', 'x{1001}', '[z-a]', 'a**', 'a'.repeat(1025), '(?:[^a]{100}){20}']) {
      const compiled = compilePattern(source)
      assert.ok(!(compiled instanceof Pattern) && compiled.error.length > 0, source)
    }
  })
  it('takes linear time where a backtracking engine would take for ever', () => {
    const text = 'a'.repeat(12_000)
    const started = performance.now()
    assert.ok(!pattern('(a+)+b').matches(text))
    assert.ok(!pattern('(a|a)*b').matches(text))
    assert.ok(!pattern('(.*)(.*)(.*)(.*)[ab]{50}c').matches(text))
    assert.equal(pattern('(a*)*$').replaceFirst(text, 'x'), 'x')
    assert.ok(performance.now() - started < 5000)
  })
  it('does not look at more text than its size allows, and says so instead of saying no', () => {
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
  it('has its substitution checked beforehand', () => {
    assert.equal(substitutionProblem(pattern('(a)'), '/$1/$0/$$'), undefined)
    for (const text of ['$2', '$', 'a$', '$a', '$$$'])
      assert.notEqual(substitutionProblem(pattern('(a)'), text), undefined, text)
  })
})

describe('the cache of patterns', () => {
  it('compiles a source once and forgets what was not used for longest', () => {
    const cache = new PatternCache(2)
    const a = cache.get('a')
    cache.get('b')
    assert.equal(cache.get('a'), a)
    cache.get('c')
    assert.ok(cache.has('a') && cache.has('c') && !cache.has('b'))
    assert.equal(cache.size, 2)
  })
  it('takes a pattern that does not compile for a mistake of the caller', () => {
    assert.throws(() => new PatternCache().get('('), TypeError)
    assert.throws(() => new PatternCache(0), TypeError)
  })
})
