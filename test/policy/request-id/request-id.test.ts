import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Fields } from '../../../src/message/fields.ts'
import { fillRequestId, ID_LENGTH, makeRequestId, requestIdOf } from '../../../src/policy/request-id/request-id.ts'
import { seeded } from '../../suite/balancer.ts'

function sent(...ids: string[]): Fields {
  const fields = new Fields()
  for (const id of ids) fields.add('x-request-id', id)
  return fields
}

describe('a request id', () => {
  it('is twenty letters and digits', () => {
    for (const random of [() => 0, () => 1 - 2 ** -53, seeded(1)])
      assert.match(makeRequestId(random), /^[0-9a-hjkmnp-tv-z]{20}$/)
    assert.equal(
      makeRequestId(() => 0),
      '0'.repeat(20),
    )
    assert.equal(
      makeRequestId(() => 1 - 2 ** -53),
      'z'.repeat(20),
    )
  })

  it('is the same as text and as bytes', () => {
    const bytes = new Uint8Array(ID_LENGTH)
    for (let seed = 0; seed < 1_000; seed++) {
      fillRequestId(seeded(seed), bytes)
      assert.equal(Buffer.from(bytes).toString(), makeRequestId(seeded(seed)))
    }
  })

  it('differs from all others', () => {
    const ids = new Set(Array.from({ length: 100_000 }, () => makeRequestId(Math.random)))
    assert.equal(ids.size, 100_000)
  })

  it('uses every character in every place', () => {
    const seen = Array.from({ length: 20 }, () => new Set<string>())
    for (let i = 0; i < 2_000; i++)
      for (const [place, char] of [...makeRequestId(Math.random)].entries()) seen[place]!.add(char)
    for (const chars of seen) assert.equal(chars.size, 32)
  })

  it('is taken over from a trusted proxy', () => {
    for (const id of ['abc', '0b2f9f3e-1c1f-4a6f-9f44-0d9f9a6a0f0e', 'A.b_c~d+e=', 'x'.repeat(128)])
      assert.equal(requestIdOf(sent(id), true, seeded(1)), id)
  })

  it('is made anew where nobody trusted sent it', () => {
    assert.notEqual(requestIdOf(sent('abc'), false, seeded(1)), 'abc')
  })

  it('is made anew where it is missing, sent twice, too long, or could be read as something else', () => {
    const made = makeRequestId(seeded(1))
    assert.equal(requestIdOf(sent(), true, seeded(1)), made)
    assert.equal(requestIdOf(sent('a', 'a'), true, seeded(1)), made)
    for (const id of ['', 'x'.repeat(129), 'a b', 'a"b', 'a\\b', '//evil', 'urn:x', '<x>', 'ü', '{', 'a,b'])
      assert.equal(requestIdOf(sent(id), true, seeded(1)), made, id)
  })

  it('never needs an escape in JSON or in a URI', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), fc.nat(), (text, seed) => {
        const fields = /^[\t\x20-\x7e]*$/.test(text) ? sent(text) : sent()
        const id = requestIdOf(fields, true, seeded(seed))
        assert.equal(JSON.stringify(id), `"${id}"`)
        assert.equal(new URL(id, 'https://a/b/').origin, 'https://a')
      }),
    )
  })
})
