/**
 * Outputs of log lines: standard output, standard error or a file. A slow reader never blocks the thread.
 */
import { closeSync, constants, fstatSync, openSync, type Stats, write, writeSync } from 'node:fs'

export interface LineOutput {
  /**
   * @returns number of bytes accepted; fewer than given means that no more are accepted for now
   * @throws {Error} from the system, with `code`: EPIPE, ENOSPC, EIO …; also as a rejection
   */
  write(bytes: Buffer): number | Promise<number>
  /** The same synchronously, for a thread that is about to end; may block if the descriptor does. */
  writeNow(bytes: Buffer): number
  close(): void
}

/** @throws {Error} from the system when the file cannot be opened */
export function openOutput(target: { readonly path: string } | { readonly fd: number }): LineOutput {
  if ('path' in target) {
    const fd = openSync(target.path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o640)
    return new DirectOutput(fd, true)
  }
  const { fd } = target
  const kind = fstatSync(fd)
  // A write to a file goes to the page cache, which is faster than the thread pool.
  if (kind.isFile()) return new DirectOutput(fd, false)
  const own = reopen(fd, kind)
  return own === undefined ? new PooledOutput(fd) : new DirectOutput(own, true)
}

/**
 * Opens a pipe or terminal again with O_NONBLOCK. The flag belongs to the open file description, which standard output
 * shares with the parent process and its other children: set there it would affect them, and Node resets it. Linux
 * only; not for sockets, and not when the pipe belongs to another user.
 */
function reopen(fd: number, kind: Stats): number | undefined {
  if (process.platform !== 'linux' || !(kind.isFIFO() || kind.isCharacterDevice())) return undefined
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return undefined
  }
}

class DirectOutput implements LineOutput {
  readonly #fd: number
  readonly #owned: boolean

  constructor(fd: number, owned: boolean) {
    this.#fd = fd
    this.#owned = owned
  }

  write(bytes: Buffer): number {
    return writeAvailable(this.#fd, bytes)
  }

  writeNow(bytes: Buffer): number {
    return writeAvailable(this.#fd, bytes)
  }

  close(): void {
    if (this.#owned) closeSync(this.#fd)
  }
}

/** A descriptor that may block: one write at a time runs in the thread pool. */
class PooledOutput implements LineOutput {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) =>
      write(this.#fd, bytes, (error, taken) => {
        if (error === null) resolve(taken)
        else if (error.code === 'EAGAIN') resolve(0)
        else reject(error)
      }),
    )
  }

  writeNow(bytes: Buffer): number {
    return writeAvailable(this.#fd, bytes)
  }

  close(): void {}
}

function writeAvailable(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}
