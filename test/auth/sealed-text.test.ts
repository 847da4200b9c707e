import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { open, seal } from '../../src/auth/sealed-text.ts'

const key = randomBytes(32)
const own = { key, purpose: 'session' }

describe('a sealed text', () => {
  it('opens with its key for its purpose, and says nothing of its length but that', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        const sealed = seal(own, text, randomBytes)
        assert.match(sealed, /^[-\w]+$/)
        assert.equal(open(own, sealed), text)
        assert.notEqual(seal(own, text, randomBytes), sealed)
        assert.equal(open({ key: randomBytes(32), purpose: 'session' }, sealed), undefined)
        assert.equal(open({ key, purpose: 'state' }, sealed), undefined)
      }),
    )
  })

  it('opens in no other spelling, and not with any bit changed, cut or added', () => {
    const sealed = seal(own, 'text', randomBytes)
    const bytes = Buffer.from(sealed, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.equal(open(own, changed.toString('base64url')), undefined)
    }
    for (let length = 0; length < sealed.length; length++) assert.equal(open(own, sealed.slice(0, length)), undefined)
    for (const other of [`${sealed}A`, `${sealed}=`, ` ${sealed}`, bytes.toString('base64'), `${sealed}.`])
      if (other !== sealed) assert.equal(open(own, other), undefined)
  })

  it('is nothing that anybody else writes', () => {
    fc.assert(fc.property(fc.base64String(), (text) => assert.equal(open(own, text), undefined)))
  })
})
