/**
 * Keeps the objects of a cluster as text and writes them to the checkpoint file periodically. No caller waits for a
 * write and it never throws: a failure is logged once, and its end once.
 */
import { isSensitive } from '../../api/kinds.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { describeFileError } from '../../lib/system-error.ts'
import { SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import type { SourceEvent } from '../source.ts'
import { objectId } from './checkpoint.ts'
import { MAX_STATE_BYTES, type StateFile } from './state-file.ts'
import { encodeState, type StateEncoder } from './state-format.ts'
import type { StateKey } from './state-key.ts'

export interface WritePacing {
  /** From a change to its write, unless another write was recent. */
  readonly batch: Milliseconds
  /** Minimum time between two writes. */
  readonly pause: Milliseconds
  /** Maximum average rate. */
  readonly bytesPerSecond: number
  /** Between two writes without a change, which update the time in the file. */
  readonly refresh: Milliseconds
}

/**
 * Endpoints of a large cluster change constantly: at 10 MB per write this is one write in ten seconds.
 */
export const WRITE_PACING: WritePacing = { batch: 2_000, pause: 5_000, bytesPerSecond: 1_048_576, refresh: 600_000 }

export interface CheckpointLog {
  info(message: string): void
  warn(message: string): void
}

export interface CheckpointWriterOptions {
  readonly file: StateFile
  /** Read again for each write, because keys rotate. Undefined means no encryption, no Secrets and no ConfigMaps. */
  readonly keys?: () => Promise<readonly StateKey[]>
  /** See {@link StateHeader}. */
  readonly cluster: () => Promise<string>
  readonly namespaces: readonly string[]
  readonly log: CheckpointLog
  readonly time: TimerClock
  readonly pacing?: Partial<WritePacing>
  /** Limit of the size of all texts; the limit of the file by default. */
  readonly maxBytes?: number
}

/** Of a slice: the events of a burst are validated in the same turns. */
const SERIALIZE_SHARE = 0.5
const CHUNK_BYTES = 131_072
/** Bytes of UTF-8 per UTF-16 code unit, at most. */
const MAX_UTF8_BYTES = 3
const NEWLINE = 0x0a
const DELETED = Symbol('deleted')

export class CheckpointWriter {
  readonly #options: CheckpointWriterOptions
  readonly #pacing: WritePacing
  readonly #maxBytes: number
  /** Objects by kind and key, each as one line of JSON. */
  #texts = new Map<string, string>()
  /** Recorded and not serialized yet. */
  readonly #pending = new Map<string, unknown>()
  #size = 0
  readonly #serializing: SlicedWork
  #cancelWrite: (() => void) | undefined
  #cancelRefresh = (): void => {}
  #writing: Promise<void> | undefined
  /** All objects are recorded. Before that a write would replace a complete file with an incomplete one. */
  #complete = false
  #changed = false
  #notBefore: Milliseconds = 0
  #failures = 0
  #lastError: string | undefined
  #disabled = false
  #stopped = false
  /** Whether the source is reachable, so that the objects are current; otherwise the file keeps its time. */
  current = true

  constructor(options: CheckpointWriterOptions) {
    this.#options = options
    this.#pacing = { ...WRITE_PACING, ...options.pacing }
    this.#maxBytes = options.maxBytes ?? MAX_STATE_BYTES
    this.#serializing = new SlicedWork(options.time, (slice) => this.#serializeSome(slice.part(SERIALIZE_SHARE)))
  }

  /** Records events; they are serialized later. */
  record(events: readonly SourceEvent[]): void {
    if (this.#stopped || this.#disabled) return
    for (const event of events) {
      // Without a key payloads would be stored unencrypted.
      if (this.#options.keys === undefined && isSensitive(event.kind)) continue
      this.#pending.set(objectId(event.kind, event.key), event.type === 'delete' ? DELETED : event.raw)
    }
    if (this.#pending.size > 0) this.#serializing.schedule()
  }

  /** All objects are recorded: writes begin. */
  markComplete(): void {
    if (this.#complete || this.#stopped) return
    this.#complete = true
    this.#changed = true
    this.#schedule()
    const { time, file } = this.#options
    this.#cancelRefresh = time.every(this.#pacing.refresh, () => {
      if (!this.current) return
      this.#changed = true
      this.#schedule()
    })
    void file.sweep(time.wall())
  }

  /** Writes outstanding changes immediately. Resolves when they are written, or after the timeout. */
  async stop(timeout: Milliseconds): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancelRefresh()
    this.#cancelWrite?.()
    const last = async (): Promise<void> => {
      await this.#writing
      if (this.#complete && !this.#disabled && (this.#changed || this.#pending.size > 0)) await this.#write()
    }
    const { promise: end, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.time.after(timeout, resolve)
    await Promise.race([last(), end])
    cancel()
    this.#serializing.stop()
  }

  /** @returns whether something is left */
  #serializeSome(slice: TimeSlice): boolean {
    for (const [id, raw] of this.#pending) {
      this.#pending.delete(id)
      this.#serialize(id, raw)
      if (this.#disabled) return false
      if (slice.over) break
    }
    this.#schedule()
    return this.#pending.size > 0
  }

  #serialize(id: string, raw: unknown): void {
    const before = this.#texts.get(id)
    const text = raw === DELETED ? undefined : JSON.stringify(raw)
    if (text === before) return
    this.#size += (text?.length ?? 0) - (before?.length ?? 0)
    if (text === undefined) this.#texts.delete(id)
    else this.#texts.set(id, text)
    this.#changed = true
    if (this.#size > this.#maxBytes) this.#disable()
  }

  /** Deletes the file, because a checkpoint that is never updated would become arbitrarily old. */
  #disable(): void {
    const { file, log } = this.#options
    this.#disabled = true
    this.#texts = new Map()
    this.#pending.clear()
    this.#cancelWrite?.()
    this.#cancelRefresh()
    log.warn(
      `the cluster's objects exceed the limit of ${this.#maxBytes} bytes of the checkpoint ${file.path}: the file is deleted, and a start without the API server waits for it`,
    )
    void (this.#writing ?? Promise.resolve()).then(() => file.remove()).catch(() => {})
  }

  #schedule(): void {
    if (!this.#complete || !this.#changed || this.#stopped || this.#disabled) return
    if (this.#cancelWrite !== undefined || this.#writing !== undefined) return
    const wait = Math.max(this.#pacing.batch, this.#notBefore - this.#options.time.monotonic())
    this.#cancelWrite = this.#options.time.after(wait, () => {
      this.#cancelWrite = undefined
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
        this.#schedule()
      })
    })
  }

  async #write(): Promise<void> {
    const { time, log, file } = this.#options
    const { pause, bytesPerSecond } = this.#pacing
    try {
      // Serialization proceeds in each turn.
      while (this.#pending.size > 0) await new Promise<void>((resolve) => time.nextTurn(resolve))
      if (this.#disabled) return
      this.#changed = false
      const bytes = await this.#replace()
      this.#failures = 0
      this.#notBefore = time.monotonic() + Math.max(pause, (bytes / bytesPerSecond) * 1_000)
      if (this.#lastError !== undefined) log.info(`the checkpoint ${file.path} is written again`)
      this.#lastError = undefined
    } catch (error) {
      this.#changed = true
      this.#notBefore = time.monotonic() + pause * 2 ** Math.min(this.#failures++, 4)
      const cause = describeFileError(error)
      if (this.#lastError !== cause)
        log.warn(
          `cannot write the checkpoint ${file.path} (${cause}): a start without the API server would serve its previous content, or wait; the write is retried`,
        )
      this.#lastError = cause
    }
  }

  async #replace(): Promise<number> {
    const { keys, cluster, namespaces, time, file } = this.#options
    const key = (await keys?.())?.[0]
    const written = new Date(time.wall()).toISOString()
    const encoder = encodeState({ written, cluster: await cluster(), namespaces }, key)
    // Texts are immutable, so the file is a consistent snapshot regardless of the duration of the write.
    return await file.replace(encodeChunks([...this.#texts.values()], encoder))
  }
}

/**
 * Encodes the texts through one reused buffer: the consumer writes each chunk before it takes the next. Otherwise every
 * write would leave ten megabytes of garbage.
 */
function* encodeChunks(texts: readonly string[], encoder: StateEncoder): Generator<Buffer> {
  yield encoder.head
  let chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  let used = 0
  for (const text of texts) {
    const needed = text.length * MAX_UTF8_BYTES + 1
    if (used + needed > chunk.length) {
      if (used > 0) yield encoder.update(chunk.subarray(0, used))
      used = 0
      if (needed > chunk.length) chunk = Buffer.allocUnsafeSlow(needed)
    }
    used += chunk.write(text, used)
    chunk[used++] = NEWLINE
  }
  yield encoder.update(chunk.subarray(0, used))
  yield encoder.end()
}
