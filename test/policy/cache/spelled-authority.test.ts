import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { handsHostOn, normalAuthority, spelledAuthority } from '../../../src/policy/cache/spelled-authority.ts'

const HTTP = { scheme: 'http', host: 'shop.test', port: 80 } as const
const HTTPS = { scheme: 'https', host: 'shop.test', port: 443 } as const

/** What is sent upstream, and what a key has of it beside host and port. */
function told(authority: string, origin: Parameters<typeof normalAuthority>[1]): readonly [string, string | undefined] {
  const sent = normalAuthority(authority, origin)
  return [sent, spelledAuthority(sent, origin)]
}

describe('how an authority is spelled', () => {
  it('is nothing of its own in capitals, with the port of its scheme and without', () => {
    for (const authority of ['shop.test', 'SHOP.test', 'shop.tesT', 'shop.test:80', 'Shop.Test:80'])
      assert.deepEqual(told(authority, HTTP), ['shop.test', undefined], authority)
    for (const authority of ['shop.test', 'Shop.test', 'shop.test:443', 'SHOP.test:443'])
      assert.deepEqual(told(authority, HTTPS), ['shop.test', undefined], authority)
    for (const authority of ['shop.test:8080', 'Shop.TEST:8080'])
      assert.deepEqual(told(authority, { ...HTTP, port: 8_080 }), ['shop.test:8080', undefined], authority)
    assert.deepEqual(told('[::1]:8080', { scheme: 'http', host: '[::1]', port: 8_080 }), ['[::1]:8080', undefined])
    assert.deepEqual(told('[::1]:80', { scheme: 'http', host: '[::1]', port: 80 }), ['[::1]', undefined])
    assert.deepEqual(told('', { scheme: 'http', host: '', port: 80 }), ['', undefined])
  })

  it('is another one with a dot, zeros, an empty port or another form of an address, in capitals or not', () => {
    for (const authority of ['shop.test.', 'shop.test:', 'shop.test:080', 'shop.test.:80', 'internal.test'])
      for (const spelled of [authority, authority.toUpperCase()])
        assert.deepEqual(told(spelled, HTTP), [authority, authority], spelled)
    assert.deepEqual(told('[0:0::A]', { ...HTTP, host: '[::a]' }), ['[0:0::a]', '[0:0::a]'])
  })

  it('is another one without the port where that is not the own one of the scheme', () => {
    for (const authority of ['shop.test', 'SHOP.test'])
      assert.deepEqual(told(authority, { ...HTTP, port: 8_443 }), ['shop.test', 'shop.test'])
    assert.deepEqual(told('shop.test', { ...HTTPS, port: 80 }), ['shop.test', 'shop.test'])
  })

  it('does not mistake one origin for the other', () => {
    for (let times = 0; times < 2; times++) {
      assert.deepEqual(told('Shop.test:8080', { ...HTTP, port: 8_080 }), ['shop.test:8080', undefined])
      assert.deepEqual(told('Shop.test:8080', HTTP), ['shop.test:8080', 'shop.test:8080'])
      assert.deepEqual(told('Shop.test:443', HTTPS), ['shop.test', undefined])
      assert.deepEqual(told('Shop.test:443', { ...HTTP, port: 443 }), ['shop.test:443', undefined])
    }
  })

  it('is known to be handed on by edits', () => {
    const edits = (value: string): Parameters<typeof handsHostOn>[0] => ({
      set: [{ name: 'x-a', value }],
      add: [],
      remove: [],
    })
    for (const value of ['%{header:host}', 'a %{header:Host} b', '%{header:X-Forwarded-Host}'])
      assert.equal(handsHostOn(edits(value)), true, value)
    for (const value of ['%{host}', 'host', '%{header:x-host}']) assert.equal(handsHostOn(edits(value)), false, value)
    assert.equal(handsHostOn(undefined), false)
  })
})
