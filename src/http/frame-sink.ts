/** What a reader of HTTP/2 frames reports: implemented by the connections of both roles. */
import type { ErrorCode } from './frames.ts'

/** Events of a connection's frames. Bytes are valid until the call returns. */
export interface FrameSink {
  /**
   * A DATA frame begins.
   * @param length what counts for flow control: the whole payload
   * @param padding bytes of it that are no data
   */
  onDataFrame(stream: number, length: number, padding: number): void
  /** Some of the data of that frame; not called for an empty one. */
  onData(bytes: Buffer, start: number, end: number): void
  /** That frame is complete. */
  onDataEnd(endStream: boolean): void
  /**
   * A complete field block. It is to be decoded whatever becomes of the stream: the table of the connection goes on
   * with it.
   * @param fault what makes the message malformed whatever is in it; '' where nothing does
   */
  onFieldBlock(stream: number, endStream: boolean, bytes: Buffer, start: number, end: number, fault: string): void
  /** PRIORITY: deprecated, and without meaning here (RFC 9113 §5.3.2). */
  onPriority(stream: number): void
  onReset(stream: number, code: number): void
  onSetting(id: number, value: number): void
  /** A SETTINGS frame is complete; it is to be acknowledged. */
  onSettingsEnd(): void
  onSettingsAck(): void
  /** The 8 bytes from `at` are to be sent back. */
  onPing(bytes: Buffer, at: number): void
  onPingAck(bytes: Buffer, at: number): void
  onGoaway(lastStream: number, code: number, bytes: Buffer, start: number, end: number): void
  /** @param increment 1 or more */
  onWindowUpdate(stream: number, increment: number): void
  /** RFC 9218 §7.1; servers alone. The bytes are the priority field value. */
  onPriorityUpdate(stream: number, bytes: Buffer, start: number, end: number): void
  /** A frame of a type that is not known (RFC 9113 §5.5). */
  onUnknownFrame(type: number): void
  onStreamError(stream: number, code: ErrorCode, detail: string): void
  /** Nothing more is read. */
  onConnectionError(code: ErrorCode, detail: string): void
}
