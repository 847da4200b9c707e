/** Which Backend of its rule a request goes to, and which next where that one cannot serve it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { chooseOther, choosePlace, type Place } from '../balance/priority-split.ts'
import type { SplitDraw } from '../balance/split.ts'
import { UserSplit } from '../balance/user-split.ts'
import { hashKey } from '../lib/hash.ts'
import type { LinkedPolicy, SplitAffinity } from '../link/linked-policy.ts'
import type { LinkedBackend, LinkedTables } from '../link/linked-tables.ts'
import type { DryExchange } from '../policy/exchange.ts'
import { makeRequestId } from '../policy/request-id/request-id.ts'
import type { RuleView } from '../snapshot/route-tables.ts'
import type { RuleBackend, RuleLevel } from '../snapshot/rule-levels.ts'
import type { CurrentSplit, ProxyExchange } from './exchange.ts'

/** Attempts that fail at one Backend before the next is made at another level. */
const ATTEMPTS_A_LEVEL = 2
/** Characters of a cookie that is taken for a user; a longer one is none of ours. */
const LONGEST_COOKIE = 64

type Linked = LinkedTables['backends']

/** @returns null when every weight is 0 */
export function chooseReference(x: ProxyExchange): RuleBackend | null {
  const rule = x.ruleView!
  if (rule.levels !== null) return chooseByPriority(x, rule.levels)
  const { backends } = rule
  return backends[backends.length === 1 ? x.context.splits.turn(rule) : drawOf(x).turn(rule)] ?? null
}

function chooseByPriority(x: ProxyExchange, levels: readonly RuleLevel[]): RuleBackend | null {
  const { backends } = x.tables!
  const candidates = levels.map((level) => level.backends.map(({ backendIndex }) => backends[backendIndex] ?? null))
  const split = new PriorityChoice(levels, candidates, drawOf(x))
  x.split = split
  return split.first()
}

/** See `DryExchange.part`: the split decides now, and {@link chooseReference} does as it has. */
export function partOf(x: ProxyExchange): string | null {
  const { tables, ruleView } = x
  if (tables === null || ruleView === null) return x.backend?.id ?? null
  const { backends } = ruleView
  if (backends.length === 1) return idOf(backends[x.context.splits.turn(ruleView)], tables.backends)
  x.draw ??= keptDraw(drawOf(x))
  return drawnPart(ruleView, tables.backends, x.draw)
}

/**
 * The same of a request that nobody makes, and that takes nobody's turn: that of its user, else the one that most
 * requests get.
 */
export function likelyPart(
  x: DryExchange,
  rule: RuleView,
  { backends }: LinkedTables,
  policy: LinkedPolicy,
): string | null {
  const { split } = policy
  const user = split === null ? undefined : (keyValue(x, split.keys) ?? split.readCookie?.(x))
  return drawnPart(rule, backends, user === undefined ? MOST : new UserSplit(hashKey(user)))
}

/** By the references of the first priority that exist: others stand in for them. */
function drawnPart(rule: RuleView, linked: Linked, draw: SplitDraw): string | null {
  const { backends, levels } = rule
  if (levels === null) return idOf(backends[draw.turn(rule)], linked)
  for (const level of levels) {
    const id = idOf(level.backends[draw.turn(level)], linked)
    if (id !== null) return id
  }
  return null
}

function idOf(ref: RuleBackend | undefined, linked: Linked): string | null {
  return ref === undefined || ref.refuse !== undefined ? null : (linked[ref.backendIndex]?.id ?? null)
}

/** Decides each question once. */
function keptDraw(draw: SplitDraw): SplitDraw {
  if (draw instanceof UserSplit) return draw
  const turns = new Map<string, number>()
  return {
    turn(split) {
      let turn = turns.get(split.key)
      if (turn === undefined) turns.set(split.key, (turn = draw.turn(split)))
      return turn
    },
    chance: (salt) => draw.chance(salt),
  }
}

/** Whatever has most weight. */
const MOST: SplitDraw = {
  turn: ({ backends }) =>
    backends.reduce((most, { weight }, i) => (weight > (backends[most]?.weight ?? 0) ? i : most), -1),
  chance: () => 0,
}

function drawOf(x: ProxyExchange): SplitDraw {
  if (x.draw !== null) return x.draw
  const affinity = x.linked!.split
  const user = affinity === null ? undefined : userOf(x, affinity)
  return user === undefined ? x.context.splits : new UserSplit(hashKey(user))
}

/** What tells the user, a cookie that the client is to have from now on included. */
function userOf(x: ProxyExchange, { keys, cookie, readCookie }: SplitAffinity): string | undefined {
  const value = keyValue(x, keys)
  if (value !== undefined) return value
  if (readCookie === null || x.opaque) return undefined
  const known = readCookie(x)
  if (known !== undefined && known.length <= LONGEST_COOKIE) return known
  const user = makeRequestId(x.context.random)
  x.splitCookie = `${cookie}=${user}`
  return user
}

function keyValue(x: DryExchange, keys: SplitAffinity['keys']): string | undefined {
  for (const read of keys) {
    const value = read(x)
    if (value !== undefined) return value
  }
  return undefined
}

/** The levels of one request. */
class PriorityChoice implements CurrentSplit {
  trial: Endpoint | null = null
  readonly #levels: readonly RuleLevel[]
  readonly #backends: readonly (readonly (LinkedBackend | null)[])[]
  readonly #draw: SplitDraw
  /** Bit mask of the levels that have been tried. */
  #used = 0
  /** Endpoints that had been tried when the current Backend was chosen. */
  #triedBefore = 0

  constructor(levels: readonly RuleLevel[], backends: readonly (readonly (LinkedBackend | null)[])[], draw: SplitDraw) {
    this.#levels = levels
    this.#backends = backends
    this.#draw = draw
  }

  first(): RuleBackend | null {
    const place = choosePlace(this.#levels, this.#backends, this.#draw)
    if (place === null) return null
    const backend = this.#use(place)
    const room = backend?.room
    this.trial = room?.share === 0 ? room.trial : null
    if (this.trial !== null) room!.trialBegan(this.trial)
    return this.#levels[place.level]!.backends[place.at]!
  }

  next(tried: readonly Endpoint[] | null): LinkedBackend | null {
    const place = chooseOther(this.#levels, this.#backends, this.#draw, this.#used)
    if (place === null) return null
    this.#triedBefore = tried?.length ?? 0
    return this.#use(place)
  }

  get hasNext(): boolean {
    return chooseOther(this.#levels, this.#backends, this.#draw, this.#used) !== null
  }

  isSpent({ room }: LinkedBackend, tried: readonly Endpoint[] | null): boolean {
    if (tried === null) return false
    return tried.length - this.#triedBefore >= ATTEMPTS_A_LEVEL || room.share === 0
  }

  #use({ level, at }: Place): LinkedBackend | null {
    this.#used |= 1 << level
    return this.#backends[level]![at]!
  }
}
