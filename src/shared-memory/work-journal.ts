/**
 * Records the objects that the control thread is processing, in memory that outlives it: when it dies in the middle,
 * its replacement quarantines them. One writer; read after the writer has exited.
 */

/** Bytes of text; the name of an object is shorter than 600. */
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

  /** Processing of these objects begins; their names contain no line break. Names that do not fit are omitted. */
  begin(...names: readonly string[]): void {
    this.end()
    let length = 0
    for (const name of names) {
      const { written } = this.#encoder.encodeInto(`${name}\n`, this.#text.subarray(length))
      // Only whole names are valid.
      if (this.#text[length + written - 1] !== NEWLINE) break
      length += written
    }
    // Stored last: a thread that is terminated while it writes leaves no entry that looks complete.
    Atomics.store(this.#length, LENGTH, length)
  }

  end(): void {
    Atomics.store(this.#length, LENGTH, 0)
  }

  /** Names of objects whose processing has begun and not ended. */
  read(): readonly string[] {
    // A copy, because TextDecoder rejects shared memory.
    const bytes = new Uint8Array(this.#text.subarray(0, Atomics.load(this.#length, LENGTH)))
    return new TextDecoder().decode(bytes).split('\n').slice(0, -1)
  }
}

const NEWLINE = 0x0a
