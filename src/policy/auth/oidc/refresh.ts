/**
 * Refreshes sessions without the user (OpenID Connect Core 1.0 §12). A refresh token is good once at many providers:
 * requests of one session at the same time share one refresh, and who still comes with the cookie from before it gets
 * what it has brought.
 */
import { hash } from 'node:crypto'
import type { Milliseconds } from '../../../lib/clock.ts'
import type { SignInFailure } from '../../sign-ins.ts'
import type { RelyingParty } from './relying-party.ts'
import { type OpenSession, refreshSession, type Session } from './session.ts'

/** Requests that were under way with the cookie from before. */
const KEPT: Milliseconds = 60_000
/** Of a provider that does not answer: until it is asked again for the same session. */
const PAUSE: Milliseconds = 5_000
const ENTRY_BYTES = 512

type Outcome = Session | SignInFailure

export class SessionRefreshes {
  readonly #party: RelyingParty
  readonly #owner: string
  readonly #running = new Map<string, Promise<Outcome>>()

  constructor(party: RelyingParty, owner: string) {
    this.#party = party
    this.#owner = owner
  }

  of(open: OpenSession): Outcome | Promise<Outcome> {
    const { plan, services } = this.#party
    const { session } = open
    const scope = `${plan.client.namespace} ${plan.route} ${session.id} ${session.refreshToken}`
    const key = `oidc refreshed ${hash('sha256', scope, 'base64url')}`
    const known = services.memos.get(this.#owner, key) as Outcome | undefined
    if (known !== undefined) return known
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const started = this.#refresh(key, open).finally(() => this.#running.delete(key))
    this.#running.set(key, started)
    return started
  }

  async #refresh(key: string, { session, subject }: OpenSession): Promise<Outcome> {
    const { plan, services } = this.#party
    const { memos, signIns } = services
    const tokens = await signIns.refresh(plan.client, { refreshToken: session.refreshToken!, subject })
    const outcome = 'fault' in tokens ? tokens : refreshSession(session, tokens)
    const size = ENTRY_BYTES + ('fault' in outcome ? 0 : outcome.idToken.length + (outcome.refreshToken?.length ?? 0))
    memos.set(this.#owner, key, outcome, size, 'fault' in tokens && tokens.fault === 'unavailable' ? PAUSE : KEPT)
    return outcome
  }
}
