import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import { FrameOutput } from '../../src/http2/frame-output.ts'
import { SendSchedule } from '../../src/http2/send-schedule.ts'
import { SendingStream } from '../../src/http2/sending-stream.ts'
import type { Fields } from '../../src/message/fields.ts'
import { HELD_BODIES } from '../../src/transport/held-memory.ts'
import { readFrames } from '../http/frame-log.ts'
import { settings } from '../http/raw-frames.ts'

class TestStream extends SendingStream {
  drains = 0
  ends = 0
  onDrained: () => void = () => {}

  drained(): void {
    this.drains++
    this.onDrained()
  }

  ended(): void {
    this.ends++
  }

  lose(): void {}

  relieve(): void {}
}

interface Sent {
  readonly stream: number
  readonly length: number
  readonly end: boolean
}

class Bench {
  readonly socket: Duplex
  readonly #taken: Buffer[] = []
  readonly output: FrameOutput
  readonly schedule: SendSchedule
  cramped = 0

  constructor(window: number) {
    this.socket = new Duplex({
      highWaterMark: 1 << 24,
      read() {},
      write: (chunk: Buffer, _, done) => {
        this.#taken.push(Buffer.from(chunk))
        done()
      },
    })
    this.output = new FrameOutput(this.socket as unknown as Socket)
    this.schedule = new SendSchedule(this.output, window, {
      writeTrailers: (_: SendingStream, __: Fields) => {},
      sentData: (_, cramped) => void (this.cramped += cramped ? 1 : 0),
    })
  }

  stream(id: number, window = 1 << 20, priority: { urgency?: number; incremental?: boolean } = {}): TestStream {
    return Object.assign(new TestStream(id, window, null), priority)
  }

  send(stream: TestStream, length: number): void {
    this.schedule.send(stream, Buffer.alloc(length, 'x'), 0, length)
  }

  /** DATA frames that have gone since this was asked. */
  gone(): Sent[] {
    this.output.flush()
    const { lines } = readFrames(Buffer.concat([settings(), ...this.#taken.splice(0)]), [])
    const sent: Sent[] = []
    for (const [i, line] of lines.entries()) {
      const [, stream, length] = /^data (\d+) length=(\d+)/.exec(line) ?? []
      if (stream === undefined) continue
      sent.push({ stream: Number(stream), length: Number(length), end: lines[i + 1]!.endsWith('" end') })
    }
    return sent
  }

  /** The same in short: the streams in order. */
  order(): string {
    return this.gone()
      .map(({ stream }) => stream)
      .join(' ')
  }
}

describe('the schedule of a connection', () => {
  it('sends at once what windows take, in frames that every peer accepts', () => {
    const bench = new Bench(1 << 20)
    const stream = bench.stream(1)
    bench.send(stream, 40_000)
    bench.schedule.finish(stream, null)
    assert.deepEqual(
      bench.gone().map(({ length, end }) => [length, end]),
      [
        [16_384, false],
        [16_384, false],
        [7_232, true],
      ],
    )
    assert.equal(stream.ends, 1)
  })

  it('sends the urgent first, and streams of one urgency whole, in their order', () => {
    const bench = new Bench(0)
    for (const [id, urgency] of [
      [1, 5],
      [3, 3],
      [5, 0],
      [7, 3],
    ] as const)
      bench.send(bench.stream(id, undefined, { urgency }), 40_000)
    assert.equal(bench.order(), '')
    bench.schedule.widen(1 << 20)
    bench.schedule.pump()
    assert.equal(bench.order(), '5 5 5 3 3 3 7 7 7 1 1 1')
  })

  it('sends incremental streams a frame each in turn', () => {
    const bench = new Bench(0)
    for (const id of [1, 3, 5]) bench.send(bench.stream(id, undefined, { incremental: true }), 40_000)
    bench.schedule.widen(1 << 20)
    bench.schedule.pump()
    assert.equal(bench.order(), '1 3 5 1 3 5 1 3 5')
  })

  it('starves none of an urgency: what comes later for one that was served goes behind the others', () => {
    const bench = new Bench(0)
    const greedy = bench.stream(1)
    let more = 5
    greedy.onDrained = () => more-- > 0 && bench.send(greedy, 16_384)
    bench.send(greedy, 16_384)
    for (const id of [3, 5]) bench.send(bench.stream(id), 16_384)
    bench.schedule.widen(1 << 20)
    bench.schedule.pump()
    assert.match(bench.order(), /^1 3 5 1 1/)
  })

  it('moves a stream whose urgency changes while it waits', () => {
    const bench = new Bench(0)
    const late = bench.stream(3)
    bench.send(bench.stream(1), 16_384)
    bench.send(late, 16_384)
    late.urgency = 1
    bench.schedule.reorder(late)
    bench.schedule.widen(1 << 20)
    bench.schedule.pump()
    assert.equal(bench.order(), '3 1')
  })

  it('keeps to the window of each stream and of the connection, down to the byte', () => {
    const bench = new Bench(1_000)
    const narrow = bench.stream(1, 300)
    const wide = bench.stream(3)
    bench.send(narrow, 500)
    bench.send(wide, 2_000)
    assert.deepEqual(
      bench.gone().map(({ stream, length }) => [stream, length]),
      [
        [1, 300],
        [3, 700],
      ],
    )
    bench.schedule.widen(10)
    bench.schedule.pump()
    assert.deepEqual(bench.gone(), [{ stream: 3, length: 10, end: false }])
    assert.equal(bench.cramped, 1)
    bench.schedule.widen(10_000)
    bench.schedule.widenStream(narrow, 200)
    bench.schedule.finish(narrow, null)
    bench.schedule.pump()
    assert.deepEqual(
      bench.gone().sort((a, b) => a.stream - b.stream),
      [
        { stream: 1, length: 200, end: true },
        { stream: 3, length: 1_290, end: false },
      ],
    )
    assert.deepEqual([narrow.drains, narrow.ends, wide.drains], [0, 1, 1])
  })

  it('waits where SETTINGS have made a window negative', () => {
    const bench = new Bench(1 << 20)
    const stream = bench.stream(1, 100)
    bench.schedule.widenStream(stream, -200)
    bench.send(stream, 50)
    bench.schedule.widenStream(stream, 100)
    bench.schedule.pump()
    assert.equal(bench.order(), '')
    bench.schedule.widenStream(stream, 1)
    bench.schedule.pump()
    assert.deepEqual(bench.gone(), [{ stream: 1, length: 1, end: false }])
    assert.equal(bench.schedule.widenStream(stream, 0x7fff_ffff), true)
    assert.equal(bench.schedule.widenStream(stream, 1), false)
  })

  it('forgets what a dropped stream had waiting, and sends nothing of it', () => {
    const bench = new Bench(0)
    const before = HELD_BODIES.bytes
    const dropped = bench.stream(1)
    bench.send(dropped, 300_000)
    assert.deepEqual([dropped.held.bytes, HELD_BODIES.bytes - before], [300_000, 300_000])
    bench.send(bench.stream(3), 100)
    bench.schedule.drop(dropped)
    assert.deepEqual([dropped.held.bytes, HELD_BODIES.bytes - before], [0, 100])
    bench.schedule.widen(1 << 20)
    bench.schedule.pump()
    assert.equal(bench.order(), '3')
  })
})
