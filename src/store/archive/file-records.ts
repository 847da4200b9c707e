/**
 * The files of the archive as a worker has them: it asks the thread that owns them, and waits for no disk. Where that
 * does not answer for a while it is not asked any more until it does.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { OwnerPlaces } from '../owner-places.ts'
import type { FileCall, FileReply, FileRequest, FileStamp } from './file-calls.ts'
import { type Commit, type FoundRecords, type PieceName, RecordFault, type Records } from './records.ts'

export interface FileRecordsOptions {
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  /** Of a lookup. */
  readonly deadline: Milliseconds
  /** Of all other calls. */
  readonly patience: Milliseconds
  /** Asks for a port to the thread, which {@link FileRecords.use} gets. */
  readonly ask: () => void
}

interface Call {
  readonly resolve: (value: unknown) => void
  readonly reject: (fault: RecordFault) => void
  readonly cancel: () => void
}

/** Of a worker. */
const MAX_CALLS = 128
/** Between two times that it asks for the thread. */
const ASK_PAUSE: Milliseconds = 1_000
/** In a row, with no answer since each of them began: many calls of one namespace that are late together are none. */
const FAILURES = 5

const ABSENT = new RecordFault('absent', 'there are no files: they need folder mode and a state directory')
const AWAY = new RecordFault('away', 'the files of the archive do not answer')
const FULL = new RecordFault('full', 'the calls of the namespace take as much room as is left')

export class FileRecords implements Records {
  readonly #options: FileRecordsOptions
  readonly #places: OwnerPlaces = new OwnerPlaces(() => MAX_CALLS - this.#places.taken)
  readonly #calls = new Map<number, Call>()
  #port: MessagePort | null = null
  #state: 'unknown' | 'asked' | 'open' | 'none' = 'unknown'
  #asked = Number.NEGATIVE_INFINITY
  #serial = 0
  #failures = 0
  /** That have come. */
  #answers = 0

  constructor(options: FileRecordsOptions) {
    this.#options = options
  }

  /** Asks for the thread ahead of the first call, which would find nothing while it is not there. */
  prepare(): void {
    if (this.#port === null) this.#askFor()
  }

  /** @param port null: there are no files */
  use(port: MessagePort | null): void {
    this.#port?.close()
    this.#lose()
    this.#port = port
    this.#state = port === null ? 'none' : 'open'
    if (port === null) return
    port.on('message', (reply: FileReply) => this.#answered(reply))
    port.on('close', () => {
      if (this.#port === port) this.forget()
    })
  }

  /** The thread has ended, or who was asked for it: it is asked for again. */
  forget(): void {
    this.#port?.close()
    this.#port = null
    this.#state = 'unknown'
    this.#lose()
  }

  async find(owner: string, root: string, variant: string | null): Promise<FoundRecords> {
    return (await this.#call({ call: 'find', owner, root, variant }, this.#options.deadline)) as FoundRecords
  }

  async commit(owner: string, { root, stamp, record, variant, ttl }: Commit): Promise<boolean> {
    return (await this.#call({
      call: 'commit',
      owner,
      root,
      stamp: stamp as FileStamp,
      record: record === null ? null : new Uint8Array(record),
      variant: variant === null ? null : { ...variant, record: new Uint8Array(variant.record) },
      ttl,
    })) as boolean
  }

  async remove(owner: string, root: string): Promise<void> {
    await this.#call({ call: 'remove', owner, root })
  }

  async hasPieces(pieces: PieceName, count: number): Promise<boolean> {
    return (await this.#call({ call: 'has-pieces', ...pieces, count }, this.#options.deadline)) as boolean
  }

  async readPiece(pieces: PieceName, index: number): Promise<Uint8Array | null> {
    return (await this.#call({ call: 'read-piece', ...pieces, index })) as Uint8Array | null
  }

  async writePiece(pieces: PieceName, index: number, bytes: Buffer, ttl: Milliseconds): Promise<void> {
    await this.#call({ call: 'write-piece', ...pieces, index, bytes: new Uint8Array(bytes), ttl })
  }

  dropPieces(pieces: PieceName): void {
    this.#call({ call: 'drop-pieces', ...pieces }).catch(() => {})
  }

  #call(call: FileCall, within = this.#options.patience): Promise<unknown> {
    const port = this.#port
    if (port === null) return Promise.reject(this.#askFor())
    if (this.#failures >= FAILURES) return Promise.reject(AWAY)
    if (this.#places.taken >= MAX_CALLS || !this.#places.take(call.owner)) return Promise.reject(FULL)
    const id = this.#serial++
    const answers = this.#answers
    return new Promise<unknown>((resolve, reject) => {
      const cancel = this.#options.time.after(within, () => {
        this.#calls.delete(id)
        if (this.#answers === answers) this.#failures++
        reject(new RecordFault('timeout', `the files of the archive did not answer within ${within} ms`))
      })
      this.#calls.set(id, { resolve, reject, cancel })
      const until = this.#options.time.monotonic() + within
      port.postMessage({ id, until, call } satisfies FileRequest)
    }).finally(() => this.#places.giveBack(call.owner))
  }

  #askFor(): RecordFault {
    if (this.#state === 'none') return ABSENT
    const now = this.#options.time.monotonic()
    if (this.#state === 'unknown' && now - this.#asked >= ASK_PAUSE) {
      this.#asked = now
      this.#state = 'asked'
      this.#options.ask()
    }
    return AWAY
  }

  #answered(reply: FileReply): void {
    // Also one that comes too late says that it answers again.
    this.#failures = 0
    this.#answers++
    const call = this.#calls.get(reply.id)
    if (call === undefined) return
    this.#calls.delete(reply.id)
    call.cancel()
    if ('fault' in reply) call.reject(new RecordFault(reply.fault, reply.message))
    else call.resolve(reply.value)
  }

  #lose(): void {
    this.#failures = 0
    for (const { cancel, reject } of this.#calls.values()) {
      cancel()
      reject(AWAY)
    }
    this.#calls.clear()
  }
}
