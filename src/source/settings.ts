/**
 * The installation's settings: a file, flags over it, the schema's defaults below both, and for each value where it
 * comes from.
 */
import { type FieldProblem, formatPath } from '../api/object.ts'
import type { SettingsObject } from '../api/settings.ts'
import { readText } from './read-text.ts'
import type { SourceProblem } from './source.ts'
import { LineIndex, locateInText, parseJson, parseYaml } from './yaml-text.ts'

type Path = readonly (string | number)[]

/**
 * One value that a flag sets. Plain data: it is handed to the control thread, which applies it again when the file
 * changes.
 */
export interface SettingsOverride {
  /** As the user wrote it, for example `--admin :9901`. */
  readonly flag: string
  /** Where in the settings; a text after a list is the `name` of an item, which is added where there is none. */
  readonly path: readonly string[]
  /** `null` takes away what the file says. */
  readonly value: string | number | boolean | null
}

/** The part of the validator that is needed here. */
export interface SettingsChecker {
  checkSettings(
    raw: unknown,
  ):
    | { readonly ok: true; readonly object: SettingsObject; readonly warnings: readonly FieldProblem[] }
    | { readonly ok: false; readonly problems: readonly FieldProblem[] }
}

/** Where the value at a path of the settings was said; `null` for a default. */
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
  /** Field, or empty where the file as a whole is meant. */
  readonly field: string
  readonly reason: FieldProblem['reason'] | SourceProblem['reason']
  readonly message: string
}

/** `settings.yaml:3:1: limits.headers: must be a number (Type)` */
export function formatSettingsProblem({ where, field, reason, message }: SettingsProblem): string {
  return `${where}: ${field === '' ? '' : `${field}: `}${message} (${reason})`
}

/** Settings are written by hand. */
const MAX_BYTES = 1024 * 1024

/** The text of a settings file, or why there is none. */
export type SettingsText =
  | { readonly ok: true; readonly file: string; readonly text: string; readonly signature: string }
  | { readonly ok: false; readonly problem: SettingsProblem; readonly signature: string }

/** @param file as it is shown to a person */
export async function readSettingsText(path: string, file: string): Promise<SettingsText> {
  const read = await readText(path, MAX_BYTES)
  if (read.ok) return { ok: true, file, text: read.text, signature: read.signature }
  const fail = (reason: SourceProblem['reason'], message: string, signature: string): SettingsText => ({
    ok: false,
    problem: { where: file, field: '', reason, message },
    signature,
  })
  if (read.gone) return fail('Unreadable', 'The settings file does not exist; correct --settings or leave it out.', '')
  if (!read.regular) return fail('Unreadable', `This is ${read.kind}, not a file.`, '')
  return fail(read.reason, read.message, read.signature)
}

/**
 * Puts flags over a file over the defaults.
 *
 * @param source null where no file is named
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
    const message = 'Settings are one document; this is a second one.'
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
 * @returns paths of what was set, as they are in the merged settings, with indexes; the name of an item that was added,
 *   too
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
    // What a list of named items is, only `listeners` is; a value of the wrong type is left for validation to refuse.
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
