import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeArchived, encodeArchived } from '../../src/cache/archived-response.ts'
import { emptyNumbers, NUMBERS_BYTES, readNumbers, writeNumbers } from '../../src/cache/cache-numbers.ts'
import { encodeHead } from '../../src/cache/encode-head.ts'
import { MAX_LABELS } from '../../src/cache/purge-labels.ts'
import { StoredHead } from '../../src/cache/stored-head.ts'
import { Fields } from '../../src/message/fields.ts'

const NAMESPACE = 4_711
const NUMBERS = { ...emptyNumbers(), status: 200, born: 1_800_000_000_000, lifetime: 60_000, flags: 5 }
const PLACE = { history: 12_345, position: 67 }

/** As the memory has it: everything somewhere in one run of bytes. */
function entryOf(labels: readonly number[]) {
  const fields = new Fields()
  fields.add('content-type', 'text/plain')
  fields.add('etag', '"a"')
  const head = encodeHead(200, fields, [], 'Sun, 29 Nov 2026 17:00:00 GMT')!
  const subject = new Uint8Array(new Float64Array(labels).buffer)
  const bytes = Buffer.alloc(1_024 + subject.length + head.length, 0xee)
  const numbers = new DataView(new ArrayBuffer(NUMBERS_BYTES))
  writeNumbers(numbers, 0, NUMBERS)
  bytes.set(new Uint8Array(numbers.buffer), 64)
  bytes.set(subject, 256)
  bytes.set(head, 512 + subject.length)
  return {
    bytes,
    numbersAt: 64,
    subjectAt: 256,
    subjectBytes: subject.length,
    headAt: 512 + subject.length,
    headBytes: head.length,
  }
}

describe('the head of a response in an archive', () => {
  it('has what the memory has of it, and where its fetch began', () => {
    const labels = [NAMESPACE, 1, 2.5, Number.MAX_SAFE_INTEGER]
    const read = decodeArchived(encodeArchived(entryOf(labels), PLACE), NAMESPACE)!
    assert.deepEqual([...read.labels], labels)
    assert.deepEqual(read.place, PLACE)
    const view = new DataView(read.numbers.buffer, read.numbers.byteOffset)
    assert.deepEqual(readNumbers(view, 0, emptyNumbers()), NUMBERS)
    const head = new StoredHead().at(read.head, 0)
    assert.equal(head.status, 200)
    assert.equal(head.fields(new Fields()).get('etag'), '"a"')
  })

  it('is nothing to another namespace, nor with too many labels or none', () => {
    const record = encodeArchived(entryOf([NAMESPACE]), PLACE)
    assert.equal(decodeArchived(record, NAMESPACE + 1), null)
    assert.equal(decodeArchived(encodeArchived(entryOf([]), PLACE), NAMESPACE), null)
    const many = Array.from({ length: MAX_LABELS + 1 }, () => NAMESPACE)
    assert.equal(decodeArchived(encodeArchived(entryOf(many), PLACE), NAMESPACE), null)
  })

  it('is nothing when it is cut anywhere, longer, or of another version', () => {
    const record = encodeArchived(entryOf([NAMESPACE, 9]), PLACE)
    for (let length = 0; length < record.length; length++)
      assert.equal(decodeArchived(record.subarray(0, length), NAMESPACE), null, `${length}`)
    assert.equal(decodeArchived(Buffer.concat([record, Buffer.from([0])]), NAMESPACE), null)
    for (const at of [0, 1]) {
      const other = Buffer.from(record)
      other[at]!++
      assert.equal(decodeArchived(other, NAMESPACE), null)
    }
  })

  it('never throws, whatever the bytes are', () => {
    const record = encodeArchived(entryOf([NAMESPACE, 9]), PLACE)
    const spoilt = fc
      .array(fc.tuple(fc.nat(record.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const bytes = Buffer.from(record)
        for (const [at, value] of changes) bytes[at] = value
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), spoilt), (bytes) => {
        const read = decodeArchived(bytes, NAMESPACE)
        // What is taken can be read to its end.
        if (read !== null)
          new StoredHead()
            .at(read.head, 0)
            .fields(new Fields())
            .forEach(() => {})
      }),
      { numRuns: 2_000 },
    )
  })
})
