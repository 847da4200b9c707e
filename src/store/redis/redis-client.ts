/**
 * Scripts on Redis within a deadline: whatever becomes of it, a call ends in time, and nobody waits for a server that
 * does not answer. One connection (to each node, where there are several), in which calls follow one another without
 * waiting for replies; those of one turn of the event loop are one write.
 */
import { Cluster } from 'ioredis'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { ReconnectPauses } from '../reconnect.ts'
import { Circuit } from './circuit.ts'
import type { RedisConfig, RedisConnection } from './connection.ts'
import { RedisDials } from './redis-dials.ts'
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
  /** First words of errors in replies that concern their command alone, besides {@link OF_KEY}. */
  readonly ofCommand?: readonly string[]
  /** Before a connection is made anew: at first, and at most. */
  readonly pauses?: ReconnectPauses
  /**
   * For an owner that waits for Redis rather than going on without it. A dial that is not answered for so long, and a
   * connection on which so long nothing comes while calls wait, has another one dialled beside it; the first one that
   * is answered is used. Of a cluster only dials: that some node of it answers says nothing of the one that is silent.
   */
  readonly overlap?: Milliseconds
}

const GREETING: Milliseconds = 2_000
const PAUSES: ReconnectPauses = { first: 100, longest: 2_000 }
/** Beyond the deadline a call costs nobody anything but the memory in which its reply is awaited. */
const UNSETTLED = 8

/** Whatever somebody else has put in the place of a key, the server is as well as it was. */
export const OF_KEY = 'WRONGTYPE'

/** That are told while it is away. */
const MAX_REASONS = 4
/** After so many in a row an answered PING says nothing any more: as where its user may not do what is asked. */
const MAX_LOST = 2

/**
 * Bytes of replies that come while a call waits: it is late because of what was ahead of it. Redis is as well as it
 * was, and is left alone for no one's large replies.
 */
const BUSY = 64 * 1_024

/** So many times as long as replies take: a Redis that is far away is not silent. */
const UNUSUAL = 4

interface Call {
  readonly until: Milliseconds
  /** `#received`, when it began. */
  readonly received: number
  readonly connection: RedisConnection
  readonly reject: (fault: RedisFault) => void
  ended: boolean
}

export class RedisClient {
  readonly #edges: RedisClientEdges
  readonly #bounds: RedisClientBounds
  /** Of a connection that is silent; undefined: its deadline decides alone. */
  readonly #overlap: Milliseconds | undefined
  readonly #circuit: Circuit
  #connection: RedisConnection | null = null
  /** Calls in the order in which they began, which is that of their deadlines; from `#first` on. */
  #calls: Call[] = []
  #first = 0
  #inFlight = 0
  #unsettled = 0
  /** Bytes of replies. */
  #received = 0
  /** What a reply takes. */
  #usual: Milliseconds = 0
  #stopTimer: (() => void) | null = null
  #stopDoubt: (() => void) | null = null
  readonly #dials: RedisDials
  /** What this turn of the event loop sends goes over it, and is one write. */
  #corked: RedisConnection | null = null
  #closed = false
  /** Told to the log once, until it changes, or is so for another reason. */
  #said: 'answers' | 'away' | null = null
  #lastError = ''
  /** Why it was away, as told since it answered last. */
  readonly #reasons = new Set<string>()
  /** Connections that answered PINGs and failed calls alone, in a row. */
  #lost = 0
  /** One for all calls until it answers: to make an error costs more than all else of a call. */
  #away = new RedisFault('away', 'Redis has not answered yet')

  constructor(config: RedisConfig, bounds: RedisClientBounds, edges: RedisClientEdges) {
    this.#bounds = bounds
    this.#edges = edges
    this.#overlap = config.mode === 'Cluster' ? undefined : bounds.overlap
    this.#circuit = new Circuit(bounds.inFlight, bounds.failures)
    this.#dials = new RedisDials({
      config,
      time: edges.time,
      random: edges.random,
      greeting: bounds.greeting ?? GREETING,
      pauses: bounds.pauses ?? PAUSES,
      overlap: bounds.overlap,
      answered: (connection) => this.#use(connection),
      failed: (why) => this.#notReached(why),
      received: (connection, bytes) => {
        if (connection !== this.#connection) return
        this.#received += bytes
        // It is not silent.
        if (this.#dials.active) this.#dials.stop()
      },
    })
    this.#dials.begin('now')
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
      const call: Call = { until, received: this.#received, connection, reject, ended: false }
      this.#calls.push(call)
      this.#inFlight++
      this.#unsettled++
      this.#arm()
      if (this.#stopDoubt === null && this.#overlap !== undefined) this.#doubtAfter(this.#overlap)
      this.#cork(connection)
      evaluate(connection, script, keys, args).then(
        (reply) => {
          this.#unsettled--
          if (!this.#end(call)) return
          this.#circuit.succeeded()
          if (this.#lost > 0) this.#works()
          if (this.#overlap !== undefined) this.#replied(call)
          resolve(reply)
        },
        (error: unknown) => {
          this.#unsettled--
          if (!this.#end(call)) return
          const fault = faultOf(error)
          reject(fault)
          if (!this.#isOfCommand(fault)) this.#failed(call, fault)
        },
      )
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#circuit.open()
    this.#dials.stop()
    this.#stopTimer?.()
    this.#stopTimer = null
    this.#stopDoubt?.()
    this.#stopDoubt = null
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
    if (kind !== 'refused') return false
    return message.startsWith(OF_KEY) || this.#bounds.ofCommand?.some((word) => message.startsWith(word)) === true
  }

  #failed({ connection }: Call, fault: RedisFault): void {
    // Another one has taken its place.
    if (connection !== this.#connection) return
    this.#lastError = fault.message
    if (!this.#circuit.failed()) return
    this.#lost++
    this.#reopen()
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
      if (this.#received - call.received < BUSY) this.#failed(call, fault)
    }
    if (this.#first > 1_024) {
      this.#calls = calls.slice(this.#first)
      this.#first = 0
    }
  }

  #replied(call: Call): void {
    this.#usual += (this.#waitOf(call) - this.#usual) / 8
  }

  #waitOf({ until }: Call): Milliseconds {
    return this.#edges.time.monotonic() - until + this.#bounds.deadline
  }

  /** Dials beside the connection when nothing has come over it since a call began that waits for so long. */
  #doubtAfter(overlap: Milliseconds, pause = overlap): void {
    const { time } = this.#edges
    this.#stopDoubt = time.after(pause, () => {
      // Where the thread itself was late, replies may lie in the socket.
      this.#stopDoubt = time.nextTurn(() => {
        this.#stopDoubt = null
        const call = this.#calls.find(({ ended }, i) => i >= this.#first && !ended)
        if (call === undefined || !this.#circuit.closed) return
        const waited = this.#waitOf(call)
        const patience = Math.max(overlap, this.#usual * UNUSUAL)
        if (waited >= patience && this.#received === call.received) this.#dials.begin('now')
        this.#doubtAfter(overlap, waited >= patience ? patience : Math.ceil(patience - waited))
      })
    })
  }

  #cork(connection: RedisConnection): void {
    if (this.#corked === connection || connection instanceof Cluster) return
    const { stream } = connection
    this.#corked = connection
    stream.cork()
    this.#edges.time.nextTurn(() => {
      if (this.#corked === connection) this.#corked = null
      stream.uncork()
    })
  }

  #use(connection: RedisConnection): void {
    const before = this.#connection
    this.#connection = connection
    before?.disconnect()
    connection.on('error', (error: Error) => {
      if (this.#connection === connection) this.#lastError = error.message
    })
    connection.on('end', () => {
      if (this.#connection === connection) this.#reopen()
    })
    this.#dials.succeeded()
    this.#circuit.close()
    if (this.#lost < MAX_LOST) this.#tellAnswers()
  }

  /** A call was answered. */
  #works(): void {
    const untold = this.#lost >= MAX_LOST
    this.#lost = 0
    if (untold) this.#tellAnswers()
  }

  #tellAnswers(): void {
    this.#reasons.clear()
    // It would be told as the reason of the next time.
    this.#lastError = ''
    this.#say('answers', 'Redis answers')
  }

  /** While there is a connection, another one beside it says nothing of it. */
  #notReached(why: string): void {
    if (this.#connection !== null) return
    if (why !== '') this.#lastError = why
    this.#tellAway()
  }

  /** Lets go of the connection, and of all that waits in it, and tries anew after a pause. */
  #reopen(): void {
    this.#circuit.open()
    this.#drop()
    if (this.#closed) return
    this.#dials.begin('later')
    this.#tellAway()
  }

  #tellAway(): void {
    this.#away = new RedisFault('away', this.#awayMessage())
    this.#say('away', this.#awayMessage())
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

/** Names of errors that a reply begins with; those are of the command, and the connection is well. */
const REPLY_ERROR = 'ReplyError'

/** The message alone: the error of ioredis carries the command with its arguments. */
function faultOf(error: unknown): RedisFault {
  const { name, message } = error as Error
  return new RedisFault(name === REPLY_ERROR ? 'refused' : 'broken', message)
}
