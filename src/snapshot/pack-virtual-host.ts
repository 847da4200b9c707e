/** Writes one virtual host, rules and matches, as words. */

import { hashKey } from '../lib/hash.ts'
import { REASON_LIST, type Reason } from '../lib/reason.ts'
import { parseCIDR } from '../pattern/cidr.ts'
import * as L from './pack-layout.ts'
import { literalPrefix } from './pack-literal.ts'
import type { Match, ValueMatch, VirtualHost, WeightedBackend } from './snapshot.ts'

/** Integers that stand for policies and backends in packed records. */
export interface Indexes {
  /** @throws {TypeError} when the snapshot has no such policy */
  policy(digest: string): number
  /** @throws {TypeError} when the snapshot has no such backend */
  backend(id: string): number
}

/** Longest run of slots that a look-up may have to pass; a table with a longer one is built again with another seed. */
const LONGEST_PROBE = 16
const ATTEMPTS = 8
/** Matches or rules written between two yields: well below a millisecond. */
const BATCH = 64

/**
 * Texts remembered so that they are written once: names of Routes and methods repeat close together, paths hardly at
 * all.
 */
const TEXTS = 1024
/** Words a large virtual host starts with for each rule and match, so that it need not be copied while it grows. */
const GUESS = 48

export class VirtualHostWriter {
  #words = new Int32Array(1 << 14)
  #bytes = Buffer.from(this.#words.buffer)
  #length = 0
  #texts = new Map<string, number>()
  #patterns = new Map<string, number>()
  /** Where the prefixes that matches must stay below are written, once for all matches that share them. */
  #prefixes = new Map<readonly string[], number>()
  /** Matches by type of path. */
  readonly #counts = [0, 0, 0]

  #reset(): void {
    this.#texts = new Map()
    this.#patterns = new Map()
    this.#prefixes = new Map()
    this.#counts.fill(0)
    // One large host must not hold its memory for ever.
    if (this.#words.length > 1 << 20) {
      this.#words = new Int32Array(1 << 14)
      this.#bytes = Buffer.from(this.#words.buffer)
    }
    this.#length = 0
  }

  /**
   * @param seed start of the hash over paths
   * @param divided it is one of several layers, whose matches are compared with each other
   * @returns its words, valid until the next call
   */
  *write(virtualHost: VirtualHost, seed: number, indexes: Indexes, divided: boolean): Generator<void, Int32Array> {
    this.#reset()
    this.#reserve(L.VHOST_HEADER + (virtualHost.rules.length + virtualHost.matches.length) * GUESS)
    this.#length = L.VHOST_HEADER
    this.#set(L.VHOST_HOSTNAME, this.#text(virtualHost.hostname))
    this.#set(L.VHOST_PASSTHROUGH, virtualHost.passthrough === undefined ? 0 : virtualHost.passthrough + 1)
    yield* this.#rules(virtualHost, indexes)
    yield* this.#matches(virtualHost)
    this.#set(L.VHOST_ORDER_AT, divided ? yield* this.#orders(virtualHost) : 0)
    yield* this.#tables(virtualHost, seed)
    this.#set(L.VHOST_PATTERNS, this.#patterns.size)
    const at = this.#take(this.#patterns.size)
    this.#set(L.VHOST_PATTERNS_AT, at)
    let next = at
    for (const offset of this.#patterns.values()) this.#words[next++] = offset
    this.#set(L.VHOST_WORDS, this.#length)
    return this.#words.subarray(0, this.#length)
  }

  #reserve(words: number): void {
    if (this.#length + words <= this.#words.length) return
    const grown = new Int32Array(Math.max(this.#words.length * 2, this.#length + words))
    grown.set(this.#words.subarray(0, this.#length))
    this.#words = grown
    this.#bytes = Buffer.from(grown.buffer)
  }

  /** Takes `words` words, not cleared, and returns their offset. */
  #take(words: number): number {
    this.#reserve(words)
    const at = this.#length
    this.#length += words
    return at
  }

  #set(at: number, value: number): void {
    this.#words[at] = value
  }

  #text(text: string): number {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const size = Buffer.byteLength(text)
    const at = this.#take(1 + ((size + 3) >> 2))
    // What the last word has beyond the text is compared with it: see #takes.
    this.#words[this.#length - 1] = 0
    this.#words[at] = (size << 1) | (size === text.length ? 0 : 1)
    this.#bytes.utf8Write(text, (at + L.TEXT_BYTES) * 4)
    if (this.#texts.size >= TEXTS) this.#texts.clear()
    this.#texts.set(text, at)
    return at
  }

  #pattern(source: string): number {
    let at = this.#patterns.get(source)
    if (at === undefined) this.#patterns.set(source, (at = this.#text(source)))
    return at
  }

  *#rules({ rules }: VirtualHost, indexes: Indexes): Generator<void> {
    const table = this.#take(rules.length * L.RULE_WORDS)
    this.#set(L.VHOST_RULES, rules.length)
    this.#set(L.VHOST_RULES_AT, table)
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!
      const at = table + i * L.RULE_WORDS
      const route = this.#text(rule.route)
      const name = this.#text(rule.rule)
      const backends = this.#backends(rule.backends, indexes)
      this.#set(at + L.RULE_ROUTE, route)
      this.#set(at + L.RULE_NAME, name)
      this.#set(at + L.RULE_POLICY, indexes.policy(rule.policy))
      this.#set(at + L.RULE_REFUSE, reasonCode(rule.refuse))
      this.#set(at + L.RULE_BACKENDS, backends)
      this.#set(at + L.RULE_HTTP, rule.http === undefined ? 0 : L.HTTP_MODES.indexOf(rule.http) + 1)
      if (i % BATCH === BATCH - 1) yield
    }
  }

  #backends(backends: readonly WeightedBackend[], indexes: Indexes): number {
    const start = this.#take(1 + backends.length * L.BACKEND_WORDS)
    let at = start
    this.#set(at++, backends.length)
    for (const ref of backends) {
      this.#set(at++, ref.backend === undefined ? -1 : indexes.backend(ref.backend))
      this.#set(at++, ref.weight)
      this.#set(at++, ref.priority)
      this.#set(at++, reasonCode(ref.refuse))
      this.#set(at++, hashKey(ref.backend ?? ref.missing ?? ''))
    }
    return start
  }

  *#matches({ matches, ruleIndexes }: VirtualHost): Generator<void> {
    const table = this.#take(matches.length * L.MATCH_WORDS)
    this.#set(L.VHOST_MATCHES, matches.length)
    this.#set(L.VHOST_MATCHES_AT, table)
    let longest = 0
    let deepest = 0
    let prefixDepths = 0
    let regexDepths = 0
    for (let i = 0; i < matches.length; i++) {
      const match = matches[i]!
      const at = table + i * L.MATCH_WORDS
      const { type, value } = match.path
      const path = type === 'RegularExpression' ? this.#pattern(value) : this.#text(value)
      const method = this.#method(match.method)
      const conditions = this.#conditions(match)
      this.#set(at + L.MATCH_RULE, ruleIndexes[i]!)
      this.#set(at + L.MATCH_METHOD, method)
      this.#set(at + L.MATCH_CONDITIONS, conditions)
      this.#set(at + L.MATCH_PATH, path)
      const code = L.PATH_TYPES.indexOf(type)
      this.#counts[code]!++
      this.#set(at + L.MATCH_TYPE, code)
      const key = keyOf(match.path)
      this.#set(at + L.MATCH_KEY, key === value ? path : this.#text(key))
      if (type === 'Exact') longest = Math.max(longest, key.length)
      else {
        const depth = countSlashes(key)
        deepest = Math.max(deepest, depth)
        if (type === 'PathPrefix') prefixDepths |= L.depthBit(depth)
        else regexDepths |= L.depthBit(depth)
      }
      if (i % BATCH === BATCH - 1) yield
    }
    this.#set(L.VHOST_EXACT_LONGEST, longest)
    this.#set(L.VHOST_DEEPEST, deepest)
    this.#set(L.VHOST_PREFIX_DEPTHS, prefixDepths)
    this.#set(L.VHOST_REGEX_DEPTHS, regexDepths)
  }

  /** @returns offset of the records */
  *#orders({ matches }: VirtualHost): Generator<void, number> {
    const start = this.#take(matches.length * L.ORDER_WORDS)
    for (let i = 0; i < matches.length; i++) {
      const { created = Number.POSITIVE_INFINITY, rule, match } = matches[i]!.order
      const at = start + i * L.ORDER_WORDS
      this.#bytes.writeDoubleLE(created, (at + L.ORDER_CREATED) * 4)
      this.#set(at + L.ORDER_RULE, rule)
      this.#set(at + L.ORDER_MATCH, match)
      if (i % BATCH === BATCH - 1) yield
    }
    return start
  }

  #method(method: string | undefined): number {
    if (method === undefined) return 0
    const known = (L.METHODS as readonly string[]).indexOf(method)
    return known === -1 ? -this.#text(method) : known + 1
  }

  #conditions(match: Match): number {
    const { headers, queryParams, cookies, sourceCIDRs, within } = match
    const values = headers.length + queryParams.length + cookies.length
    if (values + sourceCIDRs.length + within.length === 0) return 0
    const size = values * L.VALUE_WORDS + sourceCIDRs.length * L.CIDR_WORDS + (within.length === 0 ? 0 : 1)
    const start = this.#take(L.COND_LIST + size)
    this.#set(start + L.COND_HEADERS, headers.length)
    this.#set(start + L.COND_QUERY, queryParams.length)
    this.#set(start + L.COND_COOKIES, cookies.length)
    this.#set(start + L.COND_CIDRS, sourceCIDRs.length)
    this.#set(start + L.COND_WITHIN, within.length)
    let at = start + L.COND_LIST
    for (const list of [headers, queryParams, cookies]) for (const value of list) at = this.#value(at, value)
    for (const text of sourceCIDRs) {
      const prefix = parseCIDR(text)
      if (prefix === undefined) throw new TypeError(`not a CIDR: ${text}`)
      this.#set(at++, prefix.bits)
      for (const word of prefix.address) this.#set(at++, word)
    }
    if (within.length > 0) this.#set(at, this.#within(within))
    return start
  }

  #within(prefixes: readonly string[]): number {
    const known = this.#prefixes.get(prefixes)
    if (known !== undefined) return known
    const start = this.#take(prefixes.length)
    this.#prefixes.set(prefixes, start)
    let at = start
    for (const prefix of prefixes) this.#set(at++, this.#text(prefix))
    return start
  }

  #value(at: number, value: ValueMatch): number {
    const name = this.#text(value.name)
    const text = value.type === 'RegularExpression' ? this.#pattern(value.value) : this.#text(value.value)
    this.#set(at, name)
    this.#set(at + 1, L.VALUE_TYPES.indexOf(value.type))
    this.#set(at + 2, text)
    return at + L.VALUE_WORDS
  }

  /** One table for each kind of path: from the hash of a key to the first match that has it. */
  *#tables({ matches }: VirtualHost, seed: number): Generator<void> {
    const start = this.#length
    for (let attempt = 0; ; attempt++) {
      this.#length = start
      for (let type = 0; type < 3; type++) this.#table(HEADERS[type]!, this.#counts[type]!)
      this.#set(L.VHOST_SEED, seed)
      const probe = yield* this.#fill(matches.length, seed)
      if (probe <= LONGEST_PROBE || attempt === ATTEMPTS) return
      seed = L.hashStep(seed, attempt)
    }
  }

  /** An empty table for at most so many keys. @param header where its mask stands, followed by its offset */
  #table(header: number, keys: number): void {
    let capacity = 2
    while (capacity < keys * 2) capacity *= 2
    const at = keys === 0 ? 0 : this.#take(capacity * L.PATH_SLOT_WORDS)
    if (keys > 0) this.#words.fill(0, at, this.#length)
    this.#set(header, keys === 0 ? -1 : capacity - 1)
    this.#set(header + 1, at)
  }

  /**
   * From the last match to the first, each put before those of its key, so that they end up in matching order.
   * @returns the longest probe
   */
  *#fill(count: number, seed: number): Generator<void, number> {
    const words = this.#words
    let longest = 0
    for (let i = count - 1; i >= 0; i--) {
      const at = words[L.VHOST_MATCHES_AT]! + i * L.MATCH_WORDS
      const header = HEADERS[words[at + L.MATCH_TYPE]!]!
      const mask = words[header]!
      const table = words[header + 1]!
      const key = words[at + L.MATCH_KEY]!
      const hash = this.#hash(key, seed)
      let slot = hash & mask
      let probe = 1
      while (!this.#takes(table + slot * L.PATH_SLOT_WORDS, hash, key)) {
        slot = (slot + 1) & mask
        probe++
      }
      const first = table + slot * L.PATH_SLOT_WORDS
      words[at + L.MATCH_NEXT] = words[first + 1]!
      words[first] = hash
      words[first + 1] = i + 1
      longest = Math.max(longest, probe)
      if (i % BATCH === 0) yield
    }
    return longest
  }

  /** Whether a slot is free or already stands for this key. */
  #takes(slot: number, hash: number, key: number): boolean {
    const words = this.#words
    const first = words[slot + 1]!
    if (first === 0) return true
    if (words[slot] !== hash) return false
    const other = words[words[L.VHOST_MATCHES_AT]! + (first - 1) * L.MATCH_WORDS + L.MATCH_KEY]!
    const size = words[key]!
    if (words[other] !== size) return false
    // Texts end with zeros up to a whole word: see #text.
    for (let i = 0; i < ((size >>> 1) + 3) >> 2; i++) if (words[key + 1 + i] !== words[other + 1 + i]) return false
    return true
  }

  #hash(text: number, seed: number): number {
    const start = (text + L.TEXT_BYTES) * 4
    const end = start + (this.#words[text]! >>> 1)
    let hash = seed
    for (let i = start; i < end; i++) hash = L.hashStep(hash, this.#bytes[i]!)
    return hash
  }
}

const HEADERS = [L.VHOST_EXACT_MASK, L.VHOST_PREFIX_MASK, L.VHOST_REGEX_MASK] as const

/** What a match is found by. `/` is written as the empty prefix: the part before the first slash of any path. */
function keyOf({ type, value }: Match['path']): string {
  if (type === 'RegularExpression') return literalPrefix(value)
  return type === 'PathPrefix' && value === '/' ? '' : value
}

function countSlashes(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) === 0x2f) count++
  return count
}

function reasonCode(reason: Reason | undefined): number {
  return reason === undefined ? 0 : REASON_LIST.indexOf(reason) + 1
}
