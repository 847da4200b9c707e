/**
 * Composes the settings of the installation from the settings file, flags that override it, and the schema's defaults,
 * and records the origin of each value.
 */
import { type FieldProblem, formatPath } from '../api/object.ts'
import type { SettingsObject } from '../api/settings.ts'
import { readText } from './read-text.ts'
import type { SourceProblem } from './source.ts'
import { LineIndex, locateInText, parseJson, parseYaml } from './yaml-text.ts'

type Path = readonly (string | number)[]

/**
 * One value set by a flag. Plain data: the control thread receives it and applies it again when the file changes.
 */
export interface SettingsOverride {
  /** The flag as given, for example `--admin :9901`. */
  readonly flag: string
  /** Path in the settings; the step after a list is the `name` of an item, which is added if absent. */
  readonly path: readonly string[]
  /** `null` removes the value of the file. */
  readonly value: string | number | boolean | null
}

/** The part of the validator used here. */
export interface SettingsChecker {
  checkSettings(
    raw: unknown,
  ):
    | { readonly ok: true; readonly object: SettingsObject; readonly warnings: readonly FieldProblem[] }
    | { readonly ok: false; readonly problems: readonly FieldProblem[] }
}

/** The origin of a value of the settings; `null` for a default. */
export type SettingsOrigin = { readonly flag: string } | { readonly file: string; readonly line: number } | null

export type OriginOf = (path: Path) => SettingsOrigin

/** `default`, `settings.yaml:3`, `--admin :9901` */
export function originText(origin: SettingsOrigin): string {
  if (origin === null) return 'default'
  return 'flag' in origin ? origin.flag : `${origin.file}:${origin.line}`
}

export type SettingsResult =
  | {
      readonly ok: true
      readonly settings: SettingsObject
      readonly warnings: readonly SettingsProblem[]
      readonly originOf: OriginOf
    }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[] }

export interface SettingsProblem {
  /** File, line and column, or the flag. */
  readonly where: string
  /** Field; empty for a problem of the whole file. */
  readonly field: string
  readonly reason: FieldProblem['reason'] | SourceProblem['reason']
  readonly message: string
}

/** `settings.yaml:3:1: limits.headers: must be a number (Type)` */
export function formatSettingsProblem({ where, field, reason, message }: SettingsProblem): string {
  return `${where}: ${field === '' ? '' : `${field}: `}${message} (${reason})`
}

/** Sufficient for a file written by hand. */
const MAX_BYTES = 1024 * 1024

/** The text of a settings file, or the problem of reading it. */
export type SettingsText =
  | { readonly ok: true; readonly file: string; readonly text: string; readonly signature: string }
  | { readonly ok: false; readonly problem: SettingsProblem; readonly signature: string }

/** @param file display path */
export async function readSettingsText(path: string, file: string): Promise<SettingsText> {
  const read = await readText(path, MAX_BYTES)
  if (read.ok) return { ok: true, file, text: read.text, signature: read.signature }
  const fail = (reason: SourceProblem['reason'], message: string, signature: string): SettingsText => ({
    ok: false,
    problem: { where: file, field: '', reason, message },
    signature,
  })
  if (read.gone) return fail('Unreadable', 'The settings file does not exist; correct --settings or omit it.', '')
  if (!read.regular) return fail('Unreadable', `This is ${read.kind}, not a file.`, '')
  return fail(read.reason, read.message, read.signature)
}

/**
 * Applies flags over the file over the defaults.
 *
 * @param source null without a file
 */
export function composeSettings(
  source: { readonly file: string; readonly text: string } | null,
  overrides: readonly SettingsOverride[],
  checker: SettingsChecker,
): SettingsResult {
  const parsed = source === null ? { raw: {}, problems: [], base: 0 } : parse(source.file, source.text)
  if (parsed.problems.length > 0) return { ok: false, problems: parsed.problems }
  const merged = structuredClone(parsed.raw)
  const flags = new Map<string, string>()
  for (const override of overrides)
    for (const path of apply(merged, override)) flags.set(formatPath(path), override.flag)

  const locate = (path: Path) => {
    const offset = locateInText(source!.text, path)
    return new LineIndex(source!.text).at(offset)
  }
  const flagOf = (path: Path) => flags.get(formatPath(path))
  const toProblem = ({ path, reason, message }: FieldProblem): SettingsProblem => {
    const flag = flagOf(path)
    const at = flag === undefined && source !== null ? locate(path) : undefined
    const where = flag ?? (at === undefined ? 'settings' : `${source!.file}:${at.line}:${at.column}`)
    return { where, field: formatPath(path), reason, message }
  }

  const checked = checker.checkSettings(merged)
  if (!checked.ok) return { ok: false, problems: checked.problems.map(toProblem) }
  const originOf: OriginOf = (path) => {
    const flag = flagOf(path)
    if (flag !== undefined) return { flag }
    return source !== null && has(parsed.raw, path) ? { file: source.file, line: locate(path).line } : null
  }
  return { ok: true, settings: checked.object, warnings: checked.warnings.map(toProblem), originOf }
}

function parse(file: string, text: string): { raw: Record<string, unknown>; problems: SettingsProblem[] } {
  const { documents, errors } = /\.json$/i.test(file) ? parseJson(text) : parseYaml(text)
  const lines = new LineIndex(text)
  const at = (offset: number) => {
    const { line, column } = lines.at(offset)
    return `${file}:${line}:${column}`
  }
  const problems = errors.map(
    ({ offset, reason, message }): SettingsProblem => ({ where: at(offset), field: '', reason, message }),
  )
  const [first, second] = documents
  if (second !== undefined) {
    const message = 'A settings file has one document; this is a second one.'
    problems.push({ where: at(second.offset), field: '', reason: 'Syntax', message })
  }
  if (first === undefined || problems.length > 0) return { raw: {}, problems }
  const { value } = first
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return { raw: value as Record<string, unknown>, problems }
  const message = 'Settings are a mapping of fields, such as `listeners: […]`.'
  return { raw: {}, problems: [{ where: at(first.offset), field: '', reason: 'Type', message }] }
}

/**
 * @returns paths of the set values in the merged settings, with indexes, including the name of an added item
 */
function apply(settings: Record<string, unknown>, { path, value }: SettingsOverride): Path[] {
  const real: (string | number)[] = []
  const added: Path[] = []
  let node: unknown = settings
  for (const [i, step] of path.entries()) {
    const last = i === path.length - 1
    if (Array.isArray(node)) {
      let index = node.findIndex((item: unknown) => (item as { name?: unknown } | null)?.name === step)
      if (index === -1) {
        index = node.push({ name: step }) - 1
        added.push([...real, index, 'name'])
      }
      real.push(index)
      node = node[index]
      continue
    }
    if (typeof node !== 'object' || node === null) return added
    const fields = node as Record<string, unknown>
    real.push(step)
    if (last && value === null) delete fields[step]
    else if (last) fields[step] = value
    // Only `listeners` is a list of named items; a value of the wrong type is left for validation to reject.
    else fields[step] ??= step === 'listeners' ? [] : {}
    node = fields[step]
  }
  return [...added, real]
}

function has(value: unknown, path: Path): boolean {
  let node = value
  for (const step of path) {
    if (typeof node !== 'object' || node === null || !(step in node)) return false
    node = (node as Record<string | number, unknown>)[step]
  }
  return true
}
