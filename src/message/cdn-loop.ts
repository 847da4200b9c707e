/** `CDN-Loop` (RFC 8586): which gateways and CDNs a request has passed. */
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'

export const CDN_LOOP_FIELD = 'cdn-loop'

/** Characters of the field that are looked at; nothing that is not a loop comes near. */
const LONGEST = 4_096

export interface Passes {
  /** Entries with the id. */
  total: number
  /** Those of them with the mark as their parameter `r`. */
  marked: number
  /** The field is longer than anything that is not a loop. */
  overlong: boolean
}

/**
 * Counts entries `id;r=mark` over all lines of the field. A quoted string is not taken for one: whoever opens a
 * quotation mark on the way here and never closes it must not hide what stands behind it, and an entry that stands in
 * quotation marks by chance costs its sender alone.
 *
 * @param id in lower case; like the mark it is compared without regard to case
 */
export function countPasses(fields: Fields, id: string, mark: string): Passes {
  const passes: Passes = { total: 0, marked: 0, overlong: false }
  let length = 0
  for (const value of fields.all(CDN_LOOP_FIELD)) {
    length += value.length
    if (length > LONGEST) {
      passes.overlong = true
      return passes
    }
    for (const entry of value.toLowerCase().split(',')) {
      const [cdn = '', ...parameters] = entry.split(';')
      if (withoutOws(cdn) !== id) continue
      passes.total++
      if (parameters.some((parameter) => isMark(parameter, mark))) passes.marked++
    }
  }
  return passes
}

function isMark(parameter: string, mark: string): boolean {
  const equals = parameter.indexOf('=')
  if (equals < 0 || withoutOws(parameter.slice(0, equals)) !== 'r') return false
  const value = withoutOws(parameter.slice(equals + 1))
  return value === mark || value === `"${mark}"`
}
