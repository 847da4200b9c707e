/**
 * The steps of one body linked into a pipe. Back-pressure runs from the sink up to the source, step by step; whatever a
 * step does (hold back, split, throw, call at the wrong moment), the sink hears of one end only: `end` or `fail`, or
 * nothing after `abort`.
 */

import { GatewayError } from '../lib/error.ts'
import type { BodySink, BodyStep, BodyStepFactory, BodyTee, LentSink } from './body.ts'
import type { Fields } from './fields.ts'

/** What the source of a body writes to. */
export interface BodyPipe extends BodySink {
  /** The sink takes bytes again, after its `write` returned false. */
  drained(): void
  /** The exchange ended early: every step lets go of what it holds, and the sink hears no more. */
  abort(): void
}

/** Where the bytes go behind all steps. */
type PipeSink = BodySink & Partial<Pick<LentSink, 'flush'>>

/**
 * @param factories in the order that the bytes take
 * @param sink where they go
 * @param resume wakes the source after `write` returned false
 */
export function composeBody(
  factories: readonly (BodyStepFactory | BodyTee)[],
  sink: PipeSink,
  resume: () => void,
): BodyPipe {
  return new Pipe(factories, sink, resume)
}

class Pipe implements BodyPipe {
  readonly #sink: PipeSink
  readonly #steps: BodyStep[] = []
  /** Joint i leads into step i, the last one into the sink. */
  readonly #joints: Joint[] = []
  /** Nothing is let through any more. */
  closed = false

  constructor(factories: readonly (BodyStepFactory | BodyTee)[], sink: PipeSink, resume: () => void) {
    this.#sink = sink
    const count = factories.length
    for (let i = 0; i <= count; i++) {
      const wake = i === 0 ? resume : () => this.#steps[i - 1]!.drained()
      this.#joints.push(new Joint(this, wake))
    }
    // From the sink upwards, as a step is made with what it writes to.
    for (let i = count - 1; i >= 0; i--) {
      const joint = this.#joints[i]!
      const factory = factories[i]!
      const below = this.#joints[i + 1]!
      const step = typeof factory === 'function' ? factory(below, () => joint.wake()) : factory.tee(below, joint)
      this.#steps[i] = step
      joint.lead(
        (chunk) => step.data(chunk),
        (trailers) => step.end(trailers),
      )
    }
    this.#joints[count]!.lead(
      (chunk) => sink.write(chunk),
      (trailers) => this.#finish(trailers),
    )
  }

  write(chunk: Uint8Array): boolean {
    return this.#joints[0]!.write(chunk)
  }

  end(trailers: Fields | null): void {
    this.#joints[0]!.end(trailers)
  }

  drained(): void {
    this.#joints[this.#joints.length - 1]!.wake()
  }

  flush(): void {
    if (!this.closed) this.#sink.flush?.()
  }

  /** From the source or from any step: what is held is of no use any more. */
  fail(error: GatewayError): void {
    if (this.closed) return
    this.closed = true
    this.#release(() => true)
    this.#sink.fail(error)
  }

  abort(): void {
    if (this.closed) return
    this.closed = true
    this.#release(() => true)
  }

  #finish(trailers: Fields | null): void {
    this.closed = true
    // A step may end the body before its source does, having seen enough: those above it are still waiting.
    this.#release((i) => !this.#joints[i]!.ended)
    this.#sink.end(trailers)
  }

  #release(which: (step: number) => boolean): void {
    for (const [i, step] of this.#steps.entries()) {
      if (!which(i)) continue
      try {
        step.abort()
      } catch {
        // The exchange is over already and its end decided; one step must not keep the others from letting go.
      }
    }
  }
}

/** The way into one step, and the way back for its wish to go on. */
class Joint implements LentSink {
  readonly #pipe: Pipe
  readonly #wakeSource: () => void
  #data: (chunk: Uint8Array) => boolean = () => true
  #end: (trailers: Fields | null) => void = () => {}
  ended = false
  /** The source has stopped and waits. */
  #paused = false
  #writing = false
  /** `wake` was called while a chunk was being taken: the answer "stop" to it is out of date already. */
  #woken = false

  constructor(pipe: Pipe, wakeSource: () => void) {
    this.#pipe = pipe
    this.#wakeSource = wakeSource
  }

  lead(data: (chunk: Uint8Array) => boolean, end: (trailers: Fields | null) => void): void {
    this.#data = data
    this.#end = end
  }

  write(chunk: Uint8Array): boolean {
    if (this.#pipe.closed || this.ended) return true
    const outer = this.#writing
    this.#writing = true
    let more: boolean
    try {
      more = this.#data(chunk)
    } catch (error) {
      this.#broken(error)
      return true
    } finally {
      this.#writing = outer
    }
    if (outer) {
      if (!more) this.#paused = true
      return more
    }
    if (this.#woken) {
      this.#woken = false
      more = true
      if (this.#paused) this.#resume()
    } else if (!more) this.#paused = true
    return more
  }

  /** Steps may hold on to what they are given. */
  lend(bytes: Buffer, start: number, end: number): boolean {
    return this.write(Buffer.from(bytes.subarray(start, end)))
  }

  flush(): void {
    this.#pipe.flush()
  }

  end(trailers: Fields | null): void {
    if (this.#pipe.closed || this.ended) return
    this.ended = true
    try {
      this.#end(trailers)
    } catch (error) {
      this.#broken(error)
    }
  }

  fail(error: GatewayError): void {
    this.#pipe.fail(error)
  }

  wake(): void {
    if (this.#pipe.closed || this.ended) return
    if (this.#writing) this.#woken = true
    else if (this.#paused) this.#resume()
  }

  #resume(): void {
    this.#paused = false
    try {
      this.#wakeSource()
    } catch (error) {
      this.#broken(error)
    }
  }

  #broken(error: unknown): void {
    this.#pipe.fail(faultOf(error))
  }
}

/** What a step has thrown, as the failure of its exchange. */
export function faultOf(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const detail = `a body step threw: ${error instanceof Error ? error.message : String(error)}`
  return new GatewayError('InternalError', detail, { cause: error })
}
