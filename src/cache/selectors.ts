/**
 * Fields and cookies of a request as parts of a key. An origin may read a request in another way than we do: it takes
 * the last of several values, another spelling of a name (`X_User` for `X-User`), a quoted or encoded cookie. So
 * whatever it might take for the value is part of the key, and no request finds what was made of another's.
 */
import { withoutOws } from '../message/field-value.ts'
import { type Fields, looseName } from '../message/fields.ts'
import { decodeFormText } from '../pattern/query.ts'
import { KeyPart, type KeyWriter } from './key.ts'
import { LastRead } from './last-read.ts'

/** @param name in lower case */
export function writeHeaderSelector(writer: KeyWriter, name: string, request: Fields): void {
  writer.text(KeyPart.Selector, `header:${name}`)
  writeFieldLines(writer, name, request, true)
}

/**
 * A {@link KeyPart.Value} for each field line of this name, and for those whose names some servers do not tell from it,
 * their spelling and value.
 *
 * @param exact false: only the others
 */
export function writeFieldLines(writer: KeyWriter, name: string, request: Fields, exact: boolean): void {
  const loose = knownLooseName(name)
  const { count, added } = request
  for (let i = 0; i < count; i++) {
    if (!request.nameIsLoosely(i, loose) || request.isRemoved(i)) continue
    const own = request.nameIs(i, name)
    if (own && !exact) continue
    if (!own) writer.text(KeyPart.Spelling, request.nameAt(i))
    writer.span(KeyPart.Value, request.bytesOf(i), request.valueStart(i), request.valueEnd(i))
  }
  if (added === null) return
  for (let i = 0; i < added.length; i += 2) {
    const own = added[i] === name
    if ((own && !exact) || looseName(added[i]!) !== loose) continue
    if (!own) writer.text(KeyPart.Spelling, added[i]!)
    writer.text(KeyPart.Value, added[i + 1]!)
  }
}

/** Responses vary by the same few names. */
const LOOSE = new Map<string, string>()
const MAX_LOOSE = 1_024

function knownLooseName(name: string): string {
  let loose = LOOSE.get(name)
  if (loose !== undefined) return loose
  loose = looseName(name)
  if (LOOSE.size >= MAX_LOOSE) LOOSE.clear()
  LOOSE.set(name, loose)
  return loose
}

/** RFC 6265 §4.1.1, without what some servers decode, replace or read as another separator. */
const PLAIN_NAME = /^[A-Za-z0-9!#$&'*+.^_`|~-]+$/

/** One pair of a `Cookie` field. */
interface CookiePair {
  readonly text: string
  /** See {@link looseName}; `''`: there is none, null: servers may take it for any. */
  readonly loose: string | null
}

/** White space within a pair ends its value for some servers (Python's `http.cookies`), and another pair follows. */
const INNER_SPACE = /[\t ]/

const PAIRS = new LastRead((lines): readonly CookiePair[] =>
  lines.flatMap((line) =>
    line.split(';').map((pair) => {
      const text = withoutOws(pair)
      const equals = text.indexOf('=')
      const own = equals === -1 ? text : text.slice(0, equals)
      // A pair that begins with `=` is for some servers what follows (CVE-2023-23934).
      const plain = !INNER_SPACE.test(text) && (text === '' || PLAIN_NAME.test(own))
      return { text, loose: plain ? looseName(own) : null }
    }),
  ),
)

/** @param name compared exactly, case included (RFC 6265 §5.3) */
export function writeCookieSelector(writer: KeyWriter, name: string, request: Fields): void {
  writer.text(KeyPart.Selector, `cookie:${name}`)
  const lines = request.all('cookie')
  if (lines.length === 0) return
  let plain = lines.length === 1 && !lines[0]!.includes('"') && !lines[0]!.includes(',')
  const own = `${name}=`
  const loose = looseName(name)
  for (const pair of PAIRS.of(lines))
    if (pair.text.startsWith(own)) writer.text(KeyPart.Value, pair.text.slice(own.length))
    else plain &&= pair.loose !== null && pair.loose !== loose
  // What could be read in several ways is in the key as it was sent.
  if (plain) return
  writer.text(KeyPart.Spelling, '')
  for (const line of lines) writer.text(KeyPart.Value, line)
}

/**
 * Whether a request has a field of this name, or one that some servers do not tell from it.
 *
 * @param name in lower case
 */
export function hasHeader(request: Fields, name: string): boolean {
  const loose = knownLooseName(name)
  for (let i = 0; i < request.count; i++) if (request.nameIsLoosely(i, loose) && !request.isRemoved(i)) return true
  const { added } = request
  if (added !== null) for (let i = 0; i < added.length; i += 2) if (looseName(added[i]!) === loose) return true
  return false
}

/** Names that some server may read, as {@link looseName} has them. */
const NAMES = new LastRead((lines): ReadonlySet<string> => {
  const names = new Set<string>()
  for (const line of lines)
    for (const part of line.split(SEPARATORS)) {
      const pair = withoutOws(part)
      addNames(names, pair)
      if (INNER_SPACE.test(pair)) for (const word of pair.split(SPACES)) addNames(names, word)
    }
  return names
})

/** `;`, and `,` for some servers. */
const SEPARATORS = /[;,]/
const SPACES = /[\t ]+/

/** Of a pair: to its `=`, and to its `[` for those who read lists. */
function addNames(names: Set<string>, pair: string): void {
  let start = 0
  while (pair.charCodeAt(start) === EQUALS) start++
  const equals = pair.indexOf('=', start)
  const name = pair.slice(start, equals === -1 ? pair.length : equals)
  if (name === '') return
  names.add(readName(name))
  const list = name.indexOf('[')
  if (list > 0) names.add(readName(name.slice(0, list)))
}

const EQUALS = 0x3d

/** Without what JavaScript takes for white space, as 0xA0, which servers written in it leave out. */
const readName = (name: string): string => looseName(decodeFormText(name.trim()).trim())

/** Whether a request has a cookie of this name, empty or not, or something that a server may take for one. */
export function hasCookie(request: Fields, name: string): boolean {
  return request.has('cookie') && NAMES.of(request.all('cookie')).has(looseName(name))
}
