/** Frames of an HTTP/2 connection that carry no message, written to what is sent in this turn. */
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

/** Ours: nothing depends on what comes back. */
const PING_DATA = Buffer.from('headgate', 'latin1')

export class ConnectionFrames {
  readonly #output: FrameOutput

  constructor(output: FrameOutput) {
    this.#output = output
  }

  /** What a client sends first. @param settings flat: identifier, value, … */
  preface(settings: readonly number[]): void {
    const output = this.#output
    const at = output.reserve(PREFACE.length + FRAME_HEADER + (settings.length / 2) * SETTING)
    output.at = writeSettings(output.bytes, at + PREFACE.copy(output.bytes, at), settings)
  }

  settingsAck(): void {
    const output = this.#output
    const at = output.reserve(FRAME_HEADER)
    output.at = writeSettingsAck(output.bytes, at)
  }

  ping(): void {
    const output = this.#output
    const at = output.reserve(PING_FRAME)
    output.at = writePing(output.bytes, at, false, PING_DATA, 0)
  }

  pingAck(data: Buffer, from: number): void {
    const output = this.#output
    const at = output.reserve(PING_FRAME)
    output.at = writePing(output.bytes, at, true, data, from)
  }

  /** @param stream 0 = the connection */
  windowUpdate(stream: number, increment: number): void {
    const output = this.#output
    const at = output.reserve(WINDOW_UPDATE_FRAME)
    output.at = writeWindowUpdate(output.bytes, at, stream, increment)
  }

  reset(stream: number, code: ErrorCode): void {
    const output = this.#output
    const at = output.reserve(RST_STREAM_FRAME)
    output.at = writeReset(output.bytes, at, stream, code)
  }

  /** @param debug ASCII */
  goaway(lastStream: number, code: ErrorCode, debug: string): void {
    const output = this.#output
    const at = output.reserve(goawayLength(debug))
    output.at = writeGoaway(output.bytes, at, lastStream, code, debug)
  }
}
