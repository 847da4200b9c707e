/** Normalizes host names and authorities for comparison, and matches the hostname patterns of Routes. */
import { formatIPv6, parseAddress } from './cidr.ts'

export interface Authority {
  /** Lower case, no trailing dot; an IPv6 literal in brackets, in the form of RFC 5952. */
  readonly host: string
  /** 1 … 65535; 0 when none was given. */
  readonly port: number
}

export type Scheme = 'http' | 'https'

/** The default port of a scheme (RFC 9110 §4.2.1, §4.2.2). */
export function defaultPort(scheme: Scheme): number {
  return scheme === 'https' ? 443 : 80
}

/** Formats `host[:port]`, without the scheme's default port. */
export function authorityOf(scheme: Scheme, host: string, port: number): string {
  return port === defaultPort(scheme) ? host : `${host}:${port}`
}

/** Formats an address or name with its port; IPv6 addresses are in brackets (RFC 3986 §3.2.2). */
export function joinHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export interface SocketAddress {
  /** IP literal; undefined means every address of the machine. */
  readonly host: string | undefined
  readonly port: number
}

/** Parses `127.0.0.1:9901`, `[::1]:9901` or `:9901`. @returns undefined for any other text */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  if (parts === null || Number(parts[3]) > 65_535) return undefined
  return { host: parts[1] ?? (parts[2] || undefined), port: Number(parts[3]) }
}

const NAME = 1
const UPPER = 2
/**
 * Characters of a host name in DNS (RFC 1123 §2.1, and `_` as in service names); dot and colon are handled separately.
 */
const CLASS = new Uint8Array(128)
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789-_') CLASS[char.charCodeAt(0)] = NAME
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') CLASS[char.charCodeAt(0)] = UPPER

/** RFC 1035 §2.3.4, without the trailing dot. */
const MAX_NAME = 253
const MAX_LABEL = 63

/**
 * Parses `uri-host [":" port]` of a Host field, an absolute target or `:authority` (RFC 9110 §7.2, RFC 3986 §3.2.2).
 *
 * Narrower than the grammar of reg-name, as RFC 3986 allows where names are looked up in DNS: no percent-encoding and
 * no sub-delims, since nothing can be served under such a name and two readers could take it for different ones. User
 * information, zone ids and IPvFuture are refused; `xn--` labels stay as they are.
 *
 * @returns undefined when the authority is not acceptable (400 `BadHost`)
 */
export function normalizeHost(authority: string): Authority | undefined {
  if (authority.charCodeAt(0) === 0x5b) return bracketed(authority)
  let end = authority.length
  let label = 0
  let upper = false
  for (let i = 0; i < authority.length; i++) {
    const code = authority.charCodeAt(i)
    const kind = code < 128 ? CLASS[code]! : 0
    if (kind !== 0) {
      if (++label > MAX_LABEL) return undefined
      if (kind === UPPER) upper = true
    } else if (code === 0x2e) {
      if (label === 0) return undefined
      label = 0
    } else if (code === 0x3a) {
      end = i
      break
    } else return undefined
  }
  // The only permitted empty label is the root after a trailing dot.
  const nameEnd = label === 0 ? end - 1 : end
  if (nameEnd < 1 || nameEnd > MAX_NAME) return undefined
  const port = readPort(authority, end)
  if (port < 0) return undefined
  const name = nameEnd === authority.length ? authority : authority.slice(0, nameEnd)
  return { host: upper ? name.toLowerCase() : name, port }
}

function bracketed(authority: string): Authority | undefined {
  const close = authority.indexOf(']')
  if (close === -1 || close > 46) return undefined
  const literal = authority.slice(1, close)
  const address = literal.includes(':') ? parseAddress(literal) : undefined
  const port = readPort(authority, close + 1)
  return address === undefined || port < 0 ? undefined : { host: `[${formatIPv6(address)}]`, port }
}

/**
 * Parses the port from `at` on: 0 when there is none (`host` and `host:` are the same, RFC 3986 §6.2.3), -1 when it is
 * not one.
 */
function readPort(authority: string, at: number): number {
  if (at === authority.length) return 0
  if (authority.charCodeAt(at) !== 0x3a || authority.length - at > 6) return -1
  let port = 0
  for (let i = at + 1; i < authority.length; i++) {
    const digit = authority.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    port = port * 10 + digit
  }
  return port > 65_535 || (port === 0 && authority.length > at + 1) ? -1 : port
}

const HOSTNAME = /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*$/

/**
 * A hostname of a Route: a DNS name in lower case, or `*.` and such a name. `*` alone is not one; a Route without
 * hostnames is meant by it.
 */
export function isHostnamePattern(text: string): boolean {
  return text.length <= MAX_NAME && HOSTNAME.test(text)
}

/**
 * Whether `pattern` matches `host`. `*.example.com` covers one or more labels before `.example.com` and not
 * `example.com` itself; `*` covers all.
 *
 * @param host in normal form, or another pattern: `*.a.example.com` is covered by `*.example.com`
 */
export function covers(pattern: string, host: string): boolean {
  if (pattern === host || pattern === '*') return true
  return pattern.startsWith('*.') && host.length > pattern.length - 1 && host.endsWith(pattern.slice(1)) && host !== '*'
}

/** The wildcards that cover a hostname or wildcard, except itself, most specific first. */
export function coveringWildcards(hostname: string): string[] {
  const wildcards: string[] = []
  let dot = hostname.indexOf('.', hostname.startsWith('*.') ? 2 : 0)
  for (; dot >= 0; dot = hostname.indexOf('.', dot + 1)) wildcards.push(`*${hostname.slice(dot)}`)
  return wildcards
}
