/** `headgate run`: from the command line to a running supervisor, and from signals to the end of the process. */
import { readFileSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import type { RunCommand } from '../cli/parse.ts'
import { divideMemory, formatMebibytes, LEAST_MEMORY } from '../lib/memory-budget.ts'
import { createProcessLogWriter, createThreadLogger, PROCESS_LOG_RING_BYTES } from '../log/process-log.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { memoryLimit } from './memory-limit.ts'
import { Supervisor } from './supervisor.ts'
import type { ThreadEntries } from './threads.ts'

/** Ours are compiled or not, and then so are all. */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))

const ENTRIES: ThreadEntries = {
  control: new URL(`../control/main${EXTENSION}`, import.meta.url),
  worker: new URL(`../worker/main${EXTENSION}`, import.meta.url),
}

/** Where the kernel deals out connections among listeners of one port (SO_REUSEPORT as Linux means it). */
const BALANCES = process.platform === 'linux'

/** For what is left to say when the process ends. */
const LAST_WORDS_MS = 250

export interface RunOptions {
  readonly command: RunCommand
  /** Other threads than our own: for tests of the supervisor. */
  readonly entries?: ThreadEntries
}

/**
 * Of V8, for the threads to come. With 30 % a heap is collected when it has grown by that much since the last time; by
 * default it may grow to four times what is in use, which took a worker of 40 MiB to 200. Idle threads collect by
 * themselves, see `watchMemory`.
 */
const HEAP_FLAGS = ['--heap-growing-percent=30', '--expose-gc']

/** Starts everything. The process ends by a signal, or with code 1 when it cannot start. */
export async function run({ command, entries = ENTRIES }: RunOptions): Promise<void> {
  for (const flag of HEAP_FLAGS) setFlagsFromString(flag)
  const asked = command.workers || availableParallelism()
  const limit = await memoryLimit(command.settings)
  const memory = divideMemory(limit.bytes, BALANCES ? asked : 1)
  const { workers } = memory
  const threadLog = { level: command.logLevel, format: command.logFormat } as const
  // The main thread's own, then by row of the process block those of control and the workers.
  const rings = Array.from({ length: workers + 2 }, () => LineRing.create(PROCESS_LOG_RING_BYTES))
  const log = createThreadLogger(rings[0]!, { ...threadLog, thread: 'main' })
  const output = createProcessLogWriter(rings, (lines) => log.warn({ lines }, 'lines of this log were lost'))
  const leave = (code: number): never => {
    output.flushSync(LAST_WORDS_MS)
    process.exit(code)
  }
  if (!BALANCES && asked > 1)
    log.warn(
      `${process.platform} does not deal out connections over several listeners of a port: one worker is started`,
    )
  if (BALANCES && workers < asked)
    log.warn(
      `${formatMebibytes(limit.bytes)} of memory (${limit.from}) have room for ${workers} of ${asked} workers. Raise the limit to have them all.`,
    )
  if (limit.bytes < LEAST_MEMORY)
    log.warn(
      `${formatMebibytes(limit.bytes)} of memory (${limit.from}) are less than the ${formatMebibytes(LEAST_MEMORY)} that one worker and control may need: ` +
        'the process may be ended by the system. Raise the limit.',
    )

  const supervisor = new Supervisor({
    source: command.source,
    settingsFile: command.settings,
    overrides: command.overrides,
    memory,
    reusePort: BALANCES,
    drainDelay: command.drainDelay,
    drainTimeout: command.drainTimeout,
    threadLog,
    processLog: rings.slice(1),
    version: packageVersion(),
    log,
    entries,
    onFatal: (lines) => {
      for (const line of lines) log.fatal(line)
      leave(1)
    },
  })

  let signalled = false
  const onSignal = (signal: 'SIGTERM' | 'SIGINT'): void => {
    if (signalled) leave(128 + constants.signals[signal])
    signalled = true
    void supervisor.shutdown(signal).then(() => leave(0))
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('uncaughtException', (error) => {
    log.fatal({ error }, 'the main thread failed')
    leave(1)
  })
  supervisor.start()
}

/** Of the package this file is in, from `src/` as from `dist/`. */
function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String((manifest as { version?: unknown }).version)
}
