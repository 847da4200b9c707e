/**
 * What short texts were parsed to: values of Cache-Control and dates are the same in most responses of an origin.
 * Bounded by entries and by the length of a text: an origin that never says the same twice costs the parsing alone.
 */
import type { Fields } from '../message/fields.ts'
import { valueIs } from './one-field.ts'

const MAX_ENTRIES = 256
const MAX_LENGTH = 256

export class Memo<Value> {
  readonly #values = new Map<string, Value>()
  /** Of the field that was read last. */
  #text: string | null = null
  #value: Value | undefined

  /** @param parse depends on the text alone, and nobody changes what it returns */
  get(text: string, parse: (text: string) => Value): Value {
    const known = this.#values.get(text)
    if (known !== undefined) return known
    const value = parse(text)
    if (text.length > MAX_LENGTH) return value
    if (this.#values.size === MAX_ENTRIES) this.#values.clear()
    this.#values.set(text, value)
    return value
  }

  /** The same of the value of a parsed field, without a text of it where it is as the last one was. */
  ofField(fields: Fields, index: number, parse: (text: string) => Value): Value {
    if (this.#text !== null && valueIs(fields, index, this.#text)) return this.#value as Value
    const text = fields.valueAt(index)
    const value = this.get(text, parse)
    if (text.length > MAX_LENGTH) return value
    this.#text = text
    this.#value = value
    return value
  }
}
