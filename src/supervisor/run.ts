/** `headgate run`: starts the supervisor with the options of the command line and handles the process's signals. */
import { readFileSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { holdsEntries } from '../cache/memory/buffers.ts'
import type { RunCommand } from '../cli/parse.ts'
import { divideMemory, formatMebibytes, MIN_MEMORY } from '../lib/memory-budget.ts'
import { createProcessLogWriter, createThreadLogger, PROCESS_LOG_RING_BYTES } from '../log/process-log.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { systemTimers } from '../thread/system-timers.ts'
import { setHeapFlags } from './heap-flags.ts'
import { memoryLimit, REUSE_PORT_BALANCES } from './memory-limit.ts'
import { Supervisor } from './supervisor.ts'
import type { ThreadEntries } from './threads.ts'

/** `.ts` from source, `.js` compiled; the same for all files. */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))

const ENTRIES: ThreadEntries = {
  control: new URL(`../control/main${EXTENSION}`, import.meta.url),
  worker: new URL(`../worker/main${EXTENSION}`, import.meta.url),
}

/** Time to write the remaining log lines when the process ends. */
const FINAL_FLUSH_MS = 250

export interface RunOptions {
  readonly command: RunCommand
  /** Replaces the entry files of the threads, for tests of the supervisor. */
  readonly entries?: ThreadEntries
}

/** Starts the process's threads. The process ends on a signal, or with code 1 when it cannot start. */
export async function run({ command, entries = ENTRIES }: RunOptions): Promise<void> {
  setHeapFlags()
  const requested = command.workers || availableParallelism()
  const hasState = command.overrides.some(({ path }) => path[0] === 'stateDirectory')
  const limit = await memoryLimit(command.settings, undefined, hasState)
  const hasFiles = limit.files && command.source.type === 'folder'
  const memory = divideMemory(limit.bytes, REUSE_PORT_BALANCES ? requested : 1, limit.cache, hasFiles)
  const { workers } = memory
  const threadLog = { level: command.logLevel, format: command.logFormat } as const
  // The first ring belongs to the main thread, the others to control and the workers by row of the process block.
  const rings = Array.from({ length: workers + 2 }, () => LineRing.create(PROCESS_LOG_RING_BYTES))
  const log = createThreadLogger(rings[0]!, { ...threadLog, thread: 'main' })
  const output = createProcessLogWriter(rings, (lines) => log.warn({ lines }, 'log lines were dropped'))
  const exit = (code: number): never => {
    output.flushSync(FINAL_FLUSH_MS)
    process.exit(code)
  }
  if (!REUSE_PORT_BALANCES && requested > 1)
    log.warn(`${process.platform} does not balance connections among the sockets of one port: one worker is started`)
  if (REUSE_PORT_BALANCES && workers < requested)
    log.warn(
      `${formatMebibytes(limit.bytes)} of memory (${limit.from}) have room for ${workers} of ${requested} workers. Raise the limit to start them all.`,
    )
  if (limit.bytes < MIN_MEMORY)
    log.warn(
      `${formatMebibytes(limit.bytes)} of memory (${limit.from}) are less than the ${formatMebibytes(MIN_MEMORY)} that one worker and control may need: ` +
        'the system may kill the process. Raise the limit.',
    )

  if (memory.cache < limit.cache)
    log.warn(
      `cache.memory is ${formatMebibytes(limit.cache)}, but ${formatMebibytes(limit.bytes)} of memory (${limit.from}) leave ${formatMebibytes(memory.cache)} for it. Raise the limit, or lower the setting.`,
    )

  if (limit.cache > 0 && memory.cache > 0 && !holdsEntries(memory.cache, workers))
    log.warn(
      `cache.memory (${memory.cache} B) is too little for ${workers} worker${workers === 1 ? '' : 's'}: no response is stored. State more, with its unit: 64Mi, say.`,
    )

  const supervisor = new Supervisor({
    source: command.source,
    settingsFile: command.settings,
    overrides: command.overrides,
    memory,
    reusePort: REUSE_PORT_BALANCES,
    drainDelay: command.drainDelay,
    drainTimeout: command.drainTimeout,
    threadLog,
    processLog: rings.slice(1),
    version: packageVersion(),
    log,
    time: systemTimers,
    entries,
    onFatal: (lines) => {
      for (const line of lines) log.fatal(line)
      exit(1)
    },
  })

  let signalled = false
  const onSignal = (signal: 'SIGTERM' | 'SIGINT'): void => {
    if (signalled) exit(128 + constants.signals[signal])
    signalled = true
    void supervisor.shutdown(signal).then(() => exit(0))
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('uncaughtException', (error) => {
    log.fatal({ error }, 'the main thread failed')
    exit(1)
  })
  supervisor.start()
}

/** Reads the version of the package that contains this file, in `src/` or in `dist/`. */
function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String((manifest as { version?: unknown }).version)
}
