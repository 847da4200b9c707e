import { type FSWatcher, watch as watchFolder } from 'node:fs'
import { type FileStats, identify } from '../read-text.ts'

/** The one thing of `fs.watch` that is used. */
export type WatchFolder = (path: string, listener: (event: string, name: string | null) => void) => FSWatcher

/**
 * One system watch a folder. Not `recursive`: Node builds that on Linux from the same pieces, but loses folders that
 * are replaced while it reads them, and follows no links.
 */
export class Watches {
  readonly #open = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>()
  readonly #watch: WatchFolder
  readonly #changed: (folder: string, event: string, name: string | null) => void
  #failure: string | null = null

  /** @param changed one thing in a folder is different; the name is null where the system does not say which */
  constructor(changed: (folder: string, event: string, name: string | null) => void, watch: WatchFolder = watchFolder) {
    this.#changed = changed
    this.#watch = watch
  }

  /** Why some folder is not watched, for a person; null when all are. */
  get failure(): string | null {
    return this.#failure
  }

  /** Forgets the last failure: the next `ensure` tries again. */
  retry(): void {
    this.#failure = null
  }

  /** Watches the folder that is at `path` now; the watch of one that was there before is closed. */
  ensure(path: string, stats: FileStats): void {
    // A folder made anew may get the number of the one that was removed, but not the moment of its birth.
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

  /** Closes the watch of a folder, for example because it was moved away and another may come. */
  forget(path: string): void {
    this.#open.get(path)?.watcher.close()
    this.#open.delete(path)
  }

  /** Closes all watches but these. */
  retain(paths: ReadonlySet<string>): void {
    for (const path of this.#open.keys()) if (!paths.has(path)) this.forget(path)
  }

  close(): void {
    this.retain(new Set())
  }

  #fail(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    // Gone already: the walk that follows says so.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM') return
    const remedy = new Map([
      ['ENOSPC', 'raise fs.inotify.max_user_watches (sysctl)'],
      ['EMFILE', 'raise fs.inotify.max_user_instances (sysctl) or the limit of open files (ulimit -n)'],
      ['ENFILE', 'raise fs.file-max (sysctl)'],
    ]).get(code)
    this.#failure = `The system does not report changes of files (${code})${remedy === undefined ? '' : `; ${remedy}`}.`
  }
}
