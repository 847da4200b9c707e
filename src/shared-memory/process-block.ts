/**
 * What the threads of one process tell each other without a message: signs of life, the generation each worker serves,
 * epochs, flags. Each cell has one writer at a time, so that a thread ended in the middle of anything leaves nothing
 * torn and nothing held.
 */

/** Milliseconds between two beats of a thread. */
export const HEARTBEAT_INTERVAL = 100

/** Int32 cells of one row: a cache line, so that two threads never write into the same one. */
const ROW = 16
const HEADER_ROWS = 1

const FLAG_READY = 0
const FLAG_DRAINING = 1
const FLAG_SYNCED = 2
const EPOCH = 3
const PUBLISHED = 4
const CONTROL_STARTS = 5
const FLAG_REMEMBERED = 6

const BEAT = 0
const LIVE = 1
const APPLIED = 2
const PASSED = 3
const CONNECTIONS = 4
/** In KiB, so that a cell holds what any heap has. */
const HEAP_USED = 5
const HEAP_TOTAL = 6
const HEAP_LIMIT = 7
const EXTERNAL = 8
const KIB = 1024

/** The part of `v8.getHeapStatistics()` that is read here; bytes. */
export interface HeapStatistics {
  readonly used_heap_size: number
  readonly total_heap_size: number
  readonly heap_size_limit: number
  readonly external_memory: number
}

/** Bytes, to a KiB; see `v8.getHeapStatistics()`. */
export interface ThreadMemory {
  readonly used: number
  readonly total: number
  readonly limit: number
  /** Outside of the heap: buffers, and what native parts of Node hold for objects of the heap. */
  readonly external: number
}

/** The control thread's row; worker `i` has row `workerThread(i)`. */
export const CONTROL_THREAD = 0

/** Row of a worker in the process block, from its index. */
export function workerThread(index: number): number {
  return index + 1
}

export class ProcessBlock {
  readonly buffer: SharedArrayBuffer
  readonly workers: number
  readonly #cells: Int32Array<SharedArrayBuffer>

  /** @param buffer made by {@link ProcessBlock.allocate} for the same number of workers */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#cells = new Int32Array(buffer)
    this.workers = this.#cells.length / ROW - HEADER_ROWS - 1
  }

  static allocate(workers: number): SharedArrayBuffer {
    if (!Number.isInteger(workers) || workers < 1) throw new TypeError(`no such number of workers: ${workers}`)
    return new SharedArrayBuffer((HEADER_ROWS + 1 + workers) * ROW * Int32Array.BYTES_PER_ELEMENT)
  }

  /** One more sign of life. @param thread {@link CONTROL_THREAD} or {@link workerThread} */
  beat(thread: number): void {
    Atomics.add(this.#cells, this.#at(thread, BEAT), 1)
  }

  /** Wraps around; only whether it changed says anything. */
  beats(thread: number): number {
    return Atomics.load(this.#cells, this.#at(thread, BEAT))
  }

  /** Set by the supervisor before it starts a thread, and taken back once the thread is gone for certain. */
  setLive(thread: number, live: boolean): void {
    Atomics.store(this.#cells, this.#at(thread, LIVE), live ? 1 : 0)
  }

  live(thread: number): boolean {
    return Atomics.load(this.#cells, this.#at(thread, LIVE)) === 1
  }

  /** The worker serves this generation. */
  setApplied(worker: number, generation: number): void {
    Atomics.store(this.#cells, this.#at(workerThread(worker), APPLIED), generation)
  }

  /** 0 = the worker serves nothing yet. */
  applied(worker: number): number {
    return Atomics.load(this.#cells, this.#at(workerThread(worker), APPLIED))
  }

  /** The lowest generation that a live worker serves; 0 while one of them serves none, or while there is none. */
  appliedEverywhere(): number {
    let lowest = -1
    for (let worker = 0; worker < this.workers; worker++) {
      if (!this.live(workerThread(worker))) continue
      const applied = this.applied(worker)
      if (lowest === -1 || applied < lowest) lowest = applied
    }
    return Math.max(lowest, 0)
  }

  /**
   * The newest generation that any control thread of this process has published; a later control thread counts on from
   * here.
   */
  get published(): number {
    return Atomics.load(this.#cells, PUBLISHED)
  }

  setPublished(generation: number): void {
    Atomics.store(this.#cells, PUBLISHED, generation)
  }

  /** The epoch now running; see epoch.ts. */
  get epoch(): number {
    return Atomics.load(this.#cells, EPOCH)
  }

  /** Begins the next epoch and returns it. Control only. */
  nextEpoch(): number {
    return Atomics.add(this.#cells, EPOCH, 1) + 1
  }

  /** The worker has handled everything control sent before it began this epoch. */
  passEpoch(worker: number, epoch: number): void {
    Atomics.store(this.#cells, this.#at(workerThread(worker), PASSED), epoch)
  }

  /** The lowest epoch that a live worker has passed; the current one when no worker lives. */
  passedEverywhere(): number {
    let lowest = this.epoch
    for (let worker = 0; worker < this.workers; worker++) {
      if (!this.live(workerThread(worker))) continue
      lowest = Math.min(lowest, Atomics.load(this.#cells, this.#at(workerThread(worker), PASSED)))
    }
    return lowest
  }

  /** Open client connections of a worker: plain, one writer, read for metrics and while draining. */
  addConnections(worker: number, delta: number): void {
    const at = this.#at(workerThread(worker), CONNECTIONS)
    this.#cells[at] = this.#cells[at]! + delta
  }

  connections(worker: number): number {
    return this.#cells[this.#at(workerThread(worker), CONNECTIONS)]!
  }

  /** Of all workers. */
  get openConnections(): number {
    let open = 0
    for (let worker = 0; worker < this.workers; worker++) open += this.connections(worker)
    return open
  }

  /** What a thread says of its own heap. Written by the thread. */
  setMemory(thread: number, heap: HeapStatistics): void {
    Atomics.store(this.#cells, this.#at(thread, HEAP_USED), heap.used_heap_size / KIB)
    Atomics.store(this.#cells, this.#at(thread, HEAP_TOTAL), heap.total_heap_size / KIB)
    Atomics.store(this.#cells, this.#at(thread, HEAP_LIMIT), heap.heap_size_limit / KIB)
    Atomics.store(this.#cells, this.#at(thread, EXTERNAL), heap.external_memory / KIB)
  }

  /** As the thread said it last, at most a second ago unless it hangs; all 0 before it has. */
  memory(thread: number): ThreadMemory {
    const read = (cell: number): number => Atomics.load(this.#cells, this.#at(thread, cell)) * KIB
    return { used: read(HEAP_USED), total: read(HEAP_TOTAL), limit: read(HEAP_LIMIT), external: read(EXTERNAL) }
  }

  /** Forgets a worker that is gone for certain, before its replacement starts. Supervisor only. */
  clearWorker(worker: number): void {
    const at = this.#at(workerThread(worker), 0)
    for (let i = 0; i < ROW; i++) Atomics.store(this.#cells, at + i, 0)
  }

  /**
   * Traffic may be sent here: every worker serves a table and nothing is being shut down. Written by the supervisor.
   */
  get ready(): boolean {
    return Atomics.load(this.#cells, FLAG_READY) === 1
  }

  setReady(ready: boolean): void {
    Atomics.store(this.#cells, FLAG_READY, ready ? 1 : 0)
  }

  /**
   * The process is shutting down: keep-alive connections are closed after the response under way. Written by the
   * supervisor.
   */
  get draining(): boolean {
    return Atomics.load(this.#cells, FLAG_DRAINING) === 1
  }

  setDraining(): void {
    Atomics.store(this.#cells, FLAG_DRAINING, 1)
  }

  /** Every source has been read completely once. Written by control. */
  get synced(): boolean {
    return Atomics.load(this.#cells, FLAG_SYNCED) === 1
  }

  setSynced(synced: boolean): void {
    Atomics.store(this.#cells, FLAG_SYNCED, synced ? 1 : 0)
  }

  /**
   * What is served is what an earlier process knew: the source has not been read since the start. Written by control.
   */
  get remembered(): boolean {
    return Atomics.load(this.#cells, FLAG_REMEMBERED) === 1
  }

  setRemembered(remembered: boolean): void {
    Atomics.store(this.#cells, FLAG_REMEMBERED, remembered ? 1 : 0)
  }

  /** How often a control thread was started, the running one included. Written by the supervisor. */
  get controlStarts(): number {
    return Atomics.load(this.#cells, CONTROL_STARTS)
  }

  countControlStart(): void {
    Atomics.add(this.#cells, CONTROL_STARTS, 1)
  }

  #at(thread: number, cell: number): number {
    return (HEADER_ROWS + thread) * ROW + cell
  }
}

/**
 * Beats now and then at {@link HEARTBEAT_INTERVAL} until the returned timer is cleared.
 *
 * @param every `setInterval` of the thread: timers are handed in below the edges
 */
export function startHeartbeat<T>(
  block: ProcessBlock,
  thread: number,
  every: (tick: () => void, interval: number) => T,
): T {
  block.beat(thread)
  return every(() => block.beat(thread), HEARTBEAT_INTERVAL)
}
