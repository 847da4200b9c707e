/**
 * Where lines go: standard output, standard error or a file, without ever blocking the thread on a reader that is slow.
 */
import { closeSync, constants, fstatSync, openSync, type Stats, write, writeSync } from 'node:fs'

export interface LineOutput {
  /**
   * @returns how many bytes were taken; fewer than given: no more for now
   * @throws {Error} of the system, with `code`: EPIPE, ENOSPC, EIO …; also as a rejection
   */
  write(bytes: Buffer): number | Promise<number>
  /** The same at once, when the thread is about to end; may block where the descriptor does. */
  writeNow(bytes: Buffer): number
  close(): void
}

/** @throws {Error} of the system when the file cannot be opened */
export function openOutput(target: { readonly path: string } | { readonly fd: number }): LineOutput {
  if ('path' in target) {
    const fd = openSync(target.path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o640)
    return new DirectOutput(fd, true)
  }
  const { fd } = target
  const kind = fstatSync(fd)
  // A disk takes bytes at the speed of memory; a thread of the pool costs more than it spares.
  if (kind.isFile()) return new DirectOutput(fd, false)
  const own = reopen(fd, kind)
  return own === undefined ? new PooledOutput(fd) : new DirectOutput(own, true)
}

/**
 * A pipe or terminal is opened once more: O_NONBLOCK belongs to the open file description, which standard output shares
 * with the parent process and its other children; set there it would break them, and Node sets it back. Linux only; not
 * for sockets, and not where the pipe belongs to another user.
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

/** A descriptor that may block: one write at a time waits in the thread pool, not here. */
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
