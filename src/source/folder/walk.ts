/** Finds every manifest and certificate below a folder, through symbolic links, without opening any of them. */
import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { codeOf, describeReadError, type FileStats, fileTypeName, identify, isMissing } from '../read-text.ts'
import type { SourceProblemReason } from '../source.ts'
import { dropUnpaired } from './certificate-files.ts'
import { isIgnored, isRead } from './file-name.ts'

export interface WalkProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  readonly path: string
}

export interface FolderScan {
  /** Path → signature, see {@link identify}. */
  readonly files: ReadonlyMap<string, string>
  /** Every folder read, and the folders of files reached through a link: the folders to watch. */
  readonly folders: ReadonlySet<string>
  /** Files and folders that could not be read: the known objects below them stay. */
  readonly unknown: ReadonlySet<string>
  readonly problems: readonly WalkProblem[]
}

export interface WalkOptions {
  /** Called before a folder is read, so that no change is missed between reading and watching. */
  readonly onFolder: (path: string, stats: FileStats) => void
  readonly maxFiles: number
}

/** Concurrent calls of `stat`. */
const CONCURRENCY = 64

/** Exceeds the depth of any reasonable tree. */
const MAX_DEPTH = 32
/** Each folder is read and watched: a user who creates folders must not delay the changes of others. */
const MAX_FOLDERS = 5_000
/** A link may point to an entire file system. */
const MAX_LINKED_FOLDERS = 500

/**
 * Finds manifests in two passes, real folders first, so that a folder that is also the target of a link is found by its
 * real path. Each folder is read once.
 *
 * @returns a message when the root itself cannot be read, so that nothing below it is known
 */
export async function walk(root: string, options: WalkOptions): Promise<FolderScan | { readonly missing: string }> {
  let stats: FileStats
  try {
    stats = await stat(root, { bigint: true })
  } catch (error) {
    return { missing: isMissing(error) ? 'The folder does not exist.' : describeReadError(error) }
  }
  if (!stats.isDirectory())
    return { missing: `This is ${stats.isFile() ? 'a file' : fileTypeName(stats)}, not a folder.` }
  const walker = new Walker(options)
  walker.rootPrefix = `${await realpath(root).catch(() => root)}${sep}`
  const failed = await walker.folder(root, stats, 0)
  if (failed !== null) return { missing: failed }
  await walker.links()
  for (const { path, message } of dropUnpaired(walker.files))
    walker.problems.push({ severity: 'warning', reason: 'Unpaired', message, path })
  // Files are looked at many at a time: without an order what is told would differ from run to run.
  walker.problems.sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)))
  return walker
}

class Walker implements FolderScan {
  readonly files = new Map<string, string>()
  readonly folders = new Set<string>()
  readonly unknown = new Set<string>()
  readonly problems: WalkProblem[] = []
  /** Real path of the root with a trailing separator. */
  rootPrefix: string = sep
  readonly #options: WalkOptions
  #foldersLeft = MAX_FOLDERS
  #limitReported = false
  /** Identity → first path. */
  readonly #visited = new Map<string, string>()
  #links: { path: string; depth: number }[] = []

  constructor(options: WalkOptions) {
    this.#options = options
  }

  /** @returns a message when the folder cannot be read */
  async folder(path: string, stats: FileStats, depth: number): Promise<string | null> {
    if (--this.#foldersLeft < 0) return this.#tooManyFolders(path)
    this.#visited.set(identify(stats).identity, path)
    this.#options.onFolder(path, stats)
    this.folders.add(path)
    let entries: Dirent[]
    try {
      entries = await readdir(path, { withFileTypes: true })
    } catch (error) {
      return isMissing(error) ? 'The folder was deleted while it was read.' : describeReadError(error)
    }
    const folders: string[] = []
    const others: string[] = []
    for (const entry of entries) this.#classify(join(path, entry.name), entry, depth, folders, others)
    for (let i = 0; i < others.length; i += CONCURRENCY)
      await Promise.all(others.slice(i, i + CONCURRENCY).map((file) => this.#stat(file, depth)))
    for (const folder of folders.sort()) await this.#stat(folder, depth)
    return null
  }

  /** Follows the links found so far, and those found through them. */
  async links(): Promise<void> {
    this.#foldersLeft = Math.min(this.#foldersLeft, MAX_LINKED_FOLDERS)
    while (this.#links.length > 0) {
      const links = this.#links
      this.#links = []
      for (const { path, depth } of links) await this.#link(path, depth)
    }
  }

  #classify(path: string, entry: Dirent, depth: number, folders: string[], others: string[]): void {
    if (isIgnored(entry.name)) return
    if (entry.isSymbolicLink()) this.#links.push({ path, depth })
    else if (entry.isDirectory()) folders.push(path)
    else if (isRead(entry.name)) others.push(path)
    // Some file systems do not report the type of an entry; `stat` does.
    else if (!entry.isFile() && !entry.isFIFO() && !entry.isSocket() && !entry.isBlockDevice()) folders.push(path)
  }

  async #stat(path: string, depth: number): Promise<void> {
    try {
      await this.#node(path, await stat(path, { bigint: true }), depth)
    } catch (error) {
      // Deleted between the two calls: treated as absent.
      if (!isMissing(error)) this.#fail(path, 'Unreadable', describeReadError(error))
    }
  }

  async #node(path: string, stats: FileStats, depth: number): Promise<void> {
    if (stats.isDirectory()) {
      if (depth >= MAX_DEPTH)
        return this.#fail(path, 'Unreadable', `Folders are nested deeper than ${MAX_DEPTH}; this one is not read.`)
      const failed = await this.folder(path, stats, depth + 1)
      if (failed !== null) this.#fail(path, 'Unreadable', failed)
      return
    }
    if (!isRead(basename(path))) return
    if (!stats.isFile()) {
      const message = `This is ${fileTypeName(stats)}, not a regular file; it is ignored.`
      this.problems.push({ severity: 'warning', reason: 'Unreadable', message, path })
      return
    }
    if (this.files.size >= this.#options.maxFiles) return this.#tooManyFiles(path)
    this.files.set(path, identify(stats).signature)
  }

  async #link(path: string, depth: number): Promise<void> {
    let stats: FileStats
    try {
      stats = await stat(path, { bigint: true })
    } catch (error) {
      if (codeOf(error) === 'ELOOP') return this.#fail(path, 'BrokenLink', describeReadError(error))
      if (!isMissing(error)) return this.#fail(path, 'Unreadable', describeReadError(error))
      return this.#fail(path, 'BrokenLink', 'The target of the symbolic link does not exist; remove or correct it.')
    }
    if (stats.isDirectory()) {
      const real = await realpath(path).catch(() => '')
      if (this.rootPrefix.startsWith(real.endsWith(sep) ? real : `${real}${sep}`)) {
        const message = `The symbolic link points to ${real}, which contains the folder that is read; it is not followed.`
        this.problems.push({ severity: 'warning', reason: 'BrokenLink', message, path })
        return
      }
      const first = this.#visited.get(identify(stats).identity)
      if (first !== undefined) {
        const message = `The symbolic link points to ${first}, which is read already; it is not followed.`
        this.problems.push({ severity: 'warning', reason: 'BrokenLink', message, path })
        return
      }
    } else if (isRead(basename(path))) {
      // Writes to the target are visible only in the folder that contains it.
      const folder = dirname(await realpath(path).catch(() => path))
      this.#options.onFolder(folder, await stat(folder, { bigint: true }).catch(() => stats))
      this.folders.add(folder)
    }
    await this.#node(path, stats, depth)
  }

  /** Reported once; the known objects of all further folders stay. */
  #tooManyFolders(path: string): null {
    this.unknown.add(path)
    if (this.#limitReported) return null
    this.#limitReported = true
    const message = `There are more than ${MAX_FOLDERS} folders, or ${MAX_LINKED_FOLDERS} behind symbolic links; the rest, from this one on, is not read. Is this the right folder?`
    this.problems.push({ severity: 'error', reason: 'TooLarge', message, path })
    return null
  }

  #fail(path: string, reason: SourceProblemReason, message: string): void {
    this.unknown.add(path)
    this.problems.push({ severity: 'error', reason, message, path })
  }

  #tooManyFiles(path: string): void {
    const folder = dirname(path)
    if (this.unknown.has(folder)) return
    const message = `There are more than ${this.#options.maxFiles} manifests; the rest, from this folder on, is not read. Is this the right folder?`
    this.#fail(folder, 'TooLarge', message)
  }
}
