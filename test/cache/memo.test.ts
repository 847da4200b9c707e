import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Memo } from '../../src/cache/memo.ts'

describe('a memo', () => {
  const parsed: string[] = []
  const parse = (text: string) => {
    parsed.push(text)
    return { text }
  }

  it('parses each text once', () => {
    const memo = new Memo<{ text: string }>()
    assert.equal(memo.get('a', parse), memo.get('a', parse))
    assert.deepEqual(memo.get('b', parse), { text: 'b' })
    assert.deepEqual(parsed.splice(0), ['a', 'b'])
  })

  it('keeps no long text, and no more than 256', () => {
    const memo = new Memo<{ text: string }>()
    const long = 'x'.repeat(257)
    memo.get(long, parse)
    memo.get(long, parse)
    assert.equal(parsed.splice(0).length, 2)
    for (let i = 0; i < 257; i++) memo.get(String(i), parse)
    parsed.splice(0)
    memo.get('256', parse)
    assert.equal(parsed.splice(0).length, 0)
    memo.get('0', parse)
    assert.equal(parsed.splice(0).length, 1)
  })
})
