import { dirname, join, relative, resolve, sep } from 'node:path'
import type { Kind } from '../../api/kinds.ts'
import { formatMebibytes } from '../../lib/memory-budget.ts'
import { HoldOff } from '../hold-off.ts'
import { type FileStats, type ReadResult, readText, statOrNothing } from '../read-text.ts'
import type { Source, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import { LineIndex, locateInText } from '../yaml-text.ts'
import { displayPath } from './display-path.ts'
import { isIgnored, isManifest } from './file-name.ts'
import { FileState, type Patience } from './file-state.ts'
import { ObjectTable } from './object-table.ts'
import { type Walk, type WalkProblem, walk } from './walk.ts'
import { Watches, type WatchFolder } from './watches.ts'

export interface FolderOptions {
  /** Milliseconds between two looks at everything, for what the system does not report. Default 2,000. */
  readonly pollInterval?: number
  /** Milliseconds without a further change before files are read. Default 10. */
  readonly quiet?: number
  /** Milliseconds that a steady stream of changes may put that off. Default 50. */
  readonly maxHold?: number
  /** Milliseconds for which a version that looks half-written must stay as it is. Default 30. */
  readonly settle?: number
  /** Bytes of a file. Default 8 MiB. */
  readonly maxFileBytes?: number
  /** Bytes of all files together. Default 256 MiB. */
  readonly maxBytes?: number
  readonly maxFiles?: number
  /** Default `fs.watch`. */
  readonly watch?: WatchFolder
}

export const DEFAULTS = {
  pollInterval: 2_000,
  quiet: 10,
  maxHold: 50,
  settle: 30,
  maxFileBytes: 8 * 1024 * 1024,
  maxBytes: 256 * 1024 * 1024,
  maxFiles: 100_000,
}

/** A file that is written without end counts after this time. */
const PATIENCE_AT_MOST = 1_000

/** After a folder came back, its files may still be on their way into it: how long none of them counts as deleted. */
const RETURN_SETTLE = 500

/**
 * To find a place means to parse again: milliseconds that may go into it in a second; beyond, the object's own line
 * must do.
 */
const LOCATE_WITHIN = 150

/** A look at everything may take this share of the time between two: looking never eats the thread. */
const POLL_SHARE = 20

/** Resources from the YAML and JSON files below a folder, kept up to date. See `docs/cli.md` for what is read. */
export class FolderSource implements Source {
  readonly #root: string
  readonly #options: typeof DEFAULTS
  readonly #watches: Watches
  readonly #hold: HoldOff
  readonly #files = new Map<string, FileState>()
  readonly #table = new ObjectTable()
  #handler: SourceHandler | undefined
  #dirty = new Set<string>()
  #all = true
  /** Of all files. */
  #bytes = 0
  #folderProblems: readonly SourceProblem[] = []
  #told: readonly SourceProblem[] = []
  #known: ReadonlySet<string> = new Set()
  #troubled: ReadonlySet<string> = new Set()
  #missing = false
  #returned = Number.NEGATIVE_INFINITY
  #synced = false
  #stopped = false
  #locating = { since: Number.NEGATIVE_INFINITY, spent: 0 }
  #poll: NodeJS.Timeout | undefined
  #recheck: NodeJS.Timeout | undefined

  /** @param root the folder; it need not exist yet */
  constructor(root: string, options: FolderOptions = {}) {
    const { watch, ...numbers } = options
    this.#root = resolve(root)
    this.#options = { ...DEFAULTS, ...numbers }
    this.#watches = new Watches((folder, event, name) => this.#changed(folder, event, name), watch)
    this.#hold = new HoldOff(this.#options.quiet, this.#options.maxHold, () => this.#run())
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('a source is started once')
    this.#handler = handler
    this.#hold.now()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#poll)
    clearTimeout(this.#recheck)
    await this.#hold.close()
    // A run that was under way may have set them again.
    clearTimeout(this.#poll)
    clearTimeout(this.#recheck)
    this.#watches.close()
  }

  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined {
    const definition = this.#table.find(kind, key)
    if (definition === undefined) return undefined
    const { text, textLine, base, file } = definition
    const started = performance.now()
    if (started - this.#locating.since > 1_000) this.#locating = { since: started, spent: 0 }
    if (this.#locating.spent > LOCATE_WITHIN) return { file, line: definition.line, column: 1 }
    const { line, column } = new LineIndex(text).at(locateInText(text, [...base, ...path]))
    this.#locating.spent += performance.now() - started
    return { file, line: textLine + line, column }
  }

  /** One report of the system, which may be late, doubled or about something that is nobody's business. */
  #changed(folder: string, event: string, name: string | null): void {
    if (this.#stopped) return
    if (name !== null && !this.#known.has(folder)) {
      // A folder above: of interest is only the way down to the root.
      const below = relative(folder, this.#root).split(sep)[0]
      if (name !== below) return
    } else if (name !== null) {
      const path = join(folder, name)
      if (this.#files.has(path) && !this.#troubled.has(path)) {
        this.#dirty.add(path)
        this.#hold.hint()
        return
      }
      // The links and folders of a mounted ConfigMap are hidden by two dots, yet a swap of them changes what others
      // lead to.
      if (isIgnored(name) && !name.startsWith('..')) return
      // Writes to files that are no manifests, a log for instance.
      if (event === 'change' && !isManifest(name) && !this.#known.has(path)) return
      if (event === 'rename') this.#watches.forget(path)
    }
    this.#all = true
    this.#hold.hint()
  }

  async #run(): Promise<void> {
    const dirty = this.#dirty
    this.#dirty = new Set()
    // Whether a file is gone, and what is in its place, only its folder knows: such a look asks for all.
    if (!this.#all) for (const path of dirty) await this.#look(path, false)
    if (this.#all) {
      this.#all = false
      clearTimeout(this.#poll)
      const started = performance.now()
      await this.#lookAtAll(dirty)
      if (this.#stopped) return
      this.#pollIn(Math.max(this.#options.pollInterval, (performance.now() - started) * POLL_SHARE))
    }
    if (!this.#stopped) this.#publish()
  }

  #pollIn(pause: number): void {
    this.#poll = setTimeout(() => {
      this.#watches.retry()
      this.#all = true
      this.#hold.hint()
    }, pause)
  }

  async #lookAtAll(dirty: ReadonlySet<string>): Promise<void> {
    this.#watchAbove()
    const onFolder = (path: string, stats: FileStats) => this.#watches.ensure(path, stats)
    const found = await walk(this.#root, { onFolder, maxFiles: this.#options.maxFiles })
    if (this.#stopped) return
    if ('missing' in found) return this.#rootMissing(found.missing)
    if (this.#missing) this.#returned = performance.now()
    this.#missing = false
    this.#known = found.folders
    this.#troubled = new Set(found.problems.map(({ path }) => path))
    this.#watches.retain(new Set([...found.folders, this.#above()]))
    const folder = displayPath(this.#root)
    this.#folderProblems = [
      ...found.problems.map((problem) => this.#toProblem(problem)),
      ...(this.#watches.failure === null ? [] : [this.#watchProblem(folder, this.#watches.failure)]),
    ]
    for (const path of [...this.#files.keys()])
      if (!found.files.has(path) && !isUnknown(path, found)) await this.#look(path, true)
    for (const [path, signature] of found.files) {
      if (this.#stopped) return
      const state = this.#files.get(path)
      if (state?.signature !== signature || state.unsure || state.leaving || state.pending || dirty.has(path))
        await this.#look(path, true)
    }
  }

  /**
   * Reads one file and takes in what it says.
   *
   * @param walked what is there has just been established
   */
  async #look(path: string, walked: boolean): Promise<void> {
    const had = this.#files.get(path)?.bytes ?? 0
    const read = await this.#read(path, had)
    if (this.#stopped) return
    const absent = !read.ok && (read.gone || !read.regular)
    if (absent && !walked) {
      this.#all = true
      return
    }
    let state = this.#files.get(path)
    if (state === undefined) {
      if (absent) return
      state = new FileState(displayPath(path))
      this.#files.set(path, state)
    }
    const before = { definitions: state.definitions, leaving: state.leaving }
    const stays = await state.accept(read, this.#patience())
    this.#bytes += (stays ? state.bytes : 0) - had
    if (!stays) {
      this.#files.delete(path)
      this.#table.set(state.file, [])
      return
    }
    if (state.pending) this.#recheckSoon()
    if (before.definitions !== state.definitions || before.leaving !== state.leaving)
      this.#table.set(state.file, state.definitions, state.leaving)
  }

  /** @param had bytes of the version that counts */
  async #read(path: string, had: number): Promise<ReadResult> {
    const { maxFileBytes, maxBytes } = this.#options
    const room = Math.max(maxBytes - this.#bytes + had, 0)
    const read = await readText(path, Math.min(maxFileBytes, room))
    if (read.ok || read.gone || !read.regular || read.reason !== 'TooLarge' || room >= maxFileBytes) return read
    const message = `The files together have more than the ${formatMebibytes(maxBytes)} that are read; delete what is not needed, or raise the limit of memory.`
    return { ...read, message }
  }

  #patience(): Patience {
    const now = performance.now()
    // At the start there is nothing to protect: what can be read counts.
    if (!this.#synced) return { now, settle: 0, atMost: 0 }
    const returned = now - this.#returned < PATIENCE_AT_MOST
    return { now, settle: returned ? RETURN_SETTLE : this.#options.settle, atMost: PATIENCE_AT_MOST }
  }

  /** Versions that wait to be believed are read again once they had the time to change. */
  #recheckSoon(): void {
    if (this.#recheck !== undefined) return
    this.#recheck = setTimeout(() => {
      this.#recheck = undefined
      for (const [path, state] of this.#files) if (state.pending) this.#dirty.add(path)
      if (this.#dirty.size > 0) this.#hold.now()
    }, this.#options.settle)
  }

  #rootMissing(why: string): void {
    this.#missing = true
    const serving = this.#table.size
    const rest =
      serving > 0
        ? `Its last content keeps serving (${serving} object${serving === 1 ? '' : 's'}) until it is back.`
        : 'It is read as soon as it is there; create it or name another with --config.'
    const place = { file: displayPath(this.#root), line: 1, column: 1 }
    this.#folderProblems = [{ severity: 'error', reason: 'FolderMissing', message: `${why} ${rest}`, place }]
  }

  #publish(): void {
    const handler = this.#handler!
    const events = this.#table.flush()
    if (events.length > 0) handler.changed(events)
    const problems = [...this.#folderProblems, ...this.#table.contested()]
    for (const state of this.#files.values()) problems.push(...state.problems)
    problems.sort(byPlace)
    if (JSON.stringify(problems) !== JSON.stringify(this.#told)) {
      this.#told = problems
      handler.problems(problems)
    }
    if (this.#synced || this.#missing) return
    this.#synced = true
    handler.synced()
  }

  /** The nearest folder above the root that exists: there its coming, going and replacement is seen. */
  #above(): string {
    let path = dirname(this.#root)
    while (path !== dirname(path) && statOrNothing(path) === undefined) path = dirname(path)
    return path
  }

  #watchAbove(): void {
    const path = this.#above()
    const stats = statOrNothing(path)
    if (stats !== undefined && path !== this.#root) this.#watches.ensure(path, stats)
  }

  #toProblem({ path, ...problem }: WalkProblem): SourceProblem {
    return { ...problem, place: { file: displayPath(path), line: 1, column: 1 } }
  }

  #watchProblem(folder: string, failure: string): SourceProblem {
    const message = `${failure} Until then changes act after up to ${this.#options.pollInterval / 1_000} s.`
    return { severity: 'warning', reason: 'WatchUnavailable', message, place: { file: folder, line: 1, column: 1 } }
  }
}

function isUnknown(path: string, found: Walk): boolean {
  for (const place of found.unknown) if (path === place || path.startsWith(`${place}${sep}`)) return true
  return false
}

function byPlace(a: SourceProblem, b: SourceProblem): number {
  const one = a.place
  const other = b.place
  if (one === undefined || other === undefined) return 0
  if (one.file !== other.file) return one.file < other.file ? -1 : 1
  return one.line - other.line || one.column - other.column
}
