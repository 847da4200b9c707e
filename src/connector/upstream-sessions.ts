/**
 * TLS sessions of endpoints, so that a new connection need not verify the same certificate again. A session is resumed
 * only with the context it was made with: after a changed CA, client certificate or `insecureSkipVerify` there is
 * another context.
 */
import type { SecureContext } from 'node:tls'
import type { Clock, Milliseconds } from '../lib/clock.ts'
import { FairMap } from '../lib/fair-map.ts'

export interface UpstreamSessionEntry {
  readonly context: SecureContext
  readonly session: Buffer
  /** Since the epoch: until then the handshake that verified the certificate counts. */
  readonly until: Milliseconds
}

/** Of this worker. */
const MAX_SESSIONS = 2_048
/** A session has the endpoint's certificate in it. */
const MAX_SESSION_BYTES = 8 * 1024
/** How long the result of a verification counts, however often it is resumed. */
const MAX_AGE: Milliseconds = 3_600_000

export class UpstreamSessions {
  readonly #wall: Clock['wall']
  readonly #sessions = new FairMap<UpstreamSessionEntry>(MAX_SESSIONS)

  constructor(wall: Clock['wall']) {
    this.#wall = wall
  }

  get(namespace: string, key: string, context: SecureContext): UpstreamSessionEntry | undefined {
    const entry = this.#sessions.get(namespace, key)
    if (entry === undefined) return undefined
    if (entry.context === context && this.#wall() < entry.until) return entry
    this.#sessions.delete(namespace, key)
    return undefined
  }

  /**
   * @param resumed the session that the connection was made with
   * @param expires when the endpoint's certificate does, since the epoch
   */
  put(
    namespace: string,
    key: string,
    made: Pick<UpstreamSessionEntry, 'context' | 'session'>,
    resumed: UpstreamSessionEntry | undefined,
    expires: Milliseconds,
  ): void {
    if (made.session.length > MAX_SESSION_BYTES) return
    const until = resumed?.until ?? Math.min(this.#wall() + MAX_AGE, expires)
    this.#sessions.set(namespace, key, { ...made, until })
  }

  /** The endpoint did not accept it. */
  delete(namespace: string, key: string): void {
    this.#sessions.delete(namespace, key)
  }

  get size(): number {
    return this.#sessions.size
  }
}
