/** Sessions of browsers: found in the cookies of a request, and written into those of a response. */
import { hash } from 'node:crypto'
import type { PublicOidcClient } from '../../../auth/oidc-client.ts'
import type { Limiter } from '../../../limit/limiter.ts'
import { networkOf } from '../../client-network.ts'
import type { Exchange } from '../../exchange.ts'
import type { RelyingParty } from './relying-party.ts'
import { endOf, type OpenSession, readSession, type Session, writeSession } from './session.ts'
import { endCookies, joinCookies, MAX_SESSION_TEXT, SESSION_COOKIES, splitCookies } from './session-cookies.ts'

/** Beside the text of a session: map slots and objects; claims are objects of some four times their text. */
const ENTRY_BYTES = 1_024
const CLAIM_FACTOR = 4

/** Codes and logout tokens of one client: a person signs in a few times, behind one address some dozens. */
const ATTEMPTS = { requests: 60, per: 60_000, burst: 60 } as const
/** What one client has of IPv6 addresses. */
const CLIENT_BITS = 64

interface Known {
  readonly key: Uint8Array
  readonly open: OpenSession
}

export class BrowserSessions {
  readonly party: RelyingParty
  readonly #owner: string
  readonly #attempts: Limiter

  constructor(party: RelyingParty, owner: string) {
    this.party = party
    this.#owner = owner
    this.#attempts = party.services.limiters.open({ owner, name: 'oidc attempts' }, ATTEMPTS)
  }

  /** That of the request; undefined where it has none that opens here. */
  find(client: PublicOidcClient, x: Exchange): OpenSession | 'several' | undefined {
    const cookies = x.get(SESSION_COOKIES)
    const text = cookies === undefined ? undefined : joinCookies(cookies, this.party.plan.cookie.name)
    return text === undefined || text === 'several' ? text : this.#open(client, x.host, text)
  }

  /** Opened once, and found by its digest afterwards. */
  #open(client: PublicOidcClient, host: string, text: string): OpenSession | undefined {
    const { memos, clock } = this.party.services
    const key = this.party.keyFor(client)
    const { plan } = this.party
    const id = `oidc ${plan.route} ${host} ${plan.cookie.name} ${hash('sha256', text, 'base64url')}`
    const known = memos.get(this.#owner, id) as Known | undefined
    if (known !== undefined && Buffer.compare(known.key, key) === 0) return known.open
    const opened = this.party.open('session', client, host, text)
    const open = opened === undefined ? undefined : readSession(opened)
    if (open === undefined) return undefined
    const bytes = ENTRY_BYTES + CLAIM_FACTOR * text.length
    memos.set(this.#owner, id, { key, open } satisfies Known, bytes, endOf(open.session) - clock.wall())
    return open
  }

  /** Neither at its end, nor said to be over; its token may have to be refreshed. */
  isAlive({ session, identity }: OpenSession): boolean {
    const { clock, signIns } = this.party.services
    return endOf(session) > clock.wall() && !signIns.isOver(this.party.plan.client, identity)
  }

  /** `Set-Cookie` of a session; undefined where it is longer than browsers keep. */
  cookiesOf(client: PublicOidcClient, x: Exchange, session: Session): string[] | undefined {
    const { name, sameSite } = this.party.plan.cookie
    const text = this.party.seal('session', client, x.host, writeSession(session))
    if (text.length > MAX_SESSION_TEXT) return undefined
    const maxAge = Math.max(0, Math.floor((endOf(session) - this.party.services.clock.wall()) / 1_000))
    return splitCookies(text, name, { sameSite, maxAge }, x.get(SESSION_COOKIES) ?? [])
  }

  /** `Set-Cookie` that ends whatever the request came with. */
  endCookies(x: Exchange): string[] {
    const { name, sameSite } = this.party.plan.cookie
    return endCookies(name, { sameSite, maxAge: 0 }, x.get(SESSION_COOKIES) ?? [])
  }

  /** What makes the provider work is limited by client, before it does. */
  mayTry({ clientAddress }: Exchange): boolean {
    return this.#attempts.take(networkOf(clientAddress, CLIENT_BITS)).allowed
  }
}
