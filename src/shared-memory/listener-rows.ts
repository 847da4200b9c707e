/**
 * Which listener has which row of the metrics, kept in shared memory by name: a listener keeps its row wherever it
 * stands in the settings, under a control thread that was replaced, and when it is gone and comes back. The control
 * thread alone writes; a row is never given to another name, so no count ever goes to the wrong one. The last row is
 * shared by all that came when the others were taken.
 */
import { LISTENER_ROW_BYTES, MetricsLayout } from './metrics.ts'

/** Name of the row that is shared. No listener has it: names have no dot. */
const OTHERS = 'other.'

/** Bytes before the name: its length, which is written last. 0 = the row is free. */
const NAME_AT = 4
/** Beside the length: no settings have this listener now. */
const GONE = 1 << 16

export class ListenerRows {
  readonly #bytes: Buffer
  readonly #lengths: Int32Array
  /** Named rows; the one behind them is shared. */
  readonly #named: number

  constructor(shared: SharedArrayBuffer) {
    const layout = MetricsLayout.of(shared)
    this.#named = layout.shape.listeners - 1
    const length = this.#named * LISTENER_ROW_BYTES
    this.#bytes = Buffer.from(shared, layout.listenerRowsAt, length)
    this.#lengths = new Int32Array(shared, layout.listenerRowsAt, length / 4)
  }

  /** @returns the listener's row, or the shared one */
  find(name: string): number {
    for (let row = 0; row < this.#named; row++) {
      const found = this.#name(row)
      if (found === name) return row
      if (found === '') break
    }
    return this.#named
  }

  /**
   * The listeners of the settings; each gets a row if it has none. Control thread only, before the workers hear of
   * them.
   */
  sync(names: Iterable<string>): void {
    const wanted = new Set(names)
    for (let row = 0; row < this.#named && this.#name(row) !== ''; row++) {
      const at = (row * LISTENER_ROW_BYTES) / 4
      const length = Atomics.load(this.#lengths, at) & ~GONE
      Atomics.store(this.#lengths, at, wanted.delete(this.#name(row)) ? length : length | GONE)
    }
    for (const name of wanted) this.#append(name)
  }

  /** Rows of the listeners in the settings; the shared one only when the others are all given away. */
  *entries(): IterableIterator<{ readonly row: number; readonly name: string }> {
    let row = 0
    for (; row < this.#named; row++) {
      const name = this.#name(row)
      if (name === '') return
      const length = Atomics.load(this.#lengths, (row * LISTENER_ROW_BYTES) / 4)
      if ((length & GONE) === 0) yield { row, name }
    }
    yield { row, name: OTHERS }
  }

  #append(name: string): void {
    const length = Buffer.byteLength(name)
    if (length > LISTENER_ROW_BYTES - NAME_AT) return
    for (let row = 0; row < this.#named; row++) {
      const at = row * LISTENER_ROW_BYTES
      if (Atomics.load(this.#lengths, at / 4) !== 0) continue
      this.#bytes.write(name, at + NAME_AT)
      Atomics.store(this.#lengths, at / 4, length)
      return
    }
  }

  #name(row: number): string {
    const at = row * LISTENER_ROW_BYTES
    const length = Atomics.load(this.#lengths, at / 4) & ~GONE
    return this.#bytes.utf8Slice(at + NAME_AT, at + NAME_AT + length)
  }
}
