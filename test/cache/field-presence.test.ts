import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { Present, presenceIn } from '../../src/cache/field-presence.ts'
import { Fields } from '../../src/message/fields.ts'

const NAMES: Readonly<Record<keyof typeof Present, readonly string[]>> = {
  CacheControl: ['cache-control'],
  Targeted: ['headgate-cache-control', 'cdn-cache-control'],
  ContentRange: ['content-range'],
  SetCookie: ['set-cookie', 'set-cookie2'],
  Vary: ['vary'],
  Date: ['date'],
  LastModified: ['last-modified'],
  Age: ['age'],
  Expires: ['expires'],
  ETag: ['etag'],
  Connection: ['connection'],
  CacheGroups: ['cache-groups'],
  Authorization: ['authorization'],
  Cookie: ['cookie'],
}
const OTHERS = ['cache-controll', 'x', 'dates', 'content-length', 'etaf', 'x'.repeat(200)]

it('the fields that are present are those that are found one by one', () => {
  const name = fc.constantFrom(...Object.values(NAMES).flat(), ...OTHERS)
  const field = fc.record({ name, upper: fc.boolean(), added: fc.boolean(), removed: fc.boolean() })
  fc.assert(
    fc.property(fc.array(field, { maxLength: 8 }), (list) => {
      const parsed = list.filter(({ added }) => !added)
      const texts = parsed.map((one) => `${one.upper ? one.name.toUpperCase() : one.name}: v\r\n`)
      const fields = new Fields()
      fields.clear(Buffer.from(texts.join('')))
      let at = 0
      for (const { length } of texts) {
        fields.push(at, at + length - 5, at + length - 3, at + length - 2)
        at += length
      }
      fields.end = at
      for (const [i, { removed }] of parsed.entries()) if (removed) fields.removeAt(i)
      for (const one of list) if (one.added) fields.add(one.name, 'v')
      const present = presenceIn(fields)
      for (const [key, names] of Object.entries(NAMES))
        assert.equal(
          (present & Present[key as keyof typeof Present]) !== 0,
          names.some((other) => fields.has(other)),
          key,
        )
    }),
    { numRuns: 2_000 },
  )
})
