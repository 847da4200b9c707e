import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeStatusMessage, MAX_MESSAGE_BYTES } from '../../src/grpc/status-message.ts'

const CHARACTER = fc.constantFrom('a', ' ', '~', '%', '%41', '\r\n', '\0', '\x7f', 'ü', '€', '😀', '\ud83d', '\ude00')

describe('grpc-message', () => {
  it('is decoded to the text again, and a field value meanwhile', () => {
    fc.assert(
      fc.property(fc.string({ unit: CHARACTER, maxLength: 200 }), (text) => {
        const encoded = encodeStatusMessage(text)
        assert.match(encoded, /^([ -$&-~]|%[0-9A-F]{2})*$/)
        // A lone surrogate has no bytes of its own.
        assert.equal(decodeURIComponent(encoded), text.toWellFormed())
      }),
    )
  })

  it('leaves plain text alone', () => {
    assert.equal(encodeStatusMessage('no "endpoint" (503)'), 'no "endpoint" (503)')
    assert.equal(encodeStatusMessage('100 %\r\nü'), '100 %25%0D%0A%C3%BC')
  })

  it('is bounded, and no character is cut in two', () => {
    for (const character of ['a', '%', 'ü', '€', '😀']) {
      const decoded = decodeURIComponent(encodeStatusMessage(`x${character.repeat(2_000)}`))
      assert.ok(decoded.startsWith('x') && decoded.slice(1).replaceAll(character, '') === '', character)
      const bytes = Buffer.byteLength(decoded)
      assert.ok(bytes <= MAX_MESSAGE_BYTES && bytes > MAX_MESSAGE_BYTES - 4, `${bytes}`)
    }
  })
})
