/** A finding about manifests or settings, and its format. */
import { type FieldProblem, formatPath } from '../api/object.ts'
import type { Definition } from '../source/folder/definition.ts'
import type { SettingsProblem } from '../source/settings.ts'
import type { SourceProblem } from '../source/source.ts'
import { LineIndex, locatorOf } from '../source/yaml-text.ts'

export interface Finding {
  readonly severity: 'error' | 'warning'
  readonly file: string
  /** From 1, as is `column`. */
  readonly line: number
  readonly column: number
  readonly object?: { readonly kind: string; readonly namespace: string; readonly name: string }
  /** `spec.rules[0].name`; empty for a finding about the whole object or file. */
  readonly field: string
  readonly reason: string
  /** The error and the remedy. */
  readonly message: string
}

export function fromSource(problem: SourceProblem): Finding {
  const { severity, reason, message, object } = problem
  const { file, line, column } = problem.location ?? { file: '', line: 1, column: 1 }
  return { severity, file, line, column, ...objectOf(object), field: '', reason, message }
}

/** A finding about a field of an object. */
export function fromField(
  severity: Finding['severity'],
  definition: Definition,
  problem: Pick<FieldProblem, 'path' | 'message'> & { readonly reason: string },
): Finding {
  const { reason, message, path } = problem
  return { severity, ...locate(definition, path), ...objectOf(definition), field: formatPath(path), reason, message }
}

/** A finding about a whole object, located at its name. */
export function aboutObject(definition: Definition, reason: string, message: string): Finding {
  const location = locate(definition, ['metadata', 'name'])
  return { severity: 'warning', ...location, ...objectOf(definition), field: '', reason, message }
}

export function fromSettings(severity: Finding['severity'], problem: SettingsProblem): Finding {
  const { where, field, reason, message } = problem
  const location = /^(?<file>.*):(?<line>\d+):(?<column>\d+)$/.exec(where)?.groups
  const file = location?.file ?? where
  return {
    severity,
    file,
    line: Number(location?.line ?? 1),
    column: Number(location?.column ?? 1),
    field,
    reason,
    message,
  }
}

/** Of the object that was located in last: it may have thousands of findings, and each would parse it again. */
let last: { readonly text: string; readonly lines: LineIndex; readonly offsetOf: ReturnType<typeof locatorOf> } | null =
  null

function locate({ file, text, textLine, base }: Definition, path: readonly (string | number)[]) {
  if (last === null || last.text !== text) last = { text, lines: new LineIndex(text), offsetOf: locatorOf(text) }
  const { line, column } = last.lines.at(last.offsetOf([...base, ...path]))
  return { file, line: textLine + line, column }
}

function objectOf(object: { readonly kind: string; readonly key: string } | undefined) {
  if (object === undefined) return {}
  const slash = object.key.indexOf('/')
  return { object: { kind: object.kind, namespace: object.key.slice(0, slash), name: object.key.slice(slash + 1) } }
}

/** `shop/route.yaml:12:5: error: Route shop/api: spec.rules[0].name: must be given (Required)` */
export function formatFinding({ severity, file, line, column, object, field, reason, message }: Finding): string {
  const location = file === '' ? '' : `${file}:${line}:${column}: `
  const name =
    object === undefined
      ? ''
      : `${object.kind} ${object.namespace === '' ? '' : `${object.namespace}/`}${object.name}: `
  return `${location}${severity}: ${name}${field === '' ? '' : `${field}: `}${message} (${reason})`
}

/** Sorts by location; findings at the same location keep their order. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((a, b) =>
    a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column,
  )
}
