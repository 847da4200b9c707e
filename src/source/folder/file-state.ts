/** What is known about one file over its versions, and when a new version is believed. */
import type { ReadResult } from '../read-text.ts'
import type { SourceProblem, SourceProblemReason } from '../source.ts'
import { type Definition, idOf } from './definition.ts'
import { inTurns, type ParseMemory, parseFile } from './parse-file.ts'

/** How long a version that looks half-written must stay as it is before it counts. */
export interface Patience {
  readonly now: number
  /** Milliseconds without a further change. */
  readonly settle: number
  /** A file that is written to without end counts after so many milliseconds all the same. */
  readonly atMost: number
}

interface Candidate {
  readonly signature: string
  readonly since: number
  readonly first: number
}

export class FileState {
  /** As it is shown to a person. */
  readonly file: string
  definitions: readonly Definition[] = []
  problems: readonly SourceProblem[] = []
  /** Of the version that counts, see `identify`. */
  signature = ''
  /** A further write may have left the same signature: read it again although nothing seems to have changed. */
  unsure = false
  /** The file is not there at the moment; it may be about to be written anew. */
  leaving = false
  #text: string | null = null
  #memory: ParseMemory = new Map()
  #candidate: Candidate | null = null

  constructor(file: string) {
    this.file = file
  }

  /** Of the text that counts, about. */
  get bytes(): number {
    return this.#text?.length ?? 0
  }

  /** True while a version waits to be believed: look at the file again after the settle time. */
  get pending(): boolean {
    return this.#candidate !== null
  }

  /**
   * Takes in what was read. `definitions` and `problems` then hold what counts.
   *
   * @returns false when the file has vanished for good
   */
  async accept(read: ReadResult, patience: Patience): Promise<boolean> {
    if (!read.ok && (read.gone || !read.regular)) {
      this.leaving = true
      return !this.#settled('gone', patience)
    }
    this.leaving = false
    if (!read.ok) {
      if (this.#settled(read.signature, patience)) this.#refuse(read.reason, read.message, read.signature)
      return true
    }
    this.unsure = read.unsure
    if (read.text === this.#text) this.#candidate = null
    else await this.#parse(read.text, read.signature, patience)
    this.signature = read.signature
    return true
  }

  async #parse(text: string, signature: string, patience: Patience): Promise<void> {
    if (text === '' && this.definitions.length > 0) {
      if (!this.#settled(signature, patience)) return
      return this.#refuse(
        'Empty',
        'The file is empty, as if it were just being written or the disk were full; delete it to remove its objects.',
        signature,
      )
    }
    const parsed = await inTurns(parseFile(this.file, text, this.#memory))
    const faulty = parsed.problems.some((problem) => problem.severity === 'error')
    const present = new Set(parsed.definitions.map(idOf))
    const lost = this.definitions.filter((definition) => !present.has(idOf(definition)))
    const doubtful = faulty || lost.length > 0 || looksCut(this.file, text)
    if (doubtful && !this.#settled(signature, patience)) return
    this.#candidate = null
    this.#text = text
    this.#memory = parsed.memory
    // What stands in a part that cannot be read is not known to be gone.
    this.definitions = faulty ? [...parsed.definitions, ...lost] : parsed.definitions
    this.problems = faulty && lost.length > 0 ? withKept(parsed.problems, lost) : parsed.problems
  }

  /** The version as a whole cannot be used; what the file defined stays. */
  #refuse(reason: SourceProblemReason, message: string, signature: string): void {
    this.#candidate = null
    this.#text = null
    this.signature = signature
    const place = { file: this.file, line: 1, column: 1 }
    const problem: SourceProblem = { severity: 'error', reason, message, place }
    this.problems = this.definitions.length > 0 ? withKept([problem], this.definitions) : [problem]
  }

  #settled(signature: string, { now, settle, atMost }: Patience): boolean {
    const candidate = this.#candidate
    const first = candidate?.first ?? now
    const since = candidate?.signature === signature ? candidate.since : now
    if (now - since >= settle || now - first >= atMost) {
      this.#candidate = null
      return true
    }
    this.#candidate = { signature, since, first }
    return false
  }
}

/** Writers fill a file in blocks, and text ends with a newline: anything else may be the first part of more to come. */
function looksCut(file: string, text: string): boolean {
  if (text.length > 0 && text.length % 4_096 === 0) return true
  return !text.endsWith('\n') && !/\.json$/i.test(file)
}

function withKept(problems: readonly SourceProblem[], kept: readonly Definition[]): SourceProblem[] {
  const names = kept.slice(0, 3).map((definition) => `${definition.kind} ${definition.key}`)
  const more = kept.length > 3 ? ` and ${kept.length - 3} more` : ''
  const note = `Until then the last good version keeps serving: ${names.join(', ')}${more}.`
  const first = problems.findIndex((problem) => problem.severity === 'error')
  return problems.map((problem, i) => (i === first ? { ...problem, message: `${problem.message} ${note}` } : problem))
}
