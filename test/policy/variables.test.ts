import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isFieldValue } from '../../src/message/field-value.ts'
import { Fields } from '../../src/message/fields.ts'
import { CLAIMS, CONSUMER } from '../../src/policy/attribute.ts'
import { networkOf } from '../../src/policy/client-network.ts'
import { checkTemplate, compileTemplate } from '../../src/policy/variables.ts'
import { TestExchange } from './exchange.ts'

const HEAD = { status: 404, fields: Fields.from({ 'x-cache': 'hit' }), bodyLength: 0 }

function rendered(text: string, x: TestExchange): string {
  return compileTemplate(text, 'response').render(x, HEAD)
}

describe('a value with variables', () => {
  const x = new TestExchange(
    { path: '/rewritten', originalPath: '/api/a', query: 'q=a+b%26c&empty', method: 'POST' },
    { 'x-one': '1', cookie: 'sid=abc; uid="u 7"' },
  )
  x.request.add('x-one', '2')
  x.set(CONSUMER, 'acme')
  x.set(CLAIMS, { sub: 'jane', tenant: { id: 7, admin: false }, groups: ['a', 'b', {}], scope: [] })

  for (const [text, value] of [
    ['plain', 'plain'],
    ['100 %%', '100 %'],
    ['%%{path}', '%{path}'],
    ['%{client.ip}', '203.0.113.9'],
    ['%{client.ip/24}', '203.0.113.0/24'],
    ['%{header:X-One}', '1, 2'],
    ['%{cookie:sid}/%{cookie:uid}', 'abc/"u 7"'],
    ['%{query:q}', 'a b&c'],
    ['%{claim:sub}', 'jane'],
    ['%{claim:tenant.id}-%{claim:tenant.admin}', '7-false'],
    ['%{claim:groups}', 'a,b'],
    ['%{consumer}', 'acme'],
    ['%{path}', '/api/a'],
    ['%{method} %{host}', 'POST shop.example.com'],
    ['%{request.id}', 'id-1'],
    ['%{response.status}', '404'],
    ['%{response.header:X-Cache}', 'hit'],
    ['a%{header:none}b', ''],
    ['%{header:none}%{method}', 'POST'],
    ['%{query:empty}', ''],
    ['%{claim:scope}', ''],
    ['%{claim:tenant}', ''],
    ['%{claim:constructor}', ''],
    ['  padded  ', 'padded'],
    ['', ''],
  ] as const)
    it(`${JSON.stringify(text)} reads ${JSON.stringify(value)}`, () => assert.equal(rendered(text, x), value))

  it('is empty where an exchange has none of it', () => {
    const bare = new TestExchange()
    for (const selector of ['header:a', 'cookie:a', 'query:a', 'claim:a', 'consumer'])
      assert.equal(rendered(`%{${selector}}`, bare), '', selector)
    assert.equal(compileTemplate('%{response.status}', 'response').render(bare, null), '')
  })

  it('writes text beyond Latin-1 as the bytes of its UTF-8 form', () => {
    const claims = new TestExchange()
    claims.set(CLAIMS, { name: 'Zoë 東' })
    const bytes = Buffer.from('Zoë 東', 'utf8').toString('latin1')
    assert.equal(rendered('%{claim:name}', claims), bytes)
    assert.equal(compileTemplate('Zoë 東', 'request').constant, bytes)
  })

  it('knows its constant value when there is nothing to fill in', () => {
    assert.equal(compileTemplate('100%%', 'request').constant, '100%')
    assert.equal(compileTemplate('%{path}', 'request').constant, null)
  })

  it('never makes a value that could end a field, whatever clients and issuers put into it', () => {
    const anything = fc.string({ unit: 'binary', maxLength: 40 })
    fc.assert(
      fc.property(anything, anything, anything, (claim, consumer, query) => {
        const hostile = new TestExchange({ query: `q=${encodeURIComponent(query.toWellFormed())}&raw=%0d%0aevil:1` })
        hostile.set(CLAIMS, { sub: claim })
        hostile.set(CONSUMER, consumer)
        const value = rendered('<%{claim:sub}|%{consumer}|%{query:q}|%{query:raw}>', hostile)
        assert.ok(isFieldValue(value))
        assert.ok(!/[\r\n\0]/.test(value))
      }),
    )
  })
})

describe('checkTemplate', () => {
  it('accepts every selector of the list', () => {
    for (const selector of [
      'client.ip',
      'client.ip/64',
      'header:x',
      'cookie:x',
      'query:x',
      'claim:a.b',
      'consumer',
      'path',
    ])
      assert.equal(checkTemplate(`%{${selector}}`), undefined)
    for (const selector of ['method', 'host', 'request.id']) assert.equal(checkTemplate(`%{${selector}}`), undefined)
  })

  it('names what is unknown and what there is instead', () => {
    for (const selector of ['env:HOME', 'client.port', 'client.ip/0', 'client.ip/129', 'header:', 'header:a b', ''])
      assert.match(checkTemplate(`%{${selector}}`) ?? '', /is not a variable here; there are: client\.ip, /, selector)
  })

  it('knows variables of the response only in a response', () => {
    assert.match(checkTemplate('%{response.status}') ?? '', /not a variable here/)
    assert.match(checkTemplate('%{response.header:x}', 'request') ?? '', /not a variable here/)
    assert.equal(checkTemplate('%{response.status}', 'response'), undefined)
    assert.equal(checkTemplate('%{response.header:x}', 'response'), undefined)
  })

  it('asks for %% where a percent sign begins nothing', () => {
    for (const text of ['50%', '%path', '%{path', '% {path}', '%{a{b}'])
      assert.match(checkTemplate(text) ?? '', /write %% for a percent sign/, text)
  })

  it('keep every byte of a text beyond ASCII', () => {
    const x = new TestExchange()
    // In UTF-8 its last byte is what Latin-1 has for a space that does not break.
    x.set(CLAIMS, { name: 'Voilà' })
    for (const text of ['%{claim:name}', 'x %{claim:name}']) assert.ok(rendered(text, x).endsWith('Voil\xc3\xa0'), text)
    assert.equal(rendered('voilà', x), 'voil\xc3\xa0')
  })

  it('never make another name of a claim or consumer that a field cannot hold', () => {
    for (const name of ['ad\0min', 'admin\n', '\x7fadmin', ' admin', 'admin\t']) {
      const x = new TestExchange()
      x.set(CLAIMS, { sub: name, groups: ['ops', name, 'dev'] })
      x.set(CONSUMER, name)
      for (const text of ['%{claim:sub}', '<%{consumer}>']) assert.equal(rendered(text, x), '', JSON.stringify(name))
      if (!isFieldValue(name)) assert.equal(rendered('%{claim:groups}', x), '', JSON.stringify(name))
    }
  })

  it('refuses control characters', () => {
    for (const text of ['a\r\nx: y', 'a\0', '%{path}\n']) assert.match(checkTemplate(text) ?? '', /control characters/)
  })

  it('compiles exactly what it accepts', () => {
    const piece = fc.constantFrom('%', '%%', '{', '}', '%{', 'path', 'header:x', 'x', '\n', '%{path}', '%{claim:a}')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.constantFrom('request', 'response'), (pieces, side) => {
        const text = pieces.join('')
        if (checkTemplate(text, side) === undefined) compileTemplate(text, side)
        else assert.throws(() => compileTemplate(text, side), TypeError)
      }),
    )
  })
})

describe('the network of an address', () => {
  for (const [address, bits, network] of [
    ['2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2::/64'],
    ['2001:db8:1:2:3:4:5:6', 33, '2001:db8::/33'],
    ['2001:db8::1', 128, '2001:db8::1'],
    ['2001:db8::1', 1, '::/1'],
    ['203.0.113.9', 24, '203.0.113.0/24'],
    ['203.0.113.9', 1, '128.0.0.0/1'],
    ['203.0.113.9', 31, '203.0.113.8/31'],
    ['203.0.113.9', 32, '203.0.113.9'],
    ['203.0.113.9', 64, '203.0.113.9'],
    ['unix:', 24, 'unix:'],
  ] as const)
    it(`of ${address} with ${bits} bits is ${network}`, () => assert.equal(networkOf(address, bits), network))
})
