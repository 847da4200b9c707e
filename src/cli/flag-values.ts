/** Values of flags, and the flags that override settings. */
import type { ParseArgsOptionsConfig } from 'node:util'
import type { SettingsOverride } from '../source/settings.ts'
import { formatAddress, parseAddress } from './listen-address.ts'
import { suggest } from './suggest.ts'

export const SETTINGS_FLAGS = {
  settings: { type: 'string' },
  http: { type: 'string' },
  admin: { type: 'string' },
  signals: { type: 'string' },
  state: { type: 'string' },
  zone: { type: 'string' },
  replica: { type: 'string' },
  'access-log': { type: 'string' },
} as const satisfies ParseArgsOptionsConfig

/** Values of flags by their long name, and positional arguments. */
export interface ParsedInput {
  readonly values: Readonly<Record<string, string | undefined>>
  /** Of flags that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>
  readonly rest: readonly string[]
}

/** A message for the user; caught in `parseCommand` only. */
export class UsageError extends Error {}

export function overridesOf(input: ParsedInput): SettingsOverride[] {
  const { http, admin, signals, state, zone } = input.values
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
  if (zone !== undefined) overrides.push({ flag: `--zone ${zone}`, path: ['topology', 'zone'], value: zone })
  overrides.push(...replicaOf(input))
  if (input.values['access-log'] !== undefined) {
    const value = oneOf(input, 'access-log', ['on', 'off'], 'on')
    overrides.push({ flag: `--access-log ${value}`, path: ['accessLog', 'sample'], value: value === 'on' ? 100 : 0 })
  }
  return overrides
}

function replicaOf({ values: { replica } }: ParsedInput): SettingsOverride[] {
  if (replica === undefined) return []
  const [, number, of] = /^(\d{1,5})\/(\d{1,5})$/.exec(replica) ?? []
  if (number === undefined || Number(number) < 1 || Number(number) > Number(of))
    throw new UsageError(`--replica ${replica}: it is its number and how many there are, such as 2/5.`)
  const flag = `--replica ${replica}`
  return [
    { flag, path: ['topology', 'replica', 'number'], value: Number(number) },
    { flag, path: ['topology', 'replica', 'of'], value: Number(of) },
  ]
}

export function listenAddress(text: string, flag: string) {
  const parsed = parseAddress(text)
  if (typeof parsed === 'string') throw new UsageError(`--${flag} ${text}: ${parsed}.`)
  return parsed
}

export function oneOf<const T extends readonly string[]>(
  input: Pick<ParsedInput, 'values'>,
  flag: string,
  choices: T,
  none: T[number],
): T[number] {
  const value = input.values[flag]
  if (value === undefined) return none
  if (choices.includes(value)) return value
  const name = flag === 'output' ? '-o' : `--${flag}`
  throw new UsageError(`${name} ${value}: it is one of ${choices.join(', ')}${suggest(value, choices)}`)
}

export function wholeNumber(input: ParsedInput, flag: string, none: number, min: number, max: number): number {
  const value = input.values[flag]
  if (value === undefined) return none
  const number = Number(value)
  if (/^\d+$/.test(value) && number >= min && number <= max) return number
  throw new UsageError(`--${flag} ${value}: it is a whole number from ${min} to ${max}.`)
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const

/** Parses a duration as in manifests: `1h30m`, `30s`, `250ms`; also `0`. */
export function duration(input: ParsedInput, flag: string, none: number): number {
  const value = input.values[flag]
  if (value === undefined) return none
  if (value === '0') return 0
  if (!/^(\d{1,5}d)?(\d{1,5}h)?(\d{1,5}m)?(\d{1,7}s)?(\d{1,9}ms)?$/.test(value))
    throw new UsageError(`--${flag} ${value}: a duration is written as 30s, 1m30s or 250ms; 0 is none.`)
  let total = 0
  for (const [, digits, unit] of value.matchAll(/(\d+)(ms|[dhms])/g))
    total += Number(digits) * UNITS[unit as keyof typeof UNITS]
  // The maximum delay of a timer.
  if (total > 2_147_483_647) throw new UsageError(`--${flag} ${value}: at most 24d.`)
  return total
}
