import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { LineReader, LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'

suite('line ring', () => {
  test('lines are read whole, in order and unchanged, with any characters', () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    const line = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('', 'x'.repeat(4_094), 'ü'.repeat(2_047), 'x'.repeat(4_095), '漢'.repeat(2_000)),
    )
    const step = fc.record({
      line: line.map((text) => text.replaceAll('\n', ' ')),
      drain: fc.integer({ min: 0, max: 5_000 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const expected: string[] = []
        let out = ''
        const dropped = LineRing.dropped(ring)
        let refused = 0
        for (const { line, drain } of steps) {
          if (writer.write(line)) expected.push(line)
          else refused++
          if (drain > 0) out += text(reader, drain)
        }
        out += text(reader, Number.POSITIVE_INFINITY)
        // Lone surrogates have no UTF-8 form.
        assert.equal(out, expected.map((line) => `${line.toWellFormed()}\n`).join(''))
        assert.equal(LineRing.dropped(ring) - dropped, refused)
      }),
    )
  })

  test('a line written as ASCII is read the same way', () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    let expected = ''
    let out = ''
    for (let n = 0; n < 5_000; n++) {
      const line = `${n}`.padStart((n * 31) % 700, '-')
      assert.equal(writer.writeAscii(line), true)
      expected += `${line}\n`
      if (n % 3 === 0) out += text(reader, 900)
      if (n % 5 === 0) out += text(reader, Number.POSITIVE_INFINITY)
    }
    assert.equal(out + text(reader, Number.POSITIVE_INFINITY), expected)
  })

  test('a full ring drops and counts a line, and accepts lines again once some were read', () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    let written = 0
    while (writer.writeAscii('x'.repeat(99))) written++
    assert.equal(written, 40)
    assert.equal(writer.write('x'.repeat(99)), false)
    assert.equal(LineRing.dropped(ring), 2)
    assert.equal(reader.takeDropped(), 2)
    assert.equal(new LineReader(ring).takeDropped(), 0, 'told once')
    assert.equal(text(reader, 100), `${'x'.repeat(99)}\n`)
    assert.equal(writer.writeAscii('y'.repeat(99)), true)
    assert.equal(writer.writeAscii('z'.repeat(5_000)), false, 'longer than the ring')
  })

  test('a reader returns whole lines only, and a line longer than the maximum alone', () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    for (const line of ['one', 'two', 'a longer one']) writer.write(line)
    assert.equal(text(reader, 9), 'one\ntwo\n')
    assert.equal(text(reader, 9), 'a longer one\n')
    assert.equal(text(reader, 9), '')
  })

  test('a sink that accepts part of a line receives the rest later, also from another reader', () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    assert.equal(reader.midLine, false)
    writer.write('hello')
    writer.write('world')
    assert.equal(
      reader.drain(() => 8),
      8,
    )
    assert.equal(reader.midLine, true)
    while (writer.writeAscii('x'.repeat(30)));
    const next = new LineReader(ring)
    assert.equal(next.midLine, true, 'a full ring leaves the byte before what is unread')
    assert.equal(text(next, 4), 'rld\n')
    assert.equal(next.midLine, false)
  })

  test('the next reader detects that a sink was interrupted and returns its bytes again', () => {
    const ring = LineRing.create(4_096)
    new LineWriter(ring).write('hello')
    const first = new LineReader(ring)
    assert.throws(() =>
      first.drain(() => {
        throw new Error('gone')
      }),
    )
    const second = new LineReader(ring)
    assert.equal(second.interrupted, true)
    assert.equal(text(second, 100), 'hello\n')
    assert.equal(second.interrupted, false)
  })

  test('positions may wrap around 2³²', () => {
    const ring = LineRing.create(4_096)
    const cells = new Int32Array(ring)
    // Head and tail shortly before the sign and before the wrap, at a multiple of the capacity.
    for (const position of [0x7fff_f000 | 0, 0xffff_f000 | 0]) {
      cells[0] = position
      cells[16] = position
      const writer = new LineWriter(ring)
      const reader = new LineReader(ring)
      for (let n = 0; n < 300; n++) {
        assert.equal(writer.writeAscii(`line ${n}`), true)
        assert.equal(writer.write(`zeile ü ${n}`), true)
        assert.equal(text(reader, 1_000), `line ${n}\nzeile ü ${n}\n`)
      }
      assert.equal(reader.size, 0)
    }
  })

  test('a producer terminated at any point leaves no torn, repeated or uncounted line', async () => {
    const ring = LineRing.create(16_384)
    const reader = new LineReader(ring)
    const counts = new SharedArrayBuffer(8)
    const cells = new Int32Array(counts)
    const next = new Map<number, number>()
    let lines = 0
    const drain = () => {
      for (const line of text(reader, Number.POSITIVE_INFINITY).split('\n').slice(0, -1)) {
        const { life, n, text, length } = JSON.parse(line)
        assert.equal(text.length, length)
        assert.ok(n >= (next.get(life) ?? 0), `life ${life}: ${n} after ${next.get(life)}`)
        next.set(life, n + 1)
        lines++
      }
    }
    const lives = 12
    for (let life = 0; life < lives; life++) {
      const producer = new Worker(new URL('line-ring-producer.ts', import.meta.url), {
        workerData: { ring, counts, life },
      })
      // Until lines of this life were read, late ones too.
      for (; (next.get(life) ?? 0) < 500; await delay(1)) drain()
      for (const end = performance.now() + Math.random() * 20; performance.now() < end; ) drain()
      await producer.terminate()
    }
    drain()
    const counted = lines + LineRing.dropped(ring)
    assert.ok(lines > 500, `${lines} lines`)
    assert.equal(next.size, lives)
    assert.ok(counted >= cells[1]! && counted <= cells[0]!, `${cells[1]} <= ${counted} <= ${cells[0]}`)
    assert.ok(cells[0]! - cells[1]! <= lives)
  })
})

function text(reader: LineReader, maxBytes: number): string {
  const parts: Buffer[] = []
  reader.drain((lines) => {
    parts.push(Buffer.from(lines))
    return lines.length
  }, maxBytes)
  return Buffer.concat(parts).toString()
}
