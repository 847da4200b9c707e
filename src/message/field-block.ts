/** How a codec writes a {@link FieldBlock}. One constant object for each codec. */
export interface BlockEncoder<Image> {
  encode(block: FieldBlock): Image
}

/** Fields that many messages carry unchanged, so that they are encoded once. Immutable. */
export class FieldBlock {
  /** Flat: name in lower case, value, name, value … */
  readonly pairs: readonly string[]
  #encoder: BlockEncoder<unknown> | null = null
  #image: unknown = null

  constructor(pairs: readonly string[]) {
    this.pairs = pairs
  }

  /** The block as the codec writes it; kept for the codec that asked last. */
  image<Image>(encoder: BlockEncoder<Image>): Image {
    if (this.#encoder !== encoder) {
      this.#image = encoder.encode(this)
      this.#encoder = encoder
    }
    return this.#image as Image
  }
}
