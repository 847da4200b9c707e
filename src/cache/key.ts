/**
 * Cache keys as bytes: a sequence of parts, each with a tag, its length and its text. The order of the parts is fixed
 * and none is ever cut, so two requests have one key exactly when all their parts are the same; an absent part and an
 * empty one are different. Stores compare whole keys and use hashes of them only to find them.
 *
 * The key of a variant (RFC 9111 §4.1) is the primary key with what `Vary` names behind it, so whatever reads the parts
 * of a primary key, such as a purge, reads those of its variants.
 */
import { Buffer } from 'node:buffer'
import type { EntryKey, KeyHash } from './response-memory.ts'

/** Tags of parts, in the order in which they stand in a key. */
export const KeyPart = {
  Namespace: 1,
  /** The Route and the rule in it, by name. */
  Route: 2,
  Rule: 3,
  /** A digest of what shapes the request that is sent upstream. */
  Policy: 4,
  /** Stated by the user: another one makes everything anew. */
  Version: 5,
  /** Absent for GET and HEAD, which have one key (RFC 9110 §9.3.2). */
  Method: 6,
  Scheme: 7,
  /** As the client names it, normalised. */
  Host: 8,
  /** Absent where it is the default of the scheme. */
  Port: 9,
  /** As the client asks for it, normalised. */
  Path: 10,
  /** As it is sent upstream, see `query-key.ts`; absent where the target has none. */
  Query: 11,
  /** The path that is sent upstream, where it is another one. */
  UpstreamPath: 12,
  /** The host that is sent upstream, where it is another one. */
  UpstreamHost: 13,
  /** `header:accept-language`, followed by a {@link Value} for each value, none where it is absent. */
  Selector: 14,
  /** Belongs to the {@link Selector}, the {@link Identity} or the {@link Varied} name before it. */
  Value: 15,
  /** Whose response it is: followed by a {@link Value} for issuer, subject, consumer. */
  Identity: 16,
  /** Fields that describe the content of a request, name and {@link Value}; see `query-content.ts`. */
  ContentField: 17,
  /** The whole content of a request. */
  Content: 18,
  /** Name that `Vary` states, followed by a {@link Value} for each field line, or by one {@link Normalised}. */
  Varied: 19,
  /** The value of a varied field in the normal form of its syntax, see `vary.ts`. */
  Normalised: 20,
  /** Another spelling of the name before it, followed by its {@link Value}. */
  Spelling: 21,
  /** A range as it was asked for, behind the key of the whole; empty: of the record of all parts. */
  Part: 22,
  /** Id of the Backend that the split of the rule gives the request; stands behind {@link Version}. */
  Backend: 23,
  /** That is reported upstream, where it is another one than that of the URL; stands behind {@link Port}. */
  ConnectedPort: 24,
  /** How a trusted proxy spells the authority, where that is not as the request does; empty: the normal spelling. */
  ReportedAuthority: 25,
} as const

export type KeyPart = (typeof KeyPart)[keyof typeof KeyPart]

/**
 * Set in the tag of a part whose text has characters that do not fit a byte: two bytes each (UTF-16, little-endian).
 */
export const WIDE = 0x80
/** A tag and three bytes of length. */
export const PART_HEAD = 4

/** What the memory has room to say of a length. A key that would be longer is none: the request is not cached. */
export const MAX_KEY_BYTES = 0xffff

/**
 * Writes keys into one buffer of the thread: {@link bytes} up to {@link length} is valid until the next {@link begin}.
 * {@link MAX_KEY_BYTES} bound it.
 */
export class KeyWriter implements EntryKey {
  bytes: Buffer = Buffer.allocUnsafeSlow(1024)
  length = 0
  readonly hashed: KeyHash = { by: null, low: 0, high: 0 }
  #tooLong = false
  /** What the bytes begin with. */
  #prefix: Uint8Array | null = null

  /**
   * @param prefix parts that all keys of a policy begin with, see {@link keyPrefix}; its bytes never change
   */
  begin(prefix: Uint8Array): void {
    this.#tooLong = false
    this.hashed.by = null
    // Most keys of a thread begin as the one before.
    if (prefix === this.#prefix) {
      this.length = prefix.length
      return
    }
    this.#prefix = null
    this.length = 0
    if (!this.#room(prefix.length)) return
    this.bytes.set(prefix, 0)
    this.length = prefix.length
    this.#prefix = prefix
  }

  /** Back to a primary key, which was written whole up to this length. */
  cutTo(length: number): void {
    if (this.#prefix !== null && length < this.#prefix.length) this.#prefix = null
    this.length = length
    this.hashed.by = null
    this.#tooLong = false
  }

  /** The key cannot be had: it is too long. */
  get tooLong(): boolean {
    return this.#tooLong
  }

  text(tag: KeyPart, text: string): void {
    const { length } = text
    if (!this.#room(PART_HEAD + length)) return
    const { bytes } = this
    const start = this.length + PART_HEAD
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0xff) {
        this.#wide(tag, text)
        return
      }
      bytes[start + i] = code
    }
    this.#head(tag, length)
  }

  raw(tag: KeyPart, content: Uint8Array): void {
    if (!this.#room(PART_HEAD + content.length)) return
    this.bytes.set(content, this.length + PART_HEAD)
    this.#head(tag, content.length)
  }

  /** The bytes of a field value, without a string of it. */
  span(tag: KeyPart, from: Uint8Array, start: number, end: number): void {
    const length = end - start
    if (!this.#room(PART_HEAD + length)) return
    const { bytes } = this
    const at = this.length + PART_HEAD
    for (let i = 0; i < length; i++) bytes[at + i] = from[start + i]!
    this.#head(tag, length)
  }

  /** A copy of the key of its own. */
  copy(): Buffer {
    const own = Buffer.allocUnsafe(this.length)
    this.bytes.copy(own, 0, 0, this.length)
    return own
  }

  #wide(tag: KeyPart, text: string): void {
    if (!this.#room(PART_HEAD + 2 * text.length)) return
    // UTF-16 keeps lone surrogates apart, which UTF-8 makes one character of.
    this.bytes.write(text, this.length + PART_HEAD, 'utf16le')
    this.#head(tag | WIDE, 2 * text.length)
  }

  #head(tag: number, length: number): void {
    const { bytes, length: at } = this
    this.hashed.by = null
    bytes[at] = tag
    bytes[at + 1] = length & 0xff
    bytes[at + 2] = (length >>> 8) & 0xff
    bytes[at + 3] = length >>> 16
    this.length = at + PART_HEAD + length
  }

  #room(more: number): boolean {
    if (this.#tooLong) return false
    const needed = this.length + more
    if (needed > MAX_KEY_BYTES) {
      this.#tooLong = true
      return false
    }
    if (needed > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(MAX_KEY_BYTES, Math.max(needed, 2 * this.bytes.length)))
      this.bytes.copy(grown, 0, 0, this.length)
      this.bytes = grown
    }
    return true
  }
}

/** A key that stays as it is. */
export class OwnKey implements EntryKey {
  readonly bytes: Buffer
  readonly length: number
  readonly owned = true
  readonly hashed: KeyHash

  constructor(writer: KeyWriter) {
    this.bytes = writer.copy()
    this.length = writer.length
    const { by, low, high } = writer.hashed
    this.hashed = { by, low, high }
  }
}

/** What all keys of the requests begin with that one policy caches and one Backend gets. */
export interface KeyScope {
  readonly namespace: string
  /** `namespace/name`. */
  readonly route: string
  readonly rule: string
  /** Digest of the policies that shape what is sent upstream. */
  readonly policy: string
  /** '' where the user states none. */
  readonly version: string
  /** Id: what one Backend says is never found by a request that a split leads to another one. */
  readonly backend: string
}

export function keyPrefix(scope: KeyScope): Buffer {
  const writer = new KeyWriter()
  writer.begin(new Uint8Array(0))
  writer.text(KeyPart.Namespace, scope.namespace)
  writer.text(KeyPart.Route, scope.route)
  writer.text(KeyPart.Rule, scope.rule)
  writer.text(KeyPart.Policy, scope.policy)
  writer.text(KeyPart.Version, scope.version)
  writer.text(KeyPart.Backend, scope.backend)
  return writer.copy()
}

/** What of a request is always part of its key. */
export interface KeyTarget {
  readonly method: string
  /** As the client names it; its host is in normal form. */
  readonly origin: {
    readonly scheme: 'http' | 'https'
    readonly host: string
    readonly port: number
    readonly connectedPort?: number
  }
  /** What the client asks for, in normal form. */
  readonly originalPath: string
  /** What is sent upstream. */
  readonly path: string
  /** As it is sent upstream, after `query-key.ts`. */
  readonly query: string | undefined
  /** Undefined: the host of the client is sent upstream. */
  readonly upstreamHost: string | undefined
}

/** Writes prefix and target; selectors, identity and content follow. */
export function writeTarget(writer: KeyWriter, prefix: Uint8Array, target: KeyTarget): void {
  const { method, origin, originalPath, path, query, upstreamHost } = target
  if (method !== 'GET' && method !== 'HEAD') {
    writer.begin(prefix)
    writer.text(KeyPart.Method, method)
    writeOrigin(writer, origin)
  } else beginOrigin(writer, prefix, origin)
  writer.text(KeyPart.Path, originalPath)
  if (query !== undefined) writer.text(KeyPart.Query, query)
  if (path !== originalPath) writer.text(KeyPart.UpstreamPath, path)
  if (upstreamHost !== undefined) writer.text(KeyPart.UpstreamHost, upstreamHost)
}

type KeyOrigin = KeyTarget['origin']

function writeOrigin(writer: KeyWriter, { scheme, host, port, connectedPort }: KeyOrigin): void {
  writer.text(KeyPart.Scheme, scheme)
  writer.text(KeyPart.Host, host)
  if (port !== (scheme === 'https' ? 443 : 80)) writer.text(KeyPart.Port, String(port))
  if (connectedPort !== undefined) writer.text(KeyPart.ConnectedPort, String(connectedPort))
}

interface Beginning {
  prefix: Uint8Array | null
  scheme: string
  host: string
  port: number
  connectedPort: number | undefined
  bytes: Uint8Array | null
}

/** Prefix and origin that the last key began with; where two in a row had them, their bytes. */
const last: Beginning = { prefix: null, scheme: '', host: '', port: 0, connectedPort: undefined, bytes: null }

function beginOrigin(writer: KeyWriter, prefix: Uint8Array, origin: KeyOrigin): void {
  const { scheme, host, port, connectedPort } = origin
  const same = last.host === host && last.port === port && last.scheme === scheme
  const again = same && last.prefix === prefix && last.connectedPort === connectedPort
  if (again && last.bytes !== null) return writer.begin(last.bytes)
  writer.begin(prefix)
  writeOrigin(writer, origin)
  last.bytes = again && !writer.tooLong ? writer.copy() : null
  if (again) return
  last.prefix = prefix
  last.scheme = scheme
  last.host = host
  last.port = port
  last.connectedPort = connectedPort
}

/** @param values one for each field line, or the one value; none: it is absent */
export function writeSelector(writer: KeyWriter, name: string, values: readonly string[]): void {
  writer.text(KeyPart.Selector, name)
  for (const value of values) writer.text(KeyPart.Value, value)
}

/**
 * A claim as it stands in the token: `"a,b"`, `["a", "b"]` and `["a,b"]` are three, as an origin that reads the token
 * may see them, and one value by two issuers is two.
 *
 * @param value undefined: the claim is absent
 */
export function writeClaim(writer: KeyWriter, name: string, value: unknown, issuer: string | undefined): void {
  writer.text(KeyPart.Selector, name)
  if (value === undefined) return
  if (typeof value === 'string') writer.text(KeyPart.Value, value)
  else {
    writer.text(KeyPart.Spelling, '')
    writer.text(KeyPart.Value, JSON.stringify(value))
  }
  if (issuer !== undefined) writer.text(KeyPart.Value, issuer)
}

/** @param values in a fixed order; undefined where one is absent */
export function writeIdentity(writer: KeyWriter, values: readonly (string | undefined)[]): void {
  for (let i = 0; i < values.length; i++) {
    writer.text(KeyPart.Identity, String(i))
    const value = values[i]
    if (value !== undefined) writer.text(KeyPart.Value, value)
  }
}
