/**
 * Packed tables as a worker reads them: views over shared memory and a few bounded caches, no object per rule. One for
 * each generation; an exchange keeps the one it began with.
 */
import { GatewayError } from '../lib/error.ts'
import { REASON_LIST, type Reason } from '../lib/reason.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import type { Pattern } from '../pattern/regex.ts'
import { type BlockView, mapBlock, readText } from './block-view.ts'
import { FrontendDirectory } from './frontend-directory.ts'
import type { FrontendHandle } from './frontend-handle.ts'
import type { HostTls, HttpMode } from './host-tls.ts'
import * as L from './pack-layout.ts'
import type { PackedTables } from './packed.ts'
import { PositionCache } from './position-cache.ts'
import { identityOf, levelsOf, type RuleBackend, type RuleLevel } from './rule-levels.ts'

export interface RuleView {
  /** `namespace/name` */
  readonly route: string
  readonly rule: string
  /** `namespace/name/rule`: its identity in logs and metrics. */
  readonly key: string
  /** Into the generation's array of policies. */
  readonly policyIndex: number
  /** Empty when the policy set answers itself. */
  readonly backends: readonly RuleBackend[]
  /** The same by priority, the first to be used first; null where all have the same. */
  readonly levels: readonly RuleLevel[] | null
  /** Of some priority more than one takes requests. */
  readonly divided: boolean
  /** Every request is refused with this reason. */
  readonly refuse?: Reason
  /** As the rule states it: see `httpModeOf`. */
  readonly http?: HttpMode
}

/** Where a virtual host stands: so many words into a block. */
export interface VirtualHostPlace {
  readonly block: BlockView
  readonly at: number
}

/** What a frontend serves for a hostname: see `Host` of the snapshot. */
export interface HostLayers extends VirtualHostPlace {
  /** What all frontends have in common, where the place itself is what this one's group has besides. */
  readonly common: VirtualHostPlace | undefined
  readonly extendsWildcard: boolean
  /** Of the hostname, whichever frontend; null = the default certificate and options. */
  readonly tls: HostTls | null
}

/** What a request to a host is matched against. */
export interface FoundHost extends HostLayers {
  /** Where matching goes on when nothing in here matches: the wildcard that the hostname extends. */
  readonly wildcard: FoundHost | undefined
}

/** What one frontend serves. */
export interface FrontendTable {
  /** In the directory of frontends; 0 = the tables do not know it, and it has what all have in common. */
  readonly row: number
  /** By the hosts that requests named lately. */
  readonly hosts: Map<string, FoundHost>
}

/** Rules, texts and patterns decoded and kept, at most so many of each per thread. */
const RULES = 1 << 14
const TEXTS = 1 << 12
/** Hosts of requests whose virtual hosts are remembered, over all frontends. */
const HOSTS = 1024
/** Slots of the root processed between two yields: most are only compared with the previous generation. */
const SLOTS_A_STEP = 2048
/** Patterns read between two yields. */
const PATTERNS_A_STEP = 256

export class RouteTables {
  readonly root: Int32Array
  /** By block index. */
  readonly blocks: readonly BlockView[]
  readonly patterns: PatternCache
  readonly frontends: FrontendDirectory
  /** By index: see `SLOT_TLS`. */
  readonly hostTls: readonly (HostTls | null)[]
  /** By row. */
  #frontendTables: (FrontendTable | undefined)[] = []
  /** How many hosts they remember: bounded by {@link HOSTS}, so that made-up names cannot grow it. */
  #remembered = 0
  readonly #rules: PositionCache<RuleView>
  readonly #texts: PositionCache<string>
  readonly #previous: WeakRef<RouteTables> | undefined

  /**
   * @param previous the tables in force until now, of the same packer: views of blocks that stay and all caches are
   *   taken over
   * @param patterns of this thread; by default the previous one's
   * @param hostTls what the records of hostnames refer to
   * @throws {TypeError} when these are not packed tables of this build
   */
  constructor(
    packed: PackedTables,
    previous?: RouteTables,
    patterns?: PatternCache,
    hostTls: readonly (HostTls | null)[] = [],
  ) {
    this.root = new Int32Array(packed.root)
    if (this.root[L.ROOT_MAGIC] !== L.MAGIC) throw new TypeError('not packed tables of this build')
    // Positions of another packer's blocks mean something else.
    const related = previous !== undefined && previous.root[L.ROOT_NONCE] === this.root[L.ROOT_NONCE]
    const known = related ? previous.blocks : []
    this.blocks = packed.blocks.map((shared, index) => mapBlock(shared, known[index]))
    this.patterns = patterns ?? previous?.patterns ?? new PatternCache()
    this.hostTls = hostTls
    this.#rules = related ? previous.#rules : new PositionCache(RULES)
    this.#texts = related ? previous.#texts : new PositionCache(TEXTS)
    const directory = new FrontendDirectory(packed.frontends)
    this.frontends = related && previous.frontends.id === directory.id ? previous.frontends : directory
    this.#previous = related ? new WeakRef(previous) : undefined
  }

  /** Where the matching of a request begins: with the frontend that accepted its connection. */
  frontend(handle: FrontendHandle): FrontendTable {
    return this.frontendAt(this.frontends.rowOf(handle))
  }

  frontendAt(row: number): FrontendTable {
    return (this.#frontendTables[row] ??= { row, hosts: new Map() })
  }

  remember(frontend: FrontendTable, host: string, found: FoundHost): void {
    if (this.#remembered >= HOSTS) {
      for (const table of this.#frontendTables) table?.hosts.clear()
      this.#remembered = 0
    }
    frontend.hosts.set(host, found)
    this.#remembered++
  }

  /** Hostnames, the catch-all included. */
  get hosts(): number {
    return this.root[L.ROOT_HOSTS]!
  }

  /** Text at an offset from the start of a virtual host. */
  text(block: BlockView, virtualHost: number, offset: number): string {
    const at = virtualHost + offset
    return this.#texts.get(block, at) ?? this.#texts.set(block, at, readText(block, at))
  }

  /**
   * @throws {GatewayError} `RuleClosed` when it does not compile: no rule can be said to match or not, so the request
   *   goes nowhere
   */
  pattern(block: BlockView, virtualHost: number, offset: number): Pattern {
    const source = this.text(block, virtualHost, offset)
    const pattern = this.patterns.find(source)
    if (pattern === undefined) throw new GatewayError('RuleClosed', `not a pattern: ${source}`)
    return pattern
  }

  /** Rule number `index` of the virtual host at `virtualHost` words into `block`. */
  rule(block: BlockView, virtualHost: number, index: number): RuleView {
    const at = virtualHost + block.words[virtualHost + L.VHOST_RULES_AT]! + index * L.RULE_WORDS
    return this.#rules.get(block, at) ?? this.#rules.set(block, at, readRule(block, virtualHost, at))
  }

  /** The rule whose backends get the TLS connections to a hostname as they are; undefined = there is none here. */
  passthroughRule({ block, at, common }: HostLayers): RuleView | undefined {
    const index = block.words[at + L.VHOST_PASSTHROUGH]!
    if (index > 0) return this.rule(block, at, index - 1)
    const shared = common?.block.words[common.at + L.VHOST_PASSTHROUGH] ?? 0
    return shared === 0 ? undefined : this.rule(common!.block, common!.at, shared - 1)
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
      const virtualHost = root[at + L.SLOT_OFFSET]!
      if (
        same[index] &&
        before!.root[at + L.SLOT_BLOCK] === index + 1 &&
        before!.root[at + L.SLOT_OFFSET] === virtualHost
      )
        continue
      yield* this.#compile(this.blocks[index]!, virtualHost)
    }
  }

  *#compile(block: BlockView, virtualHost: number): Generator<void> {
    const count = block.words[virtualHost + L.VHOST_PATTERNS]!
    const list = virtualHost + block.words[virtualHost + L.VHOST_PATTERNS_AT]!
    for (let i = 0; i < count; i++) {
      this.patterns.find(readText(block, virtualHost + block.words[list + i]!))
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
    for (const { block, at: virtualHost } of this.virtualHosts()) {
      const list = virtualHost + block.words[virtualHost + L.VHOST_PATTERNS_AT]!
      for (let i = 0; i < block.words[virtualHost + L.VHOST_PATTERNS]!; i++) {
        used.add(readText(block, virtualHost + block.words[list + i]!))
        if (++seen % PATTERNS_A_STEP === 0) yield
      }
      if (++seen % SLOTS_A_STEP === 0) yield
    }
    this.patterns.retain(used)
  }

  /** Offset of the slot of a hostname or pattern in the root; -1 = not found. */
  slotOf(hostname: string): number {
    return this.findSlot(L.hashHost(this.root[L.ROOT_SEED]!, hostname), 0, hostname, hostname.length, false)
  }

  /**
   * @param hash of the hostname looked for, see `hashHost` and `hashGroup`
   * @param group of frontends; 0 = what all of them have in common
   * @param host of a request
   * @param suffix how many of its last characters belong to the hostname
   * @param wildcard whether an asterisk stands before them there
   * @returns offset of the slot in the root, or -1
   */
  findSlot(hash: number, group: number, host: string, suffix: number, wildcard: boolean): number {
    const root = this.root
    const mask = root[L.ROOT_MASK]!
    let slot = hash & mask
    while (true) {
      const at = L.ROOT_SLOTS + slot * L.SLOT_WORDS
      const block = root[at + L.SLOT_BLOCK]!
      if (block === 0) return -1
      if (block > 0 && root[at + L.SLOT_HASH] === hash) {
        const frontends = root[at + L.SLOT_FRONTENDS]!
        const wanted = group === 0 ? frontends >= 0 : frontends === -group
        if (wanted && this.#named(this.blocks[block - 1]!, root[at + L.SLOT_OFFSET]!, host, suffix, wildcard)) return at
      }
      slot = (slot + 1) & mask
    }
  }

  placeAt(slot: number): VirtualHostPlace {
    return { block: this.blocks[this.root[slot + L.SLOT_BLOCK]! - 1]!, at: this.root[slot + L.SLOT_OFFSET]! }
  }

  /**
   * What a frontend has of the hostname whose slot is `slot`; the other parameters are those it was found by.
   *
   * @returns undefined when this frontend does not have the hostname
   */
  layersAt(
    slot: number,
    frontend: FrontendTable,
    hash: number,
    host: string,
    suffix: number,
    wildcard: boolean,
  ): HostLayers | undefined {
    const divided = this.root[slot + L.SLOT_FRONTENDS]!
    const extendsWildcard = (divided & L.EXTENDS) !== 0
    const group = this.frontends.groupOf(divided & L.PARTITION, frontend.row)
    const exclusive = (divided & L.EXCLUSIVE) !== 0
    const tls = this.hostTls[this.root[slot + L.SLOT_TLS]! - 1] ?? null
    if (group === 0) return exclusive ? undefined : { ...this.placeAt(slot), common: undefined, extendsWildcard, tls }
    const own = this.findSlot(L.hashGroup(hash, group), group, host, suffix, wildcard)
    if (own < 0) throw new Error(`no virtual host of group ${group} for ${host}`)
    return { ...this.placeAt(own), common: exclusive ? undefined : this.placeAt(slot), extendsWildcard, tls }
  }

  #named(block: BlockView, virtualHost: number, host: string, suffix: number, wildcard: boolean): boolean {
    const at = virtualHost + block.words[virtualHost + L.VHOST_HOSTNAME]!
    const length = block.words[at]! >>> 1
    if (length !== (wildcard ? suffix + 1 : suffix)) return false
    const { bytes } = block
    const start = (at + L.TEXT_BYTES) * 4
    if (wildcard && bytes[start] !== 0x2a) return false
    const shift = host.length - length
    for (let i = length - suffix; i < length; i++) if (bytes[start + i] !== host.charCodeAt(shift + i)) return false
    return true
  }

  /** Every virtual host, in no order. */
  *virtualHosts(): Generator<VirtualHostPlace> {
    const root = this.root
    for (let at = L.ROOT_SLOTS; at < root.length; at += L.SLOT_WORDS)
      if (root[at + L.SLOT_BLOCK]! > 0) yield this.placeAt(at)
  }

  /** What a frontend has of each hostname, in no order. */
  *hostsOf(frontend: FrontendTable): Generator<HostLayers> {
    const root = this.root
    for (let slot = L.ROOT_SLOTS; slot < root.length; slot += L.SLOT_WORDS) {
      if (root[slot + L.SLOT_BLOCK]! <= 0 || root[slot + L.SLOT_FRONTENDS]! < 0) continue
      const { block, at } = this.placeAt(slot)
      const hostname = readText(block, at + block.words[at + L.VHOST_HOSTNAME]!)
      const layers = this.layersAt(slot, frontend, root[slot + L.SLOT_HASH]!, hostname, hostname.length, false)
      if (layers !== undefined) yield layers
    }
  }
}

export function reasonOf(code: number): Reason | undefined {
  return code === 0 ? undefined : REASON_LIST[code - 1]
}

function readRule(block: BlockView, virtualHost: number, at: number): RuleView {
  const { words } = block
  const route = readText(block, virtualHost + words[at + L.RULE_ROUTE]!)
  const rule = readText(block, virtualHost + words[at + L.RULE_NAME]!)
  const refuse = reasonOf(words[at + L.RULE_REFUSE]!)
  const http = L.HTTP_MODES[words[at + L.RULE_HTTP]! - 1]
  const list = virtualHost + words[at + L.RULE_BACKENDS]!
  const backends: RuleBackend[] = []
  for (let i = 0; i < words[list]!; i++) {
    const from = list + 1 + i * L.BACKEND_WORDS
    const reason = reasonOf(words[from + 3]!)
    backends.push({
      backendIndex: words[from]!,
      weight: words[from + 1]!,
      priority: words[from + 2]!,
      identity: identityOf(words[from + 4]! >>> 0, backends),
      ...(reason === undefined ? {} : { refuse: reason }),
    })
  }
  const key = `${route}/${rule}`
  const levels = levelsOf(key, backends)
  return {
    route,
    rule,
    key,
    policyIndex: words[at + L.RULE_POLICY]!,
    backends,
    levels,
    divided: (levels ?? [{ backends }]).some((level) => level.backends.filter(({ weight }) => weight > 0).length > 1),
    ...(refuse === undefined ? {} : { refuse }),
    ...(http === undefined ? {} : { http }),
  }
}
