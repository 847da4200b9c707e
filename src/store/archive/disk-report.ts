/** What is said of the disk below the files of the archive: once, and what to do about it. */
import type { Milliseconds } from '../../lib/clock.ts'
import { systemErrorCode } from '../../lib/system-error.ts'

/** Without a failure for so long, it takes what is written again: of a disk that is nearly full some writes fail. */
const CALM: Milliseconds = 10_000
/** Between two lines about files that cannot be read. */
const READ_PAUSE: Milliseconds = 600_000

/** Codes of what stands in the place of a file, and is not ours: it concerns one file. */
const IN_ITS_PLACE: ReadonlySet<string | undefined> = new Set(['EISDIR', 'ENOTEMPTY', 'EEXIST', 'ELOOP'])
const NO_ROOM: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const NO_WRITER: ReadonlySet<string | undefined> = new Set(['EROFS', 'EACCES', 'EPERM'])

/** Whether others that go make room for it. */
export const isNoRoom = (error: unknown): boolean => {
  const code = systemErrorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** What is said of writing, the better first. */
const STATES = ['written', 'makes-room', 'refused'] as const
type State = (typeof STATES)[number]

export interface DiskMessage {
  /** Responses are kept, and others go for them that were not asked for longest. */
  readonly makesRoom: boolean
  /** Why, and what to do about it. */
  readonly message: string
}

export class DiskReport {
  readonly #path: string
  readonly #tell: (message: DiskMessage | undefined) => void
  readonly #unread: (message: string) => void
  readonly #monotonic: () => Milliseconds
  #state: State = 'written'
  #lastFailure: Milliseconds = 0
  #readTold = Number.NEGATIVE_INFINITY

  /**
   * @param path of the folder
   * @param failure gets what keeps responses, or some of them, from being kept; undefined: nothing does any more
   * @param unread gets why one that was there cannot be read
   */
  constructor(
    path: string,
    { failure, unread }: { failure(message: DiskMessage | undefined): void; unread(message: string): void },
    monotonic: () => Milliseconds,
  ) {
    this.#path = path
    this.#tell = failure
    this.#unread = unread
    this.#monotonic = monotonic
  }

  written(): void {
    if (this.#state === 'written' || this.#monotonic() - this.#lastFailure < CALM) return
    this.#state = 'written'
    this.#tell(undefined)
  }

  /** @returns in a word whether there is no room, or something else is wrong */
  notWritten(error: unknown): 'refused' | 'broken' {
    const code = systemErrorCode(error)
    if (!IN_ITS_PLACE.has(code)) this.#fails('refused', textOf(error, this.#path))
    return NO_ROOM.has(code) || NO_WRITER.has(code) ? 'refused' : 'broken'
  }

  /**
   * @param reserved bytes that the cache leaves to others, of which some are taken
   * @param makesRoom others of its files go for what is written
   */
  scarce(reserved: number, makesRoom: boolean): void {
    this.#fails(
      makesRoom ? 'makes-room' : 'refused',
      `the disk of ${this.#path} has less than ${inMiB(reserved)} MiB left, which it leaves to others; ${MAKE_ROOM}`,
    )
  }

  /** Others of its files went for what is written. */
  madeRoom(error: unknown): void {
    this.#fails('makes-room', textOf(error, this.#path))
  }

  notRead(error: unknown): void {
    const now = this.#monotonic()
    if (now - this.#readTold < READ_PAUSE) return
    this.#readTold = now
    this.#unread(textOf(error, this.#path))
  }

  /** Said once, and once more where it gets worse. */
  #fails(state: 'makes-room' | 'refused', message: string): void {
    this.#lastFailure = this.#monotonic()
    if (STATES.indexOf(state) <= STATES.indexOf(this.#state)) return
    this.#state = state
    this.#tell({ makesRoom: state === 'makes-room', message })
  }
}

const inMiB = (bytes: number): string => (bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)

const MAKE_ROOM = 'make room there, or lower cache.files of the settings'

function textOf(error: unknown, path: string): string {
  const code = systemErrorCode(error)
  if (code === 'EDQUOT') return `the quota of the user of this process is used up on the disk of ${path}; ${MAKE_ROOM}`
  if (NO_ROOM.has(code)) return `the disk of ${path} is full; ${MAKE_ROOM}`
  if (code === 'EROFS') return `the file system of ${path} is read-only; mount it so that it can be written`
  if (code === 'EACCES' || code === 'EPERM')
    return `${path} cannot be read or written by the user of this process; see to its owner and mode`
  const message = error instanceof Error ? error.message : String(error)
  if (code === 'EIO') return `the disk of ${path} fails (${message}); see what the kernel says of it`
  return `${message}; see to ${path}`
}
