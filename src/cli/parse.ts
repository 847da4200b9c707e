/** Parses the arguments of the command line. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import type { SettingsOverride } from '../source/settings.ts'
import { CACHE_FLAGS, type CacheCommand, parseCache } from './cache-flags.ts'
import { EXPLAIN_FLAGS, type ExplainCommand, parseExplain } from './explain-flags.ts'
import {
  duration,
  listenAddress,
  oneOf,
  overridesOf,
  type ParsedInput,
  SETTINGS_FLAGS,
  UsageError,
  wholeNumber,
} from './flag-values.ts'
import type { ListenAddress } from './listen-address.ts'
import { suggest } from './suggest.ts'
import { parseToken, TOKEN_FLAGS, type TokenCommand } from './token-flags.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The source of the resources: a folder, as given, or an API server. */
export type RunSource =
  | { readonly type: 'folder'; readonly folder: string }
  | { readonly type: 'kubernetes'; readonly kubeconfig?: string; readonly context?: string }

/** Options of `headgate run`. source/settings.ts composes the settings from `settings` and `overrides`. */
export interface RunCommand {
  readonly name: 'run'
  readonly source: RunSource
  /** Settings file, as given. */
  readonly settings?: string
  readonly overrides: readonly SettingsOverride[]
  /** 0 means one per core. */
  readonly workers: number
  readonly logLevel: LogLevel
  readonly logFormat: 'json' | 'text'
  /** Milliseconds from the signal until the listeners close. */
  readonly drainDelay: number
  /** Milliseconds from then until the remaining connections are closed. */
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

export interface CertCommand {
  readonly name: 'cert'
  /** Hostnames and addresses, at least one; with `client` one name of any kind. */
  readonly names: readonly string[]
  readonly client: boolean
  readonly rsa: boolean
  readonly days: number
  /** Folder for the files. */
  readonly out: string
  /** Name of the Secret, and of the files. */
  readonly secret?: string
  /** Folder of the local authority. */
  readonly authority?: string
  readonly output: 'files' | 'secret'
}

export interface BackendsCommand {
  readonly name: 'backends'
  /** Backends and namespaces; none: all. */
  readonly names: readonly string[]
  /** Of the admin API. */
  readonly admin: ListenAddress
  /** Only endpoints that are out, or used although something is wrong. */
  readonly out: boolean
  readonly output: 'text' | 'json'
}

export type Command =
  | RunCommand
  | CertCommand
  | ValidateCommand
  | RoutesCommand
  | ConfigCommand
  | BackendsCommand
  | TokenCommand
  | CacheCommand
  | ExplainCommand
  | { readonly name: 'version' }
  /** Help for one command, or for all. */
  | { readonly name: 'help'; readonly topic?: CommandName }
  /** Exit code 2; the message contains the remedy. */
  | { readonly name: 'usage'; readonly message: string; readonly topic?: CommandName }

export const COMMAND_NAMES = [
  'run',
  'validate',
  'routes',
  'backends',
  'explain',
  'config',
  'cert',
  'token',
  'cache',
  'version',
  'help',
] as const
export type CommandName = (typeof COMMAND_NAMES)[number]

const OUTPUT = { output: { type: 'string', short: 'o' } } as const

/** Flags by command; every command has `--help`. */
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
  backends: { admin: { type: 'string' }, out: { type: 'boolean' }, ...OUTPUT },
  explain: { ...EXPLAIN_FLAGS, ...OUTPUT },
  config: { ...SETTINGS_FLAGS, ...OUTPUT },
  cert: {
    out: { type: 'string' },
    ca: { type: 'string' },
    days: { type: 'string' },
    secret: { type: 'string' },
    client: { type: 'boolean' },
    rsa: { type: 'boolean' },
    ...OUTPUT,
  },
  token: { ...TOKEN_FLAGS, ...OUTPUT },
  cache: { ...CACHE_FLAGS, ...OUTPUT },
  version: {},
  help: {},
}

/**
 * Parses the arguments after `headgate`. Never throws: an error becomes the command `usage`.
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
    // Where somebody looks for it who thinks of the cache.
    if (first === 'cache' && argv[1] === 'explain') return parseFlags('explain', argv.slice(2))
    return parseFlags(first, argv.slice(1))
  } catch (error) {
    if (error instanceof UsageError) return { name: 'usage', message: error.message, topic: first }
    throw error
  }
}

function parseFlags(name: CommandName, argv: readonly string[]): Command {
  const input = readFlags(name, argv)
  if (input === null) return { name: 'help', topic: name }
  switch (name) {
    case 'run':
      return parseRun(input)
    case 'validate':
      if (input.rest.length === 0)
        throw new UsageError('Name the manifests to validate: headgate validate DIR or FILE…')
      return {
        name,
        paths: input.rest,
        ...settingsFile(input),
        output: oneOf(input, 'output', ['text', 'json'], 'text'),
      }
    case 'routes': {
      const { host } = input.values
      const output = oneOf(input, 'output', ['text', 'json'], 'text')
      return {
        name,
        config: folder(input, name),
        ...settingsFile(input),
        ...(host === undefined ? {} : { host }),
        output,
      }
    }
    case 'config': {
      rejectPositionals(input, name)
      const output = oneOf(input, 'output', ['yaml', 'json'], 'yaml')
      return { name, ...settingsFile(input), overrides: overridesOf(input), output }
    }
    case 'backends': {
      const { admin = '127.0.0.1:9901', out } = input.values
      const output = oneOf(input, 'output', ['text', 'json'], 'text')
      return { name, names: input.rest, admin: listenAddress(admin, 'admin'), out: out === 'true', output }
    }
    case 'cert':
      return parseCert(input)
    case 'token':
      return parseToken(input)
    case 'cache':
      return parseCache(input)
    case 'explain':
      return parseExplain(input)
    case 'version':
      rejectPositionals(input, name)
      return { name }
    case 'help': {
      const [topic] = input.rest
      if (topic === undefined) return { name }
      if (!isCommandName(topic)) throw new UsageError(`There is no command "${topic}"${suggest(topic, COMMAND_NAMES)}`)
      return { name, topic }
    }
  }
}

function parseRun(input: ParsedInput): RunCommand {
  return {
    name: 'run',
    source: runSource(input),
    ...settingsFile(input),
    overrides: overridesOf(input),
    workers: wholeNumber(input, 'workers', 0, 0, 256),
    logLevel: oneOf(input, 'log-level', LOG_LEVELS, 'info'),
    logFormat: oneOf(input, 'log-format', ['json', 'text'], 'json'),
    drainDelay: duration(input, 'drain-delay', 1_000),
    drainTimeout: duration(input, 'drain-timeout', 30_000),
  }
}

function parseCert(input: ParsedInput): CertCommand {
  const { values, rest: names } = input
  const client = values.client === 'true'
  if (names.length === 0) throw new UsageError('Name what the certificate is for: headgate cert shop.example.com')
  if (client && names.length > 1) throw new UsageError(`A client has one name; remove "${names[1]}".`)
  const { secret, ca } = values
  return {
    name: 'cert',
    names,
    client,
    rsa: values.rsa === 'true',
    days: wholeNumber(input, 'days', 365, 1, 3_650),
    out: values.out ?? '.',
    ...(secret === undefined ? {} : { secret }),
    ...(ca === undefined ? {} : { authority: ca }),
    output: oneOf(input, 'output', ['files', 'secret'], 'files'),
  }
}

/** @returns null for `--help` */
function readFlags(name: CommandName, argv: readonly string[]): ParsedInput | null {
  const flags = FLAGS[name]
  const options: ParseArgsOptionsConfig = { ...flags, help: { type: 'boolean', short: 'h' } }
  // Not strict, because the messages of Node contain no remedy.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true, allowPositionals: true })
  const values: Record<string, string> = {}
  const lists: Record<string, string[]> = {}
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
        `${flag} needs a value; "${token.value}" looks like the next flag. Write ${flag}=VALUE if it is the value.`,
      )
    if (flags[token.name]?.multiple === true) {
      ;(lists[token.name] ??= []).push(token.value)
      continue
    }
    if (token.name in values) throw new UsageError(`${flag} is given twice; once is enough.`)
    values[token.name] = token.value
  }
  return { values, lists, rest }
}

function runSource(input: ParsedInput): RunSource {
  const { config, kubernetes, kubeconfig, context } = input.values
  if (kubernetes === undefined && kubeconfig === undefined && context === undefined)
    return { type: 'folder', folder: folder(input, 'run') }
  const named = config ?? input.rest[0]
  if (named !== undefined) throw new UsageError(`Both the folder ${named} and a cluster are given: omit one.`)
  return {
    type: 'kubernetes',
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  }
}

function folder(input: ParsedInput, command: string): string {
  const { config } = input.values
  const [positional, ...more] = input.rest
  if (more.length > 0) throw new UsageError(`headgate ${command} reads one folder; remove "${more[0]}".`)
  if (config !== undefined && positional !== undefined)
    throw new UsageError(`Two folders are given: --config ${config} and ${positional}; omit one.`)
  const folder = config ?? positional
  if (folder === undefined)
    throw new UsageError(`Name the folder with your manifests: headgate ${command} --config DIR`)
  return folder
}

function rejectPositionals(input: ParsedInput, command: string): void {
  if (input.rest.length > 0) throw new UsageError(`headgate ${command} accepts flags only; remove "${input.rest[0]}".`)
}

function settingsFile(input: ParsedInput): { settings?: string } {
  const { settings } = input.values
  return settings === undefined ? {} : { settings }
}

function isCommandName(text: string): text is CommandName {
  return (COMMAND_NAMES as readonly string[]).includes(text)
}
