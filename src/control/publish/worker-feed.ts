/**
 * What one worker is sent. One that takes its messages as they come gets each of them at once. One that does not, since
 * it lacks a CPU or has too many requests, is sent no more than a bounded part ahead; from then on it is only noted
 * what has changed, and what it gets when it has caught up is the newest. So neither its queue nor its way to the
 * newest grows with what has changed meanwhile.
 */
import type { MessagePort } from 'node:worker_threads'
import type { TablesUpdate } from '../../link/tables-update.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { allTables, noTables, type TablesChange, type WorkerState } from '../../thread/worker-state.ts'

/** Generations of tables; a worker that has linked one finds the next one there. */
const TABLES_AHEAD = 2
/** Of contents and endpoints: more than any object has. */
const BYTES_AHEAD = 4 * 1024 * 1024
/** A mark follows when so many were sent since the last one came back. */
const BYTES_TO_MARK = 256 * 1024
/** What a message takes besides what it carries. */
const MESSAGE_BYTES = 256
/** Questions of the worker that contents have to come before, and probes: the oldest are given up. */
const MOST_BEHIND = 1_024

/** What has changed since the worker was sent it. */
interface Changed {
  settings: boolean
  readonly contents: Set<string>
  readonly endpoints: Set<string>
  /** Messages that must not come before these. */
  readonly behind: ToWorker[]
}

export class WorkerFeed {
  readonly port: MessagePort
  readonly #state: WorkerState
  /** Generations that were sent and are not linked, the oldest first. */
  #unlinked: number[] = []
  /** What the tables that follow have to bring. */
  #tables: TablesChange | undefined
  /** The next tables must need nothing before them. */
  #needsAll = false
  /** Behind the tables: ids of all that there is, also of what an earlier control thread has sent, and not this one. */
  readonly #lists = new Map<'backends' | 'content-ids', readonly string[]>()
  #epoch: number | undefined
  #changed: Changed | undefined
  /** Since the last mark was sent. */
  #bytes = 0
  /** Ahead of the mark that is not back. */
  #bytesMarked = 0
  #mark = 0
  #isMarkOut = false

  /** @param state has what is sent when it is sent */
  constructor(port: MessagePort, state: WorkerState) {
    this.port = port
    this.#state = state
  }

  /** Everything there is, to a worker that has nothing. */
  start(messages: Iterable<ToWorker>): void {
    for (const message of messages) this.#post(message)
  }

  /** What is kept in the state already. Not for {@link reply replies}. */
  send(message: ToWorker): void {
    switch (message.type) {
      case 'tables':
        this.#noteTables(message)
        return this.#sendTables()
      case 'backends':
      case 'content-ids':
        this.#lists.set(message.type, message.ids)
        return this.#sendTables()
      case 'epoch':
        this.#epoch = message.epoch
        return this.#sendTables()
    }
    if (this.#changed === undefined && !this.#isFull) return this.#post(message)
    this.#changed ??= { settings: false, contents: new Set(), endpoints: new Set(), behind: [] }
    if (message.type === 'settings') this.#changed.settings = true
    else if (message.type === 'endpoints') this.#changed.endpoints.add(message.backend)
    else if (message.type === 'contents') for (const { id } of message.contents) this.#changed.contents.add(id)
    else this.#post(message)
  }

  /** Behind the contents and endpoints that were sent. */
  follow(message: ToWorker): void {
    const behind = this.#changed?.behind
    if (behind === undefined) return this.port.postMessage(message)
    behind.push(message)
    if (behind.length > MOST_BEHIND) behind.shift()
  }

  /** To a question, whatever else is sent. */
  reply(message: ToWorker, transfer: MessagePort[] = []): void {
    this.port.postMessage(message, transfer)
  }

  /** The worker serves these tables. */
  applied(generation: number): void {
    this.#unlinked = this.#unlinked.filter((other) => other > generation)
    this.#sendTables()
  }

  /**
   * It cannot: it does not know what has changed with them, and what comes next is not a difference.
   *
   * @param skipped it did not try since it could not link those before
   */
  notLinked(generation: number, skipped: boolean): void {
    const at = this.#unlinked.indexOf(generation)
    if (at < 0) return
    this.#unlinked.splice(at, 1)
    this.#needsAll = true
    if (skipped) this.#tables ??= noTables()
    this.#sendTables()
  }

  marked(id: number): void {
    if (id !== this.#mark) return
    this.#isMarkOut = false
    this.#bytesMarked = 0
    if (this.#changed !== undefined) this.#sendChanged(this.#changed)
    this.#markIfDue()
    this.#sendTables()
  }

  get #isFull(): boolean {
    return this.#bytesMarked + this.#bytes > BYTES_AHEAD
  }

  #noteTables({ full, policies, backends, hostTls }: TablesUpdate): void {
    if (full) this.#tables = allTables()
    else if (this.#tables?.full !== true) {
      this.#tables ??= noTables()
      for (const { index } of policies) this.#tables.policies.add(index)
      for (const { index } of backends) this.#tables.backends.add(index)
      for (const { index } of hostTls) this.#tables.hostTls.add(index)
    }
  }

  #sendChanged({ settings, contents, endpoints, behind }: Changed): void {
    this.#changed = undefined
    if (settings && this.#state.settings !== undefined) this.#post(this.#state.settings)
    if (contents.size > 0) this.#post(this.#state.contentsOf(contents))
    for (const backend of endpoints) for (const message of this.#state.endpointsOf(backend)) this.#post(message)
    for (const message of behind) this.port.postMessage(message)
  }

  /** And what must not come before them. */
  #sendTables(): void {
    // They may name what is not sent yet.
    if (this.#changed !== undefined) return
    if (this.#tables !== undefined) {
      if (this.#unlinked.length >= TABLES_AHEAD) return
      const update = this.#state.tablesSince(this.#needsAll ? allTables() : this.#tables)
      this.#tables = undefined
      this.#needsAll = false
      if (update !== undefined) this.#post(update)
    }
    for (const [type, ids] of this.#lists) this.#post({ type, ids: this.#withNewer(type, ids) })
    this.#lists.clear()
    if (this.#epoch !== undefined) this.#post({ type: 'epoch', epoch: this.#epoch })
    this.#epoch = undefined
  }

  /** And what was sent since the list was made. */
  #withNewer(type: 'backends' | 'content-ids', ids: readonly string[]): readonly string[] {
    return [...new Set([...ids, ...(type === 'backends' ? this.#state.backendIds : this.#state.contentIds)])]
  }

  #post(message: ToWorker): void {
    this.port.postMessage(message)
    if (message.type === 'tables') this.#unlinked.push(message.generation)
    this.#bytes += bytesOf(message)
    this.#markIfDue()
  }

  #markIfDue(): void {
    if (this.#isMarkOut || this.#bytes < BYTES_TO_MARK) return
    this.#isMarkOut = true
    this.#bytesMarked = this.#bytes
    this.#bytes = 0
    this.port.postMessage({ type: 'mark', id: ++this.#mark } satisfies ToWorker)
  }
}

function bytesOf(message: ToWorker): number {
  let bytes = MESSAGE_BYTES
  if (message.type === 'contents') for (const content of message.contents) bytes += content.bytes?.length ?? 0
  else if (message.type === 'endpoints') for (const text of message.rows) bytes += text.length
  return bytes
}
