import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../../src/message/fields.ts'
import { checkFieldName, isProtectedField } from '../../../src/policy/header-edits/field-names.ts'
import { requestHeaders, responseHeaders } from '../../../src/policy/header-edits/filter.ts'
import type { HeaderEdits } from '../../../src/policy/policy-set.ts'
import { make, PLAIN, pairs, TestExchange, testDeps } from '../exchange.ts'

function edits(given: Partial<HeaderEdits>): HeaderEdits {
  return { set: [], add: [], remove: [], ...given }
}

function edited(given: Partial<HeaderEdits>, fields: Record<string, string>): [string, string][] {
  const x = new TestExchange({ path: '/a' }, fields)
  assert.equal(make(requestHeaders, { requestHeaders: edits(given) }).onRequest!(x), undefined)
  return pairs(x.request)
}

describe('request headers', () => {
  it('set replaces every field of the name, add keeps them, remove takes them away', () => {
    const given = { set: [{ name: 'a', value: 'new' }], add: [{ name: 'b', value: 'more' }], remove: ['c'] }
    const expected = [
      ['b', '2'],
      ['a', 'new'],
      ['b', 'more'],
    ]
    assert.deepEqual(edited(given, { a: '1', b: '2', c: '3' }), expected)
  })

  it('add after remove in one rule leaves only what was added', () => {
    assert.deepEqual(edited({ add: [{ name: 'a', value: 'new' }], remove: ['a'] }, { a: 'old' }), [['a', 'new']])
  })

  it('rename a field by taking its value before it is removed', () => {
    const given = { set: [{ name: 'x-new', value: '%{header:x-old}' }], remove: ['x-old'] }
    assert.deepEqual(edited(given, { 'x-old': 'v' }), [['x-new', 'v']])
  })

  it('swap two fields, since all values are taken before the first change', () => {
    const set = [
      { name: 'a', value: '%{header:b}' },
      { name: 'b', value: '%{header:a}' },
    ]
    assert.deepEqual(edited({ set }, { a: '1', b: '2' }), [
      ['a', '2'],
      ['b', '1'],
    ])
  })

  it('set the same name twice to have it twice', () => {
    const set = [
      { name: 'a', value: '1' },
      { name: 'a', value: '2' },
    ]
    assert.deepEqual(edited({ set }, { a: '0' }), [
      ['a', '1'],
      ['a', '2'],
    ])
  })

  it('remove what a client sent under the name of a claim that is missing', () => {
    const given = { set: [{ name: 'x-user', value: '%{claim:sub}' }], add: [{ name: 'x-more', value: '%{claim:sub}' }] }
    assert.deepEqual(edited(given, { 'x-user': 'admin' }), [])
  })

  it('take every spelling away that a server may read as the same name', () => {
    const sent = { x_user: 'root', 'x-user': 'root', 'x_my-tag': '1', x_my_tag: '2', 'x-my-tags': '3', y: '4' }
    const set = [{ name: 'x-user', value: '%{claim:sub}' }]
    assert.deepEqual(edited({ set, remove: ['x-my_tag'] }, sent), [
      ['x-my-tags', '3'],
      ['y', '4'],
    ])
    // The value is taken before that.
    assert.deepEqual(edited({ set: [{ name: 'x-user', value: '%{header:x_user}' }] }, { x_user: 'a' }), [
      ['x-user', 'a'],
    ])
  })

  it('send an empty value that is written as one', () => {
    assert.deepEqual(edited({ set: [{ name: 'a', value: '' }] }, {}), [['a', '']])
  })

  it('are not composed where nothing is sent upstream', () => {
    const policy = { ...PLAIN, requestHeaders: edits({ remove: ['a'] }) }
    assert.equal(
      requestHeaders.create({ ...policy, action: { type: 'respond', statusCode: 200 } }, testDeps()),
      undefined,
    )
    assert.equal(requestHeaders.create({ ...PLAIN, requestHeaders: edits({}) }, testDeps()), undefined)
    assert.notEqual(requestHeaders.create(policy, testDeps()), undefined)
  })

  it('explain themselves', () => {
    const given = edits({
      set: [{ name: 'a', value: '%{path}' }],
      add: [{ name: 'b', value: '1' }],
      remove: ['c', 'd'],
    })
    assert.deepEqual(make(requestHeaders, { requestHeaders: given }).explain!(new TestExchange()), {
      filter: 'request-headers',
      effect: 'removes c, removes d, sets a: %{path}, adds b: 1 on the request',
    })
  })
})

describe('response headers', () => {
  it('change the head of the response and may speak of both', () => {
    const given = edits({
      set: [{ name: 'x-was', value: '%{response.status} for %{method} by %{response.header:server}' }],
      remove: ['server'],
    })
    const head = { status: 201, fields: Fields.from({ server: 'old' }), bodyLength: 0 }
    assert.equal(
      make(responseHeaders, { responseHeaders: given }).onResponse!(new TestExchange(), head, null),
      undefined,
    )
    assert.deepEqual(pairs(head.fields), [['x-was', '201 for GET by old']])
  })

  it('leave a field of a response alone that only looks alike', () => {
    const head = { status: 200, fields: Fields.from({ x_tag: '1', 'x-tag': '2' }), bodyLength: 0 }
    make(responseHeaders, { responseHeaders: edits({ remove: ['x-tag'] }) }).onResponse!(new TestExchange(), head, null)
    assert.deepEqual(pairs(head.fields), [['x_tag', '1']])
  })

  it('are composed for rules that answer themselves too', () => {
    const policy = { ...PLAIN, action: { type: 'respond', statusCode: 200 }, responseHeaders: edits({ remove: ['a'] }) }
    assert.notEqual(responseHeaders.create(policy as never, testDeps()), undefined)
  })
})

describe('names that edits may not touch', () => {
  it('are those of framing, of one hop and of forwarding, in every spelling', () => {
    for (const name of [
      'content-length',
      'Transfer-Encoding',
      'connection',
      'te',
      'upgrade',
      'host',
      'expect',
      'trailer',
    ])
      assert.ok(isProtectedField(name), name)
    for (const name of ['forwarded', 'x-forwarded-for', 'X_Forwarded_Proto', 'x-real_ip', 'content_length'])
      assert.ok(isProtectedField(name), name)
    for (const member of ['host', 'port', 'proto']) assert.ok(isProtectedField(`x-forwarded-${member}`), member)
    assert.ok(isProtectedField('x-forwarded'))
    // RFC 8586 §3: who removes it or changes it hides a loop.
    for (const name of ['cdn-loop', 'CDN-Loop', 'cdn_loop']) assert.ok(isProtectedField(name), name)
    for (const name of ['x-request-id', 'server', 'content-type', 'authorization', 'x-forwarder'])
      assert.ok(!isProtectedField(name), name)
  })

  it('are not what a proxy may say besides, such as a user or a prefix', () => {
    for (const member of [
      'user',
      'email',
      'groups',
      'client-cert',
      'prefix',
      'server',
      'uri',
      'method',
      'fortune',
      'for-x',
    ])
      assert.ok(!isProtectedField(`x-forwarded-${member}`), member)
    const given = {
      set: [{ name: 'x-forwarded-user', value: '%{claim:sub}' }],
      add: [{ name: 'x-forwarded-prefix', value: '/shop' }],
      remove: ['x-forwarded-client-cert'],
    }
    const sent = {
      'x-forwarded-user': 'root',
      x_forwarded_user: 'root',
      'x-forwarded-client-cert': 'mine',
      accept: 'x',
    }
    assert.deepEqual(edited(given, sent), [
      ['accept', 'x'],
      ['x-forwarded-prefix', '/shop'],
    ])
  })

  it('are refused when a chain is composed, as is what is no name in lower case', () => {
    for (const name of ['host', 'X-Upper', 'a b', '', 'a:b', 'ü'])
      for (const kind of ['set', 'add', 'remove']) {
        const given = edits({ [kind]: kind === 'remove' ? [name] : [{ name, value: 'v' }] })
        assert.throws(() => make(requestHeaders, { requestHeaders: given }), TypeError, `${kind} ${name}`)
        assert.throws(() => make(responseHeaders, { responseHeaders: given }), TypeError, `${kind} ${name}`)
      }
    assert.equal(checkFieldName('x-ok'), undefined)
    assert.match(checkFieldName('host') ?? '', /cannot be changed/)
  })
})
