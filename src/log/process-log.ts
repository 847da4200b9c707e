/**
 * The process's own log: what Headgate itself has to say, as JSON lines or, for a person at a terminal, as text. Every
 * thread writes finished lines into a ring of its own; the main thread, which outlives the others, moves them to
 * standard error. So the last words of a thread that died are not lost.
 */
import { isMainThread } from 'node:worker_threads'
import pino from 'pino'
import { LineWriter } from '../shared-memory/line-ring.ts'
import { LinePump } from './line-pump.ts'
import { formatText } from './log-text.ts'
import { openOutput } from './output.ts'
import { redact } from './secrets.ts'

export type Logger = pino.Logger

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['json', 'text'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** One for each thread. */
export const PROCESS_LOG_RING_BYTES = 256 * 1_024

export interface LoggerOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Who speaks: `main`, `control`, `worker-0`. */
  readonly thread: string
  /** Takes finished lines, without their end. */
  readonly write: (line: string) => void
}

/** @param asked what the user said, if anything; text where a person reads along */
export function logFormat(asked: LogFormat | undefined, stderr: { readonly isTTY?: boolean }): LogFormat {
  return asked ?? (stderr.isTTY === true ? 'text' : 'json')
}

/** Credentials are taken out of objects, errors and texts, see secrets.ts. */
export function createLogger(options: LoggerOptions): Logger {
  const { level, format, thread, write } = options
  return pino(
    {
      level,
      base: { thread },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      // What the log function below returns is plain data; pino's own serializer for errors would undo it.
      serializers: { error: (value: unknown) => value, err: (value: unknown) => value },
      formatters: {
        level: (label) => ({ level: label }),
        log: (object) => redact(object) as Record<string, unknown>,
      },
    },
    // Once more, over the finished line: bindings of children and texts with values put in have passed no formatter.
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
 * Moves the lines of all threads to standard error; in the main thread only. Call `kick` to have a line out at once,
 * and `flushSync` before an end by an error.
 *
 * @param onDrop lines that were lost because nobody read standard error in time; for the main thread's own logger
 */
export function createProcessLogWriter(
  rings: readonly SharedArrayBuffer[],
  onDrop: (lines: number) => void,
  fd = 2,
): LinePump {
  if (!isMainThread) throw new TypeError('the process log is written by the main thread')
  return new LinePump({ rings, out: openOutput({ fd }), onDrop })
}
