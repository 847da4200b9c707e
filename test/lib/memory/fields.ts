/** Fields as a codec in memory lays them out, which is as no other codec does. */
import { Fields } from '../../../src/message/fields.ts'
import type { FieldMap } from '../../suite/transport-rig.ts'

const LAYOUT = Symbol('fields in memory')

/** @returns the fields, and the bytes that they point into */
export function laidOut(pairs: FieldMap): { readonly fields: Fields; readonly bytes: Buffer } {
  const fields = new Fields()
  const entries = Object.entries(pairs)
  const bytes = Buffer.from(entries.map(([name, value]) => `<${name}|${value}>`).join(''), 'latin1')
  fields.clear(bytes)
  let at = 0
  for (const [name, value] of entries) {
    const bar = at + 1 + name.length
    fields.push(at + 1, bar, bar + 1, bar + 1 + value.length)
    at = bar + 1 + value.length + 1
  }
  fields.end = at
  fields.layout = LAYOUT
  return { fields, bytes }
}

/** Several lines of one name are joined. */
export function readFields(fields: Fields | null, into: Record<string, string> = {}): Record<string, string> {
  fields?.forEach((name, value) => {
    into[name] = into[name] === undefined ? value : `${into[name]}, ${value}`
  })
  return into
}
