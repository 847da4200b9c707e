import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { presence } from '../../../src/policy/cache/presence.ts'
import { TestExchange } from '../exchange.ts'

function present(selector: string, fields: Readonly<Record<string, string>>, query?: string): boolean {
  const x = new TestExchange({}, fields)
  if (query !== undefined) x.query = query
  return presence(selector)(x)
}

describe('what bypass finds in a request', () => {
  it('a field: empty too, and in spellings that some servers do not tell from it', () => {
    assert.equal(present('header:X-Debug', { 'x-debug': '' }), true)
    assert.equal(present('header:x-debug', { x_debug: '1' }), true)
    assert.equal(present('header:x-debug', { 'x-debugger': '1' }), false)
    assert.equal(present('header:x-debug', {}), false)
  })

  it('a field that a filter has put there, and not one that it has taken away', () => {
    const x = new TestExchange({}, { 'x-a': '1' })
    x.request.remove('x-a')
    assert.equal(presence('header:x-a')(x), false)
    x.request.add('x-a', '')
    assert.equal(presence('header:x-a')(x), true)
  })

  it('a cookie: empty, without a value, quoted, behind a comma', () => {
    for (const cookie of ['preview=1', 'a=1;preview=', 'preview', 'a=1, preview=1', 'a=1;  preview = 1'])
      assert.equal(present('cookie:preview', { cookie }), true, cookie)
    for (const cookie of ['previews=1', 'a=preview', 'a=preview=1', ''])
      assert.equal(present('cookie:preview', { cookie }), false, cookie)
  })

  it('a parameter: empty, encoded, behind a semicolon', () => {
    for (const query of ['fresh', 'a=1&fresh=', 'a;fresh=1', 'a&amp;fresh=1', '%66resh=1', '+fresh=1'])
      assert.equal(present('query:fresh', {}, query), true, query)
    for (const query of ['fresher=1', 'a=fresh', '', '&&'])
      assert.equal(present('query:fresh', {}, query), false, query)
    assert.equal(present('query:fresh', {}), false)
  })

  it('what the gateway knows of the client', () => {
    assert.equal(present('client.ip', {}), true)
    assert.equal(present('consumer', {}), false)
  })
})
