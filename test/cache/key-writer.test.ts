import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { KeyPart, KeyWriter, OwnKey, writeTarget } from '../../src/cache/key.ts'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import { beginFill, headOf, keyOf } from '../suite/response-memory.ts'

const PREFIXES = ['one prefix', 'p'.repeat(1_500)].map((text) => Buffer.from(text))
const HOSTS = ['a.example', 'b.example']

const target = fc.record({
  prefix: fc.constantFrom(...PREFIXES),
  method: fc.constantFrom('GET', 'GET', 'QUERY'),
  scheme: fc.constantFrom('http' as const, 'https' as const),
  host: fc.constantFrom(...HOSTS),
  port: fc.constantFrom(443, 8080),
  path: fc.constantFrom('/', '/a', '/ab', `/${'x'.repeat(2_000)}`),
})
/** What happens to a key behind its target: more is written, or it is cut. */
const rest = fc.array(fc.oneof(fc.constantFrom('one', 'two', '\u2603'), fc.nat({ max: 60 })), { maxLength: 3 })

type Written = typeof target extends fc.Arbitrary<infer T> ? T : never

function write(writer: KeyWriter, { prefix, method, scheme, host, port, path }: Written): void {
  const origin = { scheme, host, port }
  writeTarget(writer, prefix, { method, origin, originalPath: path, path, query: undefined, upstreamHost: undefined })
}

/** Part by part, as the format has it. */
function expected({ prefix, method, scheme, host, port, path }: Written): Buffer {
  const part = (tag: number, text: string): Buffer =>
    Buffer.concat([Buffer.from([tag, text.length & 0xff, text.length >> 8, 0]), Buffer.from(text, 'latin1')])
  const isDefault = port === (scheme === 'https' ? 443 : 80)
  return Buffer.concat([
    prefix,
    ...(method === 'QUERY' ? [part(KeyPart.Method, method)] : []),
    part(KeyPart.Scheme, scheme),
    part(KeyPart.Host, host),
    ...(isDefault ? [] : [part(KeyPart.Port, String(port))]),
    part(KeyPart.Path, path),
  ])
}

function goOn(writer: KeyWriter, more: readonly (string | number)[]): void {
  for (const one of more)
    if (typeof one === 'string') writer.text(KeyPart.Varied, one)
    else writer.cutTo(Math.min(one, writer.length))
}

const bytesOf = (writer: KeyWriter): Buffer => Buffer.from(writer.bytes.subarray(0, writer.length))

describe('a writer of keys', () => {
  it('writes each key as if it were its first one, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(target, rest), { minLength: 1, maxLength: 60 }), (keys) => {
        const writer = new KeyWriter()
        for (const [wanted, more] of keys) {
          const alone = new KeyWriter()
          alone.begin(expected(wanted))
          write(writer, wanted)
          assert.ok(bytesOf(writer).equals(bytesOf(alone)))
          goOn(writer, more)
          goOn(alone, more)
          assert.ok(bytesOf(writer).equals(bytesOf(alone)))
          const own = new OwnKey(writer)
          assert.ok(own.bytes.equals(bytesOf(alone)))
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('is found in memory by what it has written last, and its copy by what it had', () => {
    const memory = new WorkerResponseMemory(allocateCache(4 * 1024 * 1024, 1, [1, 2])!, 1, 0, setImmediate)
    for (const key of ['aa', 'ab', 'b']) {
      const fill = beginFill(memory, key)
      assert.ok(fill.head(headOf(key, 0)) && fill.end())
    }
    const found = (key: Parameters<WorkerResponseMemory['find']>[0]): string | null => {
      const entry = memory.find(key)
      const text = entry === null ? null : entry.bytes.latin1Slice(entry.headAt, entry.headAt + entry.headBytes)
      memory.leave()
      return text
    }
    const writer = new KeyWriter()
    const copies: OwnKey[] = []
    for (const key of ['aa', 'ab', 'b', 'aa']) {
      const { bytes, length } = keyOf(key)
      writer.begin(bytes.subarray(0, length))
      assert.equal(found(writer), key)
      assert.equal(found(writer), key, 'again')
      copies.push(new OwnKey(writer))
    }
    const { bytes } = keyOf('aa')
    writer.begin(bytes.subarray(0, 2))
    writer.raw(KeyPart.Content, Buffer.from('a'))
    const longer = memory.begin(new OwnKey(writer), 'shop', 0)
    assert.ok(typeof longer === 'object' && longer.type === 'fill' && longer.head(headOf('longer', 0)) && longer.end())
    writer.begin(bytes.subarray(0, 2))
    assert.equal(found(writer), 'aa')
    writer.raw(KeyPart.Content, Buffer.from('a'))
    assert.equal(found(writer), 'longer')
    writer.cutTo(2)
    assert.equal(found(writer), 'aa')
    assert.deepEqual(
      copies.map((copy) => found(copy)),
      ['aa', 'ab', 'b', 'aa'],
    )
    // Another process's memory has another secret, and so other hashes of the same keys.
    const other = new WorkerResponseMemory(allocateCache(4 * 1024 * 1024, 1, [3, 4])!, 1, 0, setImmediate)
    assert.equal(other.find(copies[0]!), null)
    const fill = other.begin(copies[0]!, 'shop', 0)
    assert.ok(typeof fill === 'object' && fill.type === 'fill' && fill.head(headOf('other', 0)) && fill.end())
    assert.notEqual(other.find(keyOf('aa')), null)
    other.leave()
    assert.equal(found(copies[0]!), 'aa')
  })
})
