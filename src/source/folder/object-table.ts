import { isDeepStrictEqual } from 'node:util'
import type { Kind } from '../../api/kinds.ts'
import type { SourceEvent, SourceProblem } from '../source.ts'
import { type Definition, locationOf, objectId } from './definition.ts'

interface FileObject {
  readonly definition: Definition
  /** Its file is absent and may be deleted: any other definition is preferred, without a conflict. */
  readonly missing: boolean
}

/** Maps objects to the files that define them, and files to events. Pure. */
export class ObjectTable {
  readonly #files = new Map<string, readonly Definition[]>()
  readonly #entries = new Map<string, FileObject[]>()
  readonly #emitted = new Map<string, Definition>()
  readonly #changed = new Set<string>()
  readonly #contested = new Set<string>()

  /**
   * Replaces the definitions of a file.
   *
   * @param file as in its definitions; decides their precedence, by code unit
   */
  set(file: string, definitions: readonly Definition[], missing = false): void {
    for (const id of new Set((this.#files.get(file) ?? []).map(objectId))) {
      const rest = this.#entries.get(id)!.filter((entry) => entry.definition.file !== file)
      if (rest.length === 0) this.#entries.delete(id)
      else this.#entries.set(id, rest)
      this.#changed.add(id)
    }
    if (definitions.length === 0) this.#files.delete(file)
    else this.#files.set(file, definitions)
    for (const definition of definitions) {
      const id = objectId(definition)
      const entries = this.#entries.get(id)
      if (entries === undefined) this.#entries.set(id, [{ definition, missing }])
      else entries.push({ definition, missing })
      this.#changed.add(id)
    }
  }

  /**
   * Returns the changes since the last call, at most one event per object and none for equal content.
   */
  flush(): SourceEvent[] {
    const events: SourceEvent[] = []
    for (const id of this.#changed) {
      const entries = this.#entries.get(id)?.sort(byPrecedence)
      if (entries !== undefined && entries.filter((entry) => !entry.missing).length > 1) this.#contested.add(id)
      else this.#contested.delete(id)
      const winner = entries?.[0]?.definition
      const emitted = this.#emitted.get(id)
      if (winner === undefined) {
        if (emitted !== undefined) events.push({ type: 'delete', kind: emitted.kind, key: emitted.key })
        this.#emitted.delete(id)
        continue
      }
      this.#emitted.set(id, winner)
      if (emitted !== undefined && isDeepStrictEqual(emitted.raw, winner.raw)) continue
      const { kind, key, raw, file, line } = winner
      events.push({ type: 'upsert', kind, key, raw, origin: { file, line } })
    }
    this.#changed.clear()
    return events
  }

  /** The effective definition of an object, as of the last flush. */
  find(kind: Kind, key: string): Definition | undefined {
    return this.#emitted.get(objectId({ kind, key }))
  }

  /** One problem per definition that another one precedes, as of the last flush. */
  contested(): SourceProblem[] {
    const problems: SourceProblem[] = []
    for (const id of this.#contested) {
      const [first, ...others] = this.#entries.get(id)!.filter((entry) => !entry.missing)
      for (const { definition } of others) problems.push(duplicateDefinition(first!.definition, definition))
    }
    return problems
  }

  /** Number of objects as of the last flush. */
  get size(): number {
    return this.#emitted.size
  }
}

function byPrecedence(a: FileObject, b: FileObject): number {
  if (a.missing !== b.missing) return a.missing ? 1 : -1
  if (a.definition.file !== b.definition.file) return a.definition.file < b.definition.file ? -1 : 1
  return a.definition.line - b.definition.line
}

function duplicateDefinition(first: Definition, other: Definition): SourceProblem {
  const { kind, key } = other
  const name = key.startsWith('/') ? key.slice(1) : key
  const message = `${kind} ${name} is already defined at ${first.file}:${first.line}, which comes first and is used; remove or rename one of them.`
  return { severity: 'error', reason: 'DefinedTwice', message, location: locationOf(other), object: { kind, key } }
}
