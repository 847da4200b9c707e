/**
 * The process log, as JSON lines or as text for terminals. Every thread writes finished lines into its own ring; the
 * main thread, which outlives the others, moves them to standard error, so that the last lines of a dead thread are not
 * lost.
 */
import { isMainThread } from 'node:worker_threads'
import pino from 'pino'
import { LineWriter } from '../shared-memory/line-ring.ts'
import { LinePump } from './line-pump.ts'
import { formatText } from './log-text.ts'
import { openOutput } from './output.ts'
import { redact } from './redact.ts'

export type Logger = pino.Logger

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['json', 'text'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** Size of the ring of one thread. */
export const PROCESS_LOG_RING_BYTES = 256 * 1_024

export interface LoggerOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Name of the thread: `main`, `control`, `worker-0`. */
  readonly thread: string
  /** Called with finished lines without their line end. */
  readonly write: (line: string) => void
}

/** @param requested format; by default text for a terminal, JSON otherwise */
export function logFormat(requested: LogFormat | undefined, stderr: { readonly isTTY?: boolean }): LogFormat {
  return requested ?? (stderr.isTTY === true ? 'text' : 'json')
}

/** Redacts credentials in objects, errors and texts, see redact.ts. */
export function createLogger(options: LoggerOptions): Logger {
  const { level, format, thread, write } = options
  return pino(
    {
      level,
      base: { thread },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      // The log function below returns plain data; pino's serializer of errors would undo it.
      serializers: { error: (value: unknown) => value, err: (value: unknown) => value },
      formatters: {
        level: (label) => ({ level: label }),
        log: (object) => redact(object) as Record<string, unknown>,
      },
    },
    // Redacts the finished line again: child bindings and interpolated texts have not passed the formatter.
    {
      write: (line: string) => {
        const record = redact(JSON.parse(line)) as Record<string, unknown>
        write(format === 'json' ? JSON.stringify(record) : formatText(record))
      },
    },
  )
}

/** A logger that writes to the thread's ring. */
export function createThreadLogger(
  ring: SharedArrayBuffer,
  options: Pick<LoggerOptions, 'level' | 'format' | 'thread'>,
): Logger {
  const writer = new LineWriter(ring)
  return createLogger({ ...options, write: (line) => void writer.write(line) })
}

/**
 * Moves the lines of all threads to standard error; in the main thread only. Call `kick` to write a line immediately,
 * and `flushSync` before the process ends by an error.
 *
 * @param onDrop number of lines dropped because standard error was not read in time; for the main thread's logger
 */
export function createProcessLogWriter(
  rings: readonly SharedArrayBuffer[],
  onDrop: (lines: number) => void,
  fd = 2,
): LinePump {
  if (!isMainThread) throw new TypeError('the process log is written by the main thread')
  return new LinePump({ rings, out: openOutput({ fd }), onDrop })
}
