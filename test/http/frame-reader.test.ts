import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Flag, FrameType, PREFACE } from '../../src/http/frames.ts'
import { type FrameLog, readFrames } from './frame-log.ts'
import { data, frame, type RawFrame, reset, settings, uint32, windowUpdate } from './raw-frames.ts'

const SETTINGS = settings()
const {
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  PUSH_PROMISE,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION,
  PRIORITY_UPDATE,
} = FrameType

/** What is read of frames behind the first SETTINGS. */
function events(...frames: (Buffer | RawFrame)[]): readonly string[] {
  return read(frames).lines.slice(1)
}

function read(frames: readonly (Buffer | RawFrame)[], role: 'server' | 'client' = 'client'): FrameLog {
  const bytes = frames.map((one) => (Buffer.isBuffer(one) ? one : frame(one)))
  const preface = role === 'server' ? [PREFACE] : []
  return readFrames(Buffer.concat([...preface, SETTINGS, ...bytes]), [], { role })
}

describe('a frame reader', () => {
  it('reads every type of frame', () => {
    const pad = { flags: Flag.PADDED | Flag.END_STREAM }
    assert.deepEqual(
      read(
        [
          settings(3, 100, 4, 0xffff_ffff),
          frame({ type: FrameType.SETTINGS, flags: Flag.ACK }),
          frame({ type: HEADERS, flags: Flag.END_HEADERS, stream: 1, payload: 'block' }),
          data(1, 'abc'),
          frame({ type: DATA, ...pad, stream: 1, payload: '\x02xyz\0\0' }),
          frame({ type: HEADERS, flags: 0x2d, stream: 3, payload: '\x01\0\0\0\x01\x10fields\0' }),
          frame({ type: PRIORITY, stream: 5, payload: '\0\0\0\x01\x10' }),
          reset(3, 8),
          frame({ type: PING, payload: 'pingpong' }),
          frame({ type: PING, flags: Flag.ACK, payload: 'pongping' }),
          windowUpdate(0, 5),
          frame({ type: PRIORITY_UPDATE, payload: Buffer.concat([uint32(7), Buffer.from('u=1')]) }),
          frame({ type: 0xfe, flags: 0xff, stream: 9, payload: 'what?' }),
          frame({
            type: GOAWAY,
            payload: Buffer.concat([uint32(0x8000_0005), uint32(0xffff_ffff), Buffer.from('bye')]),
          }),
        ],
        'server',
      ).lines,
      [
        'settings',
        'setting 3=100',
        'setting 4=4294967295',
        'settings',
        'settings ack',
        'block 1 "block"',
        'data 1 length=3 padding=0',
        'data "abc"',
        'data 1 length=6 padding=3',
        'data "xyz" end',
        'block 3 "fields" end',
        'priority 5',
        'reset 3 CANCEL',
        'ping pingpong',
        'ping ack pongping',
        'window 0 5',
        'priority update 7 "u=1"',
        'unknown 254',
        'goaway 5 error 4294967295 "bye"',
      ],
    )
  })

  it('puts a field block together from its fragments, without padding and priority', () => {
    assert.deepEqual(
      events(
        { type: HEADERS, flags: Flag.PADDED | Flag.END_STREAM, stream: 1, payload: '\x02one\0\0' },
        { type: CONTINUATION, stream: 1, payload: ' two ' },
        { type: CONTINUATION, stream: 1 },
        { type: CONTINUATION, flags: Flag.END_HEADERS, stream: 1, payload: 'three' },
      ),
      ['block 1 "one two three" end'],
    )
    assert.deepEqual(
      events(
        { type: HEADERS, stream: 1 },
        { type: CONTINUATION, flags: Flag.END_HEADERS | Flag.END_STREAM, stream: 1 },
        { type: HEADERS, flags: Flag.END_HEADERS, stream: 3, payload: 'x' },
      ),
      ['block 1 ""', 'block 3 "x"'],
    )
  })

  it('reads frames whose payload is empty or nothing but padding', () => {
    assert.deepEqual(
      events(
        { type: DATA, stream: 1 },
        { type: DATA, flags: Flag.PADDED, stream: 1, payload: '\0' },
        { type: DATA, flags: Flag.PADDED | Flag.END_STREAM, stream: 1, payload: '\x03\0\0\0' },
        { type: 0xee },
        { type: HEADERS, flags: Flag.END_HEADERS, stream: 3 },
      ),
      [
        'data 1 length=0 padding=0',
        'data ""',
        'data 1 length=1 padding=1',
        'data ""',
        'data 1 length=4 padding=4',
        'data "" end',
        'unknown 238',
        'block 3 ""',
      ],
    )
  })

  it('hands payloads of DATA on as they come and holds none of them', () => {
    const bytes = Buffer.concat([SETTINGS, data(1, 'x'.repeat(16_384), true)])
    const log = readFrames(bytes.subarray(0, 9_000), [])
    assert.equal(log.reader.held, 0)
    assert.deepEqual(log.lines.slice(1), ['data 1 length=16384 padding=0'])
  })

  it('holds of another frame what has come, whatever length it states', () => {
    const head = frame({ type: HEADERS, flags: Flag.END_HEADERS, stream: 1, length: 16_384, payload: 'abc' })
    const { reader } = readFrames(Buffer.concat([SETTINGS, head]), [])
    assert.ok(reader.held <= 16, `${reader.held} bytes are held for 3`)
    assert.ok(reader.partial)
  })

  it('reads nothing behind an error', () => {
    const log = read([{ type: PUSH_PROMISE, stream: 1, payload: 'xxxx' }, data(1, 'abc')])
    assert.deepEqual(log.lines.slice(1), ['error PROTOCOL_ERROR: PUSH_PROMISE'])
    log.reader.push(data(1, 'abc'), 0, 12)
    assert.equal(log.lines.length, 2)
  })

  it('is stopped by its sink within any event', () => {
    const bytes = Buffer.concat([SETTINGS, settings(1, 1, 2, 2), data(1, 'abc', true), frame({ type: 0xee }), SETTINGS])
    const all = readFrames(bytes, []).lines
    for (let stopAt = 0; stopAt < all.length; stopAt++) {
      const log = readFrames(Buffer.alloc(0), [])
      const { lines, reader } = log
      lines.push = (line: string) => {
        lines[lines.length] = line
        if (lines.length === stopAt + 1) reader.stop()
        return lines.length
      }
      reader.push(bytes, 0, bytes.length)
      assert.deepEqual([...lines], all.slice(0, stopAt + 1))
    }
  })
})

describe('the errors that a frame alone can be', () => {
  const cases: [string, RawFrame[], string][] = [
    ['a frame over the maximum size', [{ type: DATA, stream: 1, length: 16_385 }], 'FRAME_SIZE_ERROR'],
    ['an unknown frame over the maximum size', [{ type: 0xee, length: 16_385 }], 'FRAME_SIZE_ERROR'],
    ['DATA on stream 0', [{ type: DATA, payload: 'x' }], 'PROTOCOL_ERROR'],
    ['HEADERS on stream 0', [{ type: HEADERS, payload: 'x' }], 'PROTOCOL_ERROR'],
    ['HEADERS on an even stream', [{ type: HEADERS, stream: 2, payload: 'x' }], 'PROTOCOL_ERROR'],
    ['PRIORITY on stream 0', [{ type: PRIORITY, payload: '\0\0\0\0\0' }], 'PROTOCOL_ERROR'],
    ['RST_STREAM on stream 0', [{ type: RST_STREAM, payload: uint32(0) }], 'PROTOCOL_ERROR'],
    ['RST_STREAM of 3 bytes', [{ type: RST_STREAM, stream: 1, payload: 'xxx' }], 'FRAME_SIZE_ERROR'],
    ['RST_STREAM of 5 bytes', [{ type: RST_STREAM, stream: 1, payload: 'xxxxx' }], 'FRAME_SIZE_ERROR'],
    ['SETTINGS on a stream', [{ type: FrameType.SETTINGS, stream: 1 }], 'PROTOCOL_ERROR'],
    ['SETTINGS of 5 bytes', [{ type: FrameType.SETTINGS, payload: 'xxxxx' }], 'FRAME_SIZE_ERROR'],
    [
      'an acknowledgement with settings',
      [{ type: FrameType.SETTINGS, flags: 1, payload: 'xxxxxx' }],
      'FRAME_SIZE_ERROR',
    ],
    ['PUSH_PROMISE', [{ type: PUSH_PROMISE, stream: 1, payload: 'xxxxx' }], 'PROTOCOL_ERROR'],
    ['PING on a stream', [{ type: PING, stream: 1, payload: 'xxxxxxxx' }], 'PROTOCOL_ERROR'],
    ['PING of 7 bytes', [{ type: PING, payload: 'xxxxxxx' }], 'FRAME_SIZE_ERROR'],
    ['GOAWAY on a stream', [{ type: GOAWAY, stream: 1, payload: 'xxxxxxxx' }], 'PROTOCOL_ERROR'],
    ['GOAWAY of 7 bytes', [{ type: GOAWAY, payload: 'xxxxxxx' }], 'FRAME_SIZE_ERROR'],
    ['WINDOW_UPDATE of 3 bytes', [{ type: WINDOW_UPDATE, payload: 'xxx' }], 'FRAME_SIZE_ERROR'],
    ['WINDOW_UPDATE of the connection by 0', [{ type: WINDOW_UPDATE, payload: uint32(0x8000_0000) }], 'PROTOCOL_ERROR'],
    ['CONTINUATION first', [{ type: CONTINUATION, stream: 1, payload: 'x' }], 'PROTOCOL_ERROR'],
    [
      'CONTINUATION behind a complete block',
      [
        { type: HEADERS, flags: 4, stream: 1, payload: 'x' },
        { type: CONTINUATION, flags: 4, stream: 1, payload: 'x' },
      ],
      'PROTOCOL_ERROR',
    ],
    ...[DATA, HEADERS, PRIORITY, FrameType.SETTINGS, PING, WINDOW_UPDATE, 0xee].map(
      (type): [string, RawFrame[], string] => [
        `a frame of type ${type} within a field block`,
        [
          { type: HEADERS, stream: 1, payload: 'x' },
          { type, stream: 1 },
        ],
        'PROTOCOL_ERROR',
      ],
    ),
    [
      'CONTINUATION on another stream',
      [
        { type: HEADERS, stream: 1, payload: 'x' },
        { type: CONTINUATION, flags: 4, stream: 3, payload: 'x' },
      ],
      'PROTOCOL_ERROR',
    ],
    [
      'DATA with as much padding as payload',
      [{ type: DATA, flags: 8, stream: 1, payload: '\x03xx' }],
      'PROTOCOL_ERROR',
    ],
    ['padded DATA without a pad length', [{ type: DATA, flags: 8, stream: 1 }], 'FRAME_SIZE_ERROR'],
    ['HEADERS with too much padding', [{ type: HEADERS, flags: 12, stream: 1, payload: '\x03xx' }], 'PROTOCOL_ERROR'],
    [
      'HEADERS with padding in its priority',
      [{ type: HEADERS, flags: 0x2c, stream: 1, payload: '\x01\0\0\0\x03\x10' }],
      'PROTOCOL_ERROR',
    ],
    ['padded HEADERS without a pad length', [{ type: HEADERS, flags: 12, stream: 1 }], 'FRAME_SIZE_ERROR'],
    ['HEADERS with half a priority', [{ type: HEADERS, flags: 0x24, stream: 1, payload: 'xxxx' }], 'FRAME_SIZE_ERROR'],
    ['PRIORITY_UPDATE from a server', [{ type: PRIORITY_UPDATE, payload: uint32(1) }], 'PROTOCOL_ERROR'],
  ]
  for (const [what, frames, code] of cases)
    it(`${what}: ${code}`, () => {
      const lines = events(...frames)
      assert.match(lines.at(-1) ?? '', new RegExp(`^error ${code}: .`))
    })

  it('of a stream alone: PRIORITY of another size, on itself, WINDOW_UPDATE by 0; then it reads on', () => {
    assert.deepEqual(
      events(
        { type: PRIORITY, stream: 1, payload: 'xxxx' },
        { type: PRIORITY, stream: 1, payload: '\0\0\0\x01\x10' },
        { type: WINDOW_UPDATE, stream: 3, payload: uint32(0) },
        data(1, 'x'),
      ).map((line) => line.replace(/:.*/, '')),
      [
        'stream error 1 FRAME_SIZE_ERROR',
        'stream error 1 PROTOCOL_ERROR',
        'stream error 3 PROTOCOL_ERROR',
        'data 1 length=1 padding=0',
        'data "x"',
      ],
    )
    assert.deepEqual(events({ type: HEADERS, flags: 0x24, stream: 3, payload: '\0\0\0\x03\x10x' }), [
      'block 3 "x" (a stream that depends on itself)',
    ])
  })

  it('for a server: PRIORITY_UPDATE of stream 0, on a stream, or cut', () => {
    const last = (one: RawFrame) => read([one], 'server').lines.at(-1)?.replace(/:.*/, '')
    assert.equal(last({ type: PRIORITY_UPDATE, payload: uint32(0) }), 'error PROTOCOL_ERROR')
    assert.equal(last({ type: PRIORITY_UPDATE, stream: 1, payload: uint32(1) }), 'error PROTOCOL_ERROR')
    assert.equal(last({ type: PRIORITY_UPDATE, payload: 'xxx' }), 'error FRAME_SIZE_ERROR')
  })

  it('a preface that is none, found at its first wrong byte', () => {
    for (const [bytes, options] of [
      [Buffer.from('GET / HTTP/1.1\r\n'), { role: 'server' }],
      [Buffer.concat([PREFACE.subarray(0, 23), Buffer.from('x')]), { role: 'server' }],
    ] as const)
      assert.deepEqual(readFrames(bytes, [], options).lines, ['error PROTOCOL_ERROR: the connection preface is wrong'])
    assert.deepEqual(readFrames(Buffer.from('PRI * HTTX'), [], { role: 'server' }).lines.length, 1)
    assert.deepEqual(readFrames(PREFACE.subarray(0, 23), [], { role: 'server' }).lines, [])
  })

  it('a first frame that is not SETTINGS', () => {
    for (const first of [data(1, 'x'), frame({ type: FrameType.SETTINGS, flags: Flag.ACK }), frame({ type: 0xee })])
      assert.deepEqual(readFrames(first, []).lines, ['error PROTOCOL_ERROR: the first frame is not SETTINGS'])
  })

  it('names HTTP/1.1 where a peer speaks it', () => {
    const answer = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')
    assert.deepEqual(readFrames(answer, [], { role: 'client' }).lines, [
      'error PROTOCOL_ERROR: the peer speaks HTTP/1.1',
    ])
  })

  it('a field block over its bound, or in too many frames, before its memory is taken', () => {
    const part = frame({ type: CONTINUATION, stream: 1, payload: 'x'.repeat(16_384) })
    const large = readFrames(
      Buffer.concat([SETTINGS, frame({ type: HEADERS, stream: 1 }), part, part, part, part, part]),
      [],
    )
    assert.match(large.lines.at(-1)!, /^error ENHANCE_YOUR_CALM: a field block of over 65536 bytes/)
    assert.equal(large.reader.held, 0)
    const empty = frame({ type: CONTINUATION, stream: 1 })
    const many = readFrames(
      Buffer.concat([SETTINGS, frame({ type: HEADERS, stream: 1 }), ...new Array<Buffer>(13).fill(empty)]),
      [],
    )
    assert.match(many.lines.at(-1)!, /^error ENHANCE_YOUR_CALM: a field block in too many frames/)
  })
})

describe('a frame reader and the cuts of its bytes', () => {
  const one: fc.Arbitrary<Buffer> = fc
    .record({
      type: fc.oneof(
        { weight: 9, arbitrary: fc.constantFrom(0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 16) },
        { weight: 1, arbitrary: fc.nat(255) },
      ),
      flags: fc.constantFrom(0, 0, 1, 4, 4, 5, 8, 12, 0x20, 0x24, 0x2c, 0xff),
      stream: fc.constantFrom(0, 0, 1, 1, 2, 3, 0x8000_0001, 0x7fff_ffff),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.constantFrom('', 'xxxx', '\0\0\0\x03\x10', 'xxxxxx', 'xxxxxxxx', '\x01xxxx').map((s) => Buffer.from(s)),
      ),
    })
    .map(({ payload, ...rest }) => frame({ ...rest, payload: Buffer.from(payload) }))

  it('reports the same, wherever they are', () => {
    fc.assert(
      fc.property(fc.array(one, { maxLength: 8 }), fc.array(fc.nat(200), { maxLength: 6 }), (frames, at) => {
        const bytes = Buffer.concat([SETTINGS, ...frames])
        const whole = readFrames(bytes, []).lines
        const cuts = at.filter((cut) => cut <= bytes.length).sort((a, b) => a - b)
        assert.deepEqual(readFrames(bytes, cuts).lines, whole)
        assert.deepEqual(
          readFrames(
            bytes,
            Array.from({ length: bytes.length }, (_, i) => i),
          ).lines,
          whole,
          'byte by byte',
        )
      }),
      { numRuns: 300 },
    )
  })
})
