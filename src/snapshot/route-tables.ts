/**
 * Packed tables as a worker reads them: views over shared memory and a few bounded caches, no object per rule. One for
 * each generation; an exchange keeps the one it began with.
 */
import { GatewayError } from '../lib/error.ts'
import { REASON_LIST, type Reason } from '../lib/reason.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import type { Pattern } from '../pattern/regex.ts'
import * as L from './pack-layout.ts'
import type { PackedTables } from './packed.ts'

export interface BackendView {
  /** Into the generation's array of backends; -1 when the reference does not resolve, `refuse` then says why. */
  readonly backendIndex: number
  readonly weight: number
  readonly priority: number
  readonly refuse?: Reason
}

export interface RuleView {
  /** `namespace/name` */
  readonly route: string
  readonly rule: string
  /** `namespace/name/rule`: its identity in logs and metrics. */
  readonly key: string
  /** Into the generation's array of policies. */
  readonly policyIndex: number
  /** Empty when the policy set answers itself. */
  readonly backends: readonly BackendView[]
  /** Every request is refused with this reason. */
  readonly refuse?: Reason
}

/** One block, mapped. */
export interface BlockView {
  readonly id: number
  readonly words: Int32Array
  readonly bytes: Buffer
}

/** Rules, texts and patterns decoded and kept, at most so many of each per thread. */
const RULES = 1 << 14
const TEXTS = 1 << 12
/** Hosts of requests whose slot is remembered. */
export const HOSTS = 1024
/** Slots of the root looked at between two yields: most are only compared with the generation before. */
const SLOTS_A_STEP = 2048
/** Patterns read between two yields. */
const PATTERNS_A_STEP = 256
/** Distance between the positions of two blocks; a block has at most 2³¹ bytes. */
const BLOCK_SPAN = 0x2000_0000

/**
 * Direct-mapped: a position has one slot, a newcomer takes it. Contents of a position never change, so nothing needs to
 * be invalidated.
 */
class PositionCache<T> {
  readonly #mask: number
  readonly #positions: Float64Array
  readonly #values: (T | undefined)[]

  constructor(size: number) {
    this.#mask = size - 1
    this.#positions = new Float64Array(size).fill(-1)
    this.#values = new Array<T | undefined>(size).fill(undefined)
  }

  get(block: BlockView, at: number): T | undefined {
    const slot = this.#slot(block.id, at)
    return this.#positions[slot] === block.id * BLOCK_SPAN + at ? this.#values[slot] : undefined
  }

  set(block: BlockView, at: number, value: T): T {
    const slot = this.#slot(block.id, at)
    this.#positions[slot] = block.id * BLOCK_SPAN + at
    this.#values[slot] = value
    return value
  }

  #slot(id: number, at: number): number {
    const hash = Math.imul(at + id * 0x3779, 0x9e3779b1)
    return (hash ^ (hash >>> 15)) & this.#mask
  }
}

export class RouteTables {
  readonly root: Int32Array
  /** By block index. */
  readonly blocks: readonly BlockView[]
  readonly patterns: PatternCache
  /**
   * Slots in the root of hosts asked for lately, for the matcher: bounded by {@link HOSTS}, so that made-up names
   * cannot grow it.
   */
  readonly hostSlots = new Map<string, number>()
  /** Bit of each listener, by name. */
  readonly #listenerBits: ReadonlyMap<string, number>
  readonly #rules: PositionCache<RuleView>
  readonly #texts: PositionCache<string>
  readonly #previous: WeakRef<RouteTables> | undefined

  /**
   * @param previous the tables in force until now, of the same packer: views of blocks that stay and all caches are
   *   taken over
   * @param patterns of this thread; by default the previous one's
   * @throws {TypeError} when these are not packed tables of this build
   */
  constructor(packed: PackedTables, previous?: RouteTables, patterns?: PatternCache) {
    this.root = new Int32Array(packed.root)
    if (this.root[L.ROOT_MAGIC] !== L.MAGIC) throw new TypeError('not packed tables of this build')
    // Positions of another packer's blocks mean something else.
    const related = previous !== undefined && previous.root[L.ROOT_NONCE] === this.root[L.ROOT_NONCE]
    const known = related ? previous.blocks : []
    this.blocks = packed.blocks.map((shared, index) => mapBlock(shared, known[index]))
    this.patterns = patterns ?? previous?.patterns ?? new PatternCache()
    this.#rules = related ? previous.#rules : new PositionCache(RULES)
    this.#texts = related ? previous.#texts : new PositionCache(TEXTS)
    this.#listenerBits = new Map(packed.listeners.map((name, bit) => [name, bit]))
    this.#previous = related ? new WeakRef(previous) : undefined
  }

  /** Names of the listeners that a mask of these tables stands for; none = every listener. */
  listenersOf(mask: number): string[] {
    if (mask === -1) return []
    return [...this.#listenerBits].filter(([, bit]) => ((mask >>> bit) & 1) === 1).map(([name]) => name)
  }

  /**
   * Whether a mask of these tables holds the listener of this name. One that these tables do not know has only what
   * every listener has.
   */
  isServedOn(mask: number, listener: string): boolean {
    if (mask === -1) return true
    const bit = this.#listenerBits.get(listener)
    return bit !== undefined && ((mask >>> bit) & 1) === 1
  }

  /** Hostnames, the catch-all included. */
  get hosts(): number {
    return this.root[L.ROOT_HOSTS]!
  }

  /** Text at an offset from a segment's start. */
  text(block: BlockView, segment: number, offset: number): string {
    const at = segment + offset
    return this.#texts.get(block, at) ?? this.#texts.set(block, at, readText(block, at))
  }

  /**
   * @throws {GatewayError} `RuleClosed` when it does not compile: no rule can be said to match or not, so the request
   *   goes nowhere
   */
  pattern(block: BlockView, segment: number, offset: number): Pattern {
    const source = this.text(block, segment, offset)
    const pattern = this.patterns.find(source)
    if (pattern === undefined) throw new GatewayError('RuleClosed', `not a pattern: ${source}`)
    return pattern
  }

  /** Rule number `index` of the segment at `segment` words into `block`. */
  rule(block: BlockView, segment: number, index: number): RuleView {
    const at = segment + block.words[segment + L.SEG_RULES_AT]! + index * L.RULE_WORDS
    return this.#rules.get(block, at) ?? this.#rules.set(block, at, readRule(block, segment, at))
  }

  /**
   * Compiles the regular expressions of what is new in these tables, in steps well below a millisecond except for a
   * very large expression, so that no request has to: run to the end before the tables are put in force.
   */
  *prepare(): Generator<void> {
    const { root } = this
    const known = this.#previous?.deref()
    // As long as the table over hostnames was not rebuilt, a host that has not changed has the same words in the same
    // slot.
    const before =
      known !== undefined && known.root[L.ROOT_SEED] === root[L.ROOT_SEED] && known.root.length === root.length
        ? known
        : undefined
    const same = this.blocks.map((block, index) => before?.blocks[index]?.id === block.id)
    for (let at = L.ROOT_SLOTS, seen = 0; at < root.length; at += L.SLOT_WORDS) {
      if (++seen % SLOTS_A_STEP === 0) yield
      const index = root[at + L.SLOT_BLOCK]! - 1
      if (index < 0) continue
      const segment = root[at + L.SLOT_OFFSET]!
      if (same[index] && before!.root[at + L.SLOT_BLOCK] === index + 1 && before!.root[at + L.SLOT_OFFSET] === segment)
        continue
      yield* this.#compile(this.blocks[index]!, segment)
    }
  }

  *#compile(block: BlockView, segment: number): Generator<void> {
    const count = block.words[segment + L.SEG_PATTERNS]!
    const list = segment + block.words[segment + L.SEG_PATTERNS_AT]!
    for (let i = 0; i < count; i++) {
      this.patterns.find(readText(block, segment + block.words[list + i]!))
      yield
    }
  }

  /**
   * Forgets the patterns of earlier generations that these tables do not have, in steps well below a millisecond: run
   * it once the tables are in force. Nothing happens while they are few.
   */
  *forgetPatterns(): Generator<void> {
    if (!this.patterns.stale) return
    const used = new Set<string>()
    let seen = 0
    for (const { block, segment } of this.segments()) {
      const list = segment + block.words[segment + L.SEG_PATTERNS_AT]!
      for (let i = 0; i < block.words[segment + L.SEG_PATTERNS]!; i++) {
        used.add(readText(block, segment + block.words[list + i]!))
        if (++seen % PATTERNS_A_STEP === 0) yield
      }
      if (++seen % SLOTS_A_STEP === 0) yield
    }
    this.patterns.retain(used)
  }

  /** Offset in the root of the slot of a hostname or pattern; -1 when nobody names it. */
  slotOf(hostname: string): number {
    return this.findSlot(L.hashHost(this.root[L.ROOT_SEED]!, hostname), hostname, hostname.length, false)
  }

  /**
   * @param hash of the hostname looked for, see `hashHost`
   * @param host of a request
   * @param suffix how many of its last characters belong to the hostname
   * @param wildcard whether an asterisk stands before them there
   * @returns offset of the slot in the root, or -1
   */
  findSlot(hash: number, host: string, suffix: number, wildcard: boolean): number {
    const root = this.root
    const mask = root[L.ROOT_MASK]!
    let slot = hash & mask
    while (true) {
      const at = L.ROOT_SLOTS + slot * L.SLOT_WORDS
      const block = root[at + L.SLOT_BLOCK]!
      if (block === 0) return -1
      if (block > 0 && root[at + L.SLOT_HASH] === hash) {
        if (this.#named(this.blocks[block - 1]!, root[at + L.SLOT_OFFSET]!, host, suffix, wildcard)) return at
      }
      slot = (slot + 1) & mask
    }
  }

  #named(block: BlockView, segment: number, host: string, suffix: number, wildcard: boolean): boolean {
    const at = segment + block.words[segment + L.SEG_HOSTNAME]!
    const length = block.words[at]! >>> 1
    if (length !== (wildcard ? suffix + 1 : suffix)) return false
    const { bytes } = block
    const start = (at + L.TEXT_BYTES) * 4
    if (wildcard && bytes[start] !== 0x2a) return false
    const shift = host.length - length
    for (let i = length - suffix; i < length; i++) if (bytes[start + i] !== host.charCodeAt(shift + i)) return false
    return true
  }

  /** Every segment, in no order. */
  *segments(): Generator<{ readonly block: BlockView; readonly segment: number }> {
    const root = this.root
    for (let at = L.ROOT_SLOTS; at < root.length; at += L.SLOT_WORDS) {
      const index = root[at + L.SLOT_BLOCK]!
      if (index > 0) yield { block: this.blocks[index - 1]!, segment: root[at + L.SLOT_OFFSET]! }
    }
  }
}

function mapBlock(shared: SharedArrayBuffer, known: BlockView | undefined): BlockView {
  const words = new Int32Array(shared)
  const id = words.length === 0 ? 0 : words[L.BLOCK_ID]!
  if (known !== undefined && known.id === id) return known
  return { id, words, bytes: Buffer.from(shared) }
}

/** Text whose record begins `at` words into the block. */
export function readText(block: BlockView, at: number): string {
  const head = block.words[at]!
  const start = (at + L.TEXT_BYTES) * 4
  const end = start + (head >>> 1)
  return (head & 1) === 0 ? block.bytes.latin1Slice(start, end) : block.bytes.utf8Slice(start, end)
}

/** Whether the text whose record begins `at` words into the block is `text`, without decoding it. */
export function textIs(block: BlockView, at: number, text: string): boolean {
  const head = block.words[at]!
  if ((head & 1) === 1) return readText(block, at) === text
  const length = head >>> 1
  if (text.length !== length) return false
  const { bytes } = block
  const start = (at + L.TEXT_BYTES) * 4
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

/**
 * Whether the first `length` characters of `text` are the text whose record begins `at` words into the block. Keys are
 * ASCII or match nothing.
 */
export function textBegins(block: BlockView, at: number, text: string, length: number): boolean {
  if (block.words[at] !== length << 1) return false
  const { bytes } = block
  const start = (at + L.TEXT_BYTES) * 4
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

export function reasonOf(code: number): Reason | undefined {
  return code === 0 ? undefined : REASON_LIST[code - 1]
}

function readRule(block: BlockView, segment: number, at: number): RuleView {
  const { words } = block
  const route = readText(block, segment + words[at + L.RULE_ROUTE]!)
  const rule = readText(block, segment + words[at + L.RULE_NAME]!)
  const refuse = reasonOf(words[at + L.RULE_REFUSE]!)
  const list = segment + words[at + L.RULE_BACKENDS]!
  const backends: BackendView[] = []
  for (let i = 0; i < words[list]!; i++) {
    const from = list + 1 + i * L.BACKEND_WORDS
    const reason = reasonOf(words[from + 3]!)
    backends.push({
      backendIndex: words[from]!,
      weight: words[from + 1]!,
      priority: words[from + 2]!,
      ...(reason === undefined ? {} : { refuse: reason }),
    })
  }
  return {
    route,
    rule,
    key: `${route}/${rule}`,
    policyIndex: words[at + L.RULE_POLICY]!,
    backends,
    ...(refuse === undefined ? {} : { refuse }),
  }
}
