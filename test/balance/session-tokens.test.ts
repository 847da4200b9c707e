import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SessionTokens } from '../../src/balance/session-tokens.ts'
import { Bench } from '../suite/balancer.ts'

const KEY = Buffer.alloc(32, 7)

describe('session tokens', () => {
  const bench = new Bench()
  const endpoints = bench.endpoints(1, 1, 1)

  it('lead to their endpoint, at every replica with the key', () => {
    const one = new SessionTokens('shop/api', KEY)
    const other = new SessionTokens('shop/api', Buffer.from(KEY))
    for (const endpoint of endpoints) assert.equal(other.find(one.tokenOf(endpoint), endpoints), endpoint)
  })

  it('show no address and are cookie values', () => {
    const tokens = new SessionTokens('shop/api', KEY)
    for (const endpoint of endpoints) {
      const token = tokens.tokenOf(endpoint)
      assert.match(token, /^[\w-]{24}$/)
      assert.ok(!Buffer.from(token, 'base64url').includes('10.0.0'))
    }
  })

  it('mean nothing with another key, at another Backend and for an endpoint that is gone', () => {
    const tokens = new SessionTokens('shop/api', KEY)
    const token = tokens.tokenOf(endpoints[1]!)
    assert.equal(new SessionTokens('shop/api', Buffer.alloc(32, 8)).find(token, endpoints), undefined)
    assert.equal(new SessionTokens('shop/web', KEY).find(token, endpoints), undefined)
    assert.equal(tokens.find(token, [endpoints[0]!, endpoints[2]!]), undefined)
    assert.equal(tokens.find(token, endpoints), endpoints[1])
  })

  it('cannot be guessed in parts, and huge or foreign texts are nobody’s', () => {
    const tokens = new SessionTokens('shop/api', KEY)
    const token = tokens.tokenOf(endpoints[0]!)
    for (let i = 0; i < token.length; i++) {
      const forged = `${token.slice(0, i)}${token[i] === 'A' ? 'B' : 'A'}${token.slice(i + 1)}`
      assert.equal(tokens.find(forged, endpoints), undefined)
    }
    const foreign = ['', token.slice(1), `${token}=`, 'x'.repeat(60_000), `${token.slice(0, 23)}é`, '10.0.0.0:80']
    for (const text of foreign) assert.equal(tokens.find(text, endpoints), undefined)
  })
})
