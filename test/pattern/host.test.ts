import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { covers, isHostnamePattern, normalizeHost } from '../../src/pattern/host.ts'
import { authorityText, checkHost } from '../fuzz/host.ts'

describe('an authority', () => {
  it('is compared in lower case, without port and trailing dot', () => {
    assert.deepEqual(normalizeHost('Shop.Example.COM.:8080'), { host: 'shop.example.com', port: 8080 })
    assert.deepEqual(normalizeHost('localhost'), { host: 'localhost', port: 0 })
    assert.deepEqual(normalizeHost('a:'), { host: 'a', port: 0 })
    assert.deepEqual(normalizeHost('XN--bcher-KVA.example'), { host: 'xn--bcher-kva.example', port: 0 })
    assert.deepEqual(normalizeHost('192.0.2.1:80'), { host: '192.0.2.1', port: 80 })
    assert.deepEqual(normalizeHost('my_service.ns'), { host: 'my_service.ns', port: 0 })
  })
  it('has one form for each IPv6 literal', () => {
    for (const text of ['[2001:db8::1]', '[2001:DB8:0:0:0:0:0:1]', '[2001:0db8::0001]'])
      assert.deepEqual(normalizeHost(`${text}:443`), { host: '[2001:db8::1]', port: 443 })
  })
  it('is rejected when it is ambiguous', () => {
    for (const text of [
      '',
      '.',
      'a..b',
      '.a',
      'user@a',
      'user:pw@a',
      'a b',
      'a,b',
      'a/b',
      'a\\b',
      'a?b',
      'a#b',
      'a%2eb',
      'é',
      'a:b',
      'a:-1',
      'a:+1',
      'a:0',
      'a:65536',
      'a:080808',
      'a:80:80',
      '*.a',
      '[::1',
      '::1',
      '[::1]x',
      '[v1.a]',
      '[fe80::1%25eth0]',
      '[1.2.3.4]',
      'a\0',
      `${'a'.repeat(64)}.b`,
      `${'a.'.repeat(128)}`,
    ])
      assert.equal(normalizeHost(text), undefined, JSON.stringify(text))
  })
  it('equals the result of the oracle', () => {
    fc.assert(fc.property(authorityText, checkHost), { numRuns: 20_000 })
  })
})

describe('a hostname pattern', () => {
  it('is a name, or an asterisk label before a name', () => {
    for (const text of ['a', 'shop.example.com', '*.example.com', 'xn--bcher-kva.example', '*.com', '1.a'])
      assert.ok(isHostnamePattern(text), text)
    for (const text of [
      '',
      '*',
      '*.',
      'a.*',
      '*a.b',
      '**.a',
      'A.b',
      'a.',
      '-a',
      'a-',
      'a_b',
      'a b',
      `${'a'.repeat(64)}.b`,
      'a.'.repeat(130),
    ])
      assert.ok(!isHostnamePattern(text), text)
  })
  it('covers one or more labels by its asterisk', () => {
    assert.ok(covers('*.example.com', 'a.example.com'))
    assert.ok(covers('*.example.com', 'a.b.example.com'))
    assert.ok(covers('*.example.com', '*.b.example.com'))
    assert.ok(covers('a.example', 'a.example'))
    assert.ok(covers('*', 'anything'))
    assert.ok(!covers('*.example.com', 'example.com'))
    assert.ok(!covers('*.example.com', '.example.com'))
    assert.ok(!covers('*.example.com', 'aexample.com'))
    assert.ok(!covers('a.example', 'b.a.example'))
    assert.ok(!covers('*.example.com', '*'))
    assert.ok(!covers('*.b.example.com', '*.example.com'))
  })
})
