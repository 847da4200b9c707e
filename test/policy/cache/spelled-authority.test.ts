import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { spelledAuthority } from '../../../src/policy/cache/spelled-authority.ts'

describe('how an authority is spelled', () => {
  it('is nothing of its own in its normal form', () => {
    const origin = { scheme: 'http', host: 'shop.test', port: 80 } as const
    assert.equal(spelledAuthority('shop.test', origin), undefined)
    assert.equal(spelledAuthority(undefined, origin), undefined)
    assert.equal(spelledAuthority('shop.test:8080', { ...origin, port: 8_080 }), undefined)
    assert.equal(spelledAuthority('shop.test', { scheme: 'https', host: 'shop.test', port: 443 }), undefined)
    assert.equal(spelledAuthority('[::1]:8080', { scheme: 'http', host: '[::1]', port: 8_080 }), undefined)
    assert.equal(spelledAuthority('', { scheme: 'http', host: '', port: 80 }), undefined)
  })

  it('is another one in capitals, with the port of its scheme, a dot, zeros, an empty port or another form of an address', () => {
    const origin = { scheme: 'http', host: 'shop.test', port: 80 } as const
    for (const authority of ['SHOP.test', 'shop.tesT', 'shop.test:80', 'Shop.Test:80', 'shop.test.', 'shop.test:'])
      assert.equal(spelledAuthority(authority, origin), authority)
    for (const authority of ['shop.test:080', 'shop.test.:80', 'internal.test'])
      assert.equal(spelledAuthority(authority, origin), authority)
    assert.equal(spelledAuthority('[0:0::1]', { ...origin, host: '[::1]' }), '[0:0::1]')
    assert.equal(spelledAuthority('Shop.test:8080', { ...origin, port: 8_080 }), 'Shop.test:8080')
    assert.equal(spelledAuthority('shop.test:443', { scheme: 'https', host: 'shop.test', port: 443 }), 'shop.test:443')
  })

  it('is another one without the port where that is not the own one of the scheme', () => {
    for (const authority of ['shop.test', 'SHOP.test'])
      assert.equal(spelledAuthority(authority, { scheme: 'http', host: 'shop.test', port: 8_443 }), authority)
    assert.equal(spelledAuthority('shop.test', { scheme: 'https', host: 'shop.test', port: 80 }), 'shop.test')
  })

  it('does not mistake one origin for the other', () => {
    const authority = 'shop.test:8080'
    for (let times = 0; times < 2; times++) {
      assert.equal(spelledAuthority(authority, { scheme: 'http', host: 'shop.test', port: 8_080 }), undefined)
      assert.equal(spelledAuthority(authority, { scheme: 'http', host: 'shop.test', port: 80 }), authority)
    }
  })
})
