import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BodyReader } from '../../src/http/body-reader.ts'
import { CHUNKED, UNTIL_CLOSE } from '../../src/http/framing.ts'

const LIMITS = { head: 1_000, headers: 10, uri: 0 }

interface Read {
  readonly data: string
  readonly rest: string
  readonly reader: BodyReader
}

/** Feeds the pieces one after the other until the body is done or faulty. */
function read(length: number, pieces: readonly string[], reader = new BodyReader()): Read {
  let data = ''
  let rest = ''
  reader.begin(length, LIMITS)
  const sink = {
    chunkData: (bytes: Buffer, start: number, end: number) => void (data += bytes.latin1Slice(start, end)),
  }
  for (const piece of pieces) {
    const bytes = Buffer.from(`<${piece}>`, 'latin1')
    const at = reader.read(bytes, 1, bytes.length - 1, sink)
    if (reader.fault !== '') break
    rest += bytes.latin1Slice(at, bytes.length - 1)
  }
  return { data, rest, reader }
}

describe('a body', () => {
  it('of a length ends with it, and what follows is not its own', () => {
    for (const pieces of [
      ['abcdeXY'],
      ['abc', 'deXY'],
      ['a', 'b', 'c', 'd', 'e', 'X', 'Y'],
      ['abcde', 'XY'],
      ['', 'abcdeXY'],
    ]) {
      const { data, rest, reader } = read(5, pieces)
      assert.deepEqual([data, rest, reader.done, reader.remaining], ['abcde', 'XY', true, 0])
    }
  })

  it('of a length says how much is to come', () => {
    const { reader } = read(5, ['ab'])
    assert.deepEqual([reader.done, reader.remaining, reader.untilClose], [false, 3, false])
  })

  it('of no bytes is done before it begins', () => {
    const { data, rest, reader } = read(0, ['GET'])
    assert.deepEqual([data, rest, reader.done], ['', 'GET', true])
  })

  it('in chunks ends with the last one, and has their trailers', () => {
    const { data, rest, reader } = read(CHUNKED, ['2\r\nab\r', '\n0\r\nx: y\r\n\r\nGET'])
    assert.deepEqual([data, rest, reader.done, reader.trailers?.get('x')], ['ab', 'GET', true, 'y'])
    assert.equal(read(CHUNKED, ['2\r\na']).reader.remaining, Number.POSITIVE_INFINITY)
  })

  it('in chunks that are wrong says so', () => {
    const { reader } = read(CHUNKED, ['2\r\nabc'])
    assert.deepEqual([reader.done, reader.fault], [false, 'chunk data longer than its size'])
  })

  it('until the close never ends by itself', () => {
    const { data, rest, reader } = read(UNTIL_CLOSE, ['abc', '0\r\n\r\n'])
    assert.deepEqual([data, rest, reader.done, reader.untilClose], ['abc0\r\n\r\n', '', false, true])
  })

  it('leaves nothing behind for the next one', () => {
    const reader = new BodyReader()
    read(CHUNKED, ['0\r\nx: y\r\n\r\n'], reader)
    const second = read(2, ['ab'], reader)
    assert.deepEqual([second.data, reader.trailers, reader.fault], ['ab', null, ''])
    read(CHUNKED, ['zz'], reader)
    assert.notEqual(reader.fault, '')
    const third = read(1, ['a'], reader)
    assert.deepEqual([third.data, reader.fault, reader.done], ['a', '', true])
  })
})
