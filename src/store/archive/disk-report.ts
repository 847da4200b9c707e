/** What is said of the disk below the files of the archive: once, and what to do about it. */
import type { Milliseconds } from '../../lib/clock.ts'

/** Without a failure for so long, it takes what is written again: of a disk that is nearly full some writes fail. */
const CALM: Milliseconds = 10_000
/** Between two lines about files that cannot be read. */
const READ_PAUSE: Milliseconds = 600_000

/** Codes of what stands in the place of a file, and is not ours: it concerns one file. */
const IN_ITS_PLACE: ReadonlySet<string | undefined> = new Set(['EISDIR', 'ENOTEMPTY', 'EEXIST', 'ELOOP'])
const NO_ROOM: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const NO_WRITER: ReadonlySet<string | undefined> = new Set(['EROFS', 'EACCES', 'EPERM'])

export class DiskReport {
  readonly #path: string
  readonly #tell: (message: string | undefined) => void
  readonly #unread: (message: string) => void
  readonly #monotonic: () => Milliseconds
  #failed = false
  #lastFailure: Milliseconds = 0
  #readTold = Number.NEGATIVE_INFINITY

  /**
   * @param path of the folder
   * @param tell gets what keeps responses from being written; undefined: nothing does any more
   * @param unread gets why one that was there cannot be read
   */
  constructor(
    path: string,
    { failure, unread }: { failure(message: string | undefined): void; unread(message: string): void },
    monotonic: () => Milliseconds,
  ) {
    this.#path = path
    this.#tell = failure
    this.#unread = unread
    this.#monotonic = monotonic
  }

  written(): void {
    if (!this.#failed || this.#monotonic() - this.#lastFailure < CALM) return
    this.#failed = false
    this.#tell(undefined)
  }

  /** @returns in a word whether there is no room, or something else is wrong */
  notWritten(error: unknown): 'refused' | 'broken' {
    const { code } = error as NodeJS.ErrnoException
    if (!IN_ITS_PLACE.has(code)) this.#fails(textOf(error, this.#path))
    return NO_ROOM.has(code) || NO_WRITER.has(code) ? 'refused' : 'broken'
  }

  /** @param reserved bytes that the cache leaves to others, of which some are taken */
  scarce(reserved: number): void {
    this.#fails(
      `the disk of ${this.#path} has less than ${inMiB(reserved)} MiB left, which it leaves to others; ${MAKE_ROOM}`,
    )
  }

  notRead(error: unknown): void {
    const now = this.#monotonic()
    if (now - this.#readTold < READ_PAUSE) return
    this.#readTold = now
    this.#unread(textOf(error, this.#path))
  }

  #fails(message: string): void {
    this.#lastFailure = this.#monotonic()
    if (this.#failed) return
    this.#failed = true
    this.#tell(message)
  }
}

const inMiB = (bytes: number): string => (bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)

const MAKE_ROOM = 'make room there, or lower cache.files of the settings'

function textOf(error: unknown, path: string): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (NO_ROOM.has(code)) return `the disk of ${path} is full; ${MAKE_ROOM}`
  if (code === 'EROFS') return `the file system of ${path} is read-only; mount it so that it can be written`
  if (code === 'EACCES' || code === 'EPERM')
    return `${path} cannot be read or written by the user of this process; see to its owner and mode`
  if (code === 'EIO') return `the disk of ${path} fails (${message}); see what the kernel says of it`
  return `${error instanceof Error ? message : String(error)}; see to ${path}`
}
