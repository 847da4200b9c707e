import { dirname, join, relative, resolve, sep } from 'node:path'
import type { Kind } from '../../api/kinds.ts'
import type { TimerClock } from '../../lib/clock.ts'
import { HoldOff } from '../hold-off.ts'
import { type FileStats, type ReadResult, readText, tryStat } from '../read-text.ts'
import type { Source, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import { LineIndex, locateInText } from '../yaml-text.ts'
import { allTooLarge } from './bounds.ts'
import { CertificateFiles } from './certificate-files.ts'
import { displayPath } from './display-path.ts'
import { isCertificatePart, isIgnored, isRead } from './file-name.ts'
import { FileState, type SettlePolicy } from './file-state.ts'
import { FolderWatcher, type WatchFolder } from './folder-watcher.ts'
import { ObjectTable } from './object-table.ts'
import { type FolderScan, type WalkProblem, walk } from './walk.ts'

export interface FolderOptions {
  /** Milliseconds between two scans, for changes that the system does not report. Default 2,000. */
  readonly pollInterval?: number
  /** Milliseconds without a further change before files are read. Default 10. */
  readonly quiet?: number
  /** Milliseconds by which a steady stream of changes may delay that. Default 50. */
  readonly maxHold?: number
  /** Milliseconds for which a version that may be half-written must stay unchanged. Default 30. */
  readonly settle?: number
  /** Maximum bytes of a file. Default 8 MiB. */
  readonly maxFileBytes?: number
  /** Maximum bytes of all files. Default 256 MiB. */
  readonly maxBytes?: number
  /** Maximum bytes that all files take when they are read. Default 1 GiB. */
  readonly maxHeldBytes?: number
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
  maxHeldBytes: 1024 * 1024 * 1024,
  maxFiles: 100_000,
}

/** A file that changes continuously is accepted after this time. */
const MAX_SETTLE = 1_000

/** Settle time after the folder has reappeared, since its files may still be copied into it. */
const RETURN_SETTLE = 500

/**
 * To locate a field the file is parsed again: milliseconds per second that this may take. Beyond that, the object's
 * first line is reported.
 */
const LOCATE_BUDGET = 150

/** The interval between two scans is at least this multiple of the duration of a scan. */
const POLL_FACTOR = 20

/** Reads resources from the YAML and JSON files below a folder and watches them; `docs/cli.md` describes the rules. */
export class FolderSource implements Source {
  readonly #root: string
  readonly #time: TimerClock
  readonly #options: typeof DEFAULTS
  readonly #watcher: FolderWatcher
  readonly #holdOff: HoldOff
  readonly #files = new Map<string, FileState>()
  readonly #table = new ObjectTable()
  readonly #certificates: CertificateFiles
  #handler: SourceHandler | undefined
  #dirty = new Set<string>()
  #scanDue = true
  /** Bytes of all files. */
  #bytes = 0
  /** What they take when they are read. */
  #held = 0
  #folderProblems: readonly SourceProblem[] = []
  #reportedProblems: readonly SourceProblem[] = []
  #knownFolders: ReadonlySet<string> = new Set()
  #problemPaths: ReadonlySet<string> = new Set()
  #missing = false
  #returned = Number.NEGATIVE_INFINITY
  #synced = false
  #stopped = false
  #locating = { since: Number.NEGATIVE_INFINITY, spent: 0 }
  #cancelPoll = (): void => {}
  #cancelRecheck: (() => void) | undefined

  /** @param root the folder; it need not exist yet */
  constructor(root: string, time: TimerClock, options: FolderOptions = {}) {
    const { watch, ...numbers } = options
    this.#root = resolve(root)
    this.#certificates = new CertificateFiles(this.#root)
    this.#time = time
    this.#options = { ...DEFAULTS, ...numbers }
    this.#watcher = new FolderWatcher((folder, event, name) => this.#changed(folder, event, name), watch)
    this.#holdOff = new HoldOff(time, this.#options.quiet, this.#options.maxHold, () => this.#run())
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('the source is started already')
    this.#handler = handler
    this.#holdOff.now()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelPoll()
    this.#cancelRecheck?.()
    await this.#holdOff.close()
    // A concurrent run may have set them again.
    this.#cancelPoll()
    this.#cancelRecheck?.()
    this.#watcher.close()
  }

  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined {
    const definition = this.#table.find(kind, key)
    if (definition === undefined) return undefined
    const { text, textLine, base, file } = definition
    const started = this.#time.monotonic()
    if (started - this.#locating.since > 1_000) this.#locating = { since: started, spent: 0 }
    if (this.#locating.spent > LOCATE_BUDGET) return { file, line: definition.line, column: 1 }
    const { line, column } = new LineIndex(text).at(locateInText(text, [...base, ...path]))
    this.#locating.spent += this.#time.monotonic() - started
    return { file, line: textLine + line, column }
  }

  /** Handles a notification of the system, which may be late, repeated or irrelevant. */
  #changed(folder: string, event: string, name: string | null): void {
    if (this.#stopped) return
    if (name !== null && !this.#knownFolders.has(folder)) {
      // In a parent folder only the path down to the root is relevant.
      const below = relative(folder, this.#root).split(sep)[0]
      if (name !== below) return
    } else if (name !== null) {
      const path = join(folder, name)
      if (this.#files.has(path) && !this.#problemPaths.has(path)) {
        this.#dirty.add(path)
        this.#holdOff.hint()
        return
      }
      // The links and folders of a mounted ConfigMap begin with two dots and are ignored, but replacing them changes
      // the targets of other links.
      if (isIgnored(name) && !name.startsWith('..')) return
      // Writes to other files, such as logs.
      if (event === 'change' && !isRead(name) && !this.#knownFolders.has(path)) return
      if (event === 'rename') this.#watcher.forget(path)
    }
    this.#scanDue = true
    this.#holdOff.hint()
  }

  async #run(): Promise<void> {
    const dirty = this.#dirty
    this.#dirty = new Set()
    // Only a scan detects whether a file was deleted or replaced: reading an absent file requests one.
    if (!this.#scanDue) for (const path of dirty) await this.#readFile(path, false)
    if (this.#scanDue) {
      this.#scanDue = false
      this.#cancelPoll()
      const started = this.#time.monotonic()
      await this.#scan(dirty)
      if (this.#stopped) return
      this.#schedulePoll(Math.max(this.#options.pollInterval, (this.#time.monotonic() - started) * POLL_FACTOR))
    }
    if (!this.#stopped) this.#publish()
  }

  #schedulePoll(pause: number): void {
    this.#cancelPoll = this.#time.after(pause, () => {
      this.#watcher.retry()
      this.#scanDue = true
      this.#holdOff.hint()
    })
  }

  async #scan(dirty: ReadonlySet<string>): Promise<void> {
    this.#watchAncestor()
    const onFolder = (path: string, stats: FileStats) => this.#watcher.ensure(path, stats)
    const found = await walk(this.#root, { onFolder, maxFiles: this.#options.maxFiles })
    if (this.#stopped) return
    if ('missing' in found) return this.#rootMissing(found.missing)
    if (this.#missing) this.#returned = this.#time.monotonic()
    this.#missing = false
    this.#knownFolders = found.folders
    this.#problemPaths = new Set(found.problems.map(({ path }) => path))
    this.#watcher.retain(new Set([...found.folders, this.#nearestAncestor()]))
    const folder = displayPath(this.#root)
    this.#folderProblems = [
      ...found.problems.map((problem) => this.#toProblem(problem)),
      ...(this.#watcher.failure === null ? [] : [this.#watchProblem(folder, this.#watcher.failure)]),
    ]
    for (const path of [...this.#files.keys()])
      if (!found.files.has(path) && !isUnknown(path, found)) await this.#readFile(path, true)
    for (const [path, signature] of found.files) {
      if (this.#stopped) return
      const state = this.#files.get(path)
      if (
        state?.signature !== signature ||
        state.racy ||
        state.missing ||
        state.pending ||
        dirty.has(path) ||
        this.#hasRoomNow(state)
      )
        await this.#readFile(path, true)
    }
  }

  /**
   * Reads one file and updates its state.
   *
   * @param walked true right after a scan
   */
  async #readFile(path: string, walked: boolean): Promise<void> {
    const known = this.#files.get(path)
    const had = known?.bytes ?? 0
    const held = known?.held ?? 0
    const read = await this.#read(path, had)
    if (this.#stopped) return
    const absent = !read.ok && (read.gone || !read.regular)
    if (absent && !walked) {
      this.#scanDue = true
      return
    }
    let state = this.#files.get(path)
    if (state === undefined) {
      if (absent) return
      state = new FileState(displayPath(path), this.#time)
      this.#files.set(path, state)
    }
    const before = { definitions: state.definitions, missing: state.missing }
    const stays = await state.accept(read, this.#settlePolicy(held))
    this.#bytes += (stays ? state.bytes : 0) - had
    this.#held += (stays ? state.held : 0) - held
    if (isCertificatePart(path) && (!stays || state.text !== null))
      this.#certificates.set(path, stays ? state.text! : undefined)
    if (!stays) {
      this.#files.delete(path)
      this.#table.set(state.file, [])
      return
    }
    if (state.pending) this.#scheduleRecheck()
    if (before.definitions !== state.definitions || before.missing !== state.missing)
      this.#table.set(state.file, state.definitions, state.missing)
  }

  /** @param had bytes of the accepted version */
  async #read(path: string, had: number): Promise<ReadResult> {
    const { maxFileBytes, maxBytes } = this.#options
    const room = Math.max(maxBytes - this.#bytes + had, 0)
    const read = await readText(path, Math.min(maxFileBytes, room))
    if (read.ok || read.gone || !read.regular || read.reason !== 'TooLarge' || room >= maxFileBytes) return read
    return { ...read, message: allTooLarge(maxBytes) }
  }

  /** @param held bytes that the file takes now */
  #settlePolicy(held: number): SettlePolicy {
    const now = this.#time.monotonic()
    const room = this.#roomBeside(held)
    // At startup there is no previous version to protect, so every readable version is accepted.
    if (!this.#synced) return { now, settle: 0, maxDelay: 0, room }
    const returned = now - this.#returned < MAX_SETTLE
    return { now, settle: returned ? RETURN_SETTLE : this.#options.settle, maxDelay: MAX_SETTLE, room }
  }

  #roomBeside(held: number): number {
    return Math.max(this.#options.maxHeldBytes - this.#held + held, 0)
  }

  /** Other files have left room for the version that had none. */
  #hasRoomNow({ wanted, held }: FileState): boolean {
    return wanted > 0 && wanted <= this.#roomBeside(held)
  }

  /** Reads pending versions again after the settle time. */
  #scheduleRecheck(): void {
    this.#cancelRecheck ??= this.#time.after(this.#options.settle, () => {
      this.#cancelRecheck = undefined
      for (const [path, state] of this.#files) if (state.pending) this.#dirty.add(path)
      if (this.#dirty.size > 0) this.#holdOff.now()
    })
  }

  #rootMissing(cause: string): void {
    this.#missing = true
    const serving = this.#table.size
    const rest =
      serving > 0
        ? `Its last content keeps serving (${serving} object${serving === 1 ? '' : 's'}) until it reappears.`
        : 'It is read as soon as it exists; create it or name another with --config.'
    const location = { file: displayPath(this.#root), line: 1, column: 1 }
    this.#folderProblems = [{ severity: 'error', reason: 'FolderMissing', message: `${cause} ${rest}`, location }]
  }

  #publish(): void {
    const handler = this.#handler!
    for (const [file, definitions] of this.#certificates.changes(this.#files)) this.#table.set(file, definitions)
    const events = this.#table.flush()
    if (events.length > 0) handler.changed(events)
    const problems = [...this.#folderProblems, ...this.#table.contested()]
    for (const state of this.#files.values()) problems.push(...state.problems)
    problems.sort(byLocation)
    if (JSON.stringify(problems) !== JSON.stringify(this.#reportedProblems)) {
      this.#reportedProblems = problems
      handler.problems(problems)
    }
    if (this.#synced || this.#missing) return
    this.#synced = true
    handler.synced()
  }

  /** The nearest existing ancestor of the root, in which its creation, deletion and replacement are visible. */
  #nearestAncestor(): string {
    let path = dirname(this.#root)
    while (path !== dirname(path) && tryStat(path) === undefined) path = dirname(path)
    return path
  }

  #watchAncestor(): void {
    const path = this.#nearestAncestor()
    const stats = tryStat(path)
    if (stats !== undefined && path !== this.#root) this.#watcher.ensure(path, stats)
  }

  #toProblem({ path, ...problem }: WalkProblem): SourceProblem {
    return { ...problem, location: { file: displayPath(path), line: 1, column: 1 } }
  }

  #watchProblem(folder: string, failure: string): SourceProblem {
    const message = `${failure} Until then changes apply after up to ${this.#options.pollInterval / 1_000} s.`
    return { severity: 'warning', reason: 'WatchUnavailable', message, location: { file: folder, line: 1, column: 1 } }
  }
}

function isUnknown(path: string, found: FolderScan): boolean {
  for (const unknown of found.unknown) if (path === unknown || path.startsWith(`${unknown}${sep}`)) return true
  return false
}

function byLocation(a: SourceProblem, b: SourceProblem): number {
  const one = a.location
  const other = b.location
  if (one === undefined || other === undefined) return 0
  if (one.file !== other.file) return one.file < other.file ? -1 : 1
  return one.line - other.line || one.column - other.column
}
