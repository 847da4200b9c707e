/** What is accepted in header values, and what is compiled of it: the two must agree. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkTemplate, type TemplateSide } from '../../../src/policy/variables.ts'
import { validator } from '../../api/schemas.ts'

const FIELDS = { request: 'requestHeaders', response: 'responseHeaders' } as const
const EDITS = ['set', 'add'] as const

/** What the validator says of a value; undefined when nothing. */
function refusal(value: string, side: TemplateSide, edit: 'set' | 'add' = 'set'): string | undefined {
  const policies = { [FIELDS[side]]: { [edit]: [{ name: 'x-a', value }] } }
  const result = validator.check('Route', {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'a', namespace: 'b' },
    spec: { rules: [{ name: 'a', backendRefs: [{ name: 'up' }], policies }] },
  })
  return result.ok ? undefined : result.problems.map(({ message }) => message).join('; ')
}

describe('the validation of a header value', () => {
  it('lets every selector through that there is', () => {
    const selectors = [
      'client.ip',
      'client.ip/1',
      'client.ip/64',
      'client.ip/128',
      'header:X-a',
      "header:!#$%&'*+.^_`|~",
    ]
    selectors.push('cookie:sid', 'query:a[b]', 'claim:a.b', 'consumer', 'path', 'method', 'host', 'request.id')
    for (const selector of selectors)
      for (const side of ['request', 'response'] as const)
        for (const edit of EDITS) assert.equal(refusal(`a %{${selector}}, 5 %%`, side, edit), undefined, selector)
  })

  it('lets what is known of a response through in responseHeaders, and says so elsewhere', () => {
    for (const value of ['%{response.status}', 'was %{response.header:X-Cache} %{response.status}'])
      for (const edit of EDITS) {
        assert.equal(refusal(value, 'response', edit), undefined)
        assert.match(refusal(value, 'request', edit) ?? '', /only in responseHeaders %\{response\.status\} and /)
      }
  })

  it('is the same in the settings', () => {
    const check = (field: string, value: string): boolean =>
      validator.checkSettings({ policies: { defaults: { [field]: { set: [{ name: 'x-a', value }] } } } }).ok
    assert.deepEqual(
      [check('responseHeaders', '%{response.status}'), check('requestHeaders', '%{response.status}')],
      [true, false],
    )
    assert.equal(check('responseHeaders', '%{client.ip/129}'), false)
  })

  it('refuses what cannot be compiled', () => {
    for (const selector of ['client.ip/0', 'client.ip/129', 'client.ip/999', 'header:a b', 'header:a@b', 'cookie:a{b'])
      for (const side of ['request', 'response'] as const) {
        assert.notEqual(checkTemplate(`%{${selector}}`, side), undefined)
        assert.notEqual(refusal(`%{${selector}}`, side), undefined, selector)
      }
    for (const selector of ['response.header:', 'response.header:a@b', 'response.statuses', 'response'])
      assert.notEqual(refusal(`%{${selector}}`, 'response'), undefined, selector)
  })

  it('lets nothing through that is not compiled, whatever it is', () => {
    const kind = fc.constantFrom(
      'header',
      'cookie',
      'query',
      'claim',
      'response.header',
      'client.ip/',
      'response.status',
    )
    const name = fc.string({ unit: 'binary-ascii', minLength: 0, maxLength: 4 })
    const variable = fc.tuple(kind, fc.constantFrom(':', ''), name).map((parts) => `%{${parts.join('')}}`)
    const bits = fc.nat(140).map((number) => `%{client.ip/${number}}`)
    const text = fc.array(fc.oneof(variable, bits, name, fc.constantFrom('%%', '%', '%{path}')), { maxLength: 3 })
    fc.assert(
      fc.property(text, fc.constantFrom('request', 'response'), (parts, side) => {
        const value = parts.join('')
        if (refusal(value, side) === undefined) assert.equal(checkTemplate(value, side), undefined, value)
      }),
      { numRuns: 500 },
    )
  })
})
