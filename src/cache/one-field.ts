/** A field that a message has once, by its bytes: what is asked of most responses needs no text of their values. */
import type { Fields } from '../message/fields.ts'

/** @returns index of the one parsed field of this lower-case name; -1: there is none, or another one as well */
export function onlyAt(fields: Fields, name: string): number {
  const { count, added } = fields
  let only = -1
  for (let i = 0; i < count; i++) {
    if (!fields.nameIs(i, name) || fields.isRemoved(i)) continue
    if (only >= 0) return -1
    only = i
  }
  return added?.includes(name) === true ? -1 : only
}

/** Whether `valueAt` of a parsed field is this text. */
export function valueIs(fields: Fields, index: number, text: string): boolean {
  const start = fields.valueStart(index)
  const { length } = text
  if (fields.valueEnd(index) - start !== length) return false
  const bytes = fields.bytesOf(index)
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
