/**
 * Scripts on Redis within a deadline: whatever becomes of it, a call ends in time, and nobody waits for a server that
 * does not answer. One connection (to each node, where there are several), in which calls follow one another without
 * waiting for replies; those of one turn of the event loop are one write.
 */
import { Cluster } from 'ioredis'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { type ReconnectPauses, reconnectPause } from '../reconnect.ts'
import { Circuit } from './circuit.ts'
import { connect, type RedisConfig, type RedisConnection } from './connection.ts'
import { RedisFault } from './redis-fault.ts'
import type { RedisArgument, RedisScript } from './redis-script.ts'

export interface RedisClientEdges {
  readonly time: TimerClock
  readonly random: Random
  /** The state has changed; for the log. Holds nothing secret. */
  changed(state: 'answers' | 'away', message: string): void
}

export interface RedisClientBounds {
  /** Of every call. */
  readonly deadline: Milliseconds
  /** Calls that wait for their reply, at most. */
  readonly inFlight: number
  /** From the first byte of a connection to the reply of its first PING; 2 s by default. */
  readonly greeting?: Milliseconds
  /** Calls in a row without a reply after which the connection is given up; see {@link Circuit}. */
  readonly failures?: number
  /** First words of errors in replies that concern their command alone: the server is as well as it was. */
  readonly ofCommand?: readonly string[]
  /** Before a connection is made anew: at first, and at most. */
  readonly pauses?: ReconnectPauses
}

const GREETING: Milliseconds = 2_000
const PAUSES: ReconnectPauses = { first: 100, longest: 2_000 }
/** Beyond the deadline a call costs nobody anything but the memory in which its reply is awaited. */
const UNSETTLED = 8

/** That are told while it is away. */
const MAX_REASONS = 4

/**
 * Bytes of replies that come while a call waits: it is late because of what was ahead of it. Redis is as well as it
 * was, and is left alone for no one's large replies.
 */
const BUSY = 64 * 1_024

interface Call {
  readonly until: Milliseconds
  /** `#received`, when it began. */
  readonly received: number
  readonly reject: (fault: RedisFault) => void
  ended: boolean
}

export class RedisClient {
  readonly #config: RedisConfig
  readonly #edges: RedisClientEdges
  readonly #bounds: RedisClientBounds
  readonly #circuit: Circuit
  #connection: RedisConnection | null = null
  /** Calls in the order in which they began, which is that of their deadlines; from `#first` on. */
  #calls: Call[] = []
  #first = 0
  #inFlight = 0
  #unsettled = 0
  /** Bytes of replies. */
  #received = 0
  #stopTimer: (() => void) | null = null
  #stopPause: (() => void) | null = null
  #corked = false
  #attempts = 0
  #turn = 0
  #closed = false
  /** Told to the log once, until it changes, or is so for another reason. */
  #said: 'answers' | 'away' | null = null
  #lastError = ''
  /** Why it was away, as told since it answered last. */
  readonly #reasons = new Set<string>()
  /** One for all calls until it answers: to make an error costs more than all else of a call. */
  #away = new RedisFault('away', 'Redis has not answered yet')

  constructor(config: RedisConfig, bounds: RedisClientBounds, edges: RedisClientEdges) {
    this.#config = config
    this.#bounds = bounds
    this.#edges = edges
    this.#circuit = new Circuit(bounds.inFlight, bounds.failures)
    this.#open()
  }

  /** Whether it is asked now. */
  get answers(): boolean {
    return this.#circuit.closed
  }

  /** Calls for which there is room now. */
  get free(): number {
    return Math.max(0, this.#circuit.room - this.#inFlight)
  }

  /**
   * @returns what the script returns; strings as text, or as bytes where the script says so
   * @throws {RedisFault} rejects with it, at the deadline at the latest
   */
  run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    const connection = this.#connection
    if (connection === null || !this.#circuit.closed) return Promise.reject(this.#away)
    if (this.#inFlight >= this.#circuit.room || this.#unsettled >= this.#bounds.inFlight * UNSETTLED)
      return Promise.reject(new RedisFault('full', `${this.#inFlight} calls of Redis are in flight`))
    return new Promise((resolve, reject) => {
      const until = this.#edges.time.monotonic() + this.#bounds.deadline
      const call: Call = { until, received: this.#received, reject, ended: false }
      this.#calls.push(call)
      this.#inFlight++
      this.#unsettled++
      this.#arm()
      this.#cork(connection)
      evaluate(connection, script, keys, args).then(
        (reply) => {
          this.#unsettled--
          if (!this.#end(call)) return
          this.#circuit.succeeded()
          resolve(reply)
        },
        (error: unknown) => {
          this.#unsettled--
          if (!this.#end(call)) return
          const fault = faultOf(error)
          reject(fault)
          if (!this.#isOfCommand(fault)) this.#failed(fault)
        },
      )
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#circuit.open()
    this.#stopPause?.()
    this.#stopTimer?.()
    this.#stopTimer = null
    this.#drop()
    this.#expire(Number.POSITIVE_INFINITY)
  }

  /** @returns whether it had not ended before */
  #end(call: Call): boolean {
    if (call.ended) return false
    call.ended = true
    this.#inFlight--
    return true
  }

  #isOfCommand({ kind, message }: RedisFault): boolean {
    return kind === 'refused' && this.#bounds.ofCommand?.some((word) => message.startsWith(word)) === true
  }

  #failed(fault: RedisFault): void {
    this.#lastError = fault.message
    if (this.#circuit.failed()) this.#reopen()
  }

  /** One timer for all calls: their deadlines come in the order in which they began. */
  #arm(): void {
    if (this.#stopTimer !== null || this.#closed) return
    while (this.#first < this.#calls.length && this.#calls[this.#first]!.ended) this.#first++
    if (this.#first === this.#calls.length) {
      this.#calls = []
      this.#first = 0
      return
    }
    const { time } = this.#edges
    // Rounded up: timers cut fractions off, and one that fires too early costs another one behind it.
    const left = Math.ceil(this.#calls[this.#first]!.until - time.monotonic())
    this.#stopTimer = time.after(left, () => {
      // Where the thread itself was late, replies may lie in the socket: they are read before anything is given up.
      this.#stopTimer = time.nextTurn(() => {
        this.#stopTimer = null
        this.#expire(time.monotonic())
        this.#arm()
      })
    })
  }

  #expire(now: Milliseconds): void {
    const calls = this.#calls
    for (; this.#first < calls.length; this.#first++) {
      const call = calls[this.#first]!
      if (call.ended) continue
      if (call.until > now) break
      this.#end(call)
      const fault = new RedisFault('timeout', `Redis did not reply within ${this.#bounds.deadline} ms`)
      call.reject(fault)
      if (this.#received - call.received < BUSY) this.#failed(fault)
    }
    if (this.#first > 1_024) {
      this.#calls = calls.slice(this.#first)
      this.#first = 0
    }
  }

  /** What this turn of the event loop sends is one write. */
  #cork(connection: RedisConnection): void {
    if (this.#corked || connection instanceof Cluster) return
    const { stream } = connection
    this.#corked = true
    stream.cork()
    this.#edges.time.nextTurn(() => {
      this.#corked = false
      stream.uncork()
    })
  }

  #open(): void {
    if (this.#closed) return
    const connection = connect(this.#config, this.#turn++, (bytes) => {
      this.#received += bytes
    })
    this.#connection = connection
    const lost = (why: string): void => {
      if (this.#connection !== connection) return
      if (why !== '') this.#lastError = why
      this.#reopen()
    }
    const stopGreeting = this.#edges.time.after(this.#bounds.greeting ?? GREETING, () => lost('it does not answer'))
    connection.on('error', (error: Error) => {
      if (this.#connection === connection) this.#lastError = error.message
    })
    connection.on('end', () => {
      stopGreeting()
      lost('')
    })
    connection.once('ready', () => {
      ping(connection).then(
        () => {
          stopGreeting()
          if (this.#connection === connection) this.#welcome()
        },
        (error: unknown) => {
          stopGreeting()
          lost(faultOf(error).message)
        },
      )
    })
  }

  #welcome(): void {
    this.#attempts = 0
    this.#circuit.close()
    this.#reasons.clear()
    // It would be told as the reason of the next time.
    this.#lastError = ''
    this.#say('answers', 'Redis answers')
  }

  /** Lets go of the connection, and of all that waits in it, and tries anew after a pause. */
  #reopen(): void {
    this.#circuit.open()
    this.#away = new RedisFault('away', this.#awayMessage())
    this.#drop()
    if (this.#closed || this.#stopPause !== null) return
    this.#say('away', this.#awayMessage())
    const { time, random } = this.#edges
    const pause = reconnectPause(this.#attempts++, this.#bounds.pauses ?? PAUSES, random)
    this.#stopPause = time.after(pause, () => {
      this.#stopPause = null
      this.#open()
    })
  }

  #drop(): void {
    const connection = this.#connection
    this.#connection = null
    connection?.disconnect()
  }

  /** A connection that breaks says nothing of why; those that are tried then do, such as that the password is wrong. */
  #say(state: 'answers' | 'away', message: string): void {
    const reason = this.#lastError
    const isNew = state === 'away' && reason !== '' && this.#reasons.size < MAX_REASONS && !this.#reasons.has(reason)
    if (this.#said === state && !isNew) return
    if (isNew) this.#reasons.add(reason)
    this.#said = state
    this.#edges.changed(state, message)
  }

  #awayMessage(): string {
    return `Redis cannot be asked${this.#lastError === '' ? '' : `: ${this.#lastError}`}`
  }
}

async function evaluate(
  connection: RedisConnection,
  { digest, source, bytes }: RedisScript,
  keys: readonly string[],
  args: readonly RedisArgument[],
): Promise<unknown> {
  try {
    if (bytes) return await connection.callBuffer('EVALSHA', digest, keys.length, ...keys, ...args)
    return await connection.evalsha(digest, keys.length, ...keys, ...args)
  } catch (error) {
    // After a restart, a failover, or SCRIPT FLUSH.
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
    if (bytes) return connection.callBuffer('EVAL', source, keys.length, ...keys, ...args)
    return connection.eval(source, keys.length, ...keys, ...args)
  }
}

async function ping(connection: RedisConnection): Promise<void> {
  await connection.ping()
  // A master that became a replica answers, and refuses every write.
  if (connection instanceof Cluster) return
  const [role] = await connection.role().catch(() => ['unknown'])
  if (role === 'slave') throw new Error('it is a replica')
}

/** Names of errors that a reply begins with; those are of the command, and the connection is well. */
const REPLY_ERROR = 'ReplyError'

/** The message alone: the error of ioredis carries the command with its arguments. */
function faultOf(error: unknown): RedisFault {
  const { name, message } = error as Error
  return new RedisFault(name === REPLY_ERROR ? 'refused' : 'broken', message)
}
