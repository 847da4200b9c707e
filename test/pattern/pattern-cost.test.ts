import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { patternCost } from '../../src/pattern/pattern-cost.ts'

/** Undefined for what is no pattern. */
function sizeOf(source: string): number | undefined {
  try {
    return RE2JS.compile(source).programSize()
  } catch {
    return undefined
  }
}

const leaf = fc.constantFrom(
  'a',
  'Ω',
  '𝒳',
  '.',
  '^',
  '$',
  '\\b',
  '\\d',
  '\\W',
  '\\pL',
  '\\P{Greek}',
  '\\x41',
  '\\x{10FFFF}',
  '\\.',
  '[a-z]',
  '[^]x{9}]',
  '[]{5}]',
  '[[:alpha:]{3}]',
  '[\\]{7}]',
  '[a\\-\\x{2f}]',
  '{',
  '{,5}',
  '{x}',
  '\\Qa{9}(\\E',
  '[\\pL\\pN]',
  '(?i)',
  '(?i:k)',
  '(?P<n>a)',
  '',
)
const quantifier = fc.constantFrom('', '', '*', '+', '?', '*?', '{3}', '{0}', '{0,4}', '{2,}', '{5}?', '{1,9}', '{12}')
const tree = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, depthSize: 'medium' },
    leaf,
    fc.tuple(tie('node'), quantifier).map(([inside, how]) => inside + how),
    fc.tuple(tie('node'), quantifier).map(([inside, how]) => `(${inside})${how}`),
    fc.tuple(tie('node'), quantifier).map(([inside, how]) => `(?:${inside})${how}`),
    fc.array(tie('node'), { maxLength: 4 }).map((parts) => parts.join('')),
    fc.array(tie('node'), { maxLength: 4 }).map((parts) => parts.join('|')),
  ),
})).node

describe('the cost of a pattern', () => {
  it('is never below the size of the compiled program', () => {
    fc.assert(
      fc.property(tree, (source) => {
        const { instructions } = patternCost(source)
        fc.pre(instructions < 20_000)
        const size = sizeOf(source)
        if (size !== undefined) assert.ok(instructions >= size, `${source}: ${instructions} < ${size}`)
      }),
      { numRuns: 20_000 },
    )
  })
  it('is never below it for any text of metacharacters', () => {
    const text = fc.array(fc.constantFrom(...'ab()[]{}\\|*+?^$.,-:0123QEpLx<>PiΩ'), { maxLength: 24 })
    fc.assert(
      fc.property(text, (characters) => {
        const source = characters.join('')
        const { instructions } = patternCost(source)
        fc.pre(instructions < 20_000)
        const size = sizeOf(source)
        if (size !== undefined) assert.ok(instructions >= size, `${source}: ${instructions} < ${size}`)
      }),
      { numRuns: 20_000 },
    )
  })
  it('is close to the actual size for usual patterns', () => {
    for (const source of [
      '/api/v[0-9]+/.*',
      '^/(foo|bar|baz)/[a-z]+(-[0-9]{1,3})?$',
      '/users/[^/]+/posts/\\d+',
      '.*a.{380}b',
    ]) {
      const size = sizeOf(source)!
      assert.ok(patternCost(source).instructions <= size * 2 + 20, source)
    }
  })
  it('multiplies nested repetitions', () => {
    for (const source of [
      `(${'ab'.repeat(250)}){1000}`,
      '((((a{10}){10}){10}))',
      '(a{1,30}){1,33}',
      '(?:(?:[^a]{100}){10})',
    ])
      assert.ok(patternCost(source).instructions > 1000, source)
    assert.ok(patternCost(`(${'ab'.repeat(250)}){1000}`).instructions > 500_000)
  })
  it('counts case folding of Unicode and large classes', () => {
    assert.ok(patternCost(`(?i)${'[a-\\x{10FFFF}]'.repeat(60)}`).compile > 200_000)
    assert.ok(patternCost(`(?i)${'[a-\u{10ffff}]'.repeat(60)}`).compile > 200_000)
    assert.ok(patternCost(`(?i:${'[!-\u00ff]'.repeat(60)})`).compile > 200_000)
    assert.ok(patternCost(`(?i)[${'\\PL\\pL'.repeat(168)}]`).compile > 100_000)
    assert.ok(patternCost('\\PL'.repeat(340)).compile > 30_000)
    assert.ok(patternCost('(?i)[a-z0-9_.-]{1,64}').compile < 1_000)
  })
})
