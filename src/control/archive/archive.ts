/**
 * The thread that owns the files of the cache. It begins with the first worker that asks for it, and anew where it has
 * ended; workers without a policy that keeps responses in files never ask.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { ArchiveBudget, HeapLimits } from '../../lib/memory-budget.ts'
import type { ArchiveData, ArchiveFailure, ArchiveWorker } from './archive-main.ts'

export interface ArchiveOptions {
  readonly time: Pick<TimerClock, 'monotonic'>
  readonly warn: (message: string) => void
}

const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const ENTRY = new URL(`archive-main${EXTENSION}`, import.meta.url)
const MIB = 1_024 * 1_024
const NO_ROOM =
  'limits.memory leaves no room for the thread with the files of the cache: rules with store File keep responses in memory alone. Raise the limit, or start fewer workers.'
/** Between two starts of one that ends at once. */
const PAUSE: Milliseconds = 5_000

export class Archive {
  readonly #options: ArchiveOptions
  #data: ArchiveData | undefined
  #heap: HeapLimits | undefined
  #opened = false
  #hasNoRoom = false
  #worker: Worker | undefined
  #started = Number.NEGATIVE_INFINITY
  /** Workers that asked before the settings were known. */
  #waiting: ((port: MessagePort | null) => void)[] = []

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  /**
   * The settings are known.
   *
   * @param files undefined: there are none
   * @param budget null: the memory of the process has no room for them
   */
  open(files: Omit<ArchiveData, 'maxFiles'> | undefined, budget: ArchiveBudget | null): void {
    this.#data = files === undefined || budget === null ? undefined : { ...files, maxFiles: budget.files }
    this.#heap = budget?.heap
    this.#hasNoRoom = files !== undefined && budget === null
    this.#opened = true
    for (const answer of this.#waiting.splice(0)) this.ask(answer)
  }

  /** @param answer gets a port to the thread, to be transferred; null: there are no files */
  ask(answer: (port: MessagePort | null) => void): void {
    if (!this.#opened) this.#waiting.push(answer)
    else if (this.#data === undefined) {
      if (this.#hasNoRoom) this.#options.warn(NO_ROOM)
      this.#hasNoRoom = false
      answer(null)
    } else {
      const { port1, port2 } = new MessageChannel()
      const worker = this.#running(this.#data)
      // A port that is closed at once is asked for again.
      if (worker === undefined) port1.close()
      else worker.postMessage({ port: port1 } satisfies ArchiveWorker, [port1])
      answer(port2)
    }
  }

  async stop(): Promise<void> {
    this.#opened = false
    await this.#worker?.terminate()
  }

  #running(data: ArchiveData): Worker | undefined {
    const { time, warn } = this.#options
    if (this.#worker !== undefined || time.monotonic() - this.#started < PAUSE) return this.#worker
    this.#started = time.monotonic()
    const worker = new Worker(ENTRY, {
      workerData: data,
      resourceLimits: {
        maxOldGenerationSizeMb: this.#heap!.old / MIB,
        maxYoungGenerationSizeMb: this.#heap!.young / MIB,
      },
      name: 'archive',
    })
    worker.on('message', (said: ArchiveFailure) => warn(messageOf(said)))
    worker.on('error', (error) =>
      warn(`the files of the cache cannot be used: ${error instanceof Error ? error.message : String(error)}`),
    )
    worker.on('exit', () => (this.#worker = undefined))
    worker.unref()
    this.#worker = worker
    return worker
  }
}

function messageOf(said: ArchiveFailure): string {
  if ('unread' in said) return `a file of the cache cannot be read: ${said.unread}`
  const { failure } = said
  if (failure === undefined) return 'the files of the cache are written again'
  if (failure.makesRoom)
    return `files of the cache are removed to make room for others of it, those first that were not asked for longest: ${failure.message}`
  return `no response is kept in files of the cache: ${failure.message}`
}
