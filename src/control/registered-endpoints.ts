/** Puts the room of registrations together with what it asks and where its state is kept. */
import { type KeptRegistration, LEASE, type RegistrationChange } from '../api/registration.ts'
import type { ResourceSet } from '../compile/resource-set.ts'
import { targetText, tenancyOf } from '../compile/tenancy.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { parseDuration } from '../lib/quantity.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { RegistrationStore } from '../store/registration-store.ts'
import {
  type RefusalText,
  Registrations,
  type RegistrationsOptions,
  type RegistrationTerms,
} from './registration/registrations.ts'

export interface RegisteredEndpointsOptions {
  readonly time: TimerClock
  /** Undefined until a source is open. */
  readonly resources: () => ResourceSet | undefined
  /** Why an address must not be dialled. */
  readonly refusal: (address: string, port: number) => string | undefined
  readonly changed: RegistrationsOptions['changed']
  /** To the supervisor, for the next control thread. */
  readonly retain: (changes: readonly RegistrationChange[]) => void
  /** The state cannot be kept, and why; undefined: it can again. */
  readonly failure: (message: string | undefined) => void
  readonly expired: RegistrationsOptions['expired']
}

/** What could not be written is tried again this often. */
const RETRY_EVERY: Milliseconds = 5_000

export class RegisteredEndpoints {
  readonly registrations: Registrations
  readonly #options: RegisteredEndpointsOptions
  #store: RegistrationStore | undefined

  constructor(options: RegisteredEndpointsOptions) {
    this.#options = options
    this.registrations = new Registrations({
      time: options.time,
      terms: (backend) => this.#terms(backend),
      refusal: (backend, address, port) => this.#refusal(backend, address, port),
      changed: options.changed,
      expired: options.expired,
      keep: (changes) => {
        options.retain(changes)
        this.#store?.write(changes)
      },
    })
  }

  /**
   * Before the source reports anything.
   *
   * @param retained by earlier control threads of this process: newer than what is on disk
   */
  open(stateDirectory: string | undefined, retained: readonly KeptRegistration[]): void {
    this.registrations.restore(retained)
    if (stateDirectory === undefined) return
    this.#store = new RegistrationStore({ stateDirectory, failure: this.#options.failure })
    const kept = this.#store.open()
    this.registrations.restore(kept)
    this.#options.retain(kept.map((one) => ({ backend: one.backend, id: one.id, kept: one })))
    this.#options.time.every(RETRY_EVERY, () => this.#store?.retry())
  }

  stop(): void {
    this.registrations.stop()
    this.#store?.close()
  }

  #terms(backend: string): RegistrationTerms {
    const resources = this.#options.resources()
    if (resources === undefined)
      return {
        ...{ status: 503, reason: 'NotServing', title: 'The configuration is not read yet' },
        ...{ detail: 'Try again', retryAfter: LEASE.min },
      }
    const spec = resources.backends.get(backend)?.object.spec
    if (spec === undefined) {
      const detail = `There is no Backend ${backend}, or its manifest is not valid (/api/v1/problems)`
      return { status: 404, reason: 'BackendNotFound', title: 'The Backend does not exist', detail }
    }
    if (spec.registration === undefined) {
      const detail = `Backend ${backend} has its endpoints from ${spec.service === undefined ? 'spec.endpoints' : 'spec.service'}; only one with spec.registration takes registrations`
      return { status: 409, reason: 'RegistrationNotEnabled', title: 'The Backend takes no registrations', detail }
    }
    return { lease: Math.min(LEASE.max, Math.max(LEASE.min, parseDuration(spec.registration.lease))) }
  }

  #refusal(backend: string, address: string, port: number): RefusalText | undefined {
    const refused = this.#options.refusal(address, port)
    if (refused !== undefined) {
      const detail = `${address} port ${port} ${refused}`
      return { status: 422, reason: 'AddressRefused', title: 'The address must not be dialled', detail }
    }
    const tenancy = tenancyOf(this.#options.resources()!)
    if (!tenancy.strict || tenancy.isTargetGranted(namespaceOf(backend), address, port)) return undefined
    const detail = `The settings (upstreams.externalTargets) do not grant ${targetText(address, port)} to namespace ${namespaceOf(backend)}`
    return { status: 422, reason: 'TargetNotGranted', title: 'The address is not granted', detail }
  }
}
