import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KnownCredentials } from '../../src/auth/known-credentials.ts'

const SECRET = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8])

describe('credentials that were good before', () => {
  it('are found by their whole text and by nothing like it', () => {
    const known = new KnownCredentials<string>(SECRET)
    known.remember('key-of-anna', 'anna')
    assert.equal(known.get('key-of-anna'), 'anna')
    for (const other of ['', 'key-of-ann', 'key-of-anna ', 'key-of-annA', 'Key-of-anna', 'key-of-anna\0'])
      assert.equal(known.get(other), undefined, other)
  })

  it('are forgotten before there are too many, and found again once remembered', () => {
    const known = new KnownCredentials<number>(SECRET)
    let most = 0
    for (let i = 0; i < 10_000; i++) {
      known.remember(`key-${i}`, i)
      assert.equal(known.get(`key-${i}`), i)
      if (i % 1_000 !== 999) continue
      let found = 0
      for (let j = 0; j <= i; j++) if (known.get(`key-${j}`) !== undefined) found++
      most = Math.max(most, found)
    }
    assert.ok(most > 0 && most <= 2_048, String(most))
  })
})
