/** Everything that is wrong with what the user wrote, with its place: for the admin API, and once in the log. */

import type { ProblemView } from '../../admin/admin-data.ts'
import type { SettingsReason } from '../../admin/metrics-source.ts'
import { formatPath } from '../../api/object.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { Source, SourceLocation, SourceProblem } from '../../source/source.ts'
import type { ListenerFailure } from '../../thread/messages.ts'
import type { ObjectProblem } from '../resources/resources.ts'
import type { SettingsNote } from '../settings/settings-feed.ts'

/** A folder full of broken objects must not hold up the thread: finding a place means parsing the file again. */
const AT_ONCE = 50

/** @param namespace whose object it is about; none = the settings, or the source itself */
export type ProblemLog = (level: 'error' | 'warn' | 'info', message: string, namespace?: string) => void

interface ProblemRecord extends ProblemView {
  readonly level: 'error' | 'warn'
  readonly namespace?: string
}

/** What is wrong with one object. */
interface Found {
  readonly problem: ObjectProblem
  /** By their text. */
  readonly entries: ReadonlyMap<string, ProblemRecord>
}

export class ProblemList {
  readonly #log: ProblemLog
  readonly #locate: Source['locate']
  #source: readonly ProblemRecord[] = []
  #settings: readonly (ProblemRecord & { readonly reason: SettingsReason })[] = []
  #listeners: readonly (ProblemRecord & { readonly reason: SettingsReason })[] = []
  #secrets: readonly (ProblemRecord & { readonly reason: SettingsReason })[] = []
  /** By what it is about. */
  readonly #admin = new Map<string, ProblemRecord & { readonly reason: SettingsReason }>()
  #objects = new Map<string, Found>()
  #list: readonly ObjectProblem[] = []
  #logged = new Set<string>()

  constructor(log: ProblemLog, locate: Source['locate']) {
    this.#log = log
    this.#locate = locate
  }

  *list(): Generator<ProblemView> {
    for (const { level: _, namespace: _1, ...view } of this.#entries()) yield view
  }

  /** Reasons of what is wrong with the settings, each once. */
  get settings(): ReadonlySet<SettingsReason> {
    return new Set(
      [...this.#settings, ...this.#listeners, ...this.#secrets, ...this.#admin.values()].map(({ reason }) => reason),
    )
  }

  /** What is wrong with the settings; the complete list. */
  setSettings(notes: readonly SettingsNote[]): void {
    this.#settings = notes.map(({ level, reason, message }) => {
      const outcome = level === 'error' ? '; the last good settings stay in force' : ''
      return { level, object: 'Settings', reason, message: `${message}${outcome}` }
    })
    this.#logNew()
  }

  /** Listeners that are not open as configured; the complete list. */
  setListeners(failures: readonly ListenerFailure[]): void {
    if (failures.length + this.#listeners.length === 0) return
    this.#listeners = failures.map(({ message }) => ({
      level: 'error',
      object: 'Settings',
      reason: 'ListenerNotOpen',
      message,
    }))
    this.#logNew()
  }

  /** What is wrong with the Secrets that the settings name; the complete list. */
  setSecrets(faults: readonly string[]): void {
    if (faults.length + this.#secrets.length === 0) return
    this.#secrets = faults.map((message) => ({ level: 'warn', object: 'Settings', reason: 'SecretUnusable', message }))
    this.#logNew()
  }

  /** What is wrong with the token file of the admin API; undefined = nothing is. */
  setTokens(fault: string | undefined): void {
    this.#setAdmin('tokens', 'SecretUnusable', fault)
  }

  /** Why registrations do not outlive the process; undefined = they do. */
  setRegistrations(fault: string | undefined): void {
    this.#setAdmin('registrations', 'StateNotKept', fault)
  }

  /** Why token issuers cannot use their embedded store; undefined = they can. */
  setGrants(fault: string | undefined): void {
    this.#setAdmin('grants', 'StateNotKept', fault)
  }

  /** Why purges of the cache are not kept or not shared with other replicas; undefined = they are. */
  setPurges(fault: string | undefined): void {
    this.#setAdmin('purges', 'StateNotKept', fault)
  }

  #setAdmin(about: string, reason: SettingsReason, message: string | undefined): void {
    if (this.#admin.get(about)?.message === message) return
    if (message === undefined) this.#admin.delete(about)
    else this.#admin.set(about, { level: 'error', object: 'Settings', reason, message })
    this.#logNew()
  }

  /** What keeps the source from being read, in words. */
  ofSource(): string[] {
    return this.#source.filter(({ level }) => level === 'error').map(({ message }) => message)
  }

  /** What the source itself finds wrong; the complete list. */
  setSource(problems: readonly SourceProblem[]): void {
    this.#source = problems.map(({ severity, reason, message, location, object }) => ({
      level: severity === 'error' ? 'error' : 'warn',
      ...(object && { object: `${object.kind} ${object.key}` }),
      ...location,
      reason,
      message,
    }))
    this.#logNew()
  }

  /**
   * Objects whose newest version is not served; the complete list. The same list again costs nothing, nor do those that
   * are the same.
   */
  setObjects(problems: readonly ObjectProblem[]): void {
    if (problems === this.#list) return
    this.#list = problems
    const next = new Map<string, Found>()
    const places = { left: AT_ONCE }
    for (const problem of problems) {
      const name = `${problem.kind} ${problem.key}`
      const known = this.#objects.get(name)
      next.set(name, known !== undefined && isSame(known.problem, problem) ? known : this.#find(problem, known, places))
    }
    this.#objects = next
    this.#logNew()
  }

  #find(problem: ObjectProblem, known: Found | undefined, places: { left: number }): Found {
    const { kind, key, origin, problems, stale } = problem
    const entries = new Map<string, ProblemRecord>()
    for (const { path, reason, message } of problems) {
      const field = formatPath(path)
      const id = JSON.stringify([field, reason, message, stale, origin])
      const before = known?.entries.get(id)
      if (before !== undefined) {
        entries.set(id, before)
        continue
      }
      const file = 'file' in origin ? origin : undefined
      const place = file !== undefined && places.left-- > 0 ? this.#locate(kind, key, path) : undefined
      const serves = stale ? 'its last good version serves on' : 'nothing of it is served'
      entries.set(id, {
        level: 'error',
        namespace: namespaceOf(key),
        object: `${kind} ${key}`,
        ...(place ?? (file && { file: file.file, line: file.line })),
        ...(field !== '' && { field }),
        reason,
        message: `${message}; ${serves}`,
      })
    }
    return { problem, entries }
  }

  *#entries(): Generator<ProblemRecord> {
    yield* this.#settings
    yield* this.#listeners
    yield* this.#secrets
    yield* this.#admin.values()
    yield* this.#source
    for (const { entries } of this.#objects.values()) yield* entries.values()
  }

  /** Logs what is new, and that all is well when it is. */
  #logNew(): void {
    const now = new Set<string>()
    const fresh = new Map<string, ProblemRecord>()
    for (const entry of this.#entries()) {
      const line = sentence(entry)
      if (now.has(line)) continue
      now.add(line)
      if (!this.#logged.has(line)) fresh.set(line, entry)
    }
    for (const line of fairly(fresh)) {
      const { level, namespace } = fresh.get(line)!
      this.#log(level, line, namespace)
    }
    if (fresh.size > AT_ONCE)
      this.#log('error', `and ${fresh.size - AT_ONCE} more: \`headgate validate\` and /api/v1/problems show all`)
    if (now.size === 0 && this.#logged.size > 0) this.#log('info', 'every problem with the manifests is solved')
    this.#logged = now
  }
}

/** As many as are logged at once, each namespace in its turn. */
function* fairly(fresh: ReadonlyMap<string, ProblemRecord>): Generator<string> {
  if (fresh.size <= AT_ONCE) return yield* fresh.keys()
  const turns = new FairQueue()
  for (const [line, { namespace = '' }] of fresh) turns.add(namespace, line)
  for (let left = AT_ONCE; left > 0; left--) yield turns.take()!.key
}

function isSame(a: ObjectProblem, b: ObjectProblem): boolean {
  return a.problems === b.problems && a.stale === b.stale && a.origin === b.origin
}

/** `shop/route.yaml:12:5: Route shop/api: spec.rules[0].name: must be given (Required)` */
function sentence({ object, file, line, column, field, reason, message }: ProblemView): string {
  const parts = [placeText({ file, line, column }), object, field === undefined ? undefined : field]
  return `${[...parts.filter((part) => part !== undefined), message].join(': ')} (${reason})`
}

function placeText({
  file,
  line,
  column,
}: Partial<Record<keyof SourceLocation, string | number | undefined>>): string | undefined {
  if (file === undefined) return undefined
  return [file, line, column].filter((part) => part !== undefined).join(':')
}
