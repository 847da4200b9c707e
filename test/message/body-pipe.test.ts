import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../../src/lib/error.ts'
import type { BodySink, BodyStep, BodyStepFactory } from '../../src/message/body.ts'
import { type BodyPipe, composeBody } from '../../src/message/body-pipe.ts'
import { Fields } from '../../src/message/fields.ts'
import { seeded } from '../suite/balancer.ts'

/** Things to be done at some later moment, in an order that chance decides. */
class Later {
  readonly #random: () => number
  readonly #tasks: (() => void)[] = []

  constructor(seed: number) {
    this.#random = seeded(seed)
  }

  do(task: () => void): void {
    this.#tasks.push(task)
  }

  chance(): number {
    return this.#random()
  }

  /** @returns false when there was nothing to do */
  step(): boolean {
    const [task] = this.#tasks.splice(Math.floor(this.#random() * this.#tasks.length), 1)
    task?.()
    return task !== undefined
  }
}

/** A sink that stops its source now and then, and counts what a sink must never see. */
class TestSink implements BodySink {
  readonly chunks: Uint8Array[] = []
  trailers: Fields | null | undefined = undefined
  error: GatewayError | null = null
  ends = 0
  full = false
  onFull: () => void = () => {}
  readonly #accepts: () => boolean

  constructor(accepts: () => boolean = () => true) {
    this.#accepts = accepts
  }

  write(chunk: Uint8Array): boolean {
    assert.equal(this.ends, 0, 'no byte after the end')
    this.chunks.push(chunk)
    if (this.#accepts()) return true
    this.full = true
    this.onFull()
    return false
  }

  end(trailers: Fields | null): void {
    this.ends++
    this.trailers = trailers
  }

  fail(error: GatewayError): void {
    this.ends++
    this.error = error
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }
}

/** Passes everything on at once. */
function identity(sink: BodySink, resume: () => void): BodyStep {
  return {
    data: (chunk) => sink.write(chunk),
    end: (trailers) => sink.end(trailers),
    drained: resume,
    abort: () => {},
  }
}

/** A step that holds what it was given in a queue: the base of those that cut, gather and delay. */
class Queue implements BodyStep {
  held: Uint8Array[] = []
  ended: { readonly trailers: Fields | null } | null = null
  aborted = 0
  stuck = false
  readonly sink: BodySink
  readonly #resume: () => void
  readonly #limit: number
  #asked = false

  constructor(sink: BodySink, resume: () => void, limit: number) {
    this.sink = sink
    this.#resume = resume
    this.#limit = limit
  }

  get bytes(): number {
    return this.held.reduce((sum, { length }) => sum + length, 0)
  }

  data(chunk: Uint8Array): boolean {
    this.held.push(chunk)
    this.moved()
    this.#asked = this.bytes >= this.#limit
    return !this.#asked
  }

  end(trailers: Fields | null): void {
    this.ended = { trailers }
    this.moved()
  }

  drained(): void {
    this.stuck = false
    this.moved()
  }

  abort(): void {
    this.aborted++
    this.held = []
  }

  /** Something changed: pass on what can be. */
  moved(): void {
    this.flush()
  }

  /** Sends what is held while the sink takes it, in pieces of at most `size`. */
  flush(size = Number.POSITIVE_INFINITY): void {
    while (this.held.length > 0 && !this.stuck) {
      const [first, ...rest] = this.held as [Uint8Array, ...Uint8Array[]]
      this.held = first.length > size ? [first.subarray(size), ...rest] : rest
      this.stuck = !this.sink.write(first.subarray(0, size))
    }
    if (this.#asked && this.bytes < this.#limit) {
      this.#asked = false
      this.#resume()
    }
    if (this.ended !== null && this.held.length === 0) this.sink.end(this.ended.trailers)
  }
}

class Cutter extends Queue {
  override moved(): void {
    this.flush(3)
  }
}

class Gatherer extends Queue {
  override moved(): void {
    if (this.ended === null && this.bytes < 7) return
    this.held = this.held.length === 0 ? [] : [Buffer.concat(this.held)]
    this.flush()
  }
}

const kinds = {
  identity: () => identity,
  cutter: () => (sink, resume) => new Cutter(sink, resume, 5),
  gatherer: () => (sink, resume) => new Gatherer(sink, resume, 9),
  queue: () => (sink, resume) => new Queue(sink, resume, 4),
  delayer: (later: Later) => (sink: BodySink, resume: () => void) => {
    const step = new Queue(sink, resume, 6)
    step.moved = () => later.do(() => step.aborted === 0 && step.flush(2))
    return step
  },
} satisfies Record<string, (later: Later) => BodyStepFactory>

const mixes = fc.array(fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[])), { maxLength: 5 })
const bodies = fc.array(fc.uint8Array({ minLength: 0, maxLength: 12 }), { maxLength: 25 })

/** A source that stops when it is told to, and the whole way to a sink, driven by chance. */
class Journey {
  readonly later: Later
  readonly sink: TestSink
  readonly steps: BodyStep[] = []
  readonly pipe: BodyPipe
  readonly #body: Uint8Array[]
  readonly #trailers: Fields | null
  paused = false
  /** Writes while paused: the source itself must have obeyed. */
  sent = 0
  #finished = false

  constructor(
    mix: readonly (keyof typeof kinds)[],
    body: readonly Uint8Array[],
    seed: number,
    trailers: Fields | null,
  ) {
    this.later = new Later(seed)
    this.#body = [...body]
    this.#trailers = trailers
    this.sink = new TestSink(() => this.later.chance() < 0.6)
    this.sink.onFull = () =>
      this.later.do(() => {
        this.sink.full = false
        this.pipe.drained()
      })
    const factories = mix.map((kind): BodyStepFactory => {
      const factory: BodyStepFactory = kinds[kind](this.later)
      return (sink, resume) => {
        const step = factory(sink, resume)
        this.steps.push(step)
        return step
      }
    })
    this.pipe = composeBody(factories, this.sink, () => {
      this.paused = false
      this.later.do(() => this.pump())
    })
    this.later.do(() => this.pump())
  }

  pump(): void {
    while (!this.paused && !this.#finished) {
      const chunk = this.#body.shift()
      if (chunk === undefined) {
        this.#finished = true
        this.pipe.end(this.#trailers)
      } else {
        this.sent++
        this.paused = !this.pipe.write(chunk)
      }
    }
  }

  run(steps = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < steps && this.later.step(); i++);
  }

  get held(): number {
    return this.steps.reduce((sum, step) => sum + (step instanceof Queue ? step.bytes : 0), 0)
  }
}

describe('a pipe of body steps', () => {
  it('lets out the bytes that came in, in order, and the trailers once, under any pauses', () => {
    fc.assert(
      fc.property(mixes, bodies, fc.nat(), fc.boolean(), (mix, body, seed, withTrailers) => {
        const trailers = withTrailers ? Fields.from({ 'grpc-status': '0' }) : null
        const journey = new Journey(mix, body, seed, trailers)
        journey.run()
        assert.equal(journey.sink.text, Buffer.concat(body).toString('latin1'))
        assert.equal(journey.sink.ends, 1)
        assert.equal(journey.sink.trailers, trailers)
        assert.equal(journey.sink.error, null)
        assert.equal(journey.held, 0)
        for (const step of journey.steps) if (step instanceof Queue) assert.equal(step.aborted, 0)
      }),
      { numRuns: 1_000 },
    )
  })

  it('lets go of everything on abort, at any moment, and tells the sink nothing more', () => {
    fc.assert(
      fc.property(mixes, bodies, fc.nat(), fc.nat(40), (mix, body, seed, moment) => {
        const journey = new Journey(mix, body, seed, null)
        journey.run(moment)
        const { ends } = journey.sink
        const bytes = journey.sink.chunks.length
        journey.pipe.abort()
        journey.pipe.abort()
        assert.equal(journey.held, 0)
        journey.run()
        assert.equal(journey.held, 0)
        assert.deepEqual([journey.sink.ends, journey.sink.chunks.length], [ends, bytes])
        for (const step of journey.steps) if (step instanceof Queue) assert.equal(step.aborted, ends === 0 ? 1 : 0)
      }),
      { numRuns: 500 },
    )
  })

  it('tells the sink of one failure of the source, at any moment, and lets go of everything', () => {
    fc.assert(
      fc.property(mixes, bodies, fc.nat(), fc.nat(40), (mix, body, seed, moment) => {
        const journey = new Journey(mix, body, seed, null)
        journey.run(moment)
        const complete = journey.sink.ends === 1
        const error = new GatewayError('UpstreamTruncated')
        journey.pipe.fail(error)
        journey.pipe.fail(error)
        journey.run()
        assert.equal(journey.sink.ends, 1)
        assert.equal(journey.sink.error, complete ? null : error)
        assert.equal(journey.held, 0)
        assert.ok(Buffer.concat(body).toString('latin1').startsWith(journey.sink.text))
      }),
      { numRuns: 500 },
    )
  })

  it('stops the source when the sink stops, and holds no more than each step may', () => {
    fc.assert(
      fc.property(mixes, (mix) => {
        const later = new Later(1)
        const sink = new TestSink(() => false)
        let resumed = 0
        const steps: Queue[] = []
        const pipe = composeBody(
          mix.map((kind): BodyStepFactory => {
            const factory: BodyStepFactory = kinds[kind](later)
            return (below, resume) => {
              const step = factory(below, resume)
              if (step instanceof Queue) steps.push(step)
              return step
            }
          }),
          sink,
          () => resumed++,
        )
        let written = 0
        while (written < 1_000 && pipe.write(Buffer.alloc(4))) {
          written++
          while (later.step());
        }
        assert.ok(written < 40, `stopped after ${written} chunks`)
        for (const step of steps) assert.ok(step.bytes <= 16, `${step.bytes} bytes are held`)
        assert.equal(resumed, 0)
      }),
    )
  })
})

describe('the joints of a pipe', () => {
  const none = () => {}
  const step = (changes: Partial<BodyStep>): BodyStepFactory => {
    return (sink, resume) => ({ ...identity(sink, resume), ...changes })
  }

  it('are the sink itself, as far as anyone can tell, where there are no steps', () => {
    let resumed = 0
    const sink = new TestSink(() => false)
    const pipe = composeBody([], sink, () => resumed++)
    assert.equal(pipe.write(Buffer.from('ab')), false)
    pipe.drained()
    pipe.drained()
    assert.equal(resumed, 1, 'woken once, since it was stopped once')
    pipe.end(null)
    pipe.end(null)
    assert.deepEqual([sink.text, sink.ends], ['ab', 1])
  })

  it('do not wake a source that was never stopped', () => {
    let resumed = 0
    let wake = none
    const waking: BodyStepFactory = (sink, resume) => {
      wake = resume
      return identity(sink, resume)
    }
    const pipe = composeBody([waking], new TestSink(), () => resumed++)
    pipe.write(Buffer.from('a'))
    wake()
    pipe.drained()
    assert.equal(resumed, 0)
  })

  it('do not lose a wake-up that comes before the answer to the chunk', () => {
    let resumed = 0
    const hasty: BodyStepFactory = (_sink, resume) => ({
      data() {
        resume()
        return false
      },
      end: none,
      drained: none,
      abort: none,
    })
    const pipe = composeBody([hasty], new TestSink(), () => resumed++)
    assert.equal(pipe.write(Buffer.from('a')), true, 'the wish to stop was already taken back')
    assert.equal(resumed, 0)
  })

  it('wake a source that was stopped when the step comes free within a chunk sent all the same', () => {
    let resumed = 0
    let chunks = 0
    const second: BodyStepFactory = (_sink, resume) => ({
      data() {
        if (++chunks === 2) resume()
        return false
      },
      end: none,
      drained: none,
      abort: none,
    })
    const pipe = composeBody([second], new TestSink(), () => resumed++)
    assert.equal(pipe.write(Buffer.from('a')), false)
    assert.equal(pipe.write(Buffer.from('b')), true)
    assert.equal(resumed, 1)
  })

  it('turn a step that throws into one failure of the body', () => {
    const oops = () => {
      throw new Error('oops')
    }
    for (const broken of [{ data: oops }, { end: oops }, { drained: oops }]) {
      let aborted = 0
      const sink = new TestSink(() => false)
      const pipe = composeBody([step({ abort: () => aborted++ }), step(broken)], sink, none)
      pipe.write(Buffer.from('a'))
      pipe.drained()
      pipe.end(null)
      assert.equal(sink.ends, 1)
      assert.deepEqual([sink.error?.reason, sink.error?.detail], ['InternalError', 'a body step threw: oops'])
      assert.equal(aborted, 1)
    }
  })

  it('keep the reason of a step that fails the body, and drop what comes after', () => {
    const error = new GatewayError('BodyTooLarge')
    const sink = new TestSink()
    const failing: BodyStepFactory = (below) => ({
      data(chunk) {
        below.fail(error)
        below.write(chunk)
        below.end(null)
        return false
      },
      end: none,
      drained: none,
      abort: none,
    })
    const pipe = composeBody([failing, identity], sink, none)
    pipe.write(Buffer.from('a'))
    assert.equal(pipe.write(Buffer.from('b')), true, 'nobody is left to wake the source')
    pipe.end(null)
    assert.deepEqual([sink.error, sink.text, sink.ends], [error, '', 1])
  })

  it('release the steps above one that has seen enough', () => {
    let aborted = 0
    const enough: BodyStepFactory = (sink) => ({
      data(chunk) {
        sink.write(chunk)
        sink.end(null)
        return true
      },
      end: none,
      drained: none,
      abort: () => aborted++,
    })
    const sink = new TestSink()
    const pipe = composeBody([step({ abort: () => aborted++ }), enough], sink, none)
    for (const text of ['a', 'b']) pipe.write(Buffer.from(text))
    pipe.end(null)
    assert.deepEqual([sink.text, sink.ends, aborted], ['a', 1, 2])
  })

  it('let go of every step even where one throws at that', () => {
    let aborted = 0
    const stubborn = step({
      abort() {
        throw new Error('no')
      },
    })
    const pipe = composeBody([stubborn, step({ abort: () => aborted++ })], new TestSink(), none)
    pipe.abort()
    assert.equal(aborted, 1)
  })
})
