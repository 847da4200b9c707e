/**
 * The method `basic` (RFC 7617): a password is checked once, and found again by a digest of the credentials as long as
 * the hash of its user is the same. Hashes are computed elsewhere, one at a time.
 */
import { hash } from 'node:crypto'
import { readUsers, type Users } from '../../auth/htpasswd.ts'
import type { PasswordAnswer } from '../../auth/password-check.ts'
import { networkOf } from '../client-network.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'
import type { LeaseState } from './lease.ts'
import type { AuthMethod, Identity, Judgement } from './method.ts'
import type { BasicPlan } from './plan.ts'

/** Characters of name and password in Base64. */
const MAX_CREDENTIALS = 2_048
const ENTRY_BYTES = 512
/** Milliseconds that a right password is kept while nobody uses it, and a wrong one in any case. */
const RIGHT_KEPT = 12 * 3_600_000
const WRONG_KEPT = 60_000
/** Bits of an IPv6 address that belong to one customer. */
const NETWORK_BITS = 64

/** Users as they were read from the bytes of a Secret, for all rules that use it. */
const READ_USERS = new WeakMap<Uint8Array, KnownUsers>()

interface KnownUsers {
  /** Of all of them: the same in each worker and replica, and known to nobody who cannot read the Secret. */
  readonly seed: string
  readonly users: Users
  readonly hashes: readonly string[]
}

interface KnownPassword {
  readonly name: string
  /** Null: it is wrong. */
  readonly identity: Identity | null
  /** Of the user when it was checked; undefined: there was no such user. */
  readonly hash: string | undefined
}

export class BasicMethod implements AuthMethod {
  readonly from = [{ header: 'authorization', scheme: 'Basic' }]
  readonly kept = false
  readonly claimsToHeaders = []
  readonly scheme = 'Basic'
  readonly realm: string | undefined
  readonly parameters = ', charset="UTF-8"'
  readonly wants = 'a name and a password'
  readonly #plan: BasicPlan
  readonly #owner: string
  readonly #services: Pick<FilterServices, 'contents' | 'memos' | 'passwords'>
  /** Checks under way. */
  readonly #running = new Map<string, Promise<Judgement>>()

  constructor(plan: BasicPlan, owner: string, services: Pick<FilterServices, 'contents' | 'memos' | 'passwords'>) {
    this.#plan = plan
    this.#owner = owner
    this.#services = services
    this.realm = plan.realm
  }

  claims(): boolean {
    return true
  }

  judge(text: string, x: Exchange): Judgement | Promise<Judgement> {
    const { contents, memos, passwords } = this.#services
    const bytes = contents.get(this.#plan.content)
    if (bytes === undefined) return { fault: 'unavailable' }
    if (text.length > MAX_CREDENTIALS) return NOT_CREDENTIALS
    const known = usersOf(bytes)
    const key = `basic ${passwords.digest(`${this.#plan.content} ${text}`)}`
    const before = memos.get(this.#owner, key) as KnownPassword | undefined
    if (before !== undefined && before.hash === known.users.get(before.name)) return before.identity ?? WRONG
    const credentials = readCredentials(text)
    if (credentials === undefined) return NOT_CREDENTIALS
    const { name, password } = credentials
    const stored = known.users.get(name)
    const client = networkOf(x.clientAddress, NETWORK_BITS)
    // A check of the hash before says nothing about the one there is now, nor one for another client about this one.
    const same = `${key} ${stored} ${client}`
    let running = this.#running.get(same)
    if (running === undefined) {
      running = this.#check(key, name, password, client, known).finally(() => this.#running.delete(same))
      this.#running.set(same, running)
    }
    return running
  }

  async #check(
    key: string,
    name: string,
    password: string,
    client: string,
    { users, hashes, seed }: KnownUsers,
  ): Promise<Judgement> {
    const { memos, passwords } = this.#services
    const stored = users.get(name)
    const answer = await passwords.check({
      owner: this.#owner,
      scope: this.#plan.content,
      client,
      name,
      hash: stored ?? decoyFor(name, hashes, seed),
      password,
      decoy: stored === undefined,
    })
    const isRight = answer.result === 'right' && stored !== undefined
    const identity = isRight ? this.#identityOf(name, stored) : null
    if (answer.result === 'right' || answer.result === 'wrong') {
      const known: KnownPassword = { name, identity, hash: stored }
      memos.set(this.#owner, key, known, ENTRY_BYTES + key.length, isRight ? RIGHT_KEPT : WRONG_KEPT)
    }
    return identity ?? faultOf(answer)
  }

  #identityOf(name: string, stored: string): Identity {
    const lease = { look: () => this.#left(name, stored) }
    return { claims: { sub: name }, consumer: name, ambient: true, lease }
  }

  /** As long as the line of the user is the same. */
  #left(name: string, stored: string): LeaseState {
    const bytes = this.#services.contents.get(this.#plan.content)
    if (bytes === undefined) return 'AuthUnavailable'
    return usersOf(bytes).users.get(name) === stored ? Number.POSITIVE_INFINITY : 'CredentialInvalid'
  }
}

/** A name that nobody has takes as long as one of those that are there, the same one each time and everywhere. */
function decoyFor(name: string, hashes: readonly string[], seed: string): string {
  const order = Number.parseInt(hash('sha256', `${seed} ${name}`, 'hex').slice(0, 12), 16)
  return hashes[order % hashes.length]!
}

const WRONG: Judgement = { fault: 'invalid', detail: 'the name or the password is wrong' }
const NOT_CREDENTIALS: Judgement = {
  fault: 'invalid',
  detail: 'it is not name:password in UTF-8 and Base64 (RFC 7617)',
}

function faultOf(answer: PasswordAnswer): Judgement {
  switch (answer.result) {
    case 'limited':
      return { fault: 'limited', retryAfter: answer.retryAfter }
    case 'unavailable':
      return { fault: 'unavailable', detail: answer.detail }
    default:
      return WRONG
  }
}

function usersOf(bytes: Uint8Array): KnownUsers {
  let known = READ_USERS.get(bytes)
  if (known === undefined) {
    const users = readUsers(Buffer.from(bytes).toString('utf8'))
    const seed = hash('sha256', Buffer.from(bytes), 'base64')
    READ_USERS.set(bytes, (known = { users, hashes: [...users.values()], seed }))
  }
  return known
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** One text has one spelling: a second one would be a second entry for the same credentials. */
function readCredentials(text: string): { readonly name: string; readonly password: string } | undefined {
  if (!BASE64.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  let decoded: string
  try {
    decoded = UTF8.decode(bytes)
  } catch {
    return undefined
  }
  const colon = decoded.indexOf(':')
  // RFC 7617 §2: neither has control characters. For bcrypt a NUL would end the password.
  if (colon < 0 || /\p{Cc}/u.test(decoded)) return undefined
  return { name: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}
