/**
 * Pieces that are asked for at a time: a few, and those of namespaces by turns, so that neither many clients nor one
 * namespace with long bodies fills the connection or the memory. What asks waits; a piece that cannot be had now is
 * asked for again, as its client already has the pieces before.
 */
import { ArchiveError } from '../../cache/response-archive.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'

/** Between two tries. */
const PAUSE: Milliseconds = 50

export class PieceQueue {
  readonly #most: number
  readonly #time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, () => void>()
  #serial = 0
  #inFlight = 0

  /** @param most asked for at a time, by all readers of a worker */
  constructor(most: number, time: Pick<TimerClock, 'after' | 'monotonic'>) {
    this.#most = most
    this.#time = time
  }

  /**
   * @param read rejects where it may be had later
   * @param patience from when the piece is wanted
   * @param wanted false: nobody waits for it any more
   * @throws {ArchiveError} rejects with it when it cannot be had
   */
  async read<Piece>(
    owner: string,
    read: () => Promise<Piece>,
    patience: Milliseconds,
    wanted: () => boolean,
  ): Promise<Piece> {
    const until = this.#time.monotonic() + patience
    for (;;) {
      await this.#turn(owner)
      if (!wanted()) {
        this.#done()
        throw new ArchiveError('the body is not read any more')
      }
      try {
        return await read()
      } catch (error) {
        if (error instanceof ArchiveError || this.#time.monotonic() >= until)
          throw error instanceof ArchiveError ? error : new ArchiveError('the rest of the body cannot be read in time')
      } finally {
        this.#done()
      }
      await new Promise<void>((resolve) => void this.#time.after(PAUSE, resolve))
    }
  }

  #turn(owner: string): Promise<void> | undefined {
    if (this.#inFlight < this.#most) {
      this.#inFlight++
      return undefined
    }
    return new Promise((resolve) => {
      const key = String(this.#serial++)
      this.#waiting.set(key, resolve)
      this.#queue.add(owner, key)
    })
  }

  /** Its place goes to the next in line, or is free. */
  #done(): void {
    const next = this.#queue.take()
    if (next === undefined) {
      this.#inFlight--
      return
    }
    const resolve = this.#waiting.get(next.key)!
    this.#waiting.delete(next.key)
    resolve()
  }
}
