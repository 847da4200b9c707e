/**
 * Dials Redis until it answers. A server that refuses is tried again after a pause; where nothing comes back, as from a
 * network that swallows packets or the address of a pod that is gone, the next dial does not wait for the end of the
 * one before, if its owner says so: the first one that is answered is taken.
 */
import { Cluster } from 'ioredis'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { type ReconnectPauses, reconnectPause } from '../reconnect.ts'
import { connect, type RedisConfig, type RedisConnection } from './connection.ts'
import { RedisNames } from './redis-names.ts'

export interface RedisDialsOptions {
  readonly config: RedisConfig
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly random: Random
  /** From the first byte of a connection to the reply of its first PING. */
  readonly greeting: Milliseconds
  /** Behind one that failed. */
  readonly pauses: ReconnectPauses
  /** After which a dial without an answer has another one beside it; undefined: there is one at a time. */
  readonly overlap: Milliseconds | undefined
  /** One that has replied to a PING, and belongs to the owner from now on; no other one is under way. */
  readonly answered: (connection: RedisConnection) => void
  /** One has failed, and why; empty where nobody says it. The next one is to come. */
  readonly failed: (why: string) => void
  /** Bytes have come. */
  readonly received: (connection: RedisConnection, bytes: number) => void
}

/** A thread that stood still, as at its start, is late for one part, and reads what has come before the last one. */
const GREETING_PARTS = 4
/** Under way. */
const MAX_DIALS = 16
/** Between two dials to what has a name: each asks a server of names. */
const NAMED_PAUSE: Milliseconds = 100

export class RedisDials {
  readonly #options: RedisDialsOptions
  /** Each with what lets go of it. */
  readonly #dials = new Map<RedisConnection, () => void>()
  readonly #names: RedisNames
  #stopNext: (() => void) | null = null
  /** Lets go of the names that are being resolved. */
  #stopNames: (() => void) | null = null
  #attempts = 0
  #turn = 0

  constructor(options: RedisDialsOptions) {
    this.#options = options
    this.#names = new RedisNames(
      options.config.endpoints.map(({ host }) => host),
      options.time,
    )
  }

  /** Whether one is under way, or to come. */
  get active(): boolean {
    return this.#dials.size > 0 || this.#stopNext !== null || this.#stopNames !== null
  }

  /** Dials until one is answered; now, or after a pause where the one before was given up. */
  begin(how: 'now' | 'later'): void {
    if (this.active) return
    if (how === 'now') this.#dial()
    else this.#dialLater(this.#pause())
  }

  stop(): void {
    this.#stopNext?.()
    this.#stopNext = null
    this.#stopNames?.()
    for (const [connection, release] of this.#dials) {
      release()
      connection.disconnect()
    }
    this.#dials.clear()
  }

  /** The connection is well. */
  succeeded(): void {
    this.#attempts = 0
  }

  #pause(): Milliseconds {
    const pause = reconnectPause(this.#attempts++, this.#options.pauses, this.#options.random)
    return this.#names.none ? pause : Math.max(pause, NAMED_PAUSE)
  }

  #dialLater(pause: Milliseconds): void {
    this.#stopNext?.()
    this.#stopNext = this.#options.time.after(pause, () => {
      this.#stopNext = null
      this.#dial()
    })
  }

  #dial(): void {
    if (this.#names.known) this.#connect()
    else if (this.#stopNames === null) this.#resolve()
  }

  #resolve(): void {
    const { time, greeting, failed } = this.#options
    let over = false
    const stopTimer = time.after(greeting, () => failed('its name is not resolved: no server of names answers'))
    const stop = (): boolean => {
      if (over) return false
      over = true
      stopTimer()
      this.#stopNames = null
      return true
    }
    this.#stopNames = stop
    this.#names.resolve().then(
      () => {
        if (stop()) this.#connect()
      },
      (error: Error) => {
        if (!stop()) return
        if (this.#stopNext === null) this.#dialLater(this.#pause())
        failed(error.message)
      },
    )
  }

  #connect(): void {
    const { config, time, greeting, overlap, answered, received } = this.#options
    const connection = connect(config, this.#turn++, (bytes) => received(connection, bytes))
    let why = ''
    const failed = (): void => this.#failed(connection, why)
    const late = (): void => this.#failed(connection, why === '' ? 'it does not answer' : why)
    const note = (error: Error): void => {
      why = error.message
    }
    let parts = GREETING_PARTS
    let stopGreeting: () => void
    const wait = (): void => {
      stopGreeting = time.after(greeting / GREETING_PARTS, () => (--parts === 0 ? late() : wait()))
    }
    wait()
    this.#dials.set(connection, () => {
      stopGreeting()
      connection.off('end', failed)
    })
    connection.on('error', note)
    connection.on('end', failed)
    connection.once('ready', () => {
      ping(connection).then(
        () => {
          if (!this.#release(connection)) return
          this.stop()
          connection.off('error', note)
          answered(connection)
        },
        (error: Error) => this.#failed(connection, error.message),
      )
    })
    if (overlap === undefined || this.#dials.size >= MAX_DIALS) return
    this.#dialLater(this.#names.none ? overlap : Math.max(overlap, NAMED_PAUSE))
  }

  #failed(connection: RedisConnection, why: string): void {
    if (!this.#release(connection)) return
    connection.disconnect()
    // The others are still waited for, and the next one comes when it would have.
    if (this.#dials.size === 0 || this.#stopNext === null) this.#dialLater(this.#pause())
    this.#options.failed(why)
  }

  /** @returns false: it was let go of before */
  #release(connection: RedisConnection): boolean {
    const release = this.#dials.get(connection)
    if (release === undefined) return false
    this.#dials.delete(connection)
    release()
    return true
  }
}

async function ping(connection: RedisConnection): Promise<void> {
  await connection.ping()
  // A master that became a replica answers, and refuses every write.
  if (connection instanceof Cluster) return
  const [role] = await connection.role().catch(() => ['unknown'])
  if (role === 'slave') throw new Error('it is a replica')
}
