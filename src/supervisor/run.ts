/** `headgate run`: from the command line to a running supervisor, and from signals to the end of the process. */
import { readFileSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import type { RunCommand } from '../cli/parse.ts'
import { createProcessLogWriter, createThreadLogger, PROCESS_LOG_RING_BYTES } from '../log/process-log.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
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

/** Starts everything; returns at once. The process ends by a signal, or with code 1 when it cannot start. */
export function run({ command, entries = ENTRIES }: RunOptions): void {
  const asked = command.workers || availableParallelism()
  const workers = BALANCES ? asked : 1
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

  const supervisor = new Supervisor({
    source: command.source,
    settingsFile: command.settings,
    overrides: command.overrides,
    workers,
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
