/** Arguments to a command, without doing anything. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import type { SettingsOverride } from '../source/settings.ts'
import { formatAddress, parseAddress } from './address.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Where the resources come from: a folder, as written, or an API server. */
export type RunSource =
  | { readonly type: 'folder'; readonly folder: string }
  | { readonly type: 'kubernetes'; readonly kubeconfig?: string; readonly context?: string }

/** Everything `headgate run` is told. Settings are composed from `settings` and `overrides` by source/settings.ts. */
export interface RunCommand {
  readonly name: 'run'
  readonly source: RunSource
  /** Settings file, as written. */
  readonly settings?: string
  readonly overrides: readonly SettingsOverride[]
  /** 0 = as many as there are cores. */
  readonly workers: number
  readonly logLevel: LogLevel
  readonly logFormat: 'json' | 'text'
  /** Milliseconds from the signal until listeners are closed. */
  readonly drainDelay: number
  /** Milliseconds from then until what still runs is cut. */
  readonly drainTimeout: number
}

export interface ValidateCommand {
  readonly name: 'validate'
  /** Folders and files, at least one. */
  readonly paths: readonly string[]
  readonly settings?: string
  readonly output: 'text' | 'json'
}

export interface RoutesCommand {
  readonly name: 'routes'
  readonly config: string
  readonly settings?: string
  /** Only this hostname. */
  readonly host?: string
  readonly output: 'text' | 'json'
}

export interface ConfigCommand {
  readonly name: 'config'
  readonly settings?: string
  readonly overrides: readonly SettingsOverride[]
  readonly output: 'yaml' | 'json'
}

export type Command =
  | RunCommand
  | ValidateCommand
  | RoutesCommand
  | ConfigCommand
  | { readonly name: 'version' }
  /** Of one command, or of all. */
  | { readonly name: 'help'; readonly topic?: CommandName }
  /** Exit code 2; the message says what to write instead. */
  | { readonly name: 'usage'; readonly message: string; readonly topic?: CommandName }

export const COMMAND_NAMES = ['run', 'validate', 'routes', 'config', 'version', 'help'] as const
export type CommandName = (typeof COMMAND_NAMES)[number]

const SETTINGS_FLAGS = {
  settings: { type: 'string' },
  http: { type: 'string' },
  admin: { type: 'string' },
  signals: { type: 'string' },
  state: { type: 'string' },
  'access-log': { type: 'string' },
} as const satisfies ParseArgsOptionsConfig

const OUTPUT = { output: { type: 'string', short: 'o' } } as const

/** Flags by command; `--help` is everywhere. */
const FLAGS: Readonly<Record<CommandName, ParseArgsOptionsConfig>> = {
  run: {
    config: { type: 'string' },
    kubernetes: { type: 'boolean' },
    kubeconfig: { type: 'string' },
    context: { type: 'string' },
    ...SETTINGS_FLAGS,
    workers: { type: 'string' },
    'log-level': { type: 'string' },
    'log-format': { type: 'string' },
    'drain-delay': { type: 'string' },
    'drain-timeout': { type: 'string' },
  },
  validate: { settings: { type: 'string' }, ...OUTPUT },
  routes: { config: { type: 'string' }, settings: { type: 'string' }, host: { type: 'string' }, ...OUTPUT },
  config: { ...SETTINGS_FLAGS, ...OUTPUT },
  version: {},
  help: {},
}

/** Values of flags by their long name, and what stands without one. */
interface Given {
  readonly values: Readonly<Record<string, string | undefined>>
  readonly rest: readonly string[]
}

/** A message for the user; caught in `parseCommand` and nowhere else. */
class UsageError extends Error {}

/**
 * Reads the arguments after `headgate`. Never throws: a mistake is a command of its own, `usage`.
 */
export function parseCommand(argv: readonly string[]): Command {
  const [first] = argv
  if (first === undefined || first === '--help' || first === '-h') return { name: 'help' }
  if (first === '--version' || first === '-V') return { name: 'version' }
  if (!isCommandName(first)) {
    const message = first.startsWith('-')
      ? `A command comes first, then its flags: headgate run ${argv.join(' ')}`
      : `There is no command "${first}"${suggest(first, COMMAND_NAMES)} See headgate help.`
    return { name: 'usage', message }
  }
  try {
    return parseFlags(first, argv.slice(1))
  } catch (error) {
    if (error instanceof UsageError) return { name: 'usage', message: error.message, topic: first }
    throw error
  }
}

function parseFlags(name: CommandName, argv: readonly string[]): Command {
  const given = readFlags(name, argv)
  if (given === null) return { name: 'help', topic: name }
  switch (name) {
    case 'run':
      return parseRun(given)
    case 'validate':
      if (given.rest.length === 0) throw new UsageError('Say what to validate: headgate validate DIR or FILE…')
      return {
        name,
        paths: given.rest,
        ...settingsFile(given),
        output: oneOf(given, 'output', ['text', 'json'], 'text'),
      }
    case 'routes': {
      const { host } = given.values
      const output = oneOf(given, 'output', ['text', 'json'], 'text')
      return {
        name,
        config: folder(given, name),
        ...settingsFile(given),
        ...(host === undefined ? {} : { host }),
        output,
      }
    }
    case 'config': {
      nothingElse(given, name)
      const output = oneOf(given, 'output', ['yaml', 'json'], 'yaml')
      return { name, ...settingsFile(given), overrides: overridesOf(given), output }
    }
    case 'version':
      nothingElse(given, name)
      return { name }
    case 'help': {
      const [topic] = given.rest
      if (topic === undefined) return { name }
      if (!isCommandName(topic)) throw new UsageError(`There is no command "${topic}"${suggest(topic, COMMAND_NAMES)}`)
      return { name, topic }
    }
  }
}

function parseRun(given: Given): RunCommand {
  return {
    name: 'run',
    source: runSource(given),
    ...settingsFile(given),
    overrides: overridesOf(given),
    workers: wholeNumber(given, 'workers', 0, 0, 256),
    logLevel: oneOf(given, 'log-level', LOG_LEVELS, 'info'),
    logFormat: oneOf(given, 'log-format', ['json', 'text'], 'json'),
    drainDelay: duration(given, 'drain-delay', 1_000),
    drainTimeout: duration(given, 'drain-timeout', 30_000),
  }
}

/** @returns null when help was asked for */
function readFlags(name: CommandName, argv: readonly string[]): Given | null {
  const flags = FLAGS[name]
  const options: ParseArgsOptionsConfig = { ...flags, help: { type: 'boolean', short: 'h' } }
  // Not strict: node's own messages say what is wrong, ours also what to write.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true, allowPositionals: true })
  const values: Record<string, string> = {}
  const rest: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') rest.push(token.value)
    if (token.kind !== 'option') continue
    if (token.name === 'help') return null
    const flag = `--${token.name}`
    if (!(token.name in flags)) {
      const known = Object.keys(flags).map((known) => `--${known}`)
      throw new UsageError(
        `headgate ${name} has no flag ${token.rawName}${suggest(flag, known)} See headgate ${name} --help.`,
      )
    }
    if (flags[token.name]?.type === 'boolean') {
      if (token.value !== undefined) throw new UsageError(`${flag} takes no value.`)
      values[token.name] = 'true'
      continue
    }
    if (token.value === undefined || token.value === '') throw new UsageError(`${flag} needs a value.`)
    if (token.inlineValue === false && token.value.startsWith('--'))
      throw new UsageError(
        `${flag} needs a value; "${token.value}" looks like the next flag. Write ${flag}=VALUE if it is meant.`,
      )
    if (token.name in values) throw new UsageError(`${flag} is given twice; once is enough.`)
    values[token.name] = token.value
  }
  return { values, rest }
}

function runSource(given: Given): RunSource {
  const { config, kubernetes, kubeconfig, context } = given.values
  if (kubernetes === undefined && kubeconfig === undefined && context === undefined)
    return { type: 'folder', folder: folder(given, 'run') }
  const named = config ?? given.rest[0]
  if (named !== undefined) throw new UsageError(`The folder ${named} and a cluster are both named: leave one out.`)
  return {
    type: 'kubernetes',
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  }
}

function folder(given: Given, command: string): string {
  const { config } = given.values
  const [positional, ...more] = given.rest
  if (more.length > 0) throw new UsageError(`headgate ${command} reads one folder; "${more[0]}" is one too many.`)
  if (config !== undefined && positional !== undefined)
    throw new UsageError(`Two folders are named: --config ${config} and ${positional}; leave one out.`)
  const folder = config ?? positional
  if (folder === undefined)
    throw new UsageError(`Name the folder with your manifests: headgate ${command} --config DIR`)
  return folder
}

function nothingElse(given: Given, command: string): void {
  if (given.rest.length > 0)
    throw new UsageError(`headgate ${command} takes flags only; "${given.rest[0]}" is not one.`)
}

function settingsFile(given: Given): { settings?: string } {
  const { settings } = given.values
  return settings === undefined ? {} : { settings }
}

function overridesOf(given: Given): SettingsOverride[] {
  const { http, admin, signals, state } = given.values
  const overrides: SettingsOverride[] = []
  if (http !== undefined) {
    const { address, port } = listenAddress(http, 'http')
    const flag = `--http ${http}`
    overrides.push({ flag, path: ['listeners', 'http', 'port'], value: port })
    overrides.push({ flag, path: ['listeners', 'http', 'address'], value: address ?? null })
  }
  if (admin !== undefined)
    overrides.push({
      flag: `--admin ${admin}`,
      path: ['admin', 'address'],
      value: formatAddress(listenAddress(admin, 'admin')),
    })
  if (signals !== undefined)
    overrides.push({
      flag: `--signals ${signals}`,
      path: ['signals', 'address'],
      value: formatAddress(listenAddress(signals, 'signals')),
    })
  if (state !== undefined) overrides.push({ flag: `--state ${state}`, path: ['stateDirectory'], value: state })
  if (given.values['access-log'] !== undefined) {
    const value = oneOf(given, 'access-log', ['on', 'off'], 'on')
    overrides.push({ flag: `--access-log ${value}`, path: ['accessLog', 'sample'], value: value === 'on' ? 100 : 0 })
  }
  return overrides
}

function listenAddress(text: string, flag: string) {
  const parsed = parseAddress(text)
  if (typeof parsed === 'string') throw new UsageError(`--${flag} ${text}: ${parsed}.`)
  return parsed
}

function oneOf<const T extends readonly string[]>(given: Given, flag: string, choices: T, none: T[number]): T[number] {
  const value = given.values[flag]
  if (value === undefined) return none
  if (choices.includes(value)) return value
  const name = flag === 'output' ? '-o' : `--${flag}`
  throw new UsageError(`${name} ${value}: it is one of ${choices.join(', ')}${suggest(value, choices)}`)
}

function wholeNumber(given: Given, flag: string, none: number, min: number, max: number): number {
  const value = given.values[flag]
  if (value === undefined) return none
  const number = Number(value)
  if (/^\d+$/.test(value) && number >= min && number <= max) return number
  throw new UsageError(`--${flag} ${value}: it is a whole number from ${min} to ${max}.`)
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const

/** As in manifests: `1h30m`, `30s`, `250ms`; `0` for none. */
function duration(given: Given, flag: string, none: number): number {
  const value = given.values[flag]
  if (value === undefined) return none
  if (value === '0') return 0
  if (!/^(\d{1,5}d)?(\d{1,5}h)?(\d{1,5}m)?(\d{1,7}s)?(\d{1,9}ms)?$/.test(value))
    throw new UsageError(`--${flag} ${value}: a duration is written as 30s, 1m30s or 250ms; 0 is none.`)
  let total = 0
  for (const [, digits, unit] of value.matchAll(/(\d+)(ms|[dhms])/g))
    total += Number(digits) * UNITS[unit as keyof typeof UNITS]
  // The longest wait a timer can do.
  if (total > 2_147_483_647) throw new UsageError(`--${flag} ${value}: at most 24d.`)
  return total
}

function isCommandName(text: string): text is CommandName {
  return (COMMAND_NAMES as readonly string[]).includes(text)
}

/** Ends a sentence: with `; did you mean "run"?` where one is near, else with a full stop. */
function suggest(text: string, choices: readonly string[]): string {
  const near = choices
    .map((choice) => ({ choice, distance: editDistance(text, choice) }))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near === undefined || near.distance > Math.max(1, Math.floor(near.choice.length / 3))) return '.'
  return `; did you mean "${near.choice}"?`
}

/** Insertions, deletions, replacements and swaps of neighbours from one text to the other. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const [row, above] = [[i], rows[i - 1]!]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const least = Math.min(above[j]! + 1, row[j - 1]! + 1, replaced)
      row.push(swapped ? Math.min(least, rows[i - 2]![j - 2]! + 1) : least)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
