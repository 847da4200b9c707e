import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeFormText, findQueryParam, validateQuery } from '../../src/pattern/query.ts'

describe('a query', () => {
  it('may contain visible ASCII except the number sign', () => {
    for (const text of ['', 'a=1&b[]=2', 'q={"x":1}', 'a=%zz', "a='|^`<>", 'a=b?c=/d', '\\'])
      assert.ok(validateQuery(text), text)
    for (const text of ['a b', 'a#b', 'a\tb', 'a\r\nb', '\0', '\x7f', 'é', '\u2028'])
      assert.ok(!validateQuery(text), JSON.stringify(text))
  })
})

describe('a query parameter', () => {
  it('is the first of its name', () => {
    assert.equal(findQueryParam('a=1&b=2&b=3', 'b'), '2')
    assert.equal(findQueryParam('ab=1&b=2', 'b'), '2')
    assert.equal(findQueryParam('a=1', 'b'), undefined)
    assert.equal(findQueryParam('', 'b'), undefined)
    assert.equal(findQueryParam('&&b=2', 'b'), '2')
    assert.equal(findQueryParam('b', 'b'), '')
    assert.equal(findQueryParam('b=', 'b'), '')
    assert.equal(findQueryParam('b=x=y', 'b'), 'x=y')
    assert.equal(findQueryParam('a;b=1', 'b'), undefined)
  })
  it('is compared after decoding', () => {
    assert.equal(findQueryParam('%62=a+b%2Bc', 'b'), 'a b+c')
    assert.equal(findQueryParam('a+b=1', 'a b'), '1')
    assert.equal(findQueryParam('a+b=1', 'a+b'), undefined)
    assert.equal(findQueryParam('a%2Bb=1', 'a+b'), '1')
    assert.equal(findQueryParam('gr%C3%BCn=1', 'grün'), '1')
  })
  it('equals the result of URLSearchParams', () => {
    const piece = fc.constantFrom('a', 'b', '=', '&', '+', '%', '%20', '%2B', '%C3', '%BC', '%zz', '%2', ';', '%00')
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 10 }),
        fc.constantFrom('', 'a', 'b', 'ab', 'a b', 'ü', '%', 'a+b'),
        (pieces, name) => {
          const query = pieces.join('')
          // URLSearchParams reads an empty first name out of "=x"; so do we, but not out of "&&".
          assert.equal(findQueryParam(query, name), new URLSearchParams(query).get(name) ?? undefined)
        },
      ),
      { numRuns: 10_000 },
    )
    assert.equal(decodeFormText('%F0%9F%98%80+%'), '\u{1F600} %')
  })
})
