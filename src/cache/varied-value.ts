/**
 * The normal form of request fields that responses vary by, where their syntax says which spellings mean the same (RFC
 * 9111 §4.1): white space, several lines of one list, the case of types, codings and languages, the spelling of
 * weights, and the order of elements with different weights. Elements of one weight keep their order, since recipients
 * may read it as a preference (RFC 9110 §12.5.4). Any other field, and a value outside of its syntax, is compared byte
 * by byte and line by line.
 */
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const RANGE = new RegExp(`^${TOKEN}$`)
const MEDIA_RANGE = new RegExp(`^${TOKEN}/${TOKEN}$`)
/** RFC 9110 §5.6.6: no white space around the equals sign. */
const PARAMETER = new RegExp(`^(${TOKEN})=(${TOKEN}|"(?:[^"\\\\]|\\\\.)*")$`)
/** RFC 9110 §12.4.2. */
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

interface Syntax {
  readonly range: RegExp
  /** Whether elements have parameters besides their weight. */
  readonly parameters: boolean
  /** Normal forms of values that were met, null where one has none. */
  readonly known: Map<string, string | null>
}

function syntaxOf(range: RegExp, parameters: boolean): Syntax {
  return { range, parameters, known: new Map() }
}

const SYNTAXES: ReadonlyMap<string, Syntax> = new Map([
  ['accept', syntaxOf(MEDIA_RANGE, true)],
  ['accept-charset', syntaxOf(RANGE, false)],
  ['accept-encoding', syntaxOf(RANGE, false)],
  ['accept-language', syntaxOf(RANGE, false)],
])

interface Element {
  readonly text: string
  /** In thousandths. */
  readonly weight: number
}

/**
 * @param name in lower case
 * @returns undefined: there is no normal form, the lines are compared as they are; also where the field is absent
 */
export function normaliseVaried(name: string, request: Fields): string | undefined {
  const syntax = SYNTAXES.get(name)
  if (syntax === undefined) return undefined
  const value = joinedValue(name, request)
  if (value === undefined) return undefined
  const known = syntax.known.get(value)
  if (known !== undefined) return known === null ? undefined : known
  const normalised = normaliseList(value, syntax)
  if (value.length > MAX_KNOWN_LENGTH) return normalised
  if (syntax.known.size >= MAX_KNOWN) syntax.known.clear()
  syntax.known.set(value, normalised ?? null)
  return normalised
}

/** As `Fields.joined`, at less cost where there is one line. */
function joinedValue(name: string, request: Fields): string | undefined {
  if (request.added !== null) return request.joined(name)
  let only = -1
  for (let i = 0; i < request.count; i++) {
    if (!request.nameIs(i, name) || request.isRemoved(i)) continue
    if (only >= 0) return request.joined(name)
    only = i
  }
  return only < 0 ? undefined : request.valueAt(only)
}

/** Browsers send the same few values again and again. */
const MAX_KNOWN = 512
const MAX_KNOWN_LENGTH = 512

function normaliseList(value: string, syntax: Syntax): string | undefined {
  const elements: Element[] = []
  for (const part of splitOutsideQuotes(value, ',')) {
    const text = withoutOws(part)
    if (text === '') continue
    const element = normaliseElement(text, syntax)
    if (element === undefined) return undefined
    elements.push(element)
  }
  // Stable: elements of one weight stay in their order.
  return elements
    .sort((a, b) => b.weight - a.weight)
    .map(({ text }) => text)
    .join(',')
}

function normaliseElement(element: string, { range, parameters }: Syntax): Element | undefined {
  const [first, ...others] = splitOutsideQuotes(element, ';').map(withoutOws)
  if (!range.test(first!)) return undefined
  let text = first!.toLowerCase()
  let weight = -1
  for (const parameter of others) {
    const match = PARAMETER.exec(parameter)
    // The weight is the last: what once could follow it is not defined any more (RFC 9110 §12.5.1).
    if (match === null || weight >= 0) return undefined
    const name = match[1]!.toLowerCase()
    if (name === 'q') {
      if (!WEIGHT.test(match[2]!)) return undefined
      weight = Math.round(Number(match[2]) * 1000)
    } else if (parameters) text += `;${name}=${match[2]}`
    else return undefined
  }
  if (weight < 0) weight = 1000
  return { text: weight === 1000 ? text : `${text};q=${weight}`, weight }
}

/** @param separator that a quoted string may hold (RFC 9110 §5.6.4) */
function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  if (!text.includes('"')) return text.split(separator)
  const parts: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (quoted) {
      if (char === '\\') i++
      else if (char === '"') quoted = false
    } else if (char === '"') quoted = true
    else if (char === separator) {
      parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}
