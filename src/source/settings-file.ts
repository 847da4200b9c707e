import { basename, dirname, resolve } from 'node:path'
import type { SettingsObject } from '../api/settings.ts'
import { displayPath } from './folder/display-path.ts'
import { Watches, type WatchFolder } from './folder/watches.ts'
import { HoldOff } from './hold-off.ts'
import { statOrNothing } from './read-text.ts'
import {
  composeSettings,
  type OriginOf,
  readSettingsText,
  type SettingsChecker,
  type SettingsOverride,
  type SettingsProblem,
} from './settings.ts'

export interface SettingsHandler {
  /** Valid settings that differ from those before; the first call is what is in force at the start. */
  changed(settings: SettingsObject, originOf: OriginOf): void
  /**
   * The complete current list. Empty = all is well again.
   *
   * @param severity error = the last good settings stay in force
   */
  problems(list: readonly SettingsProblem[], severity: 'error' | 'warning'): void
}

export interface SettingsFileOptions {
  readonly overrides?: readonly SettingsOverride[]
  /** Milliseconds between two looks, for what the system does not report. Default 2,000. */
  readonly pollInterval?: number
  readonly quiet?: number
  readonly maxHold?: number
  /** Milliseconds for which a broken or vanished file must stay so before it is told. Default 50. */
  readonly settle?: number
  readonly watch?: WatchFolder
}

const DEFAULTS = { pollInterval: 2_000, quiet: 10, maxHold: 50, settle: 50 }

/** One settings file, kept up to date; a mounted ConfigMap's, too. Flags are applied over each version of it. */
export class SettingsFile {
  readonly #path: string
  readonly #file: string
  readonly #checker: SettingsChecker
  readonly #overrides: readonly SettingsOverride[]
  readonly #options: typeof DEFAULTS
  readonly #watches: Watches
  readonly #hold: HoldOff
  #handler: SettingsHandler | undefined
  #signature: string | null = null
  #settings = ''
  #problems = '[]'
  #stopped = false
  #poll: NodeJS.Timeout | undefined
  #recheck: NodeJS.Timeout | undefined
  /** Signature of a version that is broken, and since when: an editor may be in the middle of it. */
  #doubt: { readonly signature: string; readonly since: number } | null = null

  constructor(path: string, checker: SettingsChecker, options: SettingsFileOptions = {}) {
    const { watch, overrides, ...numbers } = options
    this.#path = resolve(path)
    this.#file = displayPath(this.#path)
    this.#checker = checker
    this.#overrides = overrides ?? []
    this.#options = { ...DEFAULTS, ...numbers }
    this.#watches = new Watches((_, __, name) => this.#hint(name), watch)
    this.#hold = new HoldOff(this.#options.quiet, this.#options.maxHold, () => this.#run())
  }

  start(handler: SettingsHandler): void {
    if (this.#handler !== undefined) throw new TypeError('a settings file is started once')
    this.#handler = handler
    this.#hold.now()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#poll)
    clearTimeout(this.#recheck)
    await this.#hold.close()
    clearTimeout(this.#poll)
    clearTimeout(this.#recheck)
    this.#watches.close()
  }

  #hint(name: string | null): void {
    if (this.#stopped) return
    // A mounted ConfigMap swaps the hidden link that the file leads through.
    if (name === null || name === basename(this.#path) || name.startsWith('..')) this.#hold.hint()
  }

  async #run(): Promise<void> {
    clearTimeout(this.#poll)
    this.#watch()
    const read = await readSettingsText(this.#path, this.#file)
    if (this.#stopped) return
    this.#poll = setTimeout(() => {
      this.#watches.retry()
      this.#hold.hint()
    }, this.#options.pollInterval)
    const signature = read.ok ? read.text : `${read.signature}\n${read.problem.message}`
    if (signature === this.#signature) {
      this.#doubt = null
      return
    }
    // An empty file is what a program leaves for a moment that writes in place.
    const empty = read.ok && read.text === '' && this.#settings !== ''
    const result = read.ok
      ? composeSettings(read, this.#overrides, this.#checker)
      : { ok: false as const, problems: [read.problem] }
    if ((empty || !result.ok) && !this.#settled(signature)) return
    this.#doubt = null
    this.#signature = signature
    if (empty) return this.#tell([emptyProblem(this.#file)], 'error')
    if (!result.ok) return this.#tell(result.problems, 'error')
    this.#tell(result.warnings, 'warning')
    const settings = JSON.stringify(result.settings)
    if (settings === this.#settings) return
    this.#settings = settings
    this.#handler!.changed(result.settings, result.originOf)
  }

  #settled(signature: string): boolean {
    if (this.#settings === '') return true
    const now = performance.now()
    if (this.#doubt?.signature === signature && now - this.#doubt.since >= this.#options.settle) return true
    if (this.#doubt?.signature !== signature) this.#doubt = { signature, since: now }
    clearTimeout(this.#recheck)
    this.#recheck = setTimeout(() => this.#hold.now(), this.#options.settle)
    return false
  }

  #tell(problems: readonly SettingsProblem[], severity: 'error' | 'warning'): void {
    const text = JSON.stringify(problems)
    if (text === this.#problems) return
    this.#problems = text
    this.#handler!.problems(problems, severity)
  }

  /** The folder, not the file: an editor puts another file in its place. */
  #watch(): void {
    const folder = dirname(this.#path)
    const stats = statOrNothing(folder)
    if (stats !== undefined) this.#watches.ensure(folder, stats)
  }
}

function emptyProblem(file: string): SettingsProblem {
  const message = 'The file is empty; the last good settings stay in force. Write `{}` for the defaults.'
  return { where: file, field: '', reason: 'Empty', message }
}
