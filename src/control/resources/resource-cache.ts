/**
 * Every object as it is served. Validates what sources deliver, keeps the last good version of what has become invalid,
 * and determines what each change asks for.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Backend } from '../../api/backend.ts'
import { isConfiguration, KINDS, type Kind, type KindRow } from '../../api/kinds.ts'
import { type FieldProblem, type KubeObject, keyOf } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import type { SettingsObject } from '../../api/settings.ts'
import type { Validator } from '../../api/validate.ts'
import { inheritedCacheCost, memoryCost } from '../../compile/memory-cost.ts'
import {
  type HostnameReservation,
  objectId,
  type RejectedObject,
  type ResourceSet,
  type ServedResource,
  type Unreachable,
} from '../../compile/resource-set.ts'
import { runSteps } from '../../lib/steps.ts'
import { FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'
import type { Origin, SourceEvent } from '../../source/source.ts'
import type { LastGood, LastGoodChange, ServedVersion } from '../../thread/retained-state.ts'
import { closedRules } from './broken-edit.ts'
import type { ReleasedHostnames } from './hostname-reservations.ts'
import { type Impact, ImpactSum } from './impact.ts'
import type { KeySetVersion } from './key-set-demand.ts'
import { MemoryAdmission } from './memory-admission.ts'
import { createdOf, generationOf, isOfOneObject, sameToUs, withoutWithdrawn } from './object-version.ts'
import type { Quarantine } from './quarantine.ts'
import { ServedObjects } from './served-objects.ts'
import { ServedReferences } from './served-references.ts'

interface ObjectRecord {
  readonly kind: ServedVersion['kind']
  readonly key: string
  readonly object: unknown
}

interface ObjectChange extends LastGoodChange {
  readonly kind: 'Route' | 'Backend'
  readonly object: Route | Backend | undefined
}

/** An object whose newest version is not served. */
export interface ObjectProblem {
  readonly kind: Kind
  readonly key: string
  readonly origin: Origin
  readonly problems: readonly FieldProblem[]
  /** Whether its last good version is served; otherwise nothing of it is. */
  readonly stale: boolean
}

interface CachedObject {
  readonly kind: Kind
  readonly key: string
  readonly origin: Origin
  /** The newest valid version; undefined when there was none. */
  readonly good: KubeObject | undefined
  readonly problems: readonly FieldProblem[]
  readonly warnings: readonly FieldProblem[]
}

export class ResourceCache {
  readonly #validator: Validator
  readonly #memory: MemoryAdmission
  #settings: SettingsObject
  readonly #quarantine: Quarantine | undefined
  readonly #entries = new Map<string, CachedObject>()
  readonly #broken = new Set<string>()
  readonly #references: ServedReferences
  readonly #served: ServedObjects
  readonly #clustered: boolean
  /** The list last returned; undefined after a change. */
  #problems: readonly ObjectProblem[] | undefined
  readonly #refused = new FrozenMapBuilder<RejectedObject>()
  /** Records of an earlier process, until the object is seen. */
  readonly #restored = new Map<string, ObjectRecord>()
  readonly #kept = new Set<string>()
  #keep = new Map<string, ObjectChange>()
  #reservations = new FrozenMap<HostnameReservation>()
  #unreachable = new FrozenMap<Unreachable>()
  #unopened = new FrozenMap<string>()
  #registered: ResourceSet['registered'] = new FrozenMap()
  #set: ResourceSet | undefined

  /**
   * @param lastGood what an earlier process has kept, see {@link lastGoodChanges}
   * @param memory what all objects together may take
   * @param quarantine records what is worked on, and knows what must not be
   * @param references records what is served, and knows whom a change concerns
   * @param clustered see {@link ResourceSet.clustered}
   */
  constructor(
    validator: Validator,
    settings: SettingsObject,
    lastGood: Iterable<LastGood | ServedVersion> = [],
    memory = new MemoryAdmission(Number.POSITIVE_INFINITY),
    quarantine?: Quarantine,
    references = new ServedReferences(),
    clustered = false,
  ) {
    this.#validator = validator
    this.#memory = memory
    this.#settings = settings
    memory.useInheritedCaches(hasCacheOfAll(settings))
    this.#quarantine = quarantine
    this.#references = references
    this.#clustered = clustered
    this.#served = new ServedObjects(settings, references)
    this.restore(lastGood)
  }

  /** What an earlier process, or another replica, has kept. Before the first event. */
  restore(lastGood: Iterable<LastGood | ServedVersion>): void {
    for (const record of lastGood) {
      const { kind, key } = record
      if (kind === 'Hostname') continue
      const name = objectId(kind, key)
      this.#restored.set(name, { ...record, kind })
      const row: KindRow = KINDS[kind]
      if (row.lastGood === 'stored') this.#kept.add(name)
    }
  }

  get settings(): SettingsObject {
    return this.#settings
  }

  /** @returns the impact of all events together */
  accept(events: readonly SourceEvent[]): Impact {
    const impact = new ImpactSum()
    for (const event of events) impact.add(runSteps(this.steps(event)))
    return impact.value
  }

  /** The same for one event, in steps of some tenths of a millisecond. Changes apply in the last step. */
  *steps(event: SourceEvent): Generator<void, Impact> {
    const name = objectId(event.kind, event.key)
    if (event.type === 'delete') {
      this.#quarantine?.forget(name)
      return this.#remove(event)
    }
    const steps = this.#upsert(event)
    const impact = this.#quarantine === undefined ? yield* steps : yield* this.#quarantine.watch(steps, name)
    this.#quarantine?.taken(name, impact === 'rebuild')
    return impact
  }

  /** Objects rejected for lack of memory for which there is room by now, to be accepted again. */
  waiting(): readonly SourceEvent[] {
    return [...this.#memory.ready()]
  }

  useSettings(settings: SettingsObject): Impact {
    if (isDeepStrictEqual(settings, this.#settings)) return 'ignore'
    this.#settings = settings
    this.#memory.useInheritedCaches(hasCacheOfAll(settings))
    this.#served.useSettings(settings)
    this.#set = undefined
    return 'rebuild'
  }

  /** Retries some of the contents for which there was no room. */
  retryContents(): Impact {
    return this.#noted(this.#references.retryContents())
  }

  useKeySet(url: string, version: KeySetVersion): Impact {
    return this.#noted(this.#references.useKeySet(url, version))
  }

  /** Who may have key sets fetched may be others. */
  recheckKeySets(): Impact {
    return this.#noted(this.#references.recheckKeySets())
  }

  useReservations(reservations: FrozenMap<HostnameReservation>): Impact {
    if (reservations === this.#reservations) return 'ignore'
    this.#reservations = reservations
    this.#set = undefined
    return 'rebuild'
  }

  useUnreachable(unreachable: FrozenMap<Unreachable>): Impact {
    if (unreachable === this.#unreachable) return 'ignore'
    this.#unreachable = unreachable
    this.#set = undefined
    return 'rebuild'
  }

  /** @param unopened by name of the listener, why it is not open as the settings say */
  useUnopenedListeners(unopened: ReadonlyMap<string, string>): Impact {
    const same = unopened.size === this.#unopened.size
    if (same && [...unopened].every(([name, why]) => this.#unopened.get(name) === why)) return 'ignore'
    this.#unopened = FrozenMap.from(unopened)
    this.#set = undefined
    return 'rebuild'
  }

  useRegistered(registered: ResourceSet['registered']): void {
    this.#registered = registered
    this.#set = undefined
  }

  /** In Strict: hostnames that objects have ceased to name since the last call. */
  releasedHostnames(): readonly ReleasedHostnames[] {
    return this.#served.releasedHostnames()
  }

  /** The source has reported everything: what an earlier process kept of objects that are gone is forgotten. */
  synced(): void {
    for (const [name, { kind, key }] of this.#restored) this.#keepGood(name, kind, key, undefined)
    this.#restored.clear()
  }

  /** The current resources, immutable; the same object while nothing changes. */
  resources(): ResourceSet {
    this.#set ??= {
      settings: this.#settings,
      ...this.#served.freeze(),
      reservations: this.#reservations,
      rejected: this.#refused.freeze(),
      unreachable: this.#unreachable,
      unopenedListeners: this.#unopened,
      registered: this.#registered,
      clustered: this.#clustered,
    }
    return this.#set
  }

  /** Every object whose newest version is not served, by kind and key; the same list as long as nothing changed. */
  problems(): readonly ObjectProblem[] {
    this.#problems ??= [...this.#broken].sort().map((name) => {
      const { kind, key, origin, problems, good } = this.#entries.get(name)!
      return { kind, key, origin, problems, stale: good !== undefined }
    })
    return this.#problems
  }

  /** Where an object was written down, and what is odd about it without being wrong. */
  about(kind: Kind, key: string): { readonly origin: Origin; readonly warnings: readonly FieldProblem[] } | undefined {
    return this.#entries.get(objectId(kind, key))
  }

  /**
   * What is to be kept for the next process, or no longer, since the last call. Only objects that are stale are kept.
   */
  lastGoodChanges(): readonly ObjectChange[] {
    const changes = [...this.#keep.values()]
    this.#keep = new Map()
    return changes
  }

  #noted(impact: Impact): Impact {
    if (impact !== 'ignore') this.#set = undefined
    return impact
  }

  *#upsert(event: SourceEvent & { type: 'upsert' }): Generator<void, Impact> {
    const { kind, key, raw, origin } = event
    const name = objectId(kind, key)
    const held = this.#quarantine?.problem(name, event)
    if (held !== undefined) {
      this.#memory.supersede(name)
      return yield* this.#upsertInvalid(name, { kind, key, origin, problems: [held] }, raw)
    }
    const served = this.#entries.get(name)?.good
    if (served !== undefined && isConfiguration(kind))
      this.#quarantine?.replacing(name, { kind: kind as ServedVersion['kind'], key, object: served }, raw)
    const verdict = yield* this.#validator.steps(kind, raw)
    const before = this.#entries.get(name)
    if (!verdict.ok) {
      this.#memory.supersede(name)
      return yield* this.#upsertInvalid(name, { kind, key, origin, problems: verdict.problems }, raw)
    }
    const object: KubeObject = verdict.object
    const noMemory = this.#memory.reserve(
      name,
      event,
      memoryCost(kind, object, 'file' in origin),
      inheritedCacheCost(kind, object),
    )
    if (noMemory !== undefined) {
      const problem: FieldProblem = { path: ['spec'], reason: 'MemoryBudget', message: noMemory }
      return yield* this.#upsertInvalid(name, { kind, key, origin, problems: [problem] }, raw)
    }
    const { warnings } = verdict
    const current = before !== undefined && before.problems.length === 0
    const same = current && before.good !== undefined && sameToUs(before.good, object)
    this.#entries.set(name, { kind, key, origin, good: same ? before.good : object, problems: [], warnings })
    if (this.#broken.delete(name)) this.#problems = undefined
    this.#restored.delete(name)
    this.#keepGood(name, kind, key, undefined)
    if (same) return 'ignore'
    const refused = this.#refused.delete(name)
    const impact = this.#put(kind, key, { key, object, created: createdOf(object) })
    return refused && impact === 'ignore' ? this.#served.impactOf(kind, key) : impact
  }

  *#upsertInvalid(name: string, seen: Omit<CachedObject, 'good' | 'warnings'>, raw: unknown): Generator<void, Impact> {
    const { kind, key, problems } = seen
    const restored = yield* this.#restore(name, raw)
    const before = this.#entries.get(name)
    this.#problems = undefined
    const generation = generationOf(raw)
    // A credential or a grant by labels that its owner replaces is withdrawn, whatever is wrong with the new one.
    const row: KindRow = KINDS[kind]
    const good = row.lastGood === undefined ? undefined : (before?.good ?? restored)
    if (isDeepStrictEqual(before?.problems, problems) && before?.good === good && this.#sameInvalid(name, good, raw)) {
      this.#entries.set(name, { ...before!, ...seen })
      return 'ignore'
    }
    this.#entries.set(name, { ...seen, good, warnings: [] })
    this.#broken.add(name)
    const rest = generation === undefined ? { problems } : { problems, generation }
    if (good === undefined) {
      this.#refused.set(name, { kind, key, ...rest })
      const impact = this.#put(kind, key, undefined)
      this.#set = undefined
      return impact === 'ignore' ? this.#served.impactOf(kind, key) : impact
    }
    const object = withoutWithdrawn(good, raw)
    const closed = good.kind === 'Route' ? closedRules(good as Route, raw) : new Set<string>()
    const stale = { ...rest, closedRules: closed }
    this.#keepGood(name, kind, key, object)
    return this.#put(kind, key, { key, object, created: createdOf(good), stale })
  }

  /** Whether an invalid version has the same served version and status as the previous one. */
  #sameInvalid(name: string, good: KubeObject | undefined, raw: unknown): boolean {
    const { kind, key } = this.#entries.get(name)!
    if (good === undefined) return this.#refused.get(name)?.generation === generationOf(raw)
    if (kind !== 'Route' && kind !== 'Backend') return true
    const served = this.#served.get(kind, key)
    if (served?.stale === undefined || served.stale.generation !== generationOf(raw)) return false
    const closed = good.kind === 'Route' ? closedRules(good as Route, raw) : new Set<string>()
    return (
      isDeepStrictEqual(served.stale.closedRules, closed) &&
      isDeepStrictEqual(served.object, withoutWithdrawn(good, raw))
    )
  }

  /** What an earlier process has kept, if it still passes the door of this one. */
  *#restore(name: string, raw: unknown): Generator<void, KubeObject | undefined> {
    const record = this.#restored.get(name)
    if (record === undefined) return undefined
    const verdict = yield* this.#validator.steps(record.kind, record.object)
    this.#restored.delete(name)
    // A record that speaks for another object, or for an older one of this name, would serve it under this one's name
    // and with its age.
    return verdict.ok && keyOf(verdict.object) === record.key && isOfOneObject(verdict.object.metadata, raw)
      ? verdict.object
      : undefined
  }

  #remove({ kind, key }: { readonly kind: Kind; readonly key: string }): Impact {
    const name = objectId(kind, key)
    this.#memory.release(name)
    if (!this.#entries.delete(name)) return 'ignore'
    if (this.#broken.delete(name)) this.#problems = undefined
    this.#keepGood(name, kind, key, undefined)
    const refused = this.#refused.delete(name)
    const impact = this.#put(kind, key, undefined)
    if (!refused) return impact
    this.#set = undefined
    return impact === 'ignore' ? this.#served.impactOf(kind, key) : impact
  }

  /** Replaces the served version, or removes it. */
  #put(kind: Kind, key: string, resource: ServedResource<KubeObject> | undefined): Impact {
    this.#set = undefined
    return this.#served.put(kind, key, resource)
  }

  #keepGood(name: string, kind: Kind, key: string, object: KubeObject | undefined): void {
    const row: KindRow = KINDS[kind]
    if (row.lastGood !== 'stored' || (object === undefined && !this.#kept.has(name))) return
    if (object === undefined) this.#kept.delete(name)
    else this.#kept.add(name)
    this.#keep.set(name, { kind: kind as ObjectChange['kind'], key, object: object as ObjectChange['object'] })
  }
}

/** Whether rules have a cache that neither they nor their Routes state. */
function hasCacheOfAll({ policies }: SettingsObject): boolean {
  return policies?.defaults?.cache !== undefined || policies?.enforced?.cache !== undefined
}
