/**
 * What the control thread is working on, in memory that outlives it: when it is ended in the middle, its replacement
 * knows which object not to begin with. One writer; read when the writer is gone for certain.
 */

/** Bytes of text; a name of an object is below 600. */
const CAPACITY = 4_096
const LENGTH = 0
const TEXT_AT = 4

export class WorkJournal {
  readonly #length: Int32Array<SharedArrayBuffer>
  readonly #text: Uint8Array<SharedArrayBuffer>
  readonly #encoder = new TextEncoder()

  constructor(buffer: SharedArrayBuffer) {
    this.#length = new Int32Array(buffer, 0, 1)
    this.#text = new Uint8Array(buffer, TEXT_AT)
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(TEXT_AT + CAPACITY)
  }

  /** Work begins on these objects, each without a line break in its name. What does not fit is left out. */
  begin(...subjects: readonly string[]): void {
    this.end()
    let length = 0
    for (const subject of subjects) {
      const { written } = this.#encoder.encodeInto(`${subject}\n`, this.#text.subarray(length))
      // Only whole names mean something.
      if (this.#text[length + written - 1] !== NEWLINE) break
      length += written
    }
    // Last: a thread that ends while it writes leaves nothing that looks complete.
    Atomics.store(this.#length, LENGTH, length)
  }

  end(): void {
    Atomics.store(this.#length, LENGTH, 0)
  }

  /** What was begun and not ended; empty = nothing. */
  read(): readonly string[] {
    // A copy: a decoder takes no shared memory.
    const bytes = new Uint8Array(this.#text.subarray(0, Atomics.load(this.#length, LENGTH)))
    return new TextDecoder().decode(bytes).split('\n').slice(0, -1)
  }
}

const NEWLINE = 0x0a
