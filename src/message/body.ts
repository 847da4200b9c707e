/**
 * Bodies on their way: where they go, the steps they pass, where they come from. Back-pressure is explicit throughout.
 */
import type { GatewayError } from '../lib/error.ts'
import type { Fields } from './fields.ts'

/** Instead of the bytes of a body: their number is not known before its end. */
export const UNKNOWN_LENGTH = -1

/** Where a body goes. */
export interface BodySink {
  /** @returns false: write nothing more until resumed */
  write(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  fail(error: GatewayError): void
}

/** A stage of a body on its way: transform, tee or hold back. One object per exchange and direction. */
export interface BodyStep {
  /**
   * @returns false: the source must pause until the step has called the sink's way free again (`resume` given at start)
   */
  data(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  /** The sink below takes bytes again. */
  drained(): void
  /** The exchange ended early; drop what is held. */
  abort(): void
}

/** Makes a step once the sink it writes to is known; `resume` wakes the source after `data` returned false. */
export type BodyStepFactory = (sink: BodySink, resume: () => void) => BodyStep

/** A sink that may also be lent bytes. */
export interface LentSink extends BodySink {
  /** As `write`, for `start` to `end` of bytes that are somebody else's again after the return. */
  lend(bytes: Buffer, start: number, end: number): boolean
  /** What it has goes on its way, though more may come: for whoever writes in a turn in which its source does not. */
  flush(): void
}

/** A step that passes on what it is given, unchanged, and keeps nothing of what it is lent. */
export interface LentBodyStep extends BodyStep {
  /** As `data`, for `start` to `end` of bytes that are somebody else's again after the return. */
  lend(bytes: Buffer, start: number, end: number): boolean
}

/** Whom a step tells that it takes bytes again. */
export interface BodyWaker {
  wake(): void
}

/** Makes a step that looks on. Where it is the only one, bytes are lent to it, and nothing is copied for it. */
export interface BodyTee {
  tee(sink: LentSink, source: BodyWaker): LentBodyStep
}

/** A body that is not in memory as a whole: read from a store, or from a response that is still arriving. */
export interface BodySource {
  /** Bytes; undefined when not known in advance. */
  readonly length: number | undefined
  /**
   * Begins to write to the sink, perhaps within the call. To be called once; ends with `end` or `fail` of the sink, or
   * with nothing after `abort`.
   */
  start(sink: BodySink): BodyControl
}

/** What the receiver of a {@link BodySource} does with it. */
export interface BodyControl {
  /** The sink takes bytes again, after its `write` returned false. */
  resume(): void
  /** Nobody reads the rest: the source lets go of what it holds, and the sink hears no more. */
  abort(): void
}
