/**
 * What a source that reads no more than it must is to read: what the newest objects name, and what those name that are
 * served, since the last good version of a broken one may name another; and what of that it has not read yet.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { Source, SourceEvent } from '../../source/source.ts'
import { ReferencedServices } from './references.ts'
import { UnreadServices } from './unread-services.ts'

export interface SourceInterestOptions {
  readonly source: Pick<Source, 'interest' | 'knows'>
  /** Services that are needed whatever the newest objects name. */
  readonly servicesInUse: () => Iterable<string>
  /** Whether the settings need the labels of Namespaces. */
  readonly namespaces: () => boolean
  /** What was waited for is read, or is not waited for any longer. */
  readonly done: () => void
  readonly now: () => Milliseconds
}

export class SourceInterest {
  readonly #options: SourceInterestOptions
  readonly #named = new ReferencedServices()
  readonly #unread: UnreadServices
  #told: { readonly services: ReadonlySet<string>; readonly namespaces: boolean } = {
    services: new Set(),
    namespaces: false,
  }
  #synced = false

  constructor(options: SourceInterestOptions) {
    this.#options = options
    const { done, now } = options
    this.#unread = new UnreadServices({ knows: (service) => this.#hasRead(service), done, now })
  }

  /** Something that was named a moment ago is not read yet. */
  get busy(): boolean {
    return this.#unread.busy
  }

  /** In the turn that brings the events: else the source would say that it has read everything. */
  note(events: readonly SourceEvent[]): void {
    if (this.#named.note(events)) this.tell()
  }

  tell(): void {
    const { source, servicesInUse, namespaces: bySettings } = this.#options
    if (source.interest === undefined) return
    const services = new Set([...this.#named.services, ...servicesInUse()])
    const namespaces = this.#named.namespaces || bySettings()
    const { services: before, namespaces: had } = this.#told
    if (services.symmetricDifference(before).size === 0 && namespaces === had) return
    this.#told = { services, namespaces }
    // At the start it is synced only when it has read them.
    if (this.#synced && source.knows !== undefined) this.#unread.add(services.difference(before))
    source.interest({ services, secrets: [], configMaps: [], namespaces })
  }

  /** Everything was read once. */
  synced(): void {
    this.#synced = true
  }

  stop(): void {
    this.#unread.stop()
  }

  #hasRead(service: string): boolean {
    const name = service.slice(service.indexOf('/') + 1)
    const { source } = this.#options
    return (
      source.knows?.('Service', service, name) !== false && source.knows?.('EndpointSlice', service, name) !== false
    )
  }
}
