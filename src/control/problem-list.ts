/** Everything that is wrong with what the user wrote, with its place: for the admin API, and told in the log once. */

import type { ProblemView } from '../admin/admin-data.ts'
import type { SettingsReason } from '../admin/metrics-source.ts'
import { formatPath } from '../api/object.ts'
import type { ListenerFailure } from '../link/messages.ts'
import type { Place, Source, SourceProblem } from '../source/source.ts'
import type { ObjectProblem } from './resource-cache.ts'
import type { SettingsNote } from './settings-feed.ts'

/** A folder full of broken objects must not hold up the thread: finding a place means parsing the file again. */
const AT_ONCE = 50

export interface ProblemEvents {
  tell(level: 'error' | 'warn' | 'info', message: string): void
}

interface Entry extends ProblemView {
  readonly level: 'error' | 'warn'
}

export class ProblemList {
  readonly #events: ProblemEvents
  readonly #locate: Source['locate']
  #source: readonly Entry[] = []
  #settings: readonly (Entry & { readonly reason: SettingsReason })[] = []
  #listeners: readonly (Entry & { readonly reason: SettingsReason })[] = []
  #objects = new Map<string, Entry>()
  #told = new Set<string>()

  constructor(events: ProblemEvents, locate: Source['locate']) {
    this.#events = events
    this.#locate = locate
  }

  *list(): Generator<ProblemView> {
    for (const { level: _, ...view } of [...this.#settings, ...this.#listeners, ...this.#source]) yield view
    for (const { level: _, ...view } of this.#objects.values()) yield view
  }

  /** What is to be said about the settings, each kind once. */
  get settings(): ReadonlySet<SettingsReason> {
    return new Set([...this.#settings, ...this.#listeners].map(({ reason }) => reason))
  }

  /** What is wrong with the settings; the complete list. */
  setSettings(notes: readonly SettingsNote[]): void {
    this.#settings = notes.map(({ level, reason, message }) => {
      const outcome = level === 'error' ? '; the last good settings stay in force' : ''
      return { level, object: 'Settings', reason, message: `${message}${outcome}` }
    })
    this.#tell()
  }

  /** Listeners that are not open as the settings say; the complete list. */
  setListeners(failures: readonly ListenerFailure[]): void {
    if (failures.length + this.#listeners.length === 0) return
    this.#listeners = failures.map(({ message }) => ({
      level: 'error',
      object: 'Settings',
      reason: 'ListenerNotOpen',
      message,
    }))
    this.#tell()
  }

  /** What keeps the source from being read, in words. */
  ofSource(): string[] {
    return this.#source.filter(({ level }) => level === 'error').map(({ message }) => message)
  }

  /** What the source itself finds wrong; the complete list. */
  setSource(problems: readonly SourceProblem[]): void {
    this.#source = problems.map(({ severity, reason, message, place, object }) => ({
      level: severity === 'error' ? 'error' : 'warn',
      ...(object && { object: `${object.kind} ${object.key}` }),
      ...place,
      reason,
      message,
    }))
    this.#tell()
  }

  /** Objects whose newest version is not served; the complete list. */
  setObjects(problems: readonly ObjectProblem[]): void {
    const next = new Map<string, Entry>()
    let located = 0
    for (const { kind, key, origin, problems: fields, stale } of problems)
      for (const { path, reason, message } of fields) {
        const field = formatPath(path)
        const id = JSON.stringify([kind, key, field, reason, message, stale, origin])
        const known = this.#objects.get(id)
        if (known !== undefined) {
          next.set(id, known)
          continue
        }
        const file = 'file' in origin ? origin : undefined
        const place = file !== undefined && located++ < AT_ONCE ? this.#locate(kind, key, path) : undefined
        const serves = stale ? 'its last good version serves on' : 'nothing of it is served'
        next.set(id, {
          level: 'error',
          object: `${kind} ${key}`,
          ...(place ?? (file && { file: file.file, line: file.line })),
          ...(field !== '' && { field }),
          reason,
          message: `${message}; ${serves}`,
        })
      }
    this.#objects = next
    this.#tell()
  }

  /** What was not told yet, and that all is well when it is. */
  #tell(): void {
    const now = new Set<string>()
    let fresh = 0
    for (const entry of [...this.#settings, ...this.#listeners, ...this.#source, ...this.#objects.values()]) {
      const line = sentence(entry)
      if (now.has(line)) continue
      now.add(line)
      if (this.#told.has(line)) continue
      if (++fresh <= AT_ONCE) this.#events.tell(entry.level, line)
    }
    if (fresh > AT_ONCE)
      this.#events.tell('error', `and ${fresh - AT_ONCE} more: \`headgate validate\` and /api/v1/problems show all`)
    if (now.size === 0 && this.#told.size > 0) this.#events.tell('info', 'every problem with the manifests is solved')
    this.#told = now
  }
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
}: Partial<Record<keyof Place, string | number | undefined>>): string | undefined {
  if (file === undefined) return undefined
  return [file, line, column].filter((part) => part !== undefined).join(':')
}
