/**
 * Keeps what a cluster has told, as text, and writes it to its file now and then. Nobody waits for it, and it never
 * throws: what goes wrong is told once, and once more when it is well again.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { isSensitive } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { SourceEvent } from '../source.ts'
import { idOf } from './checkpoint.ts'
import { diskTrouble, MAX_STATE_BYTES, type StateFile } from './state-file.ts'
import { encodeState, type StateEncoder } from './state-format.ts'
import type { StateKey } from './state-key.ts'

export interface WritePacing {
  /** From a change to the write that holds it, where no other was shortly before. */
  readonly batch: Milliseconds
  /** Between two writes, at least. */
  readonly pause: Milliseconds
  /** What is written in a second on average, at most. */
  readonly bytesPerSecond: number
  /** Written anew when nothing has changed, so that its time says how long that is so. */
  readonly refresh: Milliseconds
}

/**
 * Endpoints of a large cluster change all the time: at 10 MB a write, that is one in ten seconds and not ten a second.
 */
export const WRITE_PACING: WritePacing = { batch: 2_000, pause: 5_000, bytesPerSecond: 1_048_576, refresh: 600_000 }

export interface CheckpointLog {
  info(message: string): void
  warn(message: string): void
}

export interface CheckpointWriterOptions {
  readonly file: StateFile
  /** Read again for each write, since keys are replaced. None = not sealed, and without Secrets and ConfigMaps. */
  readonly keys?: () => Promise<readonly StateKey[]>
  /** See {@link StateHeader}. */
  readonly cluster: () => Promise<string>
  readonly namespaces: readonly string[]
  readonly log: CheckpointLog
  readonly wall: () => Milliseconds
  /** Monotonic. */
  readonly now: () => Milliseconds
  readonly pacing?: Partial<WritePacing>
  /** Of all texts together; default as much as a file may have. */
  readonly most?: number
}

const PACK_SLICE: Milliseconds = 1
const PART = 131_072
/** Of one UTF-16 code unit. */
const MOST_UTF8_BYTES = 3
const NEWLINE = 0x0a
const GONE = Symbol('deleted')

export class CheckpointWriter {
  readonly #options: CheckpointWriterOptions
  readonly #pacing: WritePacing
  readonly #most: number
  /** By kind and key, JSON in one line. */
  #texts = new Map<string, string>()
  /** Told and not made into text yet. */
  readonly #fresh = new Map<string, unknown>()
  #size = 0
  #packing: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined
  #refresh: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  /** What is noted is not all there is before: that must not take the place of a file that is. */
  #complete = false
  #changed = false
  #notBefore: Milliseconds = 0
  #failures = 0
  #trouble: string | undefined
  #full = false
  #stopped = false
  /** Whether what was told is what there is, as far as anybody knows; while it is not, the file keeps its time. */
  current = true

  constructor(options: CheckpointWriterOptions) {
    this.#options = options
    this.#pacing = { ...WRITE_PACING, ...options.pacing }
    this.#most = options.most ?? MAX_STATE_BYTES
  }

  /** What was told just now, to be remembered. Takes no time to speak of. */
  note(events: readonly SourceEvent[]): void {
    if (this.#stopped || this.#full) return
    for (const event of events) {
      // Without a key its payload would lie about in clear.
      if (this.#options.keys === undefined && isSensitive(event.kind)) continue
      this.#fresh.set(idOf(event.kind, event.key), event.type === 'delete' ? GONE : event.raw)
    }
    if (this.#fresh.size > 0) this.#packing ??= setImmediate(() => this.#packSome())
  }

  /** What was noted is all there is: from now on it is written. */
  complete(): void {
    if (this.#complete || this.#stopped) return
    this.#complete = true
    this.#changed = true
    this.#arm()
    this.#refresh = setInterval(() => {
      if (!this.current) return
      this.#changed = true
      this.#arm()
    }, this.#pacing.refresh).unref()
    void this.#options.file.sweep(this.#options.wall())
  }

  /** The end: what has changed is written at once. Resolves when it is, or when the time is over. */
  async stop(within: Milliseconds): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#refresh)
    clearTimeout(this.#timer)
    const last = async (): Promise<void> => {
      await this.#writing
      if (this.#complete && !this.#full && (this.#changed || this.#fresh.size > 0)) await this.#write()
    }
    let over: NodeJS.Timeout | undefined
    const end = new Promise<void>((resolve) => {
      over = setTimeout(resolve, within)
    })
    await Promise.race([last(), end])
    clearTimeout(over)
    clearImmediate(this.#packing)
  }

  #packSome(): void {
    this.#packing = undefined
    const end = this.#options.now() + PACK_SLICE
    for (const [id, raw] of this.#fresh) {
      this.#fresh.delete(id)
      this.#pack(id, raw)
      if (this.#full) return
      if (this.#options.now() >= end) break
    }
    if (this.#fresh.size > 0) this.#packing = setImmediate(() => this.#packSome())
    this.#arm()
  }

  #pack(id: string, raw: unknown): void {
    const before = this.#texts.get(id)
    const text = raw === GONE ? undefined : JSON.stringify(raw)
    if (text === before) return
    this.#size += (text?.length ?? 0) - (before?.length ?? 0)
    if (text === undefined) this.#texts.delete(id)
    else this.#texts.set(id, text)
    this.#changed = true
    if (this.#size > this.#most) this.#giveUp()
  }

  /** Rather nothing than something that gets older and older. */
  #giveUp(): void {
    const { file, log } = this.#options
    this.#full = true
    this.#texts = new Map()
    this.#fresh.clear()
    clearTimeout(this.#timer)
    clearInterval(this.#refresh)
    log.warn(
      `what the cluster tells has more than ${this.#most} bytes, which is too much to be kept in ${file.path}: the file is deleted, and a start without the API server will have to wait for it`,
    )
    void (this.#writing ?? Promise.resolve()).then(() => file.remove()).catch(() => {})
  }

  #arm(): void {
    if (!this.#complete || !this.#changed || this.#stopped || this.#full) return
    if (this.#timer !== undefined || this.#writing !== undefined) return
    const wait = Math.max(this.#pacing.batch, this.#notBefore - this.#options.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
        this.#arm()
      })
    }, wait)
    this.#timer.unref()
  }

  async #write(): Promise<void> {
    const { now, log, file } = this.#options
    const { pause, bytesPerSecond } = this.#pacing
    try {
      // It is being packed, some in each turn.
      while (this.#fresh.size > 0) await turn()
      if (this.#full) return
      this.#changed = false
      const bytes = await this.#replace()
      this.#failures = 0
      this.#notBefore = now() + Math.max(pause, (bytes / bytesPerSecond) * 1_000)
      if (this.#trouble !== undefined) log.info(`what the cluster tells is kept in ${file.path} again`)
      this.#trouble = undefined
    } catch (error) {
      this.#changed = true
      this.#notBefore = now() + pause * 2 ** Math.min(this.#failures++, 4)
      const why = diskTrouble(error)
      if (this.#trouble !== why)
        log.warn(
          `cannot keep what the cluster tells in ${file.path} (${why}): a start without the API server would serve what was kept before, or wait; it is tried again`,
        )
      this.#trouble = why
    }
  }

  async #replace(): Promise<number> {
    const { keys, cluster, namespaces, wall, file } = this.#options
    const key = (await keys?.())?.[0]
    const written = new Date(wall()).toISOString()
    const encoder = encodeState({ written, cluster: await cluster(), namespaces }, key)
    // Texts do not change, so this is one moment however long it takes to write it.
    return await file.replace(partsOf([...this.#texts.values()], encoder))
  }
}

/**
 * Through one buffer: whoever draws a part has written it before drawing the next. Ten megabytes of garbage a write
 * would be kept for long.
 */
function* partsOf(texts: readonly string[], encoder: StateEncoder): Generator<Buffer> {
  yield encoder.head
  let part = Buffer.allocUnsafeSlow(PART)
  let used = 0
  for (const text of texts) {
    const most = text.length * MOST_UTF8_BYTES + 1
    if (used + most > part.length) {
      if (used > 0) yield encoder.update(part.subarray(0, used))
      used = 0
      if (most > part.length) part = Buffer.allocUnsafeSlow(most)
    }
    used += part.write(text, used)
    part[used++] = NEWLINE
  }
  yield encoder.update(part.subarray(0, used))
  yield encoder.end()
}
