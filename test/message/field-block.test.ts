import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BLOCK_LINES } from '../../src/http/field-lines.ts'
import { type BlockEncoder, FieldBlock } from '../../src/message/field-block.ts'

describe('fields that many messages carry', () => {
  it('are lines in HTTP/1.1', () => {
    assert.equal(new FieldBlock(['a', '1', 'b', '']).image(BLOCK_LINES), 'a: 1\r\nb: \r\n')
    assert.equal(new FieldBlock([]).image(BLOCK_LINES), '')
  })

  it('are encoded once for the codec that asks again, and each codec gets its own form', () => {
    let encoded = 0
    const counted: BlockEncoder<number> = { encode: ({ pairs }) => pairs.length + 10 * ++encoded }
    const block = new FieldBlock(['a', '1'])
    assert.deepEqual([block.image(counted), block.image(counted), encoded], [12, 12, 1])
    assert.equal(block.image(BLOCK_LINES), 'a: 1\r\n')
    assert.equal(block.image(counted), 22)
  })
})
