import { type FSWatcher, watch as watchFolder } from 'node:fs'
import { type FileStats, identify } from '../read-text.ts'

/** The part of `fs.watch` that is used. */
export type WatchFolder = (path: string, listener: (event: string, name: string | null) => void) => FSWatcher

/**
 * Watches folders, one system watch per folder. It does not use `recursive`: on Linux, Node builds that from single
 * watches too, but loses folders that are replaced while it reads them, and follows no links.
 */
export class FolderWatcher {
  readonly #open = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>()
  readonly #watch: WatchFolder
  readonly #changed: (folder: string, event: string, name: string | null) => void
  #failure: string | null = null

  /** @param changed called for a change in a folder; the name is null where the system does not report it */
  constructor(changed: (folder: string, event: string, name: string | null) => void, watch: WatchFolder = watchFolder) {
    this.#changed = changed
    this.#watch = watch
  }

  /** A message why a folder is not watched; null when all are. */
  get failure(): string | null {
    return this.#failure
  }

  /** Clears the last failure, so that the next `ensure` retries. */
  retry(): void {
    this.#failure = null
  }

  /** FolderWatcher the folder that is at `path` now; the watch of one that was there before is closed. */
  ensure(path: string, stats: FileStats): void {
    // A new folder may reuse the inode number of a deleted one, but not its time of creation.
    const birth = 'birthtimeNs' in stats ? String(stats.birthtimeNs) : ''
    const identity = `${identify(stats).identity}:${birth}`
    const known = this.#open.get(path)
    if (known?.identity === identity) return
    known?.watcher.close()
    this.#open.delete(path)
    if (this.#failure !== null) return
    try {
      const watcher = this.#watch(path, (event, name) => this.#changed(path, event, name))
      watcher.on('error', (error) => {
        this.#fail(error)
        this.forget(path)
        this.#changed(path, 'rename', null)
      })
      this.#open.set(path, { identity, watcher })
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Closes the watch of a folder, for example after it was moved. */
  forget(path: string): void {
    this.#open.get(path)?.watcher.close()
    this.#open.delete(path)
  }

  /** Closes all other watches. */
  retain(paths: ReadonlySet<string>): void {
    for (const path of this.#open.keys()) if (!paths.has(path)) this.forget(path)
  }

  close(): void {
    this.retain(new Set())
  }

  #fail(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    // The folder is absent or forbidden: the next scan reports it.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM') return
    const remedy = new Map([
      ['ENOSPC', 'raise fs.inotify.max_user_watches (sysctl)'],
      ['EMFILE', 'raise fs.inotify.max_user_instances (sysctl) or the limit of open files (ulimit -n)'],
      ['ENFILE', 'raise fs.file-max (sysctl)'],
    ]).get(code)
    this.#failure = `The system does not report changes of files (${code})${remedy === undefined ? '' : `; ${remedy}`}.`
  }
}
