import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatPath } from '../../src/api/object.ts'
import { validator } from './schemas.ts'

const RULE = { name: 'r', respond: {} }

function problems(spec: object): string[] {
  const route = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name: 'a' }, spec }
  const verdict = validator.check('Route', route)
  return verdict.ok ? [] : verdict.problems.map(({ path, reason }) => `${formatPath(path)} ${reason}`)
}

const matching = (match: object): string[] => problems({ rules: [{ ...RULE, matches: [match] }] })

describe('paths and expressions that a schema lets pass', () => {
  it('refuses a path that no request can have', () => {
    for (const value of ['/a%zz', '/a%2', '/..;/x', '/a/%252e%252e/', '/a%5Cb', '/a%00'])
      assert.deepEqual(
        matching({ path: { type: 'Exact', value } }),
        ['spec.rules[0].matches[0].path.value Invalid'],
        value,
      )
  })

  it('accepts paths whose normal form differs from what is written', () => {
    for (const value of ['/%61', '/a%2fb', '/a%5B0%5D'])
      assert.deepEqual(matching({ path: { type: 'PathPrefix', value } }), [], value)
  })

  it('refuses an expression that is too large to be matched on every request, wherever it stands', () => {
    const value = '[a-z]{50}[0-9]{50}'.repeat(12)
    assert.deepEqual(matching({ path: { type: 'RegularExpression', value } }), [
      'spec.rules[0].matches[0].path.value Invalid',
    ])
    assert.deepEqual(matching({ headers: [{ name: 'x', type: 'RegularExpression', value }] }), [
      'spec.rules[0].matches[0].headers[0].value Invalid',
    ])
    const rewrite = { path: { type: 'ReplaceRegex', replaceRegex: { pattern: value, substitution: '/' } } }
    assert.deepEqual(problems({ policies: { enforced: { rewrite } }, rules: [RULE] }), [
      'spec.policies.enforced.rewrite.path.replaceRegex.pattern Invalid',
    ])
  })

  it('refuses an expression of which a part is never found, and says what to write', () => {
    for (const value of ['/caf\u00e9', '/a b', '/a\\?b=1'])
      assert.deepEqual(
        matching({ path: { type: 'RegularExpression', value } }),
        ['spec.rules[0].matches[0].path.value Invalid'],
        value,
      )
    const rewrite = { path: { type: 'ReplaceRegex', replaceRegex: { pattern: '/a b', substitution: '/' } } }
    assert.deepEqual(problems({ rules: [{ ...RULE, policies: { rewrite } }] }), [
      'spec.rules[0].policies.rewrite.path.replaceRegex.pattern Invalid',
    ])
  })

  it('refuses a replacement that would be 400 for every request, and takes one with a query', () => {
    const full = (replaceFullPath: string) =>
      problems({ rules: [{ name: 'r', redirect: { path: { type: 'ReplaceFullPath', replaceFullPath } } }] })
    for (const value of ['/new', '/new?v=2', '/new?v=2&w=/a?b', '/', '/?x', '/a%2Fb'])
      assert.deepEqual(full(value), [], value)
    for (const value of ['/a//b', '/a/../b', '/%41', '/a%2fb', '/x//?v=2', '/a b', '/a#b'])
      assert.deepEqual(full(value), ['spec.rules[0].redirect.path.replaceFullPath Invalid'], value)
    const prefix = { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/a//b' } }
    assert.deepEqual(problems({ policies: { rewrite: prefix }, rules: [RULE] }), [
      'spec.policies.rewrite.path.replacePrefixMatch Invalid',
    ])
  })

  it('refuses a delegated prefix that no request can be below', () => {
    const delegates = [{ namespaces: { from: 'All' }, pathPrefixes: ['/ok', '/..;/'] }]
    assert.deepEqual(problems({ hostnames: ['a.test'], delegates, rules: [RULE] }), [
      'spec.delegates[0].pathPrefixes[1] Invalid',
    ])
  })
})
