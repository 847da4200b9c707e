import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { countPasses } from '../../src/message/cdn-loop.ts'
import { Fields } from '../../src/message/fields.ts'

const ID = 'headgate-0123456789abcdef0123'
const MARK = 'a1b2c3d4e5f6'

function count(...lines: string[]) {
  const fields = new Fields()
  for (const line of lines) fields.add('cdn-loop', line)
  return countPasses(fields, ID, MARK)
}

describe('CDN-Loop', () => {
  it('counts what others have written as well as what we wrote', () => {
    assert.deepEqual(count(), { total: 0, marked: 0, overlong: false })
    assert.deepEqual(count('foo123.foocdn.example, barcdn.example; trace="abcdef"', 'AnotherCDN; abc=123; def="456"'), {
      total: 0,
      marked: 0,
      overlong: false,
    })
    assert.deepEqual(count(`${ID};r=${MARK}`), { total: 1, marked: 1, overlong: false })
    assert.deepEqual(count(`${ID};r=000000000000`, `x, ${ID};r=${MARK}`, ID), { total: 3, marked: 1, overlong: false })
  })

  for (const line of [
    `${ID} ; r=${MARK}`,
    `${ID}\t;\tr=${MARK}\t`,
    `  ,, ${ID};r=${MARK} ,`,
    `${ID.toUpperCase()};R=${MARK.toUpperCase()}`,
    `${ID};x=y;r=${MARK};z`,
    `${ID};r="${MARK}"`,
    `a;p="never closed, ${ID};r=${MARK}`,
    `a;p="\\", ${ID};r=${MARK}`,
    `a, ${ID};r=${MARK}, b`,
  ])
    it(`finds the entry in ${line}`, () => assert.deepEqual(count(line), { total: 1, marked: 1, overlong: false }))

  for (const line of [
    `x${ID};r=${MARK}`,
    `${ID}x;r=${MARK}`,
    `a;${ID};r=${MARK}`,
    `a;r=${MARK}`,
    `${ID} ${ID};r=${MARK}`,
  ])
    it(`takes ${line} for another's`, () => assert.deepEqual(count(line), { total: 0, marked: 0, overlong: false }))

  it('does not take the mark of another rule for this one', () => {
    for (const parameter of [`;r=${MARK}0`, `;r=${MARK.slice(1)}`, `;q=${MARK}`, `;r`, `;r=`, `;r ${MARK}`])
      assert.deepEqual(count(ID + parameter), { total: 1, marked: 0, overlong: false }, parameter)
  })

  it('is not looked at beyond what nothing has that is not a loop', () => {
    assert.equal(count('x,'.repeat(2_048)).overlong, false)
    assert.equal(count('x,'.repeat(2_048), 'y').overlong, true)
    assert.equal(count('x'.repeat(5_000)).overlong, true)
  })

  it('agrees with a regular expression', () => {
    const part = fc.constantFrom(
      ID,
      `${ID};r=${MARK}`,
      ` ${ID} ; r = ${MARK}`,
      ';',
      ',',
      '"',
      'r=',
      MARK,
      ' ',
      '\t',
      'x',
    )
    fc.assert(
      fc.property(fc.array(fc.array(part, { maxLength: 8 }), { maxLength: 4 }), (parts) => {
        const lines = parts.map((line) => line.join(''))
        let total = 0
        let marked = 0
        for (const line of lines)
          for (const entry of line.split(','))
            if (new RegExp(`^[ \\t]*${ID}[ \\t]*(;.*)?$`, 'i').test(entry)) {
              total++
              if (new RegExp(`;[ \\t]*r[ \\t]*=[ \\t]*("${MARK}"|${MARK})[ \\t]*(;|$)`, 'i').test(entry)) marked++
            }
        assert.deepEqual(count(...lines), { total, marked, overlong: false })
      }),
      { numRuns: 2_000 },
    )
  })
})
