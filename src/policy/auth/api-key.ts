/** The method `apiKey`: a key is looked up by its digest, so nothing is compared that a client could measure. */
import { type ApiKeys, digestOf, MAX_API_KEY, readApiKeys } from '../../auth/api-keys.ts'
import type { FilterServices } from '../services.ts'
import { type CredentialLease, type LeaseState, leaseState } from './lease.ts'
import { type AuthMethod, type Judgement, leaseAfter } from './method.ts'
import type { ApiKeyPlan } from './plan.ts'

/** Keys as they were read from the bytes of a Secret, for all rules that use it. */
const READ_KEYS = new WeakMap<Uint8Array, ApiKeys>()

export class ApiKeyMethod implements AuthMethod {
  readonly kept = false
  readonly claimsToHeaders = []
  readonly #plan: ApiKeyPlan
  readonly #services: Pick<FilterServices, 'clock' | 'contents'>

  constructor(plan: ApiKeyPlan, services: Pick<FilterServices, 'clock' | 'contents'>) {
    this.#plan = plan
    this.#services = services
  }

  get from(): ApiKeyPlan['from'] {
    return this.#plan.from
  }

  /** There is no registered one for keys; where the place has one, clients know it. */
  get scheme(): string {
    return this.#plan.from.find(({ scheme }) => scheme !== undefined)?.scheme ?? 'ApiKey'
  }

  get wants(): string {
    return 'an API key'
  }

  claims(): boolean {
    return true
  }

  judge(text: string): Judgement {
    const bytes = this.#services.contents.get(this.#plan.content)
    if (bytes === undefined) return { fault: 'unavailable' }
    let keys = READ_KEYS.get(bytes)
    if (keys === undefined) READ_KEYS.set(bytes, (keys = readApiKeys(Buffer.from(bytes).toString('utf8'))))
    const key = text.length > MAX_API_KEY ? undefined : keys.get(digestOf(text))
    if (key === undefined) return { fault: 'invalid' }
    if (key.expires <= this.#services.clock.wall()) return { fault: 'expired' }
    return { claims: key.labels, consumer: key.consumer, lease: new ApiKeyLease(this, text) }
  }

  /** Of a key that is good. */
  left(text: string): LeaseState {
    const { clock, contents } = this.#services
    const bytes = contents.get(this.#plan.content)
    const key = bytes === undefined ? undefined : READ_KEYS.get(bytes)?.get(digestOf(text))
    return key === undefined ? 'CredentialInvalid' : leaseState(key.expires, clock.wall())
  }
}

class ApiKeyLease implements CredentialLease {
  readonly #method: ApiKeyMethod
  readonly #text: string

  constructor(method: ApiKeyMethod, text: string) {
    this.#method = method
    this.#text = text
  }

  look(): LeaseState {
    return leaseAfter(this.#method.judge(this.#text), () => this.#method.left(this.#text))
  }
}
