/** The settings in force: from the file as it changes, the flags, and the ports that were found for 0. */

import type { SettingView } from '../admin/admin-data.ts'
import { formatPath } from '../api/object.ts'
import type { SettingsObject } from '../api/settings.ts'
import { displayPath } from '../source/folder/display-path.ts'
import {
  composeSettings,
  readSettingsText,
  type SettingsChecker,
  type SettingsOrigin,
  type SettingsOverride,
  type SettingsProblem,
} from '../source/settings.ts'
import { SettingsFile } from '../source/settings-file.ts'
import type { ResolvedPorts } from './thread-messages.ts'

export interface SettingsEvents {
  changed(settings: SettingsObject): void
  /** What is wrong now; the last good settings stay in force. Empty = all is well again. */
  problems(lines: readonly string[]): void
}

export class SettingsFeed {
  readonly #path: string | undefined
  readonly #overrides: readonly SettingsOverride[]
  readonly #checker: SettingsChecker
  #file: SettingsFile | undefined
  #views: readonly SettingView[] = []

  constructor(path: string | undefined, overrides: readonly SettingsOverride[], checker: SettingsChecker) {
    this.#path = path
    this.#overrides = overrides
    this.#checker = checker
  }

  /** Each value in force with where it comes from. */
  views(): readonly SettingView[] {
    return this.#views
  }

  start(events: SettingsEvents): void {
    if (this.#path === undefined) {
      const result = composeSettings(null, this.#overrides, this.#checker)
      if (!result.ok) return events.problems(result.problems.map(lineOf))
      this.#views = viewsOf(result.settings, result.originOf)
      events.changed(result.settings)
      return
    }
    const path = this.#path
    this.#file = new SettingsFile(path, this.#checker, { overrides: this.#overrides })
    this.#file.start({
      changed: (settings) => {
        events.changed(settings)
        void this.#look(path)
      },
      problems: (list) => events.problems(list.map(lineOf)),
    })
  }

  async stop(): Promise<void> {
    await this.#file?.stop()
  }

  async #look(path: string): Promise<void> {
    const read = await readSettingsText(path, displayPath(path))
    const result = read.ok ? composeSettings(read, this.#overrides, this.#checker) : undefined
    if (result?.ok === true) this.#views = viewsOf(result.settings, result.originOf)
  }
}

/** Puts real ports where the settings ask for any. */
export function withPorts(settings: SettingsObject, ports: ResolvedPorts): SettingsObject {
  const listeners = settings.listeners.map((listener) =>
    listener.port === 0 ? { ...listener, port: ports.listeners[listener.name] ?? 0 } : listener,
  )
  const real = (address: string, port: number): string => address.replace(/:0$/, `:${port}`)
  return {
    ...settings,
    listeners,
    admin: { ...settings.admin, address: real(settings.admin.address, ports.admin) },
    signals: { ...settings.signals, address: real(settings.signals.address, ports.signals) },
  }
}

function viewsOf(
  settings: SettingsObject,
  originOf: (path: readonly (string | number)[]) => SettingsOrigin,
): SettingView[] {
  const views: SettingView[] = []
  const walk = (value: unknown, path: (string | number)[]): void => {
    if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
      for (const [key, child] of Object.entries(value)) walk(child, [...path, Array.isArray(value) ? Number(key) : key])
      return
    }
    const origin = originOf(path)
    const said = origin === null ? 'default' : 'flag' in origin ? origin.flag : `${origin.file}:${origin.line}`
    views.push({ path: formatPath(path), value, origin: said })
  }
  walk(settings, [])
  return views
}

function lineOf({ where, field, reason, message }: SettingsProblem): string {
  return `${where}: ${field === '' ? '' : `${field}: `}${message} (${reason})`
}
