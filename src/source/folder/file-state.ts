/** The state of one file across its versions; decides when a new version is accepted. */
import { runInSlices, type SliceClock } from '../../lib/time-slice.ts'
import type { ReadResult } from '../read-text.ts'
import type { SourceProblem, SourceProblemReason } from '../source.ts'
import { certificateBytes, heldBytes, noRoom } from './bounds.ts'
import { type Definition, objectId } from './definition.ts'
import { isManifest } from './file-name.ts'
import { type ParseCache, parseFile } from './parse-file.ts'

/** How long a version that may be half-written must stay unchanged before it is accepted. */
export interface SettlePolicy {
  readonly now: number
  /** Milliseconds without a further change. */
  readonly settle: number
  /** Milliseconds after which a file that changes continuously is accepted. */
  readonly maxDelay: number
  /** Bytes that the file may take, see {@link FileState.held}. */
  readonly room: number
}

interface PendingVersion {
  readonly signature: string
  readonly since: number
  readonly first: number
}

export class FileState {
  /** Display path. */
  readonly file: string
  definitions: readonly Definition[] = []
  problems: readonly SourceProblem[] = []
  /** Signature of the accepted version, see `identify`. */
  signature = ''
  /** A later write may have left the same signature: read the file again even if the signature is unchanged. */
  racy = false
  /** The file is absent; it may be about to be replaced. */
  missing = false
  /** Bytes that a version would take for which there was no room; 0: there was. */
  wanted = 0
  readonly #time: SliceClock
  #held = 0
  #text: string | null = null
  #cache: ParseCache = new Map()
  #pendingVersion: PendingVersion | null = null

  constructor(file: string, time: SliceClock) {
    this.file = file
    this.#time = time
  }

  /** The accepted version; null where there is none, or its text cannot be used. */
  get text(): string | null {
    return this.#text
  }

  /** Approximate size of the accepted text. */
  get bytes(): number {
    return this.#text?.length ?? 0
  }

  /** Bytes, about, that its text and what was read from it take; of the last good version where that is kept. */
  get held(): number {
    return this.#held
  }

  /** True while a version waits to be accepted: read the file again after the settle time. */
  get pending(): boolean {
    return this.#pendingVersion !== null
  }

  /**
   * Processes a read of the file and updates `definitions` and `problems`.
   *
   * @returns false when the file has been deleted
   */
  async accept(read: ReadResult, policy: SettlePolicy): Promise<boolean> {
    if (!read.ok && (read.gone || !read.regular)) {
      this.missing = true
      return !this.#isSettled('gone', policy)
    }
    this.missing = false
    if (!read.ok) {
      if (this.#isSettled(read.signature, policy)) this.#reject(read.reason, read.message, read.signature)
      return true
    }
    this.racy = read.racy
    if (read.text === this.#text) this.#pendingVersion = null
    else await this.#parse(read.text, read.signature, policy)
    this.signature = read.signature
    return true
  }

  async #parse(text: string, signature: string, policy: SettlePolicy): Promise<void> {
    // Parts of a certificate are put together elsewhere.
    if (!isManifest(this.file)) {
      if ((text === '' || looksTruncated(this.file, text)) && !this.#isSettled(signature, policy)) return
      this.#pendingVersion = null
      this.#text = text
      this.#held = certificateBytes(text)
      this.problems = []
      return
    }
    if (text === '' && this.definitions.length > 0) {
      if (!this.#isSettled(signature, policy)) return
      return this.#reject(
        'Empty',
        'The file is empty: it may be half-written, or the disk may be full. Delete it to remove its objects.',
        signature,
      )
    }
    const parsed = await runInSlices(parseFile(this.file, text, this.#cache), this.#time)
    const faulty = parsed.problems.some((problem) => problem.severity === 'error')
    const present = new Set(parsed.definitions.map(objectId))
    const lost = this.definitions.filter((definition) => !present.has(objectId(definition)))
    const doubtful = faulty || lost.length > 0 || looksTruncated(this.file, text)
    if (doubtful && !this.#isSettled(signature, policy)) return
    // Objects in a part that cannot be parsed are kept.
    const held = heldBytes(text, faulty ? [...parsed.definitions, ...lost] : parsed.definitions, parsed.problems)
    if (held > policy.room && held > this.#held) {
      this.#reject('TooLarge', noRoom(held, policy.room), signature)
      this.wanted = held
      return
    }
    this.wanted = 0
    this.#held = held
    this.#pendingVersion = null
    this.#text = text
    this.#cache = parsed.cache
    // Objects in a part that cannot be parsed are not known to be deleted.
    this.definitions = faulty ? [...parsed.definitions, ...lost] : parsed.definitions
    this.problems = faulty && lost.length > 0 ? withKeptObjects(parsed.problems, lost) : parsed.problems
  }

  /** The version cannot be used as a whole; the previous definitions stay. */
  #reject(reason: SourceProblemReason, message: string, signature: string): void {
    this.#pendingVersion = null
    this.wanted = 0
    this.#text = null
    this.signature = signature
    const location = { file: this.file, line: 1, column: 1 }
    const problem: SourceProblem = { severity: 'error', reason, message, location }
    this.problems = this.definitions.length > 0 ? withKeptObjects([problem], this.definitions) : [problem]
  }

  #isSettled(signature: string, { now, settle, maxDelay }: SettlePolicy): boolean {
    const pendingVersion = this.#pendingVersion
    const first = pendingVersion?.first ?? now
    const since = pendingVersion?.signature === signature ? pendingVersion.since : now
    if (now - since >= settle || now - first >= maxDelay) {
      this.#pendingVersion = null
      return true
    }
    this.#pendingVersion = { signature, since, first }
    return false
  }
}

/** Programs write in blocks, and text ends with a newline: any other text may be incomplete. */
function looksTruncated(file: string, text: string): boolean {
  if (text.length > 0 && text.length % 4_096 === 0) return true
  return !text.endsWith('\n') && !/\.json$/i.test(file)
}

function withKeptObjects(problems: readonly SourceProblem[], kept: readonly Definition[]): SourceProblem[] {
  const names = kept.slice(0, 3).map((definition) => `${definition.kind} ${definition.key}`)
  const more = kept.length > 3 ? ` and ${kept.length - 3} more` : ''
  const note = `Until then the last good version keeps serving: ${names.join(', ')}${more}.`
  const first = problems.findIndex((problem) => problem.severity === 'error')
  return problems.map((problem, i) => (i === first ? { ...problem, message: `${problem.message} ${note}` } : problem))
}
