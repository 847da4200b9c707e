/**
 * Waits for the next entry of a stream on a connection of its own, which is blocked meanwhile: a hint that something is
 * to be read, in a millisecond instead of at the next look. Nothing depends on it: whoever waits also looks by himself.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { connect, type RedisConfig, type RedisConnection } from './connection.ts'

/** Of one command; less than what a node of a cluster may be silent for. */
const BLOCKED: Milliseconds = 500
/** For the reply, beyond that. */
const SLACK: Milliseconds = 1_000
const PAUSE: Milliseconds = 1_000

export interface StreamPlace {
  readonly stream: string
  readonly id: string
}

export class StreamWait {
  readonly #time: TimerClock
  #config = ''
  #connection: RedisConnection | undefined
  #turn = 0
  #pausedUntil = 0

  constructor(time: TimerClock) {
    this.#time = time
  }

  /**
   * Resolves when there is an entry behind this one, or one more in the other stream, or after half a second.
   *
   * @param after the place of the last entry that is known
   * @param other of the same slot
   * @returns false: it cannot be waited for now
   */
  async next(config: RedisConfig, after: StreamPlace, other: string): Promise<boolean> {
    const connection = this.#open(config)
    // While it is being made nothing may be sent.
    if (connection?.status !== 'ready') return false
    const stop = this.#time.after(BLOCKED + SLACK, () => this.#drop(connection))
    try {
      await connection.xread('BLOCK', BLOCKED, 'STREAMS', after.stream, other, after.id, '$')
      return true
    } catch {
      this.#drop(connection)
      return false
    } finally {
      stop()
    }
  }

  /** What is waited for is another stream by now. */
  restart(): void {
    if (this.#connection === undefined) return
    this.#drop(this.#connection)
    this.#pausedUntil = 0
  }

  stop(): void {
    if (this.#connection !== undefined) this.#drop(this.#connection)
    this.#pausedUntil = Number.POSITIVE_INFINITY
  }

  #open(config: RedisConfig): RedisConnection | undefined {
    const text = JSON.stringify(config)
    if (this.#connection !== undefined && text !== this.#config) this.#drop(this.#connection)
    if (this.#connection !== undefined) return this.#connection
    if (this.#time.monotonic() < this.#pausedUntil) return undefined
    this.#config = text
    const connection = connect(config, this.#turn++, () => {})
    // Whoever calls is told by the call.
    connection.on('error', () => {})
    connection.once('end', () => this.#drop(connection))
    this.#connection = connection
    return connection
  }

  #drop(connection: RedisConnection): void {
    connection.disconnect()
    if (connection !== this.#connection) return
    this.#connection = undefined
    this.#pausedUntil = this.#time.monotonic() + PAUSE
  }
}
