/**
 * Everything a worker needs to begin, put together from the messages that bring only what changed. Control keeps one
 * for workers that are started later; the supervisor keeps another, so that a worker can be replaced even while control
 * is away.
 */
import { SignOuts } from '../auth/sign-outs.ts'
import type { TablesUpdate } from '../link/tables-update.ts'
import { connectionKey } from '../snapshot/connection-key.ts'
import { readRows, SentSets, wholeSet, withdrawnSet } from './endpoint-rows.ts'
import type { EndpointsMessage, ToWorker } from './messages.ts'

type Policy = TablesUpdate['policies'][number]
type BackendEntry = TablesUpdate['backends'][number]
type TlsEntry = TablesUpdate['hostTls'][number]

/** Which parts of the tables have changed since some generation. */
export interface TablesChange {
  /** All that there was is to be forgotten. */
  full: boolean
  readonly policies: Set<number>
  readonly backends: Set<number>
  readonly hostTls: Set<number>
}

export class WorkerState {
  #settings: Extract<ToWorker, { type: 'settings' }> | undefined
  readonly #signOuts = new SignOuts()
  #tables: TablesUpdate | undefined
  readonly #endpoints = new Map<string, SentSets>()
  readonly #contents = new Map<string, Uint8Array>()
  readonly #policies = new Map<number, Policy>()
  readonly #backends = new Map<number, BackendEntry>()
  readonly #hostTls = new Map<number, TlsEntry>()

  /** Whether there is enough for a worker to serve. */
  get complete(): boolean {
    return this.#settings !== undefined && this.#tables !== undefined
  }

  keep(message: ToWorker): void {
    switch (message.type) {
      case 'settings':
        this.#settings = message
        return
      case 'endpoints':
        this.#keepEndpoints(message)
        return
      case 'backends': {
        const known = new Set(message.ids)
        for (const id of this.#endpoints.keys()) if (!known.has(id)) this.#endpoints.delete(id)
        return
      }
      case 'contents':
        for (const { id, bytes } of message.contents)
          if (bytes === null) this.#contents.delete(id)
          else this.#contents.set(id, bytes)
        return
      case 'content-ids': {
        const known = new Set(message.ids)
        for (const id of this.#contents.keys()) if (!known.has(id)) this.#contents.delete(id)
        return
      }
      case 'tables':
        this.#keepTables(message)
        return
      case 'sign-outs':
        for (const entry of message.entries) this.#signOuts.add(message.owner, message.client, entry)
        return
      case 'epoch':
      case 'key-set-asked':
      case 'password-checked':
      case 'latency-probe':
      case 'mark':
      case 'sign-in-answer':
      case 'grants':
      case 'archive':
        return
    }
  }

  #keepEndpoints(message: EndpointsMessage): void {
    const { backend, connects } = message
    if (connects === null) {
      this.#endpoints.delete(backend)
      return
    }
    let sent = this.#endpoints.get(backend)
    if (sent === undefined) this.#endpoints.set(backend, (sent = new SentSets()))
    const set = sent.begin(message, connects)
    for (const text of message.rows) set.put(readRows(text))
  }

  #keepTables(update: TablesUpdate): void {
    if (update.full) {
      this.#policies.clear()
      this.#backends.clear()
      this.#hostTls.clear()
    }
    for (const entry of update.policies) {
      if (entry.policy === null) this.#policies.delete(entry.index)
      else this.#policies.set(entry.index, entry)
    }
    for (const entry of update.backends) {
      if (entry.backend === null) this.#backends.delete(entry.index)
      else {
        this.#backends.set(entry.index, entry)
        this.#endpoints.get(entry.backend.id)?.use(connectionKey(entry.backend))
      }
    }
    for (const entry of update.hostTls) {
      if (entry.tls === null) this.#hostTls.delete(entry.index)
      else this.#hostTls.set(entry.index, entry)
    }
    this.#tables = { ...update, policies: [], backends: [], hostTls: [] }
  }

  /** The tables in force as an update of these Backends alone; undefined where they name none of them. */
  updateOf(ids: ReadonlySet<string>): TablesUpdate | undefined {
    const backends = [...this.#backends.values()].filter(({ backend }) => backend !== null && ids.has(backend.id))
    if (this.#tables === undefined || backends.length === 0) return undefined
    return { ...this.#tables, full: false, backends }
  }

  get settings(): ToWorker | undefined {
    return this.#settings
  }

  /** Every Backend that endpoints were sent of. */
  get backendIds(): readonly string[] {
    return [...this.#endpoints.keys()]
  }

  get contentIds(): readonly string[] {
    return [...this.#contents.keys()]
  }

  /** These contents as they are now. */
  contentsOf(ids: Iterable<string>): ToWorker {
    const contents = [...ids].map((id) => ({ id, bytes: this.#contents.get(id) ?? null }))
    return { type: 'contents', contents }
  }

  /** The endpoints of a Backend as they are now, whatever was sent of it before. */
  endpointsOf(backend: string): EndpointsMessage[] {
    const sent = this.#endpoints.get(backend)
    if (sent === undefined) return [withdrawnSet(backend)]
    return [...sent.all].map(([connects, set]) => wholeSet(backend, [...set.rows], connects))
  }

  /** The newest tables for one who has those from which on this has changed; undefined while there are none. */
  tablesSince({ full, policies, backends, hostTls }: TablesChange): TablesUpdate | undefined {
    if (this.#tables === undefined) return undefined
    if (full)
      return {
        ...this.#tables,
        full,
        policies: [...this.#policies.values()],
        backends: [...this.#backends.values()],
        hostTls: [...this.#hostTls.values()],
      }
    return {
      ...this.#tables,
      full,
      policies: [...policies].map((index) => this.#policies.get(index) ?? { index, policy: null }),
      backends: [...backends].map((index) => this.#backends.get(index) ?? { index, backend: null }),
      hostTls: [...hostTls].map((index) => this.#hostTls.get(index) ?? { index, tls: null }),
    }
  }

  /** In the order in which a worker must get them; what is not known yet comes later by itself. */
  messages(): ToWorker[] {
    const messages: ToWorker[] = []
    for (const backend of this.#endpoints.keys()) messages.push(...this.endpointsOf(backend))
    if (this.#contents.size > 0) messages.push(this.contentsOf(this.#contents.keys()))
    for (const [client, { owner, entries }] of this.#signOuts.byClient())
      messages.push({ type: 'sign-outs', owner, client, entries, known: true })
    const tables = this.tablesSince(allTables())
    if (tables !== undefined) messages.push(tables)
    if (this.#settings !== undefined)
      messages.unshift(tables === undefined ? this.#settings : { ...this.#settings, tablesFollow: true })
    return messages
  }
}

export function noTables(): TablesChange {
  return { full: false, policies: new Set(), backends: new Set(), hostTls: new Set() }
}

export function allTables(): TablesChange {
  return { ...noTables(), full: true }
}
