import type { Kind } from '../../api/kinds.ts'
import type { SourceLocation, SourceProblem } from '../source.ts'

/** One object as one file defines it. */
export interface Definition {
  readonly kind: Kind
  /** `namespace/name`. */
  readonly key: string
  readonly raw: unknown
  /** As it is shown to a person. */
  readonly file: string
  /** Of its first character, from 1. */
  readonly line: number
  /** The piece of the file it was parsed from: enough to find a field of it again. */
  readonly text: string
  /** Lines of the file before `text`. */
  readonly textLine: number
  /** Steps from the document in `text` to the object. */
  readonly base: readonly (string | number)[]
}

/** What one version of a file says. */
export interface FileContent {
  readonly definitions: readonly Definition[]
  readonly problems: readonly SourceProblem[]
}

/** Identity of an object over all kinds. */
export function idOf(object: { readonly kind: string; readonly key: string }): string {
  return `${object.kind} ${object.key}`
}

export function placeOf(definition: Definition): SourceLocation {
  return { file: definition.file, line: definition.line, column: 1 }
}
