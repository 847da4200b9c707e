/** The settings in force: from the file as it changes, the flags, and the ports that were found for 0. */
import { isDeepStrictEqual } from 'node:util'
import type { SettingView } from '../../admin/admin-data.ts'
import type { SettingsReason } from '../../admin/metrics-source.ts'
import { formatPath } from '../../api/object.ts'
import type { SettingsObject } from '../../api/settings.ts'
import type { TimerClock } from '../../lib/clock.ts'
import {
  composeSettings,
  formatSettingsProblem,
  type OriginOf,
  originText,
  type SettingsChecker,
  type SettingsOrigin,
  type SettingsOverride,
  type SettingsProblem,
} from '../../source/settings.ts'
import { SettingsFile } from '../../source/settings-file.ts'
import type { ResolvedPorts } from '../../thread/thread-data.ts'
import { settingsInForce, waitingMessage } from './start-settings.ts'

/** Something about the settings that a person must know. */
export interface SettingsNote {
  readonly level: 'error' | 'warn'
  readonly reason: SettingsReason
  /** What is wrong, with file and line, or the flag. */
  readonly message: string
}

export interface SettingsEvents {
  changed(settings: SettingsObject): void
  /** The complete list. With an error in it the last good settings stay in force. Empty = all is well again. */
  problems(notes: readonly SettingsNote[]): void
}

export class SettingsFeed {
  readonly #path: string | undefined
  readonly #overrides: readonly SettingsOverride[]
  readonly #checker: SettingsChecker
  readonly #time: TimerClock
  #file: SettingsFile | undefined
  #started: SettingsObject | undefined
  #inForce: SettingsObject | undefined
  #views: readonly SettingView[] = []
  #ofFile: readonly SettingsNote[] = []
  #waiting: readonly SettingsNote[] = []

  /** @param started what the process was started with, where this is not its first control thread */
  constructor(
    path: string | undefined,
    overrides: readonly SettingsOverride[],
    checker: SettingsChecker,
    time: TimerClock,
    started?: SettingsObject,
  ) {
    this.#path = path
    this.#overrides = overrides
    this.#checker = checker
    this.#time = time
    this.#started = started
  }

  /** Each value in force with where it comes from. */
  views(): readonly SettingView[] {
    return this.#views
  }

  start(events: SettingsEvents): void {
    if (this.#path === undefined) {
      const result = composeSettings(null, this.#overrides, this.#checker)
      if (!result.ok) return events.problems(result.problems.map(invalid))
      this.#use(result.settings, result.originOf, events)
      return
    }
    this.#file = new SettingsFile(this.#path, this.#checker, this.#time, { overrides: this.#overrides })
    this.#file.start({
      changed: (settings, originOf) => this.#use(settings, originOf, events),
      problems: (list, severity) => {
        this.#ofFile = list.map(severity === 'error' ? invalid : doubtful)
        events.problems([...this.#ofFile, ...this.#waiting])
      },
    })
  }

  async stop(): Promise<void> {
    await this.#file?.stop()
  }

  #use(newest: SettingsObject, originOf: OriginOf, events: SettingsEvents): void {
    this.#started ??= newest
    const { settings, waiting } = settingsInForce(this.#started, newest)
    this.#views = viewsOf(settings, (path) =>
      waiting.some((one) => begins(path, one.path)) ? 'start' : originOf(path),
    )
    // The order of keys does not matter.
    if (!isDeepStrictEqual(settings, this.#inForce)) {
      this.#inForce = settings
      events.changed(settings)
    }
    const before = JSON.stringify(this.#waiting)
    this.#waiting = waiting.map((one) => {
      const message = `${whereOf(originOf(one.path))}${formatPath(one.path)}: ${waitingMessage(one)}`
      return { level: 'warn', reason: 'RestartNeeded', message }
    })
    if (JSON.stringify(this.#waiting) !== before) events.problems([...this.#ofFile, ...this.#waiting])
  }
}

/** Puts real ports where the settings ask for any. */
export function withPorts(settings: SettingsObject, ports: ResolvedPorts): SettingsObject {
  const found = new Map(ports.sockets.map(({ name, port }) => [name, port]))
  const listeners = settings.listeners.map((listener) =>
    listener.port === 0 ? { ...listener, port: found.get(listener.name) ?? 0 } : listener,
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
  originOf: (path: readonly (string | number)[]) => SettingsOrigin | 'start',
): SettingView[] {
  const views: SettingView[] = []
  const walk = (value: unknown, path: (string | number)[]): void => {
    if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
      for (const [key, child] of Object.entries(value)) walk(child, [...path, Array.isArray(value) ? Number(key) : key])
      return
    }
    const origin = originOf(path)
    const text = origin === 'start' ? 'the start; another value waits for the next one' : originText(origin)
    views.push({ path: formatPath(path), value, origin: text })
  }
  walk(settings, [])
  return views
}

const whereOf = (origin: SettingsOrigin): string => (origin === null ? '' : `${originText(origin)}: `)

const begins = (path: readonly unknown[], start: readonly unknown[]): boolean =>
  start.every((step, index) => path[index] === step)

function invalid(problem: SettingsProblem): SettingsNote {
  return { level: 'error', reason: 'Invalid', message: formatSettingsProblem(problem) }
}

function doubtful(problem: SettingsProblem): SettingsNote {
  return { level: 'warn', reason: 'Warning', message: formatSettingsProblem(problem) }
}
