/** Events of a frame reader as lines of text, for tests. */
import { FrameReader, type FrameReaderOptions } from '../../src/http/frame-reader.ts'
import type { FrameSink } from '../../src/http/frame-sink.ts'
import { errorName } from '../../src/http/frames.ts'

export const READER_OPTIONS: FrameReaderOptions = { role: 'client', maxFrameSize: 16_384, maxFieldBlock: 65_536 }

export class FrameLog implements FrameSink {
  readonly lines: string[] = []
  readonly reader: FrameReader
  #data = ''

  constructor(options: Partial<FrameReaderOptions> = {}) {
    this.reader = new FrameReader(this, { ...READER_OPTIONS, ...options })
  }

  onDataFrame(stream: number, length: number, padding: number): void {
    this.#data = ''
    this.lines.push(`data ${stream} length=${length} padding=${padding}`)
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (start === end) this.lines.push('empty data')
    this.#data += bytes.latin1Slice(start, end)
  }

  onDataEnd(endStream: boolean): void {
    this.lines.push(`data "${this.#data}"${endStream ? ' end' : ''}`)
  }

  onFieldBlock(stream: number, endStream: boolean, bytes: Buffer, start: number, end: number, fault: string): void {
    const block = bytes.latin1Slice(start, end)
    this.lines.push(`block ${stream} "${block}"${endStream ? ' end' : ''}${fault === '' ? '' : ` (${fault})`}`)
  }

  onPriority(stream: number): void {
    this.lines.push(`priority ${stream}`)
  }

  onReset(stream: number, code: number): void {
    this.lines.push(`reset ${stream} ${errorName(code)}`)
  }

  onSetting(id: number, value: number): void {
    this.lines.push(`setting ${id}=${value}`)
  }

  onSettingsEnd(): void {
    this.lines.push('settings')
  }

  onSettingsAck(): void {
    this.lines.push('settings ack')
  }

  onPing(bytes: Buffer, at: number): void {
    this.lines.push(`ping ${bytes.latin1Slice(at, at + 8)}`)
  }

  onPingAck(bytes: Buffer, at: number): void {
    this.lines.push(`ping ack ${bytes.latin1Slice(at, at + 8)}`)
  }

  onGoaway(lastStream: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.lines.push(`goaway ${lastStream} ${errorName(code)} "${bytes.latin1Slice(start, end)}"`)
  }

  onWindowUpdate(stream: number, increment: number): void {
    this.lines.push(`window ${stream} ${increment}`)
  }

  onPriorityUpdate(stream: number, bytes: Buffer, start: number, end: number): void {
    this.lines.push(`priority update ${stream} "${bytes.latin1Slice(start, end)}"`)
  }

  onUnknownFrame(type: number): void {
    this.lines.push(`unknown ${type}`)
  }

  onStreamError(stream: number, code: number, detail: string): void {
    this.lines.push(`stream error ${stream} ${errorName(code)}: ${detail}`)
  }

  onConnectionError(code: number, detail: string): void {
    this.lines.push(`error ${errorName(code)}: ${detail}`)
  }
}

/**
 * Reads bytes that arrive in pieces, each in a buffer that is overwritten after.
 *
 * @param cuts offsets at which they are divided, ascending
 */
export function readFrames(
  bytes: Buffer,
  cuts: readonly number[],
  options: Partial<FrameReaderOptions> = {},
): FrameLog {
  const log = new FrameLog(options)
  let from = 0
  for (const to of [...cuts, bytes.length]) {
    const piece = Buffer.concat([Buffer.from('xx'), bytes.subarray(from, to), Buffer.from('xx')])
    log.reader.push(piece, 2, piece.length - 2)
    piece.fill(0x58)
    from = to
  }
  return log
}
