/**
 * State that the threads of one process share without messages: heartbeats, the generation each worker serves, epochs
 * and flags. Each cell has one writer at a time, so that a thread terminated at any point leaves no torn value and no
 * lock behind.
 */

/** Milliseconds between two heartbeats of a thread. */
export const HEARTBEAT_INTERVAL = 100

/**
 * Milliseconds for which Backends that were removed keep their endpoints at most, where requests that were matched
 * before wait.
 */
export const LEAVING_TIME = 10_000

/** Int32 cells of one row: a cache line, so that two threads never write to the same line. */
const ROW = 16
const HEADER_ROWS = 1

const FLAG_READY = 0
const FLAG_DRAINING = 1
const FLAG_SYNCED = 2
const EPOCH = 3
const PUBLISHED = 4
const CONTROL_STARTS = 5
const FLAG_SERVES_CHECKPOINT = 6

const BEAT = 0
const LIVE = 1
const APPLIED = 2
const PASSED = 3
const CONNECTIONS = 4
/** Sizes are in KiB, so that 32 bits hold any heap size. */
const HEAP_USED = 5
const HEAP_TOTAL = 6
const HEAP_LIMIT = 7
const EXTERNAL = 8
const WAITED_FOR = 9
const KIB = 1024

/** The part of `v8.getHeapStatistics()` that is read here; bytes. */
export interface HeapStatistics {
  readonly used_heap_size: number
  readonly total_heap_size: number
  readonly heap_size_limit: number
  readonly external_memory: number
}

/** In bytes, rounded to a KiB; see `v8.getHeapStatistics()`. */
export interface ThreadMemory {
  readonly used: number
  readonly total: number
  readonly limit: number
  /** Memory outside of the heap that belongs to heap objects, such as buffers. */
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
    if (!Number.isInteger(workers) || workers < 1)
      throw new TypeError(`the number of workers must be an integer from 1: ${workers}`)
    return new SharedArrayBuffer((HEADER_ROWS + 1 + workers) * ROW * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Counts one heartbeat. @param thread {@link CONTROL_THREAD} or {@link workerThread} */
  beat(thread: number): void {
    Atomics.add(this.#cells, this.#at(thread, BEAT), 1)
  }

  /** The heartbeat counter, which wraps around: only a change is meaningful. */
  beats(thread: number): number {
    return Atomics.load(this.#cells, this.#at(thread, BEAT))
  }

  /** Set by the supervisor before it starts a thread, and cleared once the thread has exited. */
  setLive(thread: number, live: boolean): void {
    Atomics.store(this.#cells, this.#at(thread, LIVE), live ? 1 : 0)
  }

  live(thread: number): boolean {
    return Atomics.load(this.#cells, this.#at(thread, LIVE)) === 1
  }

  /** Records the generation that the worker serves. */
  setApplied(worker: number, generation: number): void {
    Atomics.store(this.#cells, this.#at(workerThread(worker), APPLIED), generation)
  }

  /** The generation the worker serves; 0 before the first. */
  applied(worker: number): number {
    return Atomics.load(this.#cells, this.#at(workerThread(worker), APPLIED))
  }

  /** The lowest generation that a live worker serves; 0 while one of them serves none, or no worker is live. */
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
   * Records the oldest generation by whose tables a request of the worker was matched that waits and has no Backend
   * yet; 0 = none waits. To be stored before the worker serves a newer one. Its own thread only.
   */
  setWaitedFor(worker: number, generation: number): void {
    Atomics.store(this.#cells, this.#at(workerThread(worker), WAITED_FOR), generation)
  }

  /**
   * The oldest generation by whose tables a request was matched that waits in a live worker and has no Backend yet;
   * 0 = none waits.
   */
  get oldestWaitedFor(): number {
    let oldest = 0
    for (let worker = 0; worker < this.workers; worker++) {
      if (!this.live(workerThread(worker))) continue
      const generation = Atomics.load(this.#cells, this.#at(workerThread(worker), WAITED_FOR))
      if (generation !== 0 && (oldest === 0 || generation < oldest)) oldest = generation
    }
    return oldest
  }

  /**
   * The newest generation published by any control thread of this process; a later control thread continues from it.
   */
  get published(): number {
    return Atomics.load(this.#cells, PUBLISHED)
  }

  setPublished(generation: number): void {
    Atomics.store(this.#cells, PUBLISHED, generation)
  }

  /** The current epoch; see epoch.ts. */
  get epoch(): number {
    return Atomics.load(this.#cells, EPOCH)
  }

  /** Begins the next epoch and returns it. Control only. */
  nextEpoch(): number {
    return Atomics.add(this.#cells, EPOCH, 1) + 1
  }

  /** Records that the worker has handled every message that control sent before this epoch. */
  passEpoch(worker: number, epoch: number): void {
    Atomics.store(this.#cells, this.#at(workerThread(worker), PASSED), epoch)
  }

  /** The lowest epoch that a live worker has passed; the current one when no worker is live. */
  passedEverywhere(): number {
    let lowest = this.epoch
    for (let worker = 0; worker < this.workers; worker++) {
      if (!this.live(workerThread(worker))) continue
      lowest = Math.min(lowest, Atomics.load(this.#cells, this.#at(workerThread(worker), PASSED)))
    }
    return lowest
  }

  /** Changes the worker's count of open client connections. A plain store: the worker is its only writer. */
  addConnections(worker: number, delta: number): void {
    const at = this.#at(workerThread(worker), CONNECTIONS)
    this.#cells[at] = this.#cells[at]! + delta
  }

  connections(worker: number): number {
    return this.#cells[this.#at(workerThread(worker), CONNECTIONS)]!
  }

  /** Open client connections of all workers. */
  get openConnections(): number {
    let open = 0
    for (let worker = 0; worker < this.workers; worker++) open += this.connections(worker)
    return open
  }

  /** Records the heap statistics of the calling thread. */
  setMemory(thread: number, heap: HeapStatistics): void {
    Atomics.store(this.#cells, this.#at(thread, HEAP_USED), heap.used_heap_size / KIB)
    Atomics.store(this.#cells, this.#at(thread, HEAP_TOTAL), heap.total_heap_size / KIB)
    Atomics.store(this.#cells, this.#at(thread, HEAP_LIMIT), heap.heap_size_limit / KIB)
    Atomics.store(this.#cells, this.#at(thread, EXTERNAL), heap.external_memory / KIB)
  }

  /** The last recorded heap statistics, at most a second old unless the thread hangs; all 0 before the first. */
  memory(thread: number): ThreadMemory {
    const read = (cell: number): number => Atomics.load(this.#cells, this.#at(thread, cell)) * KIB
    return { used: read(HEAP_USED), total: read(HEAP_TOTAL), limit: read(HEAP_LIMIT), external: read(EXTERNAL) }
  }

  /** Clears the row of a worker that has exited, before its replacement starts. Supervisor only. */
  clearWorker(worker: number): void {
    const at = this.#at(workerThread(worker), 0)
    for (let i = 0; i < ROW; i++) Atomics.store(this.#cells, at + i, 0)
  }

  /** Ready for traffic: every worker serves a table and the process is not draining. Written by the supervisor. */
  get ready(): boolean {
    return Atomics.load(this.#cells, FLAG_READY) === 1
  }

  setReady(ready: boolean): void {
    Atomics.store(this.#cells, FLAG_READY, ready ? 1 : 0)
  }

  /**
   * The process is draining: keep-alive connections close after their current response. Written by the supervisor.
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
   * The checkpoint of an earlier process is served: the source has not been read since the start. Written by control.
   */
  get servesCheckpoint(): boolean {
    return Atomics.load(this.#cells, FLAG_SERVES_CHECKPOINT) === 1
  }

  setServesCheckpoint(serves: boolean): void {
    Atomics.store(this.#cells, FLAG_SERVES_CHECKPOINT, serves ? 1 : 0)
  }

  /** Number of control threads started, including the current one. Written by the supervisor. */
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
 * Counts a heartbeat now and at every {@link HEARTBEAT_INTERVAL} until the returned timer is cleared.
 *
 * @param every `setInterval` of the thread, injected because this layer is pure
 */
export function startHeartbeat<T>(
  block: ProcessBlock,
  thread: number,
  every: (tick: () => void, interval: number) => T,
): T {
  block.beat(thread)
  return every(() => block.beat(thread), HEARTBEAT_INTERVAL)
}
