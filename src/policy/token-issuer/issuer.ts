/** One issuer as a worker has it: its Secrets as they are now, its store, and its time. */
import { TokenSigner } from '../../auth/access-token.ts'
import { type Assertion, type AssertionFault, type AssertionRules, verifyAssertion } from '../../auth/assertion.ts'
import { type GrantOwner, type GrantStore, GrantStoreFailure } from '../../auth/grant-store.ts'
import { OAuthClients } from '../../auth/oauth-clients.ts'
import { ForgedTokens } from '../auth/forged-tokens.ts'
import type { FilterServices } from '../services.ts'
import { TOO_MANY, turnOf } from '../slow-verifications.ts'
import { OAuthRefusal } from './oauth-response.ts'
import type { TokenIssuerPlan } from './plan.ts'

export type IssuerServices = Pick<FilterServices, 'clock' | 'contents' | 'grants' | 'memos' | 'randomBytes'>

/** What was read from the bytes of Secrets, for all rules that use them. */
const SIGNERS = new WeakMap<Uint8Array, TokenSigner>()
const CLIENTS = new WeakMap<Uint8Array, OAuthClients>()

/** Signatures of a namespace that are made or verified at a time in this worker, and of all. */
const MAX_SIGNATURES = { namespace: 64, all: 256 } as const

export class Issuer {
  readonly plan: TokenIssuerPlan
  readonly owner: GrantOwner
  readonly services: IssuerServices
  readonly #forged: ForgedTokens
  readonly #running: Running

  constructor(plan: TokenIssuerPlan, services: IssuerServices) {
    this.plan = plan
    this.owner = { namespace: plan.namespace, issuer: plan.issuer }
    this.services = services
    this.#forged = new ForgedTokens(plan.namespace, services)
    this.#running = runningOf(services.contents)
  }

  get now(): number {
    return this.services.clock.wall()
  }

  /** Names of ours that assertions may be for. */
  get names(): readonly string[] {
    return [this.plan.issuer, this.url('token')]
  }

  url(endpoint: string): string {
    const { issuer } = this.plan
    return `${issuer.endsWith('/') ? issuer : `${issuer}/`}${endpoint}`
  }

  /** @throws {OAuthRefusal} while the Secret is missing or cannot be used */
  get signer(): TokenSigner {
    return readOnce(SIGNERS, this.#content('signingKeys'), (text) => new TokenSigner(text))
  }

  get clients(): OAuthClients {
    return readOnce(CLIENTS, this.#content('clients'), (text) => new OAuthClients(text))
  }

  get storeIsConfigured(): boolean {
    return this.services.grants.store(this.plan.store) !== undefined
  }

  /** @throws {OAuthRefusal} where it cannot answer, or there is none */
  async ask<T>(question: (store: GrantStore) => Promise<T>): Promise<T> {
    const store = this.services.grants.store(this.plan.store)
    if (store === undefined)
      throw unavailable('there is no store for refresh tokens: configure redis in the settings, or store: Embedded')
    try {
      return await question(store)
    } catch (error) {
      if (error instanceof GrantStoreFailure) throw unavailable(error.message)
      throw error
    }
  }

  random(bytes: number): string {
    return Buffer.from(this.services.randomBytes(bytes)).toString('base64url')
  }

  /**
   * Whoever sends forged ones is held off before the next is verified, as with tokens.
   *
   * @param client its address
   * @throws {OAuthRefusal}
   */
  async verifyAssertion(
    text: string,
    rules: Omit<AssertionRules, 'audiences'>,
    client: string,
  ): Promise<Assertion | AssertionFault> {
    const held = this.#forged.holdOff(client)
    if (held > 0)
      throw new OAuthRefusal(
        'temporarily_unavailable',
        'too many assertions were forged',
        undefined,
        Math.ceil(held / 1_000),
      )
    // Not among the signatures: whoever sends them has proved nothing yet, and must not keep others from tokens.
    const turn = turnOf(this.plan.namespace, client)
    const verified = await verifyAssertion(text, { ...rules, audiences: this.names }, this.now, turn).catch(
      (error: unknown) => {
        throw error === TOO_MANY
          ? unavailable('too many assertions of the namespace or of the client wait for verification')
          : error
      },
    )
    if ('fault' in verified && verified.forged) this.#forged.count(client)
    return verified
  }

  /** Signatures take their time in the pool that all threads share: what is beyond the bound is refused at once. */
  async withSignature<T>(work: () => Promise<T>): Promise<T> {
    const { namespace } = this.plan
    const running = this.#running
    const own = running.byNamespace.get(namespace) ?? 0
    if (own >= MAX_SIGNATURES.namespace || running.all >= MAX_SIGNATURES.all)
      throw unavailable('more requests for tokens at a time than this worker signs')
    running.byNamespace.set(namespace, own + 1)
    running.all++
    try {
      return await work()
    } finally {
      running.all--
      const left = running.byNamespace.get(namespace)! - 1
      if (left === 0) running.byNamespace.delete(namespace)
      else running.byNamespace.set(namespace, left)
    }
  }

  #content(name: 'signingKeys' | 'clients'): Uint8Array {
    const id = this.plan[name]
    const bytes = this.services.contents.get(id)
    if (bytes === undefined) throw unavailable(`there is no ${id.split(' ', 2).join(' ')} that can be used`)
    return bytes
  }
}

interface Running {
  all: number
  readonly byNamespace: Map<string, number>
}

/** Of one worker, which has its contents once. */
const RUNNING = new WeakMap<IssuerServices['contents'], Running>()

function runningOf(contents: IssuerServices['contents']): Running {
  let running = RUNNING.get(contents)
  if (running === undefined) RUNNING.set(contents, (running = { all: 0, byNamespace: new Map() }))
  return running
}

function readOnce<T>(known: WeakMap<Uint8Array, T & object>, bytes: Uint8Array, read: (text: string) => T & object): T {
  let value = known.get(bytes)
  if (value === undefined) known.set(bytes, (value = read(Buffer.from(bytes).toString('utf8'))))
  return value
}

/** What the issuer needs is missing: nothing is decided about the client. */
export function unavailable(detail: string): OAuthRefusal {
  return new OAuthRefusal('temporarily_unavailable', 'try again later', detail)
}
