/** Writes one segment, the rules and matches of a hostname, as words. */

import { REASON_LIST, type Reason } from '../lib/reason.ts'
import { parseCIDR } from '../pattern/cidr.ts'
import * as L from './pack-layout.ts'
import { literalPrefix } from './pack-literal.ts'
import type { BackendRef, Match, Segment, ValueMatch } from './snapshot.ts'

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

interface Entry {
  readonly matches: number[]
  readonly regexes: number[]
}

export class SegmentWriter {
  #words = new Int32Array(1 << 14)
  #bytes = Buffer.from(this.#words.buffer)
  #length = 0
  #texts = new Map<string, number>()
  #patterns = new Map<string, number>()

  #reset(): void {
    this.#texts = new Map()
    this.#patterns = new Map()
    // One large host must not hold its memory for ever.
    if (this.#words.length > 1 << 20) {
      this.#words = new Int32Array(1 << 14)
      this.#bytes = Buffer.from(this.#words.buffer)
    }
    this.#length = 0
  }

  /**
   * @param seed start of the hash over paths
   * @returns the segment's words, valid until the next call
   */
  *write(segment: Segment, seed: number, indexes: Indexes): Generator<void, Int32Array> {
    this.#reset()
    this.#reserve(L.SEG_HEADER)
    this.#length = L.SEG_HEADER
    this.#set(L.SEG_HOSTNAME, this.#text(segment.hostname))
    yield* this.#rules(segment, indexes)
    yield* this.#matches(segment)
    yield* this.#paths(segment, seed)
    this.#set(L.SEG_PATTERNS, this.#patterns.size)
    const at = this.#take(this.#patterns.size)
    this.#set(L.SEG_PATTERNS_AT, at)
    let next = at
    for (const offset of this.#patterns.values()) this.#words[next++] = offset
    this.#set(L.SEG_WORDS, this.#length)
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
    this.#words[at] = (size << 1) | (size === text.length ? 0 : 1)
    this.#bytes.utf8Write(text, (at + L.TEXT_BYTES) * 4)
    this.#texts.set(text, at)
    return at
  }

  #pattern(source: string): number {
    const at = this.#text(source)
    this.#patterns.set(source, at)
    return at
  }

  *#rules(segment: Segment, indexes: Indexes): Generator<void> {
    const { rules } = segment
    const table = this.#take(rules.length * L.RULE_WORDS)
    this.#set(L.SEG_RULES, rules.length)
    this.#set(L.SEG_RULES_AT, table)
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
      if (i % BATCH === BATCH - 1) yield
    }
  }

  #backends(backends: readonly BackendRef[], indexes: Indexes): number {
    const start = this.#take(1 + backends.length * L.BACKEND_WORDS)
    let at = start
    this.#set(at++, backends.length)
    for (const ref of backends) {
      this.#set(at++, ref.backend === undefined ? -1 : indexes.backend(ref.backend))
      this.#set(at++, ref.weight)
      this.#set(at++, ref.priority)
      this.#set(at++, reasonCode(ref.refuse))
    }
    return start
  }

  *#matches(segment: Segment): Generator<void> {
    const { matches } = segment
    const table = this.#take(matches.length * L.MATCH_WORDS)
    this.#set(L.SEG_MATCHES, matches.length)
    this.#set(L.SEG_MATCHES_AT, table)
    for (let i = 0; i < matches.length; i++) {
      const match = matches[i]!
      const at = table + i * L.MATCH_WORDS
      const { type, value } = match.path
      const path = type === 'RegularExpression' ? this.#pattern(value) : this.#text(value)
      const method = this.#method(match.method)
      const conditions = this.#conditions(match)
      this.#set(at + L.MATCH_RULE, match.rule)
      this.#set(at + L.MATCH_METHOD, method)
      this.#set(at + L.MATCH_LISTENERS, match.listeners)
      this.#set(at + L.MATCH_CONDITIONS, conditions)
      this.#set(at + L.MATCH_PATH, path)
      this.#set(at + L.MATCH_TYPE, L.PATH_TYPES.indexOf(type))
      if (i % BATCH === BATCH - 1) yield
    }
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
    const start = this.#take(L.COND_LIST + values * L.VALUE_WORDS + sourceCIDRs.length * L.CIDR_WORDS + within.length)
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
    for (const path of within) this.#set(at++, this.#text(path))
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

  /** Matches by path: a list for each exact path, one for each prefix, where expressions stand under what they begin with. */
  *#paths(segment: Segment, seed: number): Generator<void> {
    const exact = new Map<string, Entry>()
    const prefixes = new Map<string, Entry>()
    let longest = 0
    let depths = 0
    let regexDepths = 0
    let deepest = 0
    for (let i = 0; i < segment.matches.length; i++) {
      const { type, value } = segment.matches[i]!.path
      if (type === 'Exact') {
        entryOf(exact, value).matches.push(i)
        longest = Math.max(longest, value.length)
      } else {
        // `/` is written as the empty prefix: the part before the first slash of any path.
        const key = type === 'RegularExpression' ? literalPrefix(value) : value === '/' ? '' : value
        const depth = countSlashes(key)
        deepest = Math.max(deepest, depth)
        if (type === 'RegularExpression') {
          entryOf(prefixes, key).regexes.push(i)
          regexDepths |= L.depthBit(depth)
        } else {
          entryOf(prefixes, key).matches.push(i)
          depths |= L.depthBit(depth)
        }
      }
      if (i % BATCH === BATCH - 1) yield
    }
    this.#set(L.SEG_EXACT_LONGEST, longest)
    this.#set(L.SEG_PREFIX_DEEPEST, deepest)
    this.#set(L.SEG_PREFIX_DEPTHS, depths)
    this.#set(L.SEG_REGEX_DEPTHS, regexDepths)
    const exactOffsets = yield* this.#entries(exact)
    const prefixOffsets = yield* this.#entries(prefixes)
    for (let attempt = 0; ; attempt++) {
      const start = this.#length
      const probe = Math.max(
        yield* this.#table(L.SEG_EXACT_MASK, exactOffsets, seed),
        yield* this.#table(L.SEG_PREFIX_MASK, prefixOffsets, seed),
      )
      this.#set(L.SEG_SEED, seed)
      if (probe <= LONGEST_PROBE || attempt === ATTEMPTS) return
      this.#length = start
      seed = L.hashStep(seed, attempt)
    }
  }

  *#entries(entries: ReadonlyMap<string, Entry>): Generator<void, Map<string, number>> {
    const offsets = new Map<string, number>()
    for (const [key, { matches, regexes }] of entries) {
      const text = this.#text(key)
      const at = this.#take(L.ENTRY_LIST + matches.length + regexes.length)
      this.#set(at + L.ENTRY_KEY, text)
      this.#set(at + L.ENTRY_COUNT, matches.length)
      this.#set(at + L.ENTRY_REGEX_COUNT, regexes.length)
      this.#words.set(matches, at + L.ENTRY_LIST)
      this.#words.set(regexes, at + L.ENTRY_LIST + matches.length)
      offsets.set(key, at)
      if (offsets.size % BATCH === 0) yield
    }
    return offsets
  }

  /** @param header where the mask stands, followed by the offset; @returns the longest probe */
  *#table(header: number, offsets: ReadonlyMap<string, number>, seed: number): Generator<void, number> {
    if (offsets.size === 0) {
      this.#set(header, -1)
      this.#set(header + 1, 0)
      return 0
    }
    let capacity = 2
    while (capacity < offsets.size * 2) capacity *= 2
    const table = this.#take(capacity * L.PATH_SLOT_WORDS)
    this.#words.fill(0, table, this.#length)
    this.#set(header, capacity - 1)
    this.#set(header + 1, table)
    let longest = 0
    let done = 0
    for (const [key, offset] of offsets) {
      const hash = L.hashPath(seed, key)
      let slot = hash & (capacity - 1)
      let probe = 1
      while (this.#words[table + slot * L.PATH_SLOT_WORDS + 1] !== 0) {
        slot = (slot + 1) & (capacity - 1)
        probe++
      }
      this.#set(table + slot * L.PATH_SLOT_WORDS, hash)
      this.#set(table + slot * L.PATH_SLOT_WORDS + 1, offset)
      longest = Math.max(longest, probe)
      if (++done % BATCH === 0) yield
    }
    return longest
  }
}

function entryOf(entries: Map<string, Entry>, key: string): Entry {
  let entry = entries.get(key)
  if (entry === undefined) entries.set(key, (entry = { matches: [], regexes: [] }))
  return entry
}

function countSlashes(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) === 0x2f) count++
  return count
}

function reasonCode(reason: Reason | undefined): number {
  return reason === undefined ? 0 : REASON_LIST.indexOf(reason) + 1
}
