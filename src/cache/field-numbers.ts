/**
 * Fields that are looked for, each with a number, found in one pass over the names of a message: most are absent, and
 * to look for each of them costs as much as to read the few that are there.
 */
import type { Fields } from '../message/fields.ts'

interface Known {
  readonly name: string
  readonly number: number
}

export class FieldNumbers {
  readonly #numbers: ReadonlyMap<string, number>
  /** By the length of the name, which most names of a message have with none of them. */
  readonly #byLength: readonly (readonly Known[] | undefined)[]

  /** @param numbers by name, in lower case; not 0 */
  constructor(numbers: ReadonlyMap<string, number>) {
    this.#numbers = numbers
    const longest = Math.max(...[...numbers.keys()].map((name) => name.length))
    const table: (Known[] | undefined)[] = Array.from({ length: longest + 1 }, () => undefined)
    for (const [name, number] of numbers) (table[name.length] ??= []).push({ name, number })
    this.#byLength = table
  }

  /** Of the field at an index, also of a removed one. 0: it is none of them. */
  at(fields: Fields, index: number): number {
    const length = fields.nameLength(index)
    const names = length < this.#byLength.length ? this.#byLength[length] : undefined
    if (names === undefined) return 0
    for (let i = 0; i < names.length; i++) {
      const { name, number } = names[i]!
      if (fields.nameIs(index, name)) return number
    }
    return 0
  }

  /** Of the fields that are sent: their numbers, which are bits, together. */
  in(fields: Fields): number {
    const { count, added } = fields
    let bits = 0
    for (let i = 0; i < count; i++) {
      const number = this.at(fields, i)
      if (number !== 0 && !fields.isRemoved(i)) bits |= number
    }
    if (added !== null) for (let i = 0; i < added.length; i += 2) bits |= this.#numbers.get(added[i]!) ?? 0
    return bits
  }
}
