/**
 * Reads the lists of forwarding fields from the right, which is where the nearest proxy has written: `X-Forwarded-*`,
 * and `Forwarded` (RFC 7239). What stands further left may have been written by the client, so it never changes how an
 * element right of it is read.
 */
import { canonicalAddress } from '../pattern/cidr.ts'
import { type Authority, normalizeHost, type Scheme } from '../pattern/host.ts'

/** A host that a proxy reports. */
export interface ReportedHost extends Authority {
  /** As it was written. */
  readonly text: string
}

/** One element of `Forwarded`, written by one proxy about the connection it accepted. */
export interface ForwardedElement {
  /** Canonical literal; undefined when it is missing, hidden (`unknown`, `_name`) or no address. */
  readonly address: string | undefined
  readonly proto: Scheme | undefined
  readonly host: ReportedHost | undefined
}

/** More elements than this are not read: the chain of proxies is not that long. */
const MAX_ELEMENTS = 64

/** What is read out of an element that breaks the grammar. */
const MALFORMED: ForwardedElement = { address: undefined, proto: undefined, host: undefined }

const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c

/** The elements of a list, the last one first; empty ones do not count (RFC 9110 §5.6.1.2). */
export function elementsFromRight(value: string): string[] {
  return split(value, commaBefore)
}

/** The elements of a `Forwarded` field, the last one first; empty ones do not count. */
export function forwardedFromRight(value: string): ForwardedElement[] {
  return split(value, commaOutsideQuotes).map(forwardedElement)
}

/**
 * An address of `X-Forwarded-For` or a node of `Forwarded` (RFC 7239 §6), without its port.
 *
 * @returns undefined for what is no address
 */
export function nodeAddress(node: string): string | undefined {
  const match = WITH_PORT.exec(node)
  return canonicalAddress(match === null ? node : (match[1] ?? match[2])!)
}

/** `ws` and `wss` are HTTP on the wire (RFC 6455 §3). */
export function reportedScheme(text: string): Scheme | undefined {
  switch (text.toLowerCase()) {
    case 'http':
    case 'ws':
      return 'http'
    case 'https':
    case 'wss':
      return 'https'
  }
  return undefined
}

/** What would be accepted as Host. */
export function reportedHost(text: string): ReportedHost | undefined {
  const authority = normalizeHost(text)
  return authority === undefined ? undefined : { text, ...authority }
}

/** @returns 0 when it is not a port */
export function reportedPort(text: string): number {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) < 65_536 ? Number(text) : 0
}

/** A node with a port, which may be hidden (RFC 7239 §6.2), or an IPv6 address in brackets. */
const WITH_PORT = /^(?:\[([0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*)\](?::(?:\d{1,5}|_[\w.-]+))?|([0-9.]+):(?:\d{1,5}|_[\w.-]+))$/

/** @param before where the comma stands that ends the element left of `end`; -1 = there is none */
function split(value: string, before: (value: string, end: number) => number): string[] {
  const elements: string[] = []
  let end = value.length
  while (elements.length < MAX_ELEMENTS) {
    const comma = before(value, end)
    const element = withoutBlanks(value, comma + 1, end)
    if (element !== '') elements.push(element)
    if (comma < 0) break
    end = comma
  }
  return elements
}

function commaBefore(value: string, end: number): number {
  return end === 0 ? -1 : value.lastIndexOf(',', end - 1)
}

/**
 * Read from the right, a quote that opens is known by the one that closes it, so a quote that a client left open
 * swallows nothing of what proxies append.
 */
function commaOutsideQuotes(value: string, end: number): number {
  let quoted = false
  for (let i = end - 1; i >= 0; i--) {
    const code = value.charCodeAt(i)
    if (code === QUOTE) {
      if (!quoted) quoted = true
      else if (!isEscaped(value, i)) quoted = false
    } else if (code === COMMA && !quoted) return i
  }
  return -1
}

function isEscaped(value: string, at: number): boolean {
  let start = at
  while (start > 0 && value.charCodeAt(start - 1) === BACKSLASH) start--
  return (at - start) % 2 === 1
}

function withoutBlanks(value: string, start: number, end: number): string {
  let from = start
  let to = end
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--
  return value.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

/**
 * `token=value` or `token="value"`. Wider than RFC 7239 §4 in two ways that are common and have one meaning: blanks
 * around a semicolon, and colons and brackets without quotes.
 */
const PAIR =
  /[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z:[\]]+)))?[ \t]*(?:;|$)/y

function forwardedElement(text: string): ForwardedElement {
  const found = new Map<string, string>()
  PAIR.lastIndex = 0
  while (PAIR.lastIndex < text.length) {
    const match = PAIR.exec(text)
    if (match === null) return MALFORMED
    const name = match[1]?.toLowerCase()
    if (name === undefined) continue
    // RFC 7239 §4: each parameter at most once; two of them would be read in two ways.
    if (found.has(name)) return MALFORMED
    found.set(name, match[3] ?? match[2]!.replace(/\\(.)/g, '$1'))
  }
  const node = found.get('for')
  const proto = found.get('proto')
  const host = found.get('host')
  return {
    address: node === undefined ? undefined : nodeAddress(node),
    proto: proto === undefined ? undefined : reportedScheme(proto),
    host: host === undefined ? undefined : reportedHost(host),
  }
}

/** One element of `Forwarded`, written by the gateway. */
export function writeForwarded(address: string, proto: Scheme | null, host: string): string {
  let text = `for=${address.includes(':') ? `"[${address}]"` : address}`
  if (proto !== null) text += `;proto=${proto}`
  if (host !== '') text += `;host=${TOKEN.test(host) ? host : `"${host}"`}`
  return text
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
