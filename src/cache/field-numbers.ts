/**
 * Fields that are looked for, each with a number, found in one pass over the names of a message: most are absent, and
 * to look for each of them costs as much as to read the few that are there.
 */
import type { Fields } from '../message/fields.ts'

interface Known {
  readonly name: string
  readonly number: number
}

/** Of the first byte of a name: what is the same for both cases of a letter. */
const FIRST_BITS = 5
const FIRST_MASK = (1 << FIRST_BITS) - 1

export class FieldNumbers {
  readonly #numbers: ReadonlyMap<string, number>
  readonly #longest: number
  /** By the length of the name and its first letter, which most names of a message have with none of them. */
  readonly #known: readonly (readonly Known[] | undefined)[]

  /** @param numbers by name, in lower case; not 0 */
  constructor(numbers: ReadonlyMap<string, number>) {
    this.#numbers = numbers
    this.#longest = Math.max(...[...numbers.keys()].map((name) => name.length))
    const table: (Known[] | undefined)[] = Array.from({ length: placeOf(this.#longest + 1, 0) }, () => undefined)
    for (const [name, number] of numbers)
      (table[placeOf(name.length, name.charCodeAt(0))] ??= []).push({ name, number })
    this.#known = table
  }

  /** Of the field at an index, also of a removed one. 0: it is none of them. */
  at(fields: Fields, index: number): number {
    const length = fields.nameLength(index)
    if (length > this.#longest) return 0
    const known = this.#known[placeOf(length, fields.initialAt(index))]
    if (known === undefined) return 0
    for (let i = 0; i < known.length; i++) {
      const { name, number } = known[i]!
      if (fields.nameIs(index, name)) return number
    }
    return 0
  }

  /**
   * Of the fields that are sent: their numbers, which are bits, together.
   *
   * @param each where the numbers of the first fields go, those of removed ones included
   */
  in(fields: Fields, each: Int32Array | null = null): number {
    const { count, added } = fields
    let bits = 0
    for (let i = 0; i < count; i++) {
      const number = this.at(fields, i)
      if (each !== null) each[i] = number
      if (number !== 0 && !fields.isRemoved(i)) bits |= number
    }
    if (added !== null) for (let i = 0; i < added.length; i += 2) bits |= this.#numbers.get(added[i]!) ?? 0
    return bits
  }
}

function placeOf(length: number, first: number): number {
  return (length << FIRST_BITS) | (first & FIRST_MASK)
}
