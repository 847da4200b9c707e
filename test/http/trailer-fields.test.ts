import assert from 'node:assert/strict'
import { it } from 'node:test'
import { HeaderSection, TRAILER_SECTION } from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { dropForbiddenTrailers } from '../../src/http/trailer-fields.ts'
import { literalBlock } from './raw-frames.ts'

it('trailers say nothing that frames, routes, authenticates or modifies a message, in any spelling', () => {
  const forbidden = [
    'content-length',
    'host',
    'authorization',
    'cookie',
    'range',
    'if-match',
    'if-none-match',
    'if-modified-since',
    'if-unmodified-since',
    'if-range',
    'if_none_match',
    'pragma',
    'cdn-loop',
    'cdn_loop',
    'x-forwarded-for',
    'x-request-id',
    'x-client-cert-subject',
  ]
  const allowed = ['x-sum', 'digest', 'etag', 'server-timing', 'grpc-status', 'grpc-message']
  const block = literalBlock([...forbidden, ...allowed].map((name) => [name, 'x']))
  const section = new HeaderSection()
  const limits = { head: 65_536, headers: 100, uri: 16_384 }
  assert.equal(new HpackDecoder().decode(block, 0, block.length, TRAILER_SECTION, limits, section), 0)
  const { fields } = section
  dropForbiddenTrailers(fields)
  const left: string[] = []
  for (let i = 0; i < fields.count; i++) if (!fields.isRemoved(i)) left.push(fields.nameAt(i))
  assert.deepEqual(left.sort(), [...allowed].sort())
})
