import { basename, dirname, resolve } from 'node:path'
import type { SettingsObject } from '../api/settings.ts'
import type { TimerClock } from '../lib/clock.ts'
import { displayPath } from './folder/display-path.ts'
import { FolderWatcher, type WatchFolder } from './folder/folder-watcher.ts'
import { HoldOff } from './hold-off.ts'
import { tryStat } from './read-text.ts'
import {
  composeSettings,
  type OriginOf,
  readSettingsText,
  type SettingsChecker,
  type SettingsOverride,
  type SettingsProblem,
} from './settings.ts'

export interface SettingsHandler {
  /** Called with valid settings that differ from the previous ones; first with the settings at startup. */
  changed(settings: SettingsObject, originOf: OriginOf): void
  /**
   * Called with the complete current list; empty when there is no problem any more.
   *
   * @param severity `error`: the last good settings stay in force
   */
  problems(list: readonly SettingsProblem[], severity: 'error' | 'warning'): void
}

export interface SettingsFileOptions {
  readonly overrides?: readonly SettingsOverride[]
  /** Milliseconds between two reads, for changes that the system does not report. Default 2,000. */
  readonly pollInterval?: number
  readonly quiet?: number
  readonly maxHold?: number
  /** Milliseconds for which a broken or missing file must stay so before it is reported. Default 50. */
  readonly settle?: number
  readonly watch?: WatchFolder
}

const DEFAULTS = { pollInterval: 2_000, quiet: 10, maxHold: 50, settle: 50 }

/** Reads and watches a settings file, also in a mounted ConfigMap. Flags are applied over each version. */
export class SettingsFile {
  readonly #path: string
  readonly #file: string
  readonly #checker: SettingsChecker
  readonly #overrides: readonly SettingsOverride[]
  readonly #time: TimerClock
  readonly #options: typeof DEFAULTS
  readonly #watcher: FolderWatcher
  readonly #holdOff: HoldOff
  #handler: SettingsHandler | undefined
  #signature: string | null = null
  #settings = ''
  #problems = '[]'
  #stopped = false
  #cancelPoll = (): void => {}
  #cancelRecheck = (): void => {}
  /** A broken version and its first time, since an editor may be writing it. */
  #pendingVersion: { readonly signature: string; readonly since: number } | null = null

  constructor(path: string, checker: SettingsChecker, time: TimerClock, options: SettingsFileOptions = {}) {
    const { watch, overrides, ...numbers } = options
    this.#path = resolve(path)
    this.#file = displayPath(this.#path)
    this.#checker = checker
    this.#time = time
    this.#overrides = overrides ?? []
    this.#options = { ...DEFAULTS, ...numbers }
    this.#watcher = new FolderWatcher((_, __, name) => this.#onChange(name), watch)
    this.#holdOff = new HoldOff(time, this.#options.quiet, this.#options.maxHold, () => this.#run())
  }

  start(handler: SettingsHandler): void {
    if (this.#handler !== undefined) throw new TypeError('the settings file is started already')
    this.#handler = handler
    this.#holdOff.now()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelPoll()
    this.#cancelRecheck()
    await this.#holdOff.close()
    this.#cancelPoll()
    this.#cancelRecheck()
    this.#watcher.close()
  }

  #onChange(name: string | null): void {
    if (this.#stopped) return
    // A mounted ConfigMap replaces the hidden link in the path of the file.
    if (name === null || name === basename(this.#path) || name.startsWith('..')) this.#holdOff.hint()
  }

  async #run(): Promise<void> {
    this.#cancelPoll()
    this.#watchFolder()
    const read = await readSettingsText(this.#path, this.#file)
    if (this.#stopped) return
    this.#cancelPoll = this.#time.after(this.#options.pollInterval, () => {
      this.#watcher.retry()
      this.#holdOff.hint()
    })
    const signature = read.ok ? read.text : `${read.signature}\n${read.problem.message}`
    if (signature === this.#signature) {
      this.#pendingVersion = null
      return
    }
    // A program that overwrites a file leaves it empty for a moment.
    const empty = read.ok && read.text === '' && this.#settings !== ''
    const result = read.ok
      ? composeSettings(read, this.#overrides, this.#checker)
      : { ok: false as const, problems: [read.problem] }
    if ((empty || !result.ok) && !this.#isSettled(signature)) return
    this.#pendingVersion = null
    this.#signature = signature
    if (empty) return this.#reportProblems([emptyProblem(this.#file)], 'error')
    if (!result.ok) return this.#reportProblems(result.problems, 'error')
    this.#reportProblems(result.warnings, 'warning')
    const settings = JSON.stringify(result.settings)
    if (settings === this.#settings) return
    this.#settings = settings
    this.#handler!.changed(result.settings, result.originOf)
  }

  #isSettled(signature: string): boolean {
    if (this.#settings === '') return true
    const now = this.#time.monotonic()
    if (this.#pendingVersion?.signature === signature && now - this.#pendingVersion.since >= this.#options.settle)
      return true
    if (this.#pendingVersion?.signature !== signature) this.#pendingVersion = { signature, since: now }
    this.#cancelRecheck()
    this.#cancelRecheck = this.#time.after(this.#options.settle, () => this.#holdOff.now())
    return false
  }

  #reportProblems(problems: readonly SettingsProblem[], severity: 'error' | 'warning'): void {
    const text = JSON.stringify(problems)
    if (text === this.#problems) return
    this.#problems = text
    this.#handler!.problems(problems, severity)
  }

  /** Watches the folder instead of the file, because editors replace the file. */
  #watchFolder(): void {
    const folder = dirname(this.#path)
    const stats = tryStat(folder)
    if (stats !== undefined) this.#watcher.ensure(folder, stats)
  }
}

function emptyProblem(file: string): SettingsProblem {
  const message = 'The file is empty; the last good settings stay in force. Write `{}` for the defaults.'
  return { where: file, field: '', reason: 'Empty', message }
}
