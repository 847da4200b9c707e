/** Reads keys, see `key.ts`: for purges, and for people. */
import { hash } from 'node:crypto'
import { type CredentialNames, concealUrl, HIDDEN, isConcealed } from '../pattern/concealed.ts'
import { KeyPart, PART_HEAD, WIDE } from './key.ts'

/** The next part at `start` of a key; `bytes` may hold foreign data. */
export interface KeyPartSpan {
  tag: number
  wide: boolean
  start: number
  end: number
}

/** @returns where the part behind it begins, or −1 where there is none that is whole */
export function nextPart(bytes: Uint8Array, start: number, end: number, into: KeyPartSpan): number {
  if (start + PART_HEAD > end) return -1
  const length = bytes[start + 1]! | (bytes[start + 2]! << 8) | (bytes[start + 3]! << 16)
  const tag = bytes[start]!
  into.tag = tag & ~WIDE
  into.wide = (tag & WIDE) !== 0
  into.start = start + PART_HEAD
  into.end = into.start + length
  return into.end > end ? -1 : into.end
}

const SPAN: KeyPartSpan = { tag: 0, wide: false, start: 0, end: 0 }

/** The text of the first part with this tag, undefined where there is none. */
export function partOf(key: Buffer, tag: KeyPart, start = 0, end = key.length): string | undefined {
  for (let at = start; at >= 0 && at < end; ) {
    at = nextPart(key, at, end, SPAN)
    if (at < 0) return undefined
    if (SPAN.tag === tag) return key.toString(SPAN.wide ? 'utf16le' : 'latin1', SPAN.start, SPAN.end)
  }
  return undefined
}

/** The URL that a key stands for, as the client asked for it. */
export function urlOfKey(key: Buffer, start = 0, end = key.length): string {
  const port = partOf(key, KeyPart.Port, start, end)
  const query = partOf(key, KeyPart.Query, start, end)
  const authority = `${partOf(key, KeyPart.Host, start, end) ?? ''}${port === undefined ? '' : `:${port}`}`
  const target = `${partOf(key, KeyPart.Path, start, end) ?? ''}${query === undefined ? '' : `?${query}`}`
  return `${partOf(key, KeyPart.Scheme, start, end) ?? ''}://${authority}${target}`
}

/** Names of the parts that a description shows, besides those of the URL. */
const SHOWN: ReadonlyMap<number, string> = new Map<number, string>([
  [KeyPart.Namespace, 'namespace'],
  [KeyPart.Route, 'route'],
  [KeyPart.Rule, 'rule'],
  [KeyPart.Policy, 'policy'],
  [KeyPart.Version, 'version'],
  [KeyPart.Backend, 'backend'],
  [KeyPart.UpstreamPath, 'upstream path'],
  [KeyPart.UpstreamHost, 'upstream host'],
  [KeyPart.ConnectedPort, 'connected port'],
  [KeyPart.ReportedAuthority, 'reported host'],
])
/** What follows each of these is a value of it. */
const NAMING: ReadonlySet<number> = new Set<number>([
  KeyPart.Selector,
  KeyPart.Identity,
  KeyPart.ContentField,
  KeyPart.Varied,
])
const MAX_SHOWN = 256

/**
 * A key in words, one part behind the other: `GET https://shop.example/a?q=1; namespace shop; …`. Values of cookies,
 * claims, identities and credentials are left out, and so is content.
 *
 * @param more whose values are left out
 */
export function describeKey(key: Buffer, more?: CredentialNames): string {
  const words = [`${partOf(key, KeyPart.Method) ?? 'GET'} ${concealUrl(urlOfKey(key), more)}`]
  const span: KeyPartSpan = { tag: 0, wide: false, start: 0, end: 0 }
  let concealed = false
  for (let at = 0; at < key.length; ) {
    at = nextPart(key, at, key.length, span)
    if (at < 0) break
    const text = textOf(key, span)
    const label = SHOWN.get(span.tag)
    if (label !== undefined && text !== '') words.push(`${label} ${text}`)
    else if (NAMING.has(span.tag)) {
      const name = text.toLowerCase()
      concealed =
        span.tag === KeyPart.Identity || isConcealed(name) || more?.headers.has(name.replace('header:', '')) === true
      words.push(span.tag === KeyPart.Identity ? `identity ${text}` : text)
    } else if (span.tag === KeyPart.Value || span.tag === KeyPart.Normalised)
      words[words.length - 1] += `=${concealed ? HIDDEN : JSON.stringify(text.slice(0, MAX_SHOWN))}`
    else if (span.tag === KeyPart.Spelling && text !== '') words[words.length - 1] += ` ${text}`
    else if (span.tag === KeyPart.Part) words.push(`bytes ${text}`)
    else if (span.tag === KeyPart.Content) words.push(`${span.end - span.start} bytes of content`)
  }
  return words.join('; ')
}

/** Of a key: the same in all replicas and processes, 128 bits in hexadecimal digits. */
export const digestOfKey = (key: Uint8Array): string => hash('sha256', key, 'hex').slice(0, 32)

function textOf(key: Buffer, { wide, start, end }: KeyPartSpan): string {
  return key.toString(wide ? 'utf16le' : 'latin1', start, end)
}
