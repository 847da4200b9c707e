/** {@link FieldBlock}s as HPACK has them: encoded once, but for what the tables of a connection may shorten. */
import type { BlockEncoder, FieldBlock } from '../message/field-block.ts'
import { INDEXED, type KnownName, knownName, NEVER_INDEXED, UNSENT } from './hpack-policy.ts'
import { hashOf } from './hpack-value-index.ts'
import { LITERAL_OVERHEAD, NEVER, WITHOUT_INDEXING, writeNameIndex, writeShortest } from './hpack-writer.ts'

/** A field that a connection may have in its dynamic table. */
export interface PreparedField {
  readonly known: KnownName
  readonly value: Buffer
  readonly hash: number
}

/** In order: encoded literals, and fields that are to be looked up. */
export type BlockImage = readonly (Buffer | PreparedField)[]

export const HPACK_BLOCK: BlockEncoder<BlockImage> = {
  encode({ pairs }: FieldBlock): BlockImage {
    const image: (Buffer | PreparedField)[] = []
    let literals: Buffer[] = []
    for (let i = 0; i < pairs.length; i += 2) {
      const known = knownName(pairs[i]!)
      const text = pairs[i + 1]!
      if (known?.policy === UNSENT) continue
      if (known?.policy !== INDEXED) {
        literals.push(literal(pairs[i]!, known, text))
        continue
      }
      if (literals.length > 0) image.push(Buffer.concat(literals))
      literals = []
      const value = Buffer.from(text, 'latin1')
      image.push({ known, value, hash: hashOf(known, value, 0, value.length) })
    }
    if (literals.length > 0) image.push(Buffer.concat(literals))
    return image
  },
}

function literal(name: string, known: KnownName | undefined, value: string): Buffer {
  const out = Buffer.allocUnsafe(name.length + value.length + LITERAL_OVERHEAD)
  const representation = known?.policy === NEVER_INDEXED ? NEVER : WITHOUT_INDEXING
  let at = writeNameIndex(out, 0, representation, known?.index ?? 0)
  if (known === undefined || known.index === 0) at = writeShortest(out, at, name)
  return Buffer.from(out.subarray(0, writeShortest(out, at, value)))
}
