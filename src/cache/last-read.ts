/**
 * What was read of the text that was asked about last: a policy may name eight cookies or parameters, and a client send
 * 30,000, which are then gone through once.
 */
export class LastRead<Read> {
  readonly #read: (lines: readonly string[]) => Read
  #lines: readonly string[] = []
  #value: Read

  /** @param read depends on nothing but its argument */
  constructor(read: (lines: readonly string[]) => Read) {
    this.#read = read
    this.#value = read(this.#lines)
  }

  of(lines: readonly string[]): Read {
    const last = this.#lines
    if (lines.length !== last.length || lines.some((line, i) => line !== last[i])) {
      this.#value = this.#read(lines)
      this.#lines = lines
    }
    return this.#value
  }
}
