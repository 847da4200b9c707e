/**
 * Sign-ins as a worker has them: what needs a provider is asked of the control thread, which asks each provider once
 * for all workers; which sessions are over is known here.
 */
import { SignOuts } from '../auth/sign-outs.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import {
  type CodeRedemption,
  clientKey,
  type EndedSession,
  type IssuedTokens,
  type ProviderEndpoints,
  type SessionIdentity,
  type SessionRefresh,
  type SignInAnswer,
  type SignInClient,
  type SignInFailure,
  type SignInQuestion,
  type SignIns,
} from '../policy/sign-ins.ts'
import type { RedisSessions } from '../store/redis-sessions.ts'
import type { FromWorker, ToWorker } from '../thread/messages.ts'

export interface WorkerSignInsHost {
  readonly clock: Pick<TimerClock, 'after' | 'monotonic' | 'wall'>
  readonly random: (bytes: number) => Uint8Array
  readonly seed: () => Uint8Array
  /** Of all replicas. */
  readonly shared: Pick<RedisSessions, 'configured' | 'read' | 'refreshOnce' | 'tell'>
  send(message: FromWorker): void
}

/** Beyond what control gives a call, so that its answer says more. */
const PATIENCE: Milliseconds = 15_000
/** Questions under way, of all namespaces and of one. */
const AT_ONCE = 1_024
const AT_ONCE_OF_NAMESPACE = 256
/** Endpoints of a provider are asked for again, and are used meanwhile. */
const FRESH: Milliseconds = 60_000
/** Clients whose endpoints are known. */
const MAX_KNOWN = 1_024
const SWEEP_EVERY: Milliseconds = 60_000
/** Between two looks at what other replicas have ended. */
const LOOK_EVERY: Milliseconds = 1_000

interface Pending {
  readonly namespace: string
  readonly done: (answer: SignInAnswer) => void
}

interface KnownEndpoints {
  readonly endpoints: ProviderEndpoints
  readonly at: Milliseconds
}

export class WorkerSignIns implements SignIns {
  readonly #host: WorkerSignInsHost
  readonly #signOuts = new SignOuts()
  readonly #pending = new Map<number, Pending>()
  readonly #ofNamespace = new Map<string, number>()
  readonly #known = new Map<string, KnownEndpoints>()
  readonly #asking = new Map<string, Promise<ProviderEndpoints | SignInFailure>>()
  #next = 0
  #sweptAt = Number.NEGATIVE_INFINITY
  #looking = false
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(host: WorkerSignInsHost) {
    this.#host = host
  }

  random(bytes: number): Uint8Array {
    return this.#host.random(bytes)
  }

  get seed(): Uint8Array {
    return this.#host.seed()
  }

  /** Of control. */
  accept(message: Extract<ToWorker, { readonly type: 'sign-in-answer' | 'sign-outs' }>): void {
    if (message.type === 'sign-in-answer') return this.#settle(message.id, message.answer)
    const { clock } = this.#host
    const now = clock.monotonic()
    if (now - this.#sweptAt > SWEEP_EVERY) {
      this.#sweptAt = now
      this.#signOuts.sweep(clock.wall())
    }
    for (const entry of message.entries) this.#signOuts.add(message.owner, message.client, entry)
    if (message.known !== true) void this.#host.shared.tell(message.owner, message.client, message.entries)
  }

  /** A new control thread knows of none of the questions. */
  forgetQuestions(): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id, failure('the control thread has begun anew'))
  }

  endpoints(client: SignInClient, issuer: string): ProviderEndpoints | Promise<ProviderEndpoints | SignInFailure> {
    const key = `${clientKey(client)} ${issuer}`
    const known = this.#known.get(key)
    const asked = this.#asking.get(key)
    const fresh = known !== undefined && this.#host.clock.monotonic() - known.at < FRESH
    const asking = fresh || asked !== undefined ? asked : this.#askEndpoints(key, client)
    return known?.endpoints ?? asking!
  }

  #askEndpoints(key: string, client: SignInClient): Promise<ProviderEndpoints | SignInFailure> {
    const asking = (this.#ask({ ask: 'endpoints', client }) as Promise<ProviderEndpoints | SignInFailure>).then(
      (answer) => {
        this.#asking.delete(key)
        if (!('fault' in answer)) this.#know(key, answer)
        return answer
      },
    )
    this.#asking.set(key, asking)
    return asking
  }

  #know(key: string, endpoints: ProviderEndpoints): void {
    this.#known.delete(key)
    this.#known.set(key, { endpoints, at: this.#host.clock.monotonic() })
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
  }

  redeem(client: SignInClient, redemption: CodeRedemption): Promise<IssuedTokens | SignInFailure> {
    return this.#ask({ ask: 'redeem', client, redemption }) as Promise<IssuedTokens | SignInFailure>
  }

  refresh(client: SignInClient, refresh: SessionRefresh): Promise<IssuedTokens | SignInFailure> {
    return this.#host.shared.refreshOnce(
      clientKey(client),
      refresh.refreshToken,
      () => this.#ask({ ask: 'refresh', client, refresh }) as Promise<IssuedTokens | SignInFailure>,
    )
  }

  end(client: SignInClient, session: EndedSession): Promise<SignInFailure | null> {
    return this.#ask({ ask: 'end', client, session }) as Promise<SignInFailure | null>
  }

  endByToken(client: SignInClient, token: string): Promise<SignInFailure | null> {
    return this.#ask({ ask: 'end-by-token', client, token }) as Promise<SignInFailure | null>
  }

  isOver(client: SignInClient, { ids, began }: SessionIdentity): boolean {
    this.#look()
    return this.#signOuts.isOver(clientKey(client), ids, began)
  }

  /** As long as there are sessions, what other replicas have ended is read. */
  #look(): void {
    const { clock, shared } = this.#host
    if (this.#looking || !shared.configured || clock.monotonic() - this.#lookedAt < LOOK_EVERY) return
    this.#looking = true
    const read = async (): Promise<void> => {
      for (let more = true; more; ) {
        const page = await shared.read()
        for (const { owner, client, entry } of page.told) this.#signOuts.add(owner, client, entry)
        more = page.more
      }
    }
    const ended = (): void => {
      this.#looking = false
      this.#lookedAt = clock.monotonic()
    }
    read().then(ended, ended)
  }

  #ask(question: SignInQuestion): Promise<SignInAnswer> {
    const { namespace } = question.client
    const count = this.#ofNamespace.get(namespace) ?? 0
    if (this.#pending.size >= AT_ONCE || count >= AT_ONCE_OF_NAMESPACE)
      return Promise.resolve(failure('too many sign-ins are under way'))
    const { promise, resolve } = Promise.withResolvers<SignInAnswer>()
    const id = this.#next++
    const cancel = this.#host.clock.after(PATIENCE, () => this.#settle(id, failure('the control thread is silent')))
    this.#ofNamespace.set(namespace, count + 1)
    this.#pending.set(id, {
      namespace,
      done: (answer) => {
        cancel()
        resolve(answer)
      },
    })
    this.#host.send({ type: 'sign-in', id, question })
    return promise
  }

  #settle(id: number, answer: SignInAnswer): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    const left = this.#ofNamespace.get(pending.namespace)! - 1
    if (left === 0) this.#ofNamespace.delete(pending.namespace)
    else this.#ofNamespace.set(pending.namespace, left)
    pending.done(answer)
  }
}

function failure(detail: string): SignInFailure {
  return { fault: 'unavailable', detail }
}
