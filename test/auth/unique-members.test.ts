import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseClaims, parseUniqueObject } from '../../src/auth/unique-members.ts'

describe('an object of JSON', () => {
  it('is read as JSON.parse reads it, whatever it holds', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
        const text = JSON.stringify(value, null, 1)
        assert.deepEqual(parseUniqueObject(text), JSON.parse(text))
      }),
    )
  })

  it('is refused when any object in it names a member twice, in whatever spelling', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"x":[{"b":{},"b":[]}]}',
      '{"iss":"a", "x":{"iss":"b"}, "iss" : "c"}',
      '{"__proto__":1,"__proto__":2}',
      '{"\\"":1,"\\"":2}',
    ])
      assert.equal(parseUniqueObject(text), undefined, text)
    assert.deepEqual(parseUniqueObject('{"a":{"a":[":","a"]},"b":"a\\":"}'), { a: { a: [':', 'a'] }, b: 'a":' })
  })

  it('finds a second member of one name wherever it is put', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        fc.nat(),
        (names, from, to) => {
          const parts = names.map((name) => `${JSON.stringify(name)}:[0]`)
          assert.notEqual(parseUniqueObject(`{${parts}}`), undefined)
          parts.splice(to % (parts.length + 1), 0, parts[from % parts.length]!)
          assert.equal(parseUniqueObject(`{${parts}}`), undefined)
        },
      ),
    )
  })

  it('is nothing else, and not without end', () => {
    for (const text of ['', '[]', 'null', '1', '"a"', '{', '{"a":1}x', '\ufeff{}'])
      assert.equal(parseUniqueObject(text), undefined, text)
    const nested = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
    assert.notEqual(parseUniqueObject(nested(31)), undefined)
    assert.equal(parseUniqueObject(nested(32)), undefined)
    assert.equal(parseUniqueObject(nested(100_000)), undefined)
  })
})

describe('claims', () => {
  it('have integers that are not exact as numbers as texts of their digits', () => {
    const text = '{"sub":9007199254740993,"ids":[1,-9007199254740993,{"id":12345678901234567891}],"n":9007199254740991}'
    assert.deepEqual(parseClaims(text), {
      ...{ sub: '9007199254740993', n: 9007199254740991 },
      ids: [1, '-9007199254740993', { id: '12345678901234567891' }],
    })
  })

  it('have what is larger than every number as it is written', () => {
    assert.deepEqual(parseClaims('{"sub":1e400,"a":[-1E999,1e2],"exp":1e400}'), {
      ...{ sub: '1e400', exp: Number.POSITIVE_INFINITY },
      a: ['-1E999', 100],
    })
  })

  it('are otherwise what the text says, times and fractions too', () => {
    for (const text of [
      '{"exp":9223372036854775807,"iat":1796021607.123456789,"nbf":0}',
      '{"score":0.12345678901234567890,"sub":"9007199254740993","a":[1,true,null]}',
      '{"sub":5}',
    ])
      assert.deepEqual(parseClaims(text), JSON.parse(text))
    assert.equal(parseClaims('{"sub":9007199254740993,"sub":1}'), undefined)
  })
})
