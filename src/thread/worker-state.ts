/**
 * Everything a worker needs to begin, put together from the messages that bring only what changed. Control keeps one
 * for workers that are started later; the supervisor keeps another, so that a worker can be replaced even while control
 * is away.
 */
import { SignOuts } from '../auth/sign-outs.ts'
import type { TablesUpdate } from '../link/tables-update.ts'
import { connectionKey } from '../snapshot/connection-key.ts'
import { readRows, SentSets, wholeSet } from './endpoint-rows.ts'
import type { EndpointsMessage, ToWorker } from './messages.ts'

type Policy = TablesUpdate['policies'][number]
type BackendEntry = TablesUpdate['backends'][number]
type TlsEntry = TablesUpdate['hostTls'][number]

export class WorkerState {
  #settings: ToWorker | undefined
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

  /** In the order in which a worker must get them; what is not known yet comes later by itself. */
  messages(): ToWorker[] {
    const messages: ToWorker[] = []
    for (const [backend, sent] of this.#endpoints)
      for (const [connects, set] of sent.all) messages.push(wholeSet(backend, [...set.rows], connects))
    if (this.#settings !== undefined) messages.unshift(this.#settings)
    if (this.#contents.size > 0) {
      const contents = [...this.#contents].map(([id, bytes]) => ({ id, bytes }))
      messages.push({ type: 'contents', contents })
    }
    for (const [client, { owner, entries }] of this.#signOuts.byClient())
      messages.push({ type: 'sign-outs', owner, client, entries, known: true })
    if (this.#tables === undefined) return messages
    const policies = [...this.#policies.values()]
    const backends = [...this.#backends.values()]
    messages.push({ ...this.#tables, full: true, policies, backends, hostTls: [...this.#hostTls.values()] })
    return messages
  }
}
