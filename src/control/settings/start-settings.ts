/**
 * Settings that are read once, at the start. A change of them waits for the next one: what is shown as in force must be
 * what is.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SettingsObject } from '../../api/settings.ts'

type Path = readonly [keyof SettingsObject] | readonly ['admin' | 'signals' | 'peers' | 'limits' | 'cache', string]

/**
 * Where servers listen that no request of a client goes to, what is watched, where the process keeps what it knows, and
 * by what its heaps are sized.
 */
export const AT_START: readonly Path[] = [
  ['admin', 'address'],
  ['admin', 'tokenFile'],
  ['signals', 'address'],
  ['peers', 'address'],
  ['peers', 'keyFile'],
  ['limits', 'memory'],
  ['cache', 'memory'],
  ['cache', 'files'],
  ['watchNamespaces'],
  ['stateDirectory'],
  ['stateKeyFile'],
]

export interface Waiting {
  readonly path: Path
  /** The value of the newest settings; undefined = none. */
  readonly next: unknown
  readonly inForce: unknown
}

/**
 * @param started what the process was started with
 * @param newest valid settings
 * @returns the newest, with what was read at the start as it was then
 */
export function settingsInForce(
  started: SettingsObject,
  newest: SettingsObject,
): { readonly settings: SettingsObject; readonly waiting: readonly Waiting[] } {
  const waiting: Waiting[] = []
  const settings = structuredClone(newest)
  for (const path of AT_START) {
    const next = valueAt(newest, path)
    const inForce = valueAt(started, path)
    if (isDeepStrictEqual(unordered(next), unordered(inForce))) continue
    waiting.push({ path, next, inForce })
    put(settings, path, inForce)
  }
  return { settings, waiting }
}

type JsonObject = Record<string, unknown>

/** A list of names is the same list in any order. */
function unordered(value: unknown): unknown {
  return Array.isArray(value) ? new Set(value) : value
}

function valueAt(settings: SettingsObject, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as JsonObject | undefined)?.[key], settings)
}

function put(settings: object, [first, second]: Path, value: unknown): void {
  const fields = settings as JsonObject
  const [owner, key] = second === undefined ? [fields, first] : [fields[first] as JsonObject, second]
  if (value === undefined) delete owner[key]
  else owner[key] = value
}

/** `":9911" acts when Headgate is started again; until then ":9901" is in force` */
export function waitingMessage({ next, inForce }: Waiting): string {
  return `${valueText(next)} acts when Headgate is started again; until then ${valueText(inForce)} is in force`
}

const valueText = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))
