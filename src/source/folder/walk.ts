/** Finds every manifest below a folder, through symbolic links, without opening any of them. */
import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { codeOf, type FileStats, identify, isMissing, nameOf, unreadable } from '../read-text.ts'
import type { SourceProblemReason } from '../source.ts'
import { isIgnored, isManifest } from './file-name.ts'

export interface WalkProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  readonly path: string
}

export interface Walk {
  /** Path → state, see {@link identify}. */
  readonly files: ReadonlyMap<string, string>
  /** Every folder that was read, and those that hold a file which was reached through a link: what to watch. */
  readonly folders: ReadonlySet<string>
  /** Files and folders of which nothing could be learnt: what is known from below them stays. */
  readonly unknown: ReadonlySet<string>
  readonly problems: readonly WalkProblem[]
}

export interface WalkOptions {
  /** Told of each folder before it is read, so that no change falls between reading and watching. */
  readonly onFolder: (path: string, stats: FileStats) => void
  readonly maxFiles: number
}

/** Calls of `stat` at a time. */
const PARALLEL = 64

/** Deeper than any tree a person made; stops what links cannot. */
const MAX_DEPTH = 32
/** Each is read and watched: whoever may make folders must not hold up what the others change. */
const MAX_FOLDERS = 5_000
/** A link may lead anywhere, to a whole file system too. */
const MAX_LINKED_FOLDERS = 500

/**
 * Folders are read in two rounds, real ones first, so that a folder which a link leads to as well is known by its real
 * path; a folder is read once.
 *
 * @returns a text when the root itself cannot be read: then nothing is known about anything below it
 */
export async function walk(root: string, options: WalkOptions): Promise<Walk | { readonly missing: string }> {
  let stats: FileStats
  try {
    stats = await stat(root, { bigint: true })
  } catch (error) {
    return { missing: isMissing(error) ? 'The folder does not exist.' : unreadable(error) }
  }
  if (!stats.isDirectory()) return { missing: `This is ${stats.isFile() ? 'a file' : nameOf(stats)}, not a folder.` }
  const walker = new Walker(options)
  walker.around = `${await realpath(root).catch(() => root)}${sep}`
  const failed = await walker.folder(root, stats, 0)
  if (failed !== null) return { missing: failed }
  await walker.links()
  return walker
}

class Walker implements Walk {
  readonly files = new Map<string, string>()
  readonly folders = new Set<string>()
  readonly unknown = new Set<string>()
  readonly problems: WalkProblem[] = []
  /** Real path of the root, with a separator behind it. */
  around: string = sep
  readonly #options: WalkOptions
  #mayRead = MAX_FOLDERS
  #crowded = false
  /** Identity → first path. */
  readonly #visited = new Map<string, string>()
  #links: { path: string; depth: number }[] = []

  constructor(options: WalkOptions) {
    this.#options = options
  }

  /** @returns what is wrong when the folder cannot be read */
  async folder(path: string, stats: FileStats, depth: number): Promise<string | null> {
    if (--this.#mayRead < 0) return this.#crowd(path)
    this.#visited.set(identify(stats).identity, path)
    this.#options.onFolder(path, stats)
    this.folders.add(path)
    let entries: Dirent[]
    try {
      entries = await readdir(path, { withFileTypes: true })
    } catch (error) {
      return isMissing(error) ? 'The folder vanished while it was read.' : unreadable(error)
    }
    const folders: string[] = []
    const others: string[] = []
    for (const entry of entries) this.#sort(join(path, entry.name), entry, depth, folders, others)
    for (let i = 0; i < others.length; i += PARALLEL)
      await Promise.all(others.slice(i, i + PARALLEL).map((file) => this.#look(file, depth)))
    for (const folder of folders.sort()) await this.#look(folder, depth)
    return null
  }

  /** Follows the links that were found, and those found behind them. */
  async links(): Promise<void> {
    this.#mayRead = Math.min(this.#mayRead, MAX_LINKED_FOLDERS)
    while (this.#links.length > 0) {
      const links = this.#links
      this.#links = []
      for (const { path, depth } of links) await this.#link(path, depth)
    }
  }

  #sort(path: string, entry: Dirent, depth: number, folders: string[], others: string[]): void {
    if (isIgnored(entry.name)) return
    if (entry.isSymbolicLink()) this.#links.push({ path, depth })
    else if (entry.isDirectory()) folders.push(path)
    else if (isManifest(entry.name)) others.push(path)
    // Some file systems do not say what an entry is; `stat` then does.
    else if (!entry.isFile() && !entry.isFIFO() && !entry.isSocket() && !entry.isBlockDevice()) folders.push(path)
  }

  async #look(path: string, depth: number): Promise<void> {
    try {
      await this.#node(path, await stat(path, { bigint: true }), depth)
    } catch (error) {
      // Gone between the two calls: as if it had never been there.
      if (!isMissing(error)) this.#fail(path, 'Unreadable', unreadable(error))
    }
  }

  async #node(path: string, stats: FileStats, depth: number): Promise<void> {
    if (stats.isDirectory()) {
      if (depth >= MAX_DEPTH)
        return this.#fail(path, 'Unreadable', `Folders are nested deeper than ${MAX_DEPTH}; it is not read.`)
      const failed = await this.folder(path, stats, depth + 1)
      if (failed !== null) this.#fail(path, 'Unreadable', failed)
      return
    }
    if (!isManifest(basename(path))) return
    if (!stats.isFile()) {
      const message = `This is ${nameOf(stats)}, not a regular file; it is ignored.`
      this.problems.push({ severity: 'warning', reason: 'Unreadable', message, path })
      return
    }
    if (this.files.size >= this.#options.maxFiles) return this.#full(path)
    this.files.set(path, identify(stats).signature)
  }

  async #link(path: string, depth: number): Promise<void> {
    let stats: FileStats
    try {
      stats = await stat(path, { bigint: true })
    } catch (error) {
      if (codeOf(error) === 'ELOOP') return this.#fail(path, 'BrokenLink', unreadable(error))
      if (!isMissing(error)) return this.#fail(path, 'Unreadable', unreadable(error))
      return this.#fail(path, 'BrokenLink', 'The symbolic link leads nowhere; remove or correct it.')
    }
    if (stats.isDirectory()) {
      const real = await realpath(path).catch(() => '')
      if (this.around.startsWith(real.endsWith(sep) ? real : `${real}${sep}`)) {
        const message = `The symbolic link leads to ${real}, which holds the folder that is read; it is not followed.`
        this.problems.push({ severity: 'warning', reason: 'BrokenLink', message, path })
        return
      }
      const first = this.#visited.get(identify(stats).identity)
      if (first !== undefined) {
        const message = `The symbolic link leads to ${first}, which is read already; it is not followed.`
        this.problems.push({ severity: 'warning', reason: 'BrokenLink', message, path })
        return
      }
    } else if (isManifest(basename(path))) {
      // A write to the target is seen only by who watches the folder that really holds it.
      const folder = dirname(await realpath(path).catch(() => path))
      this.#options.onFolder(folder, await stat(folder, { bigint: true }).catch(() => stats))
      this.folders.add(folder)
    }
    await this.#node(path, stats, depth)
  }

  /** Said once; of every further folder what is known stays. */
  #crowd(path: string): null {
    this.unknown.add(path)
    if (this.#crowded) return null
    this.#crowded = true
    const message = `There are more than ${MAX_FOLDERS} folders, or ${MAX_LINKED_FOLDERS} behind symbolic links; the rest, from this one on, is not read. Is this the right folder?`
    this.problems.push({ severity: 'error', reason: 'TooLarge', message, path })
    return null
  }

  #fail(path: string, reason: SourceProblemReason, message: string): void {
    this.unknown.add(path)
    this.problems.push({ severity: 'error', reason, message, path })
  }

  #full(path: string): void {
    const folder = dirname(path)
    if (this.unknown.has(folder)) return
    const message = `There are more than ${this.#options.maxFiles} manifests; the rest, from this folder on, is not read. Is this the right folder?`
    this.#fail(folder, 'TooLarge', message)
  }
}
