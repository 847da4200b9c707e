/**
 * Passes on a body that is not kept to those who read along, at the pace of the slowest: what somebody has not read yet
 * takes memory, of which there is little. Who holds up others and reads next to nothing loses the rest.
 */
import { type HeldEntry, LEAST_READ, type PassedBody } from '../../cache/response-memory.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'

/** How often is looked at what nobody tells. */
const LOOK: Milliseconds = 50
const LEAST_PATIENCE: Milliseconds = 1_000
const MOST_PATIENCE: Milliseconds = 60_000

export interface PassServices {
  readonly timers: Pick<TimerClock, 'after' | 'nextTurn'>
  readonly clock: Pick<TimerClock, 'monotonic'>
  /** How long others wait for one that reads nothing. */
  patience(): Milliseconds
}

/** Who has the body at first hand. */
export interface Passer {
  /** Where it reads what it has not been given yet; null: it has everything. */
  readonly behind: HeldEntry | null
  /** Bytes that its client has been given. */
  readonly given: number
  /** Its client has everything, and takes more. */
  readonly waits: boolean
  /** Its client reads next to nothing, and others wait for it: they go on without. */
  drop(): void
  /** More can be taken. */
  passesOn(): void
  /** Nothing is passed on any more. @param rest what was not taken */
  passedOver(rest: readonly Uint8Array[]): void
}

export class PassOn {
  readonly #body: PassedBody
  readonly #services: PassServices
  readonly #passer: Passer
  /** Not taken yet. */
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #stopTimer: (() => void) | null = null
  /** For which somebody who has read all has waited for others, since they were told to hurry. */
  #waited: Milliseconds = 0
  /** For which there has been no room for a single piece more. */
  #stuck: Milliseconds = 0
  /** What the passer's client had been given then. */
  #givenThen = 0
  /** When was looked at it last; only while something is pending. */
  #looked: Milliseconds = 0
  /** It is looked at in the next turn: who tells is in the middle of something. */
  #flushes = false
  #ended = false
  #over = false

  constructor(body: PassedBody, services: PassServices, passer: Passer) {
    this.#body = body
    this.#services = services
    this.#passer = passer
    body.follow(() => this.#flushLater())
  }

  /** It has not come to its end, whoever wants it. */
  get open(): boolean {
    return !this.#over && !this.#ended
  }

  /** Not taken yet. */
  get pending(): readonly Uint8Array[] {
    return this.#pending
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** @returns false: it is kept, and no more is taken until it says so */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#over) return true
    if (this.#body.unread) {
      this.#giveUp()
      return true
    }
    const taken = this.#pendingBytes > 0 ? 0 : this.#body.write(bytes, start, end)
    if (start + taken === end) return true
    const rest = Buffer.from(bytes.subarray(start + taken, end))
    this.#pending.push(rest)
    this.#pendingBytes += rest.length
    if (this.#stopTimer === null) {
      this.#looked = this.#services.clock.monotonic()
      this.#lookLater()
    }
    return false
  }

  hold(): HeldEntry | null {
    return this.#body.hold()
  }

  /** The body is whole. */
  end(): void {
    if (this.#over) return
    this.#ended = true
    if (this.#pendingBytes === 0) this.#end()
  }

  fail(): void {
    if (this.#over || this.#ended) return
    this.#close()
    this.#body.fail()
  }

  #end(): void {
    this.#close()
    this.#body.end()
  }

  #close(): void {
    if (!this.#over) this.#hurryLater()
    this.#over = true
    this.#pending = []
    this.#pendingBytes = 0
    this.#stopTimer?.()
    this.#stopTimer = null
  }

  #lookLater(): void {
    this.#stopTimer = this.#services.timers.after(LOOK, () => this.#look())
  }

  /** Behind the end, as long as more than its last piece is read. */
  #hurryLater(): void {
    this.#services.timers.after(this.#interval, () => {
      if (this.#body.hurry()) this.#hurryLater()
    })
  }

  /** One that reads nothing is told once before it loses what it has. */
  get #interval(): Milliseconds {
    return Math.min(Math.max(this.#services.patience(), LEAST_PATIENCE), MOST_PATIENCE) / 2
  }

  #count(): void {
    const now = this.#services.clock.monotonic()
    const since = now - this.#looked
    // Where all are slow, nobody is held up, unless others find no room.
    if (this.#passer.waits || this.#body.isAwaited || this.#body.isCrowded) this.#waited += since
    this.#stuck = this.#pendingBytes > 0 && this.#body.isStuck ? this.#stuck + since : 0
    this.#looked = now
  }

  #look(): void {
    this.#stopTimer = null
    this.#flush()
    // What went on may have brought more within the call, which is looked at already.
    if (this.#over || this.#pendingBytes === 0 || this.#stopTimer !== null) return
    this.#count()
    if (this.#stuck >= this.#interval) return this.#giveUp()
    if (this.#waited >= this.#interval) {
      this.#waited = 0
      const { behind, given } = this.#passer
      if (behind !== null && this.#body.isFirst(behind) && given - this.#givenThen < LEAST_READ) this.#passer.drop()
      this.#givenThen = given
      this.#body.hurry()
    }
    this.#lookLater()
  }

  #flushLater(): void {
    if (this.#flushes) return
    this.#flushes = true
    this.#services.timers.nextTurn(() => {
      this.#flushes = false
      this.#flush()
    })
  }

  /** What is pending goes on its way. */
  #flush(): void {
    if (this.#over) return
    if (this.#body.unread) return this.#giveUp()
    if (this.#pendingBytes === 0) return
    while (this.#pending.length > 0) {
      const chunk = this.#pending[0]!
      const taken = this.#body.write(chunk, 0, chunk.length)
      this.#pendingBytes -= taken
      if (taken < chunk.length) {
        this.#pending[0] = chunk.subarray(taken)
        return
      }
      this.#pending.shift()
    }
    this.#count()
    this.#stopTimer?.()
    this.#stopTimer = null
    if (this.#ended) this.#end()
    else this.#passer.passesOn()
  }

  #giveUp(): void {
    const rest = this.#pending
    this.#close()
    this.#body.fail()
    this.#passer.passedOver(rest)
  }
}
