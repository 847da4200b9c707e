import type { Kind } from '../../api/kinds.ts'
import type { SourceLocation, SourceProblem } from '../source.ts'

/** The definition of one object in one file. */
export interface Definition {
  readonly kind: Kind
  /** `namespace/name`. */
  readonly key: string
  readonly raw: unknown
  /** Display path. */
  readonly file: string
  /** Line of its first character, from 1. */
  readonly line: number
  /** The part of the file from which it was parsed: sufficient to locate its fields. */
  readonly text: string
  /** Number of lines before `text`. */
  readonly textLine: number
  /** Path from the document in `text` to the object. */
  readonly base: readonly (string | number)[]
  /** About, that `raw` and this take. */
  readonly bytes: number
}

/** The content of one version of a file. */
export interface FileContent {
  readonly definitions: readonly Definition[]
  readonly problems: readonly SourceProblem[]
}

/** Identity of an object across kinds. */
export function objectId(object: { readonly kind: string; readonly key: string }): string {
  return `${object.kind} ${object.key}`
}

export function locationOf(definition: Definition): SourceLocation {
  return { file: definition.file, line: definition.line, column: 1 }
}
