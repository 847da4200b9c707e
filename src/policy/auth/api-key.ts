/** The method `apiKey`: a key is looked up by its digest, so nothing is compared that a client could measure. */
import { type ApiKey, type ApiKeys, digestOf, MAX_API_KEY, readApiKeys } from '../../auth/api-keys.ts'
import { KnownCredentials } from '../../auth/known-credentials.ts'
import type { FilterServices } from '../services.ts'
import { type CredentialLease, type LeaseState, leaseState } from './lease.ts'
import { type AuthMethod, type Judgement, leaseAfter } from './method.ts'
import type { ApiKeyPlan } from './plan.ts'

/** Keys as they were read from the bytes of a Secret, for all rules that use it. */
const READ_KEYS = new WeakMap<Uint8Array, ApiKeys>()

type KeyServices = Pick<FilterServices, 'clock' | 'contents' | 'randomBytes'>

/** Made once for a key that keeps coming. */
interface GoodKey {
  readonly key: ApiKey
  readonly judgement: Judgement
}

/** Of one version of the Secret: another begins anew. */
interface SecretKeys {
  readonly bytes: Uint8Array
  readonly byDigest: ApiKeys
  readonly known: KnownCredentials<GoodKey>
}

export class ApiKeyMethod implements AuthMethod {
  readonly kept = false
  readonly claimsToHeaders = []
  readonly #plan: ApiKeyPlan
  readonly #services: KeyServices
  #keys: SecretKeys | undefined = undefined

  constructor(plan: ApiKeyPlan, services: KeyServices) {
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
    const keys = this.#current()
    if (keys === undefined) return { fault: 'unavailable' }
    const good = keys.known.get(text) ?? this.#find(keys, text)
    if (good === undefined) return { fault: 'invalid' }
    return good.key.expires <= this.#services.clock.wall() ? { fault: 'expired' } : good.judgement
  }

  /** Of a key that is good. */
  left(text: string): LeaseState {
    const keys = this.#current()
    const good = keys === undefined ? undefined : this.#find(keys, text)
    return good === undefined ? 'CredentialInvalid' : leaseState(good.key.expires, this.#services.clock.wall())
  }

  #current(): SecretKeys | undefined {
    const bytes = this.#services.contents.get(this.#plan.content)
    if (bytes === undefined) return undefined
    if (this.#keys?.bytes === bytes) return this.#keys
    let byDigest = READ_KEYS.get(bytes)
    if (byDigest === undefined) READ_KEYS.set(bytes, (byDigest = readApiKeys(Buffer.from(bytes).toString('utf8'))))
    this.#keys = { bytes, byDigest, known: new KnownCredentials(this.#services.randomBytes(8)) }
    return this.#keys
  }

  #find({ byDigest, known }: SecretKeys, text: string): GoodKey | undefined {
    const key = text.length > MAX_API_KEY ? undefined : byDigest.get(digestOf(text))
    if (key === undefined) return undefined
    const { labels: claims, consumer } = key
    const good = { key, judgement: { claims, consumer, lease: new ApiKeyLease(this, text) } }
    known.remember(text, good)
    return good
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
