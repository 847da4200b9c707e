/**
 * The room of key sets. In: which are wanted, by whom, and workers that met a key they do not know. Out: the keys of
 * each and what is wrong with it. Each address is fetched once for all who name it, again before what it said ends, and
 * in pauses that double while it fails.
 */
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { keySetDigest } from '../../policy/auth/key-set.ts'
import type { ProviderClient } from '../../policy/provider-client.ts'
import { LEAVING_TIME } from '../../shared-memory/process-block.ts'
import type { KeySetVersion } from '../resources/resources.ts'
import { type FetchedKeys, fetchKeys } from './fetch-keys.ts'

export interface KeySetAnswer {
  /** Until then asking again brings nothing. */
  readonly again: Milliseconds
  /** The provider has been asked with success: a key that is not in the set is none of its keys. */
  readonly current: boolean
}

export interface KeySetsOptions {
  readonly client: ProviderClient
  readonly time: TimerClock
  readonly random: Random
  readonly changed: (url: string, version: KeySetVersion) => void
}

/** The rest of its time in which a set is fetched again. */
const AHEAD = 0.2
/** Of a set whose provider cannot be reached, or says what cannot be read. */
const MAX_AGE: Milliseconds = 24 * 3_600_000
const FIRST_PAUSE: Milliseconds = 1_000
const MAX_PAUSE: Milliseconds = 60_000
/** Failures in a row before they are told, while there are keys. */
const PATIENCE = 3
/**
 * Between two fetches because of a key that was not in the set: a token with a made-up key costs its sender nothing.
 * Where the last such fetch brought another set there is no pause, since the provider rotates just now.
 */
export const COOL_DOWN: Milliseconds = 10_000
/** What is fetched for one namespace, and for all. */
export const MAX_SETS_OF_NAMESPACE = 64
const MAX_SETS = 2_048

interface KeySet {
  readonly url: string
  namespaces: readonly string[]
  /** The one that it counts for; undefined: none has room. */
  owner: string | undefined
  text?: string
  bytes?: Uint8Array
  issuer?: string
  fault?: string
  /** See `KeySetVersion`. */
  void: boolean
  /** Monotonic: when the keys were last confirmed, or first wanted. */
  goodAt: Milliseconds
  failures: number
  /** Monotonic: before, nobody's question makes it fetch. */
  quietUntil: Milliseconds
  fetching: boolean
  /** Who asked before the fetch under way began, and who asked since. */
  readonly waiting: (() => void)[]
  readonly late: (() => void)[]
  cancel: () => void
}

export class KeySets {
  readonly #options: KeySetsOptions
  readonly #sets = new Map<string, KeySet>()
  readonly #owned = new Map<string, number>()
  readonly #underWay = new Map<string, number>()
  /** Those that no namespace has room for. */
  readonly #withoutRoom = new Set<KeySet>()
  /** Those that nobody uses any more, each with what keeps it from being forgotten. */
  readonly #leaving = new Map<KeySet, () => void>()
  #started = false
  #stopped = false

  constructor(options: KeySetsOptions) {
    this.#options = options
  }

  /** The dial guard is known: from now on sets are fetched. */
  start(): void {
    if (this.#started) return
    this.#started = true
    for (const set of this.#sets.values()) if (set.owner !== undefined) this.#again(set)
  }

  /** @param namespaces that use it and may; none: it is not wanted any more */
  want(url: string, namespaces: readonly string[]): void {
    const known = this.#sets.get(url)
    if (namespaces.length === 0) {
      if (known !== undefined) this.#leave(known)
      return
    }
    const set = known ?? this.#begin(url)
    const returns = this.#stay(set)
    set.namespaces = namespaces
    if (set.owner !== undefined && !namespaces.includes(set.owner)) this.#disown(set)
    if (set.owner === undefined) this.#admit(set)
    // Whoever has it wanted again knows nothing of it.
    else if (returns && (set.text !== undefined || set.fault !== undefined)) this.#tell(set)
  }

  /** Where what uses it is renamed, nothing does for a moment, and requests may wait for its keys. */
  #leave(set: KeySet): void {
    const { owner } = set
    if (owner === undefined || this.#next(owner, set) !== undefined) return this.#forget(set)
    this.#stay(set)
    this.#leaving.set(
      set,
      this.#options.time.after(LEAVING_TIME, () => this.#forget(set)),
    )
  }

  /** @returns whether it was leaving */
  #stay(set: KeySet): boolean {
    this.#leaving.get(set)?.()
    return this.#leaving.delete(set)
  }

  /**
   * A worker has a token with a key that is not in the set, or has no set yet.
   *
   * @param known digest of the set that it has, see `keySetDigest`: where it is another one than here, the one that it
   *   lacks is on its way; '' = none
   * @param done called when it has been fetched since, or will not be now
   */
  ask(url: string, known: string, done: (answer: KeySetAnswer) => void): void {
    const set = this.#sets.get(url)
    if (set?.owner === undefined || !this.#started) return done({ again: COOL_DOWN, current: false })
    const answer = (): void => done(this.#answerOf(set))
    if (set.bytes !== undefined && known !== keySetDigest(set.bytes)) done({ again: 0, current: true })
    else if (set.fetching) set.late.push(answer)
    else if (this.#options.time.monotonic() < set.quietUntil) answer()
    else {
      set.waiting.push(answer)
      void this.#run(set, true)
    }
  }

  stop(): void {
    this.#stopped = true
    for (const set of this.#sets.values()) {
      set.cancel()
      this.#stay(set)
    }
  }

  #begin(url: string): KeySet {
    const set: KeySet = {
      url,
      namespaces: [],
      owner: undefined,
      void: false,
      goodAt: this.#options.time.monotonic(),
      failures: 0,
      quietUntil: 0,
      fetching: false,
      waiting: [],
      late: [],
      cancel: () => {},
    }
    this.#sets.set(url, set)
    return set
  }

  #forget(set: KeySet): void {
    this.#sets.delete(set.url)
    this.#withoutRoom.delete(set)
    this.#stay(set)
    set.cancel()
    this.#disown(set)
    release([...set.waiting.splice(0), ...set.late.splice(0)])
  }

  /** Counts a set for a namespace that has room, and begins to fetch it. */
  #admit(set: KeySet): void {
    this.#makeRoom(set.namespaces)
    const owner = set.namespaces.find((one) => (this.#owned.get(one) ?? 0) < MAX_SETS_OF_NAMESPACE)
    if (owner === undefined || this.#sets.size - this.#withoutRoom.size > MAX_SETS) {
      this.#withoutRoom.add(set)
      set.cancel()
      discard(set)
      set.fault = `namespace ${set.namespaces[0]} names more than the ${MAX_SETS_OF_NAMESPACE} key sets that are fetched for one`
      return this.#tell(set)
    }
    this.#withoutRoom.delete(set)
    set.owner = owner
    this.#owned.set(owner, (this.#owned.get(owner) ?? 0) + 1)
    if (set.text === undefined) this.#again(set)
    else this.#tell(set)
  }

  /** Those that nobody uses any more stand in nobody's way. */
  #makeRoom(namespaces: readonly string[]): void {
    const isFull = this.#sets.size - this.#withoutRoom.size > MAX_SETS
    for (const set of this.#leaving.keys())
      if (isFull || (namespaces.includes(set.owner!) && this.#owned.get(set.owner!) === MAX_SETS_OF_NAMESPACE))
        this.#forget(set)
  }

  #disown(set: KeySet): void {
    const { owner } = set
    if (owner === undefined) return
    set.owner = undefined
    const left = this.#owned.get(owner)! - 1
    if (left === 0) this.#owned.delete(owner)
    else this.#owned.set(owner, left)
    const next = this.#next(owner, set)
    if (next !== undefined) this.#admit(next)
  }

  /** A set that waits for what another one of the namespace has. */
  #next(owner: string, other: KeySet): KeySet | undefined {
    return [...this.#withoutRoom].find((one) => one !== other && one.namespaces.includes(owner))
  }

  /**
   * Fetches it, and answers who asked before. Who asked meanwhile may have met a key that is newer than what is read
   * here: for them it is fetched once more.
   *
   * @param asked because of a key that was not in the set
   */
  async #run(set: KeySet, asked: boolean, last = false): Promise<void> {
    set.fetching = true
    const before = set.text
    await this.#fetch(set)
    if (this.#stopped) return
    const answered = set.waiting.splice(0)
    const late = set.late.splice(0)
    const wanted = this.#sets.get(set.url) === set
    if (late.length > 0 && !last && set.text === before && set.failures === 0 && wanted) {
      set.waiting.push(...late)
      release(answered)
      return await this.#run(set, true, true)
    }
    set.fetching = false
    if (asked && set.text === before) this.#quiet(set, COOL_DOWN)
    release([...answered, ...late])
  }

  #quiet(set: KeySet, pause: Milliseconds): void {
    set.quietUntil = Math.max(set.quietUntil, this.#options.time.monotonic() + pause)
  }

  #answerOf({ quietUntil, failures, owner }: KeySet): KeySetAnswer {
    const again = Math.max(0, quietUntil - this.#options.time.monotonic())
    return { again, current: owner !== undefined && failures === 0 }
  }

  async #fetch(set: KeySet): Promise<void> {
    const { client, time } = this.#options
    set.cancel()
    // Of those who use it the one with the fewest calls, so that nobody's slow providers delay a set that others use.
    const count = (one: string): number => this.#underWay.get(one) ?? 0
    const owner = set.namespaces.reduce((least, one) => (count(one) < count(least) ? one : least))
    this.#underWay.set(owner, count(owner) + 1)
    const fetched = await fetchKeys({ client, owner, url: set.url, now: time.wall() }).catch((error: unknown) => ({
      fault: `it cannot be fetched (${error instanceof Error ? error.message : String(error)})`,
      withdrawn: false,
    }))
    const left = count(owner) - 1
    if (left === 0) this.#underWay.delete(owner)
    else this.#underWay.set(owner, left)
    // What nobody has room for any more is not used, and fetched anew once somebody has.
    if (this.#stopped || this.#sets.get(set.url) !== set || set.owner === undefined) return
    const pause = 'fault' in fetched ? this.#failed(set, fetched) : this.#learned(set, fetched)
    set.cancel = time.after(pause, () => this.#again(set))
  }

  #again(set: KeySet): void {
    if (this.#started && !set.fetching) void this.#run(set, false)
  }

  /** @returns the pause until it is fetched again */
  #learned(set: KeySet, { text, issuer, fresh }: Exclude<FetchedKeys, { fault: string }>): Milliseconds {
    const { time, random } = this.#options
    set.goodAt = time.monotonic()
    set.failures = 0
    set.void = false
    const changed = set.text !== text || set.issuer !== issuer || set.fault !== undefined
    if (set.text !== text) {
      set.text = text
      set.bytes = inSharedMemory(text)
    }
    if (issuer === undefined) delete set.issuer
    else set.issuer = issuer
    delete set.fault
    if (changed) this.#tell(set)
    // Replicas that began together do not come together.
    return fresh * (1 - AHEAD * (0.5 + random() / 2))
  }

  /** @returns the pause until it is tried again */
  #failed(set: KeySet, { fault, withdrawn }: Extract<FetchedKeys, { fault: string }>): Milliseconds {
    const { time, random } = this.#options
    const now = time.monotonic()
    set.failures++
    const ends = !set.void && (withdrawn || now - set.goodAt >= MAX_AGE)
    if (ends) discard(set)
    if (ends || (set.fault !== fault && (set.text === undefined || set.failures >= PATIENCE))) {
      set.fault = fault
      this.#tell(set)
    }
    const pause = Math.min(MAX_PAUSE, FIRST_PAUSE * 2 ** (set.failures - 1)) * (0.75 + random() / 4)
    this.#quiet(set, pause)
    return pause
  }

  #tell({ url, bytes, issuer, fault, owner, namespaces, void: gone }: KeySet): void {
    this.#options.changed(url, {
      ...(bytes === undefined ? {} : { bytes }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(fault === undefined ? {} : { fault }),
      void: gone,
      owner: owner ?? namespaces[0] ?? '',
    })
  }
}

function discard(set: KeySet): void {
  set.void = true
  delete set.bytes
  delete set.text
}

function release(waiting: readonly (() => void)[]): void {
  for (const answer of waiting) answer()
}

function inSharedMemory(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}
