/**
 * One replica of many does what must not be done twice: writing statuses. All serve traffic the same, so nothing hangs
 * on a leader being there. The usual protocol over a Lease, with monotonic clocks alone: the times in the Lease are for
 * people to read.
 *
 * Why there are never two: a leader counts from before it sent a renewal, and gives up `renewDeadline` later; another
 * takes the Lease only `duration` after it saw it change last, which was after the renewal, and only if it has not
 * changed since (`resourceVersion`). As long as clocks run equally fast, the first moment comes before the second.
 */
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { microTimestamp } from '../../lib/timestamp.ts'
import { ApiError } from '../../source/kubernetes/api-error.ts'
import { type LeaseRecord, leaseObject, readLease } from './lease-record.ts'

/** What is asked of an API server; KubernetesClient has it. */
export interface LeaseClient {
  get(path: string, signal?: AbortSignal): Promise<unknown>
  create(path: string, object: unknown, signal?: AbortSignal): Promise<unknown>
  update(path: string, object: unknown, signal?: AbortSignal): Promise<unknown>
}

export interface LeaseTimes {
  /** Others leave a silent holder in peace for this long. */
  readonly duration: Milliseconds
  /** A holder that could not renew for this long stops leading; less than `duration`. */
  readonly renewDeadline: Milliseconds
  readonly retryPeriod: Milliseconds
}

export const LEASE_TIMES: LeaseTimes = { duration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 }

export interface ElectorEvents {
  leading(): void
  /** Not leading any more. */
  lost(): void
  /** For the log: why the Lease cannot be had; once until it changes. */
  problem(message: string): void
}

export interface ElectorOptions {
  readonly client: LeaseClient
  readonly namespace: string
  readonly name: string
  /** Of this control thread and no other, not even the one before it in this process. */
  readonly identity: string
  readonly time: TimerClock
  readonly random: Random
  readonly events: ElectorEvents
  readonly times?: Partial<LeaseTimes>
}

/** Longest wait of an exit for the Lease to be freed. */
const RELEASE_WITHIN: Milliseconds = 2_000

interface Observed {
  readonly record: LeaseRecord
  /** When it was first seen like this, monotonic. */
  readonly at: Milliseconds
}

export class LeaderElector {
  readonly #options: ElectorOptions
  readonly #times: LeaseTimes
  readonly #path: string
  readonly #collection: string
  #observed: Observed | undefined
  /** Whether nothing has happened that could make `#observed` old. */
  #sure = false
  #leadUntil = Number.NEGATIVE_INFINITY
  /** As last reported; the deadline may have passed since. */
  #reportedLeading = false
  #lastRenewMicros = 0
  #deadline: () => void = () => {}
  #running: Promise<void> | undefined
  #wake: () => void = () => {}
  #request: AbortController | undefined
  #stopped = false
  #problem: string | undefined

  /** @throws {TypeError} for times with which there could be two leaders */
  constructor(options: ElectorOptions) {
    const times = { ...LEASE_TIMES, ...options.times }
    if (!(times.retryPeriod > 0 && times.retryPeriod < times.renewDeadline && times.renewDeadline < times.duration))
      throw new TypeError(`retry, renew deadline and duration must grow: ${JSON.stringify(times)}`)
    this.#options = options
    this.#times = times
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(options.namespace)}/leases`
    this.#path = `${this.#collection}/${encodeURIComponent(options.name)}`
  }

  /** Right at every moment, also while events wait for their turn. */
  get leading(): boolean {
    return this.#reportedLeading && this.#options.time.monotonic() < this.#leadUntil
  }

  /** The holder as last seen; empty when there is none or the Lease was never seen. */
  get holder(): string {
    return this.#observed?.record.holder ?? ''
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Stops leading at once and frees the Lease, so that another leads without waiting. Takes at most some seconds. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#lose()
    this.#request?.abort()
    this.#wake()
    await this.#running
    await this.#release()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const pause = await this.#turn()
      if (!this.#stopped) await this.#sleep(pause)
    }
  }

  /** One attempt to have or keep the Lease. @returns pause before the next */
  async #turn(): Promise<Milliseconds> {
    const { retryPeriod } = this.#times
    const { random } = this.#options
    try {
      await this.#attempt()
      this.#report(undefined)
      // Those who wait do not come all at once; who holds it must not come late.
      return this.#reportedLeading ? retryPeriod : retryPeriod * (1 + 0.2 * random())
    } catch (error) {
      if (this.#stopped) return 0
      if (!(error instanceof ApiError)) throw error
      // Another writer was faster: it is read again, at once when this replica holds it.
      if (error.status === 409 || error.status === 404)
        return retryPeriod * random() * (this.#reportedLeading ? 0.1 : 1)
      this.#report(`${error.message} (${error.reason})`)
      const { retryAfter = 0 } = error
      return Math.max(retryPeriod, Math.min(retryAfter, this.#times.renewDeadline))
    }
  }

  async #attempt(): Promise<void> {
    // Who holds it need not look: the write fails if it is not as it was.
    if (!this.#reportedLeading || !this.#sure) await this.#look()
    const known = this.#observed
    if (known !== undefined && !this.#mayTake(known)) return
    await this.#write(known?.record)
  }

  async #look(): Promise<void> {
    try {
      this.#observe(await this.#ask((signal) => this.#options.client.get(this.#path, signal)))
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error
      this.#observed = undefined
    }
    this.#sure = true
    if (this.#observed?.record.holder !== this.#options.identity) this.#lose()
  }

  /** Times in the Lease are by other clocks: only how long this replica has seen no change counts. */
  #mayTake({ record, at }: Observed): boolean {
    const { identity, time } = this.#options
    if (record.holder === '' || record.holder === identity) return true
    return time.monotonic() >= at + Math.max(record.duration ?? 0, this.#times.duration)
  }

  async #write(before: LeaseRecord | undefined): Promise<void> {
    const { client, identity, namespace, name, time } = this.#options
    const renewTime = this.#renewTime()
    const held = before?.holder === identity
    const claim = {
      holder: identity,
      duration: this.#times.duration,
      acquireTime: (held ? before.acquireTime : undefined) ?? renewTime,
      renewTime,
      transitions: before === undefined ? 0 : held ? before.transitions : before.transitions + 1,
    }
    const object = leaseObject(namespace, name, claim, before)
    const sentAt = time.monotonic()
    try {
      const stored = await this.#ask((signal) =>
        before === undefined
          ? client.create(this.#collection, object, signal)
          : client.update(this.#path, object, signal),
      )
      this.#observe(stored)
    } catch (error) {
      // It may have been written all the same, or another replica holds it by now: it is read again.
      this.#sure = false
      throw error
    }
    const now = this.#observed?.record
    // An API server does not store what changes nothing; others would not have seen a sign of life.
    if (now?.holder === identity && now.resourceVersion !== before?.resourceVersion) this.#lead(sentAt)
  }

  /** Always another one, also when the clock stands still or goes back: what changes nothing is no sign of life. */
  #renewTime(): string {
    this.#lastRenewMicros = Math.max(this.#options.time.wall() * 1_000, this.#lastRenewMicros + 1)
    return microTimestamp(this.#lastRenewMicros)
  }

  #observe(value: unknown): void {
    const record = readLease(value)
    if (record === undefined) throw new ApiError(200, 'BadAnswer', 'the API server sent something that is not a Lease')
    const before = this.#observed
    const same = before?.record.resourceVersion === record.resourceVersion
    this.#observed = same ? before : { record, at: this.#options.time.monotonic() }
  }

  #lead(since: Milliseconds): void {
    const { time, events } = this.#options
    const until = since + this.#times.renewDeadline
    if (this.#stopped || until <= time.monotonic()) return
    this.#leadUntil = until
    this.#deadline()
    this.#deadline = time.after(until - time.monotonic(), () => this.#lose())
    if (this.#reportedLeading) return
    this.#reportedLeading = true
    events.leading()
  }

  #lose(): void {
    this.#deadline()
    this.#leadUntil = Number.NEGATIVE_INFINITY
    if (!this.#reportedLeading) return
    this.#reportedLeading = false
    this.#options.events.lost()
  }

  async #release(): Promise<void> {
    const { client, identity, namespace, name } = this.#options
    // A renewal that was given up on the way may have arrived after we looked.
    for (let attempt = 0; attempt < 2; attempt++) {
      if (!this.#sure) await this.#look().catch(() => {})
      const record = this.#observed?.record
      if (record?.holder !== identity) return
      const renewTime = this.#renewTime()
      const claim = { holder: '', duration: 1_000, acquireTime: renewTime, renewTime, transitions: record.transitions }
      try {
        const object = leaseObject(namespace, name, claim, record)
        this.#observe(await this.#ask((signal) => client.update(this.#path, object, signal), RELEASE_WITHIN))
        return
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 409) return
        this.#sure = false
      }
    }
  }

  /** With a deadline: what hangs must not keep a leader from trying again in time. */
  async #ask<T>(
    request: (signal: AbortSignal) => Promise<T>,
    within: Milliseconds = this.#times.renewDeadline / 2,
  ): Promise<T> {
    const controller = new AbortController()
    this.#request = controller
    const late = Promise.withResolvers<never>()
    const cancel = this.#options.time.after(within, () => {
      late.reject(new ApiError(0, 'TimedOut', `no answer within ${within / 1_000} s`))
      controller.abort()
    })
    const given = new Promise<never>((_, reject) => {
      controller.signal.addEventListener('abort', () => reject(new ApiError(0, 'Aborted', 'not wanted any more')))
    })
    try {
      return await Promise.race([late.promise, request(controller.signal), given])
    } finally {
      cancel()
      this.#request = undefined
    }
  }

  #sleep(pause: Milliseconds): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.time.after(pause, resolve)
    this.#wake = () => {
      cancel()
      resolve()
    }
    return promise
  }

  #report(problem: string | undefined): void {
    if (problem !== undefined && problem !== this.#problem) {
      const { namespace, name, events } = this.#options
      const what = this.#reportedLeading ? 'kept' : 'had'
      events.problem(
        `Lease ${namespace}/${name} cannot be ${what}: ${problem}; statuses are written by whoever holds it`,
      )
    }
    this.#problem = problem
  }
}
