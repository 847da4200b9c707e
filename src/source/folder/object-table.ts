import { isDeepStrictEqual } from 'node:util'
import type { Kind } from '../../api/kinds.ts'
import type { SourceEvent, SourceProblem } from '../source.ts'
import { type Definition, idOf, placeOf } from './definition.ts'

interface FileObject {
  readonly definition: Definition
  /** Its file is about to go: any other definition is preferred, and there is no quarrel. */
  readonly leaving: boolean
}

/** Which file defines which object, and what of that has been told. Pure: files in, events out. */
export class ObjectTable {
  readonly #files = new Map<string, readonly Definition[]>()
  readonly #entries = new Map<string, FileObject[]>()
  readonly #told = new Map<string, Definition>()
  readonly #touched = new Set<string>()
  readonly #contested = new Set<string>()

  /**
   * Puts a file's definitions in place of those it had.
   *
   * @param file as its definitions name it; decides which comes first, by code unit
   */
  set(file: string, definitions: readonly Definition[], leaving = false): void {
    for (const id of new Set((this.#files.get(file) ?? []).map(idOf))) {
      const rest = this.#entries.get(id)!.filter((entry) => entry.definition.file !== file)
      if (rest.length === 0) this.#entries.delete(id)
      else this.#entries.set(id, rest)
      this.#touched.add(id)
    }
    if (definitions.length === 0) this.#files.delete(file)
    else this.#files.set(file, definitions)
    for (const definition of definitions) {
      const id = idOf(definition)
      const entries = this.#entries.get(id)
      if (entries === undefined) this.#entries.set(id, [{ definition, leaving }])
      else entries.push({ definition, leaving })
      this.#touched.add(id)
    }
  }

  /**
   * What is different since the last call, at most one event an object; an object with equal content is not told again.
   */
  flush(): SourceEvent[] {
    const events: SourceEvent[] = []
    for (const id of this.#touched) {
      const entries = this.#entries.get(id)?.sort(byPrecedence)
      if (entries !== undefined && entries.filter((entry) => !entry.leaving).length > 1) this.#contested.add(id)
      else this.#contested.delete(id)
      const winner = entries?.[0]?.definition
      const told = this.#told.get(id)
      if (winner === undefined) {
        if (told !== undefined) events.push({ type: 'delete', kind: told.kind, key: told.key })
        this.#told.delete(id)
        continue
      }
      this.#told.set(id, winner)
      if (told !== undefined && isDeepStrictEqual(told.raw, winner.raw)) continue
      const { kind, key, raw, file, line } = winner
      events.push({ type: 'upsert', kind, key, raw, origin: { file, line } })
    }
    this.#touched.clear()
    return events
  }

  /** What serves for an object, as of the last flush. */
  find(kind: Kind, key: string): Definition | undefined {
    return this.#told.get(idOf({ kind, key }))
  }

  /** One problem for each definition that does not count because another comes first, as of the last flush. */
  contested(): SourceProblem[] {
    const problems: SourceProblem[] = []
    for (const id of this.#contested) {
      const [first, ...others] = this.#entries.get(id)!.filter((entry) => !entry.leaving)
      for (const { definition } of others) problems.push(definedTwice(first!.definition, definition))
    }
    return problems
  }

  /** All objects as of the last flush. */
  get size(): number {
    return this.#told.size
  }
}

function byPrecedence(a: FileObject, b: FileObject): number {
  if (a.leaving !== b.leaving) return a.leaving ? 1 : -1
  if (a.definition.file !== b.definition.file) return a.definition.file < b.definition.file ? -1 : 1
  return a.definition.line - b.definition.line
}

function definedTwice(first: Definition, other: Definition): SourceProblem {
  const { kind, key } = other
  const name = key.startsWith('/') ? key.slice(1) : key
  const message = `${kind} ${name} is already defined at ${first.file}:${first.line}, which comes first and is used; remove or rename one of them.`
  return { severity: 'error', reason: 'DefinedTwice', message, place: placeOf(other), object: { kind, key } }
}
