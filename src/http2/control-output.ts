/** Writes the frames of an HTTP/2 connection that carry no message, right behind what it has gathered. */
import {
  goawayLength,
  PING_FRAME,
  RST_STREAM_FRAME,
  SETTING,
  WINDOW_UPDATE_FRAME,
  writeGoaway,
  writePing,
  writeReset,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from '../http/frame-writer.ts'
import { type ErrorCode, FRAME_HEADER, PREFACE } from '../http/frames.ts'
import type { FrameOutput } from './frame-output.ts'

export class ControlOutput {
  readonly #output: FrameOutput

  constructor(output: FrameOutput) {
    this.#output = output
  }

  /** What a client sends before anything else. */
  preface(): void {
    const at = this.#output.reserve(PREFACE.length)
    this.#output.at = at + PREFACE.copy(this.#output.bytes, at)
  }

  /** @param settings flat: identifier, value, … */
  settings(settings: readonly number[]): void {
    const at = this.#output.reserve(FRAME_HEADER + (settings.length / 2) * SETTING)
    this.#output.at = writeSettings(this.#output.bytes, at, settings)
  }

  settingsAck(): void {
    const at = this.#output.reserve(FRAME_HEADER)
    this.#output.at = writeSettingsAck(this.#output.bytes, at)
  }

  /** @param data 8 bytes from `from` */
  ping(ack: boolean, data: Buffer, from: number): void {
    const at = this.#output.reserve(PING_FRAME)
    this.#output.at = writePing(this.#output.bytes, at, ack, data, from)
  }

  windowUpdate(stream: number, increment: number): void {
    const at = this.#output.reserve(WINDOW_UPDATE_FRAME)
    this.#output.at = writeWindowUpdate(this.#output.bytes, at, stream, increment)
  }

  reset(stream: number, code: ErrorCode): void {
    const at = this.#output.reserve(RST_STREAM_FRAME)
    this.#output.at = writeReset(this.#output.bytes, at, stream, code)
  }

  /** @param debug ASCII */
  goaway(lastStream: number, code: ErrorCode, debug: string): void {
    const at = this.#output.reserve(goawayLength(debug))
    this.#output.at = writeGoaway(this.#output.bytes, at, lastStream, code, debug)
  }
}
