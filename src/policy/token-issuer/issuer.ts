/** One issuer as a worker has it: its Secrets as they are now, its store, and its time. */
import { TokenSigner } from '../../auth/access-token.ts'
import { type GrantOwner, type GrantStore, GrantStoreFailure } from '../../auth/grant-store.ts'
import { OAuthClients } from '../../auth/oauth-clients.ts'
import type { FilterServices } from '../services.ts'
import { OAuthRefusal } from './oauth-response.ts'
import type { TokenIssuerPlan } from './plan.ts'

export type IssuerServices = Pick<FilterServices, 'clock' | 'contents' | 'grants' | 'randomBytes'>

/** What was read from the bytes of Secrets, for all rules that use them. */
const SIGNERS = new WeakMap<Uint8Array, TokenSigner>()
const CLIENTS = new WeakMap<Uint8Array, OAuthClients>()

/** Signatures of a namespace that are made or verified at a time in this worker, and of all. */
const MAX_SIGNATURES = { namespace: 64, all: 256 } as const

export class Issuer {
  readonly plan: TokenIssuerPlan
  readonly owner: GrantOwner
  readonly services: IssuerServices

  constructor(plan: TokenIssuerPlan, services: IssuerServices) {
    this.plan = plan
    this.owner = { namespace: plan.namespace, issuer: plan.issuer }
    this.services = services
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

  /** Signatures take their time in the pool that all threads share: what is beyond the bound is refused at once. */
  async withSignature<T>(work: () => Promise<T>): Promise<T> {
    const { namespace } = this.plan
    const own = RUNNING.get(namespace) ?? 0
    if (own >= MAX_SIGNATURES.namespace || runningInAll >= MAX_SIGNATURES.all)
      throw unavailable('more requests for tokens at a time than this worker signs')
    RUNNING.set(namespace, own + 1)
    runningInAll++
    try {
      return await work()
    } finally {
      runningInAll--
      const left = RUNNING.get(namespace)! - 1
      if (left === 0) RUNNING.delete(namespace)
      else RUNNING.set(namespace, left)
    }
  }

  #content(name: 'signingKeys' | 'clients'): Uint8Array {
    const id = this.plan[name]
    const bytes = this.services.contents.get(id)
    if (bytes === undefined) throw unavailable(`there is no ${id.split(' ', 2).join(' ')} that can be used`)
    return bytes
  }
}

const RUNNING = new Map<string, number>()
let runningInAll = 0

function readOnce<T>(known: WeakMap<Uint8Array, T & object>, bytes: Uint8Array, read: (text: string) => T & object): T {
  let value = known.get(bytes)
  if (value === undefined) known.set(bytes, (value = read(Buffer.from(bytes).toString('utf8'))))
  return value
}

/** What the issuer needs is missing: nothing is decided about the client. */
export function unavailable(detail: string): OAuthRefusal {
  return new OAuthRefusal('temporarily_unavailable', 'try again later', detail)
}
