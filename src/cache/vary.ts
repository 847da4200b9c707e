/**
 * `Vary` (RFC 9111 §4.1): which fields of a request a response depends on, and what of them makes two requests match. A
 * variant's key is the primary key with these names and values behind it, so a match is a comparison of keys.
 */
import { withoutOws } from '../message/field-value.ts'
import { type Fields, looseName } from '../message/fields.ts'
import { KeyPart, type KeyWriter } from './key.ts'
import { writeFieldLines } from './selectors.ts'
import { normaliseVaried } from './varied-value.ts'

/** More names, or longer ones, make a response one that is not stored. */
export const MAX_VARY_NAMES = 32
export const MAX_VARY_NAME = 128

/** `none`: it has one variant. `any`: no later request matches (`*`, or what cannot be known here). */
export type Vary = { readonly type: 'none' | 'any' } | { readonly type: 'names'; readonly names: readonly string[] }

export const NO_VARY: Vary = Object.freeze({ type: 'none' })
const ANY: Vary = Object.freeze({ type: 'any' })
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

/** They are in every key already: see `key.ts`. */
const IN_EVERY_KEY: ReadonlySet<string> = new Set(['host', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port'])

/**
 * Fields that the gateway writes behind the cache, one value for each request or client: what the origin sees is not
 * what a lookup sees.
 */
const WRITTEN_LATER: ReadonlySet<string> = new Set([
  'via',
  'cdn-loop',
  'x-request-id',
  'traceparent',
  'tracestate',
  'x-real-ip',
  'forwarded',
  'x-forwarded',
  'x-forwarded-for',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-client-cert',
  'client-cert',
  'client-cert-chain',
])
/** Fields of one hop (RFC 9110 §7.6.1), and those of the cache, which validates by its own. */
const OF_A_HOP: ReadonlySet<string> = new Set([
  'connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'keep-alive',
  'if-none-match',
  'if-modified-since',
  'if-range',
])
const WRITTEN_LATER_PREFIXES = ['x-client-cert-']

/** @returns names in lower case, each once and in order */
export function varyOf(response: Fields): Vary {
  const value = response.joined('vary')
  return value === undefined ? NO_VARY : parseVary(value)
}

export function parseVary(value: string): Vary {
  // A list of empty elements costs nothing more than its bytes.
  const names = new Set<string>()
  for (const element of value.split(',')) {
    const name = withoutOws(element).toLowerCase()
    if (name === '' || IN_EVERY_KEY.has(looseName(name))) continue
    if (name === '*' || name.length > MAX_VARY_NAME || !TOKEN.test(name) || isUnknowable(name)) return ANY
    names.add(name)
    if (names.size > MAX_VARY_NAMES) return ANY
  }
  return names.size === 0 ? NO_VARY : { type: 'names', names: [...names].sort() }
}

const isUnknowable = (name: string): boolean => OF_A_HOP.has(looseName(name)) || isWrittenLater(name)

/** Whether a lookup does not see what the origin gets. @param name in lower case */
export function isWrittenLater(name: string): boolean {
  const loose = looseName(name)
  return WRITTEN_LATER.has(loose) || WRITTEN_LATER_PREFIXES.some((prefix) => loose.startsWith(prefix))
}

/**
 * Names of the record for a primary key after another response: all that any of its responses depend on, so that a
 * response without `Vary` (an error page, say) does not take the place of the variants. A request that matches by more
 * names than its response states matches by those.
 *
 * @returns the names of the newer alone where all together would be too many
 */
export function uniteVary(known: readonly string[], newer: readonly string[]): readonly string[] {
  const all = new Set([...known, ...newer])
  return all.size > MAX_VARY_NAMES ? newer : [...all].sort()
}

/** Puts the names and the request's values behind the primary key that was written. */
export function writeVariant(writer: KeyWriter, names: readonly string[], request: Fields): void {
  for (const name of names) {
    writer.text(KeyPart.Varied, name)
    const normalised = normaliseVaried(name, request)
    if (normalised !== undefined) writer.text(KeyPart.Normalised, normalised)
    writeFieldLines(writer, name, request, normalised === undefined)
  }
}

/** The names as a vary record keeps them. */
export function encodeVaryNames(names: readonly string[]): Buffer {
  return Buffer.from(names.join(','), 'latin1')
}

/**
 * Reads records of names, most of which are the same ones again and again: the last few are kept.
 *
 * @throws never: what is no list of names, in bytes that come from outside the process, is null
 */
export class VaryNames {
  readonly #known = new Map<string, readonly string[] | null>()

  read(bytes: Buffer, start: number, end: number): readonly string[] | null {
    if (end - start > MAX_VARY_NAMES * (MAX_VARY_NAME + 1)) return null
    const text = bytes.latin1Slice(start, end)
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const vary = parseVary(text)
    const names = vary.type === 'names' && vary.names.join(',') === text ? vary.names : null
    if (this.#known.size >= KEPT_RECORDS) this.#known.clear()
    this.#known.set(text, names)
    return names
  }
}

const KEPT_RECORDS = 256
