/**
 * Structured fields (RFC 9651) by `structured-headers`, whose parser follows the algorithms of the RFC. What it does
 * not tell apart is told apart here: `60.0` is no Integer.
 */
import { type Dictionary, type Item, parseDictionary, parseList } from 'structured-headers'

/** Longer values are not read: a field of this kind has a few dozen members. */
const MAX_LENGTH = 32_768

/** A number as it was written with a fraction, which is none of the types that a directive has. */
export const DECIMAL = Symbol('Decimal')

/** Some items in parentheses, which no directive is. */
export const INNER_LIST = Symbol('Inner List')

export type Member = Item[0] | typeof DECIMAL | typeof INNER_LIST

/**
 * @param lines of one field
 * @returns bare items by key, the last of each (RFC 9651 §4.2.2), parameters left out; undefined where the field has
 * no members or does not parse: then it counts as absent
 */
export function dictionaryMembers(lines: readonly string[]): ReadonlyMap<string, Member> | undefined {
  const text = joined(lines)
  if (text === undefined) return undefined
  let dictionary: Dictionary
  try {
    dictionary = parseDictionary(text)
  } catch {
    return undefined
  }
  if (dictionary.size === 0) return undefined
  const decimals = decimalKeys(text)
  const members = new Map<string, Member>()
  for (const [key, [value]] of dictionary)
    members.set(key, Array.isArray(value) ? INNER_LIST : decimals.has(key) ? DECIMAL : value)
  return members
}

/** @returns its members where it is a List of Strings that parses, parameters left out; otherwise none */
export function stringList(lines: readonly string[]): readonly string[] {
  const text = joined(lines)
  if (text === undefined) return []
  try {
    const strings = parseList(text).map(([value]) => value)
    return strings.every((value) => typeof value === 'string') ? strings : []
  } catch {
    return []
  }
}

function joined(lines: readonly string[]): string | undefined {
  const text = lines.length === 1 ? lines[0]! : lines.join(', ')
  return text.length <= MAX_LENGTH ? text : undefined
}

const STRINGS = /"(?:[^"\\]|\\.)*"/g
const DECIMAL_MEMBER = /^[\t ]*([a-z*][a-z0-9_\-.*]*)=-?[0-9]+\.[0-9]/

/** Of a dictionary that parses: commas outside strings separate members. */
function decimalKeys(text: string): ReadonlySet<string> {
  const keys = new Set<string>()
  if (!text.includes('.')) return keys
  for (const member of text.replaceAll(STRINGS, '""').split(',')) {
    const key = /^[\t ]*([a-z*][a-z0-9_\-.*]*)/.exec(member)?.[1]
    if (key === undefined) continue
    if (DECIMAL_MEMBER.test(member)) keys.add(key)
    else keys.delete(key)
  }
  return keys
}
