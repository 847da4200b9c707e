import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeState, encodeState, type StateHeader } from '../../../src/source/checkpoint/state-format.ts'
import { parseKeys, type StateKey } from '../../../src/source/checkpoint/state-key.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const HEADER: StateHeader = { written: '2026-03-01T12:00:00.000Z', cluster: 'c0ffee', namespaces: ['shop'] }
const [KEY, OTHER] = parseKeys(`${randomBytes(32).toString('base64')}\n${randomBytes(48).toString('base64')}`) as [
  StateKey,
  StateKey,
]

function written(lines: string, key?: StateKey): Buffer {
  const encoder = encodeState(HEADER, key)
  const middle = Buffer.from(lines)
  const half = Math.floor(middle.length / 2)
  const parts = [encoder.head, encoder.update(middle.subarray(0, half)), encoder.update(middle.subarray(half))]
  return Buffer.concat([...parts, encoder.end()])
}

const refused = (file: Buffer, keys: readonly StateKey[] | undefined, why: RegExp) =>
  assert.rejects(
    decodeState(file, keys, systemTimers),
    (error) => error instanceof TypeError && why.test(error.message),
  )

describe('the format of a checkpoint', () => {
  it('decodes to what was encoded, encrypted or not', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.boolean(), async (text, sealed) => {
        const key = sealed ? KEY : undefined
        const { header, lines } = await decodeState(written(text, key), key && [OTHER, key], systemTimers)
        assert.deepEqual(header, HEADER)
        assert.equal(lines.toString(), Buffer.from(text).toString())
      }),
    )
  })

  it('supports content longer than one step', async () => {
    const text = 'x'.repeat(700_000)
    assert.equal((await decodeState(written(text, KEY), [KEY], systemTimers)).lines.toString(), text)
    assert.equal((await decodeState(written(text), undefined, systemTimers)).lines.toString(), text)
  })

  it('is rejected when a single bit differs in the header, the objects or the trailer', async () => {
    const lines = '{"a":1}\n{"b":"two"}\n'
    for (const key of [undefined, KEY]) {
      const length = written(lines, key).length
      await fc.assert(
        fc.asyncProperty(fc.nat(length - 1), fc.nat(7), async (at, bit) => {
          const file = written(lines, key)
          file[at]! ^= 1 << bit
          await refused(file, key && [key], /./)
        }),
      )
    }
  })

  it('is rejected when it is truncated or extended at any position', async () => {
    for (const key of [undefined, KEY])
      await fc.assert(
        fc.asyncProperty(fc.nat(300), fc.uint8Array({ minLength: 1, maxLength: 40 }), async (length, more) => {
          const file = written('{"a":1}\n', key)
          await refused(Buffer.from(file.subarray(0, Math.min(length, file.length - 1))), key && [key], /./)
          await refused(Buffer.concat([file, more]), key && [key], /./)
        }),
      )
  })

  it('is rejected for any other bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => refused(Buffer.from(bytes), [KEY], /./)),
    )
    const heads = fc.json().map((text) => Buffer.from(`${text}\n${'x'.repeat(40)}`))
    await fc.assert(fc.asyncProperty(heads, async (file) => refused(file, undefined, /./)))
  })

  it('has readable objects only without a key', () => {
    assert.ok(written('a secret', undefined).includes('a secret'))
    assert.ok(!written('a secret', KEY).includes('a secret'))
  })

  it('differs completely after the header with each encryption', () => {
    const [one, two] = [written('the same', KEY), written('the same', KEY)]
    assert.ok(!one.subarray(one.indexOf(10)).equals(two.subarray(two.indexOf(10))))
  })

  it('is rejected without encryption when a key is configured, because an attacker could add Routes', async () => {
    await refused(written('{}\n'), [KEY], /not encrypted although stateKeyFile/)
  })

  it('reports a missing key', async () => {
    await refused(written('{}\n', KEY), undefined, /encrypted; set stateKeyFile to the file of its key/)
    await refused(written('{}\n', KEY), [OTHER], /encrypted with a key that stateKeyFile does not contain/)
  })

  it('is rejected when another version wrote it', async () => {
    const file = Buffer.from(written('{}\n').toString('latin1').replace('"version":1', '"version":2'), 'latin1')
    await refused(file, undefined, /another version/)
  })
})

describe('a key file', () => {
  const key = randomBytes(32).toString('base64')

  it('has one key per line, with comments and empty lines', () => {
    const keys = parseKeys(`# new\n${key}\r\n\n  ${randomBytes(64).toString('hex')}  \n`)
    assert.deepEqual(
      keys.map(({ bytes }) => bytes.length),
      [32, 96],
    )
    assert.notEqual(keys[0]!.id, keys[1]!.id)
    assert.equal(parseKeys(key)[0]!.id, keys[0]!.id)
  })

  for (const [what, text, why] of [
    ['no key', '# nothing\n', /contains no key; generate one with/],
    ['a short one', `${key}\n${randomBytes(31).toString('base64')}`, /line 2 .*31 bytes; at least 32/],
    ['what is not base64', `pass phrase of many words ${key}`, /line 1 .*not base64/],
    ['too many', `${key}\n`.repeat(17), /more than 16/],
  ] as const)
    it(`is rejected with ${what}, without content in the message`, () => {
      assert.throws(
        () => parseKeys(text),
        (error) => error instanceof TypeError && why.test(error.message) && !error.message.includes(key.slice(0, 8)),
      )
    })
})
