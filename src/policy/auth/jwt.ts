/**
 * The method `jwt`: tokens that are sent again are verified once, and are looked up without a promise afterwards. What
 * was verified is kept for the rules it was verified by: those are part of the key, and the keys of the entry must be
 * the ones that are in force.
 */
import { hash } from 'node:crypto'
import { readTokenHead, type TokenHead } from '../../auth/compact-token.ts'
import { type TokenFault, type Verification, type VerifiedToken, verifyToken } from '../../auth/jwt-verifier.ts'
import { readSigningKeys, verificationKeysOf } from '../../auth/signing-keys.ts'
import {
  type KeysReading,
  readKeySet,
  readPublicKeys,
  readSharedSecret,
  type VerificationKey,
} from '../../auth/verification-keys.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'
import { TOO_MANY, turnOf } from '../slow-verifications.ts'
import { ForgedTokens } from './forged-tokens.ts'
import { type CredentialLease, type LeaseState, leaseState } from './lease.ts'
import { type AuthMethod, type Identity, type Judgement, leaseAfter } from './method.ts'
import type { JwtPlan, KeyForm } from './plan.ts'

class KnownToken implements CredentialLease {
  readonly token: VerifiedToken
  /** The bytes of the keys it was verified with: after a rotation they are others. */
  readonly keys: Uint8Array
  readonly identity: Identity
  readonly #method: JwtMethod
  readonly #text: string

  constructor(method: JwtMethod, text: string, token: VerifiedToken, keys: Uint8Array) {
    this.token = token
    this.keys = keys
    this.identity = { claims: token.claims, lease: this }
    this.#method = method
    this.#text = text
  }

  look(): LeaseState | Promise<LeaseState> {
    if (this.#method.holds(this.keys)) return this.#left()
    const judgement = this.#method.judge(this.#text)
    const left = (): LeaseState => this.#left()
    return judgement instanceof Promise ? judgement.then((late) => leaseAfter(late, left)) : leaseAfter(judgement, left)
  }

  #left(): LeaseState {
    return leaseState(this.token.expires, this.#method.now())
  }
}

/** Beside the claims: the digest of the token, map slots and objects. */
const ENTRY_BYTES = 1_024
/** Objects made of JSON take some four times as much as its text. */
const CLAIM_FACTOR = 4

/** Keys as they were read from the bytes of a Secret, for all rules that use it. */
const READ_KEYS = new WeakMap<Uint8Array, KeysReading>()

const READERS: Readonly<Record<KeyForm, (bytes: Uint8Array) => KeysReading>> = {
  PublicKeys: (bytes) => readPublicKeys(Buffer.from(bytes).toString('latin1')),
  SharedSecret: (bytes) => readSharedSecret(bytes),
  KeySet: (bytes) => readKeySet(Buffer.from(bytes).toString('utf8')),
  SigningKeys: (bytes) => ({ keys: verificationKeysOf(readSigningKeys(Buffer.from(bytes).toString('utf8'))) }),
}

type JwtServices = Pick<FilterServices, 'clock' | 'contents' | 'keySets' | 'memos'>

export class JwtMethod implements AuthMethod {
  readonly #plan: JwtPlan
  readonly #owner: string
  /** Of the keys of what is kept: the rules by which tokens are verified. */
  readonly #prefix: string
  readonly #services: JwtServices
  readonly #forged: ForgedTokens
  /** Verifications under way, by the digest of the token: who comes after a rotation does not wait for one before. */
  readonly #running = new Map<string, { readonly keys: Uint8Array; readonly judgement: Promise<Judgement> }>()

  constructor(plan: JwtPlan, owner: string, services: JwtServices) {
    const { issuer, audiences, algorithms, keys, clockSkew } = plan
    this.#plan = plan
    this.#owner = owner
    const rules = hash('sha256', JSON.stringify([issuer, audiences, algorithms, keys, clockSkew]), 'base64url')
    this.#prefix = `jwt ${rules} `
    this.#services = services
    this.#forged = new ForgedTokens(owner, services)
  }

  get from(): JwtPlan['from'] {
    return this.#plan.from
  }

  get kept(): boolean {
    return this.#plan.keepToken
  }

  get claimsToHeaders(): JwtPlan['claimsToHeaders'] {
    return this.#plan.claimsToHeaders
  }

  get scheme(): string {
    return 'Bearer'
  }

  get wants(): string {
    return `a token of ${this.#plan.issuer} for ${this.#plan.audiences.join(' or ')}`
  }

  /** A token that says it is of this issuer; it may lie. */
  claims(text: string): boolean {
    return readTokenHead(text)?.claims.iss === this.#plan.issuer
  }

  /** @param x absent: it was let pass before */
  judge(text: string, x?: Exchange): Judgement | Promise<Judgement> {
    const { clock, contents, memos } = this.#services
    const bytes = contents.get(this.#plan.keys.content)
    if (bytes === undefined) return this.#judgeLater(text, x)
    const key = this.#keyOf(text)
    const known = memos.get(this.#owner, key) as KnownToken | undefined
    if (known !== undefined && known.keys === bytes && clock.wall() < known.token.expires) return known.identity
    const keys = keysOf(bytes, this.#plan.keys.form)
    if (keys === undefined) return UNAVAILABLE
    const running = this.#running.get(key)
    if (running?.keys === bytes) return running.judgement
    const head = readTokenHead(text)
    if (head === undefined) return NOT_A_TOKEN
    const held = x === undefined ? 0 : this.#forged.holdOff(x.clientAddress)
    if (held > 0) return { fault: 'limited', retryAfter: held, detail: 'too many tokens of the client were forged' }
    const judgement = this.#verify(key, text, head, bytes, keys, x?.clientAddress ?? '')
    if (x === undefined) return judgement
    if (judgement instanceof Promise) return judgement.then((late) => this.#counted(late, x.clientAddress))
    return this.#counted(judgement, x.clientAddress)
  }

  #counted(judgement: Judgement, client: string): Judgement {
    if (judgement === FORGED) this.#forged.count(client)
    return judgement
  }

  /** The keys of a provider may be on their way: the first request waits for them. */
  #judgeLater(text: string, x: Exchange | undefined): Judgement | Promise<Judgement> {
    const { url, content } = this.#plan.keys
    // Whoever sends what is no token of this issuer waits for nothing, and makes nobody be asked.
    if (url === undefined || readTokenHead(text)?.claims.iss !== this.#plan.issuer) return UNAVAILABLE
    const check = this.#services.keySets.check(url, undefined)
    if (!(check instanceof Promise)) return UNAVAILABLE
    return check.then(() => (this.#services.contents.get(content) === undefined ? UNAVAILABLE : this.judge(text, x)))
  }

  /** Without a name in the token its key is one of those that were tried, or a newer one. */
  #mayBeNewer({ claims, keyId }: TokenHead, fault: TokenFault): boolean {
    if (this.#plan.keys.url === undefined || claims.iss !== this.#plan.issuer) return false
    return fault === 'unknown-key' || (fault === 'signature' && keyId === undefined)
  }

  /** A token that the keys at hand do not fit may be of a key that its provider has begun to use. */
  async #judgeAgain(
    text: string,
    head: TokenHead,
    bytes: Uint8Array,
    judgement: Judgement,
    client: string,
  ): Promise<Judgement> {
    const { content, form, url = '' } = this.#plan.keys
    const { contents, keySets, clock } = this.#services
    if ((await keySets.check(url, bytes)) === 'unknown') return UNAVAILABLE
    const newer = contents.get(content)
    const keys = newer === undefined ? undefined : keysOf(newer, form)
    if (newer === undefined || keys === undefined) return UNAVAILABLE
    if (newer === bytes) return judgement
    const verified = await verifyToken(text, head, keys, this.#plan, clock.wall(), turnOf(this.#owner, client))
    return 'fault' in verified ? judgementOf(verified) : this.#keep(text, verified, newer)
  }

  /** These are the keys in force. */
  holds(keys: Uint8Array): boolean {
    return this.#services.contents.get(this.#plan.keys.content) === keys
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.#services.clock.wall()
  }

  #keep(text: string, token: VerifiedToken, keys: Uint8Array): Judgement {
    const known = new KnownToken(this, text, token, keys)
    const size = ENTRY_BYTES + (CLAIM_FACTOR + 1) * text.length
    this.#services.memos.set(this.#owner, this.#keyOf(text), known, size, token.expires - this.now())
    return known.identity
  }

  #keyOf(text: string): string {
    return `${this.#prefix}${hash('sha256', text, 'base64url')}`
  }

  #verify(
    key: string,
    text: string,
    head: TokenHead,
    bytes: Uint8Array,
    keys: readonly VerificationKey[],
    client: string,
  ): Judgement | Promise<Judgement> {
    const turn = turnOf(this.#owner, client)
    const verified = verifyToken(text, head, keys, this.#plan, this.#services.clock.wall(), turn)
    const judged = (late: Verification): Judgement | Promise<Judgement> => this.#judged(text, head, bytes, late, client)
    if (!(verified instanceof Promise)) return judged(verified)
    const judgement: Promise<Judgement> = verified
      .then(judged)
      .catch(overloaded)
      .finally(() => {
        if (this.#running.get(key) === entry) this.#running.delete(key)
      })
    const entry = { keys: bytes, judgement }
    this.#running.set(key, entry)
    return judgement
  }

  #judged(
    text: string,
    head: TokenHead,
    keys: Uint8Array,
    verified: Verification,
    client: string,
  ): Judgement | Promise<Judgement> {
    if (!('fault' in verified)) return this.#keep(text, verified, keys)
    const rejected = judgementOf(verified)
    if (!this.#mayBeNewer(head, verified.fault)) return rejected
    return this.#judgeAgain(text, head, keys, rejected, client).catch(overloaded)
  }
}

function overloaded(error: unknown): Judgement {
  if (error === TOO_MANY) return OVERLOADED
  throw error
}

const OVERLOADED: Judgement = {
  fault: 'unavailable',
  detail: 'too many tokens of the namespace or of the client wait for verification',
}

const UNAVAILABLE: Judgement = { fault: 'unavailable', detail: 'there are no keys that the token can be verified with' }

const NOT_A_TOKEN: Judgement = { fault: 'invalid', detail: 'it is no token (JWT) in the form that is accepted' }

/** For the access log, which says it to those who run the gateway. */
const DETAILS: Readonly<Record<TokenFault, string>> = {
  expired: 'exp of the token is past',
  'not-yet-valid': 'nbf or iat of the token is in the future',
  issuer: 'iss of the token is missing or not the issuer of the rule',
  audience: 'aud of the token is missing or names no audience of the rule',
  claims: 'exp of the token is missing, or a claim of it has the wrong type',
  algorithm: 'alg of the token is not among the algorithms of the rule',
  'unknown-key': 'no key fits alg and kid of the token',
  signature: 'no key of the rule has made the signature of the token',
}

const FORGED: Judgement = { fault: 'invalid', detail: DETAILS.signature }

/** A client may know that its token has expired: it has had it. All else helps nobody but who tries. */
function judgementOf({ fault }: { readonly fault: TokenFault }): Judgement {
  if (fault === 'signature') return FORGED
  return { fault: fault === 'expired' ? 'expired' : 'invalid', detail: DETAILS[fault] }
}

/** @returns undefined where they cannot be used, which the conditions of the Route say */
function keysOf(bytes: Uint8Array, form: KeyForm): readonly VerificationKey[] | undefined {
  let reading = READ_KEYS.get(bytes)
  if (reading === undefined) READ_KEYS.set(bytes, (reading = READERS[form](bytes)))
  return 'fault' in reading ? undefined : reading.keys
}
