import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LastRead } from '../../src/cache/last-read.ts'

describe('what was read last', () => {
  it('is read again where a line is another one, or there are more or fewer, and only there', () => {
    const asked: string[] = []
    const last = new LastRead((lines) => {
      asked.push(lines.join('|'))
      return lines.join('|')
    })
    for (const lines of [[], ['a'], ['a'], ['b'], ['b', 'c'], ['b', 'c'], ['b'], ['c', 'b'], ['c', 'B'], [], ['']])
      assert.equal(last.of(lines), lines.join('|'))
    assert.deepEqual(asked, ['', 'a', 'b', 'b|c', 'b', 'c|b', 'c|B', '', ''])
  })
})
