import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KeyWriter } from '../../src/cache/key.ts'
import { writeContent } from '../../src/cache/query-content.ts'
import { Fields } from '../../src/message/fields.ts'

function keyOf(content: string, ...fields: readonly (readonly [string, string])[]): string {
  const writer = new KeyWriter()
  writer.begin(Buffer.alloc(0))
  const request = new Fields()
  for (const [name, value] of fields) request.add(name, value)
  writeContent(writer, request, Buffer.from(content))
  return writer.copy().toString('latin1')
}

describe('the content of a QUERY in its key', () => {
  it('RFC 10008 §2.7: is told apart by itself, and by whatever describes it', () => {
    const type = ['content-type', 'text/plain'] as const
    const keys = [
      keyOf('q'),
      keyOf('r'),
      keyOf('', type),
      keyOf('q', type),
      keyOf('q', ['content-type', 'text/csv']),
      keyOf('q', type, type),
      keyOf('q', type, ['content_type', 'text/csv']),
      keyOf('q', type, ['content_type', 'text/html']),
      keyOf('q', ['content_type', 'text/plain']),
      keyOf('q', type, ['content-encoding', 'gzip']),
      keyOf('q', type, ['content-range', 'bytes 0-0/2']),
      keyOf('q', type, ['content-disposition', 'attachment']),
    ]
    assert.equal(new Set(keys).size, keys.length)
  })

  it('is the same in any order, however it is framed', () => {
    const type = ['content-type', 'text/plain'] as const
    const language = ['content-language', 'de'] as const
    assert.equal(keyOf('q', type, language), keyOf('q', language, type))
    assert.equal(keyOf('q', type), keyOf('q', ['content-length', '1'], type, ['accept', 'text/csv']))
  })
})
