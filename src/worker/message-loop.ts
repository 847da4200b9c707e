/**
 * Takes the messages of control, in order: linking is done in slices, so that requests wait for no more than one of
 * them. A generation that cannot be linked is refused whole, and the one before it serves on.
 */
import type { ExplainQuestion } from '../exchange/explain.ts'
import { type SliceClock, SlicedWork, type TimeSlice } from '../lib/time-slice.ts'
import type { Linker } from '../link/linker.ts'
import type { TablesUpdate } from '../link/tables-update.ts'
import type { ContentStore } from '../policy/contents.ts'
import type { EndpointsMessage, FromWorker, ToWorker, WorkerSettings } from '../thread/messages.ts'
import type { WorkerArchives } from './archives.ts'
import type { CachedObjects } from './cached-objects.ts'
import type { WorkerGrantStores } from './grant-stores.ts'
import type { KeySetRequests } from './key-sets.ts'
import type { PasswordClient } from './password-client.ts'
import type { WorkerSignIns } from './sign-ins.ts'

export interface MessageLoopHost {
  readonly clock: SliceClock
  readonly linker: Linker
  readonly endpoints: {
    /** Takes the endpoints of one Backend in steps, which act with the last one. */
    endpoints(message: EndpointsMessage): Generator<void, void>
    /** Withdraws every endpoint set but these. */
    retain(ids: readonly string[]): void
  }
  readonly contents: ContentStore
  readonly signIns: Pick<WorkerSignIns, 'accept' | 'forgetQuestions'>
  readonly grants: Pick<WorkerGrantStores, 'answered' | 'forget'>
  readonly archives: Pick<WorkerArchives, 'forget' | 'useFiles'>
  readonly keySets: Pick<KeySetRequests, 'answered'>
  readonly passwords: Pick<PasswordClient, 'answered' | 'forget'>
  readonly cached: Pick<CachedObjects, 'find'>
  explain(id: number, question: ExplainQuestion): void
  /** @param tablesFollow tables are on their way to a worker that is new */
  settings(settings: WorkerSettings, tablesFollow: boolean): void
  epoch(epoch: number): void
  send(message: FromWorker): void
}

export class MessageLoop {
  readonly #host: MessageLoopHost
  readonly #queue: ToWorker[] = []
  /** By Backend, messages in the queue that have its endpoints. */
  readonly #long = new Map<string, number>()
  /** Backends that control has sent endpoints of behind the list of all of them, which waits for its tables. */
  #sentSince: Set<string> | null = null
  /** The same of contents. */
  #contentsSince: Set<string> | null = null
  #steps: Generator<void, void> | null = null
  /** The tables before could not be linked. */
  #isUnlinked = false
  readonly #work: SlicedWork

  constructor(host: MessageLoopHost) {
    this.#host = host
    this.#work = new SlicedWork(host.clock, (slice) => this.#run(slice))
  }

  accept(message: ToWorker): void {
    if (message.type === 'backends') this.#sentSince = new Set()
    else if (message.type === 'endpoints' && message.connects !== null) this.#sentSince?.add(message.backend)
    else if (message.type === 'content-ids') this.#contentsSince = new Set()
    else if (message.type === 'contents')
      for (const { id, bytes } of message.contents) if (bytes !== null) this.#contentsSince?.add(id)
    // Endpoints, contents and settings act at once; what must come after tables waits for them, and thousands of
    // endpoints are taken in turns.
    if (this.#waits(message)) {
      if (message.type === 'endpoints') this.#long.set(message.backend, (this.#long.get(message.backend) ?? 0) + 1)
      this.#queue.push(message)
      this.#work.run()
    } else if (message.type === 'endpoints') runToEnd(this.#host.endpoints.endpoints(message))
    else this.#take(message)
  }

  #waits(message: ToWorker): boolean {
    switch (message.type) {
      case 'tables':
      case 'epoch':
      case 'backends':
      case 'content-ids':
        return true
      // Behind a long set of the same Backend, and what is about all of them behind any.
      case 'endpoints':
        return message.rows.length > 1 || this.#long.has(message.backend)
      case 'latency-probe':
      case 'mark':
        return this.#long.size > 0
      default:
        return false
    }
  }

  #take(message: ToWorker): void {
    const { contents, keySets, passwords } = this.#host
    if (message.type === 'endpoints') this.#steps = this.#takeLong(message)
    else if (message.type === 'tables') this.#steps = this.#link(message)
    else if (message.type === 'epoch') this.#host.epoch(message.epoch)
    else if (message.type === 'backends') this.#retain(message.ids)
    else if (message.type === 'contents') contents.apply(message.contents)
    else if (message.type === 'content-ids') this.#retainContents(message.ids)
    else if (message.type === 'password-checked') passwords.answered(message.id, message.answer)
    else if (message.type === 'key-set-asked')
      keySets.answered(message.url, message.known, message.again, message.current)
    else if (message.type === 'settings') this.#host.settings(message.settings, message.tablesFollow === true)
    else if (message.type === 'archive') this.#host.archives.useFiles(message.port)
    else if (message.type === 'grants') this.#host.grants.answered(message.id, message.answer)
    else if (message.type === 'latency-probe' || message.type === 'mark') this.#host.send(message)
    else if (message.type === 'find-cached') this.#host.cached.find(message.id, message.records)
    else if (message.type === 'explain') this.#host.explain(message.id, message.question)
    else if (message.type === 'sign-in-answer' || message.type === 'sign-outs') this.#host.signIns.accept(message)
  }

  #retain(ids: readonly string[]): void {
    this.#host.endpoints.retain([...new Set([...ids, ...(this.#sentSince ?? [])])])
    this.#sentSince = null
  }

  #retainContents(ids: readonly string[]): void {
    this.#host.contents.retain([...ids, ...(this.#contentsSince ?? [])])
    this.#contentsSince = null
  }

  /** What differs from tables that could not be linked is no use without them. */
  *#link(update: TablesUpdate): Generator<void, void> {
    const { generation, full } = update
    if (this.#isUnlinked && !full) return this.#host.send({ type: 'not-linked', generation, skipped: true })
    this.#isUnlinked = true
    try {
      yield* this.#host.linker.link(update)
      this.#isUnlinked = false
    } finally {
      if (this.#isUnlinked) this.#host.send({ type: 'not-linked', generation, skipped: false })
    }
  }

  *#takeLong(message: EndpointsMessage): Generator<void, void> {
    try {
      yield* this.#host.endpoints.endpoints(message)
    } finally {
      const left = this.#long.get(message.backend)! - 1
      if (left === 0) this.#long.delete(message.backend)
      else this.#long.set(message.backend, left)
    }
  }

  /** A new control thread: what the old one had begun to send, or was asked, will not be completed. */
  forgetQueue(): void {
    this.#host.signIns.forgetQuestions()
    const endpoints = this.#queue.filter(({ type }) => type === 'endpoints')
    this.#queue.splice(0, this.#queue.length, ...endpoints)
    this.#sentSince = null
    this.#contentsSince = null
    this.#host.passwords.forget()
    this.#host.grants.forget()
    this.#host.archives.forget()
  }

  /** @returns whether another slice is needed */
  #run(slice: TimeSlice): boolean {
    for (;;) {
      if (this.#steps === null) {
        const message = this.#queue.shift()
        if (message === undefined) return false
        this.#take(message)
        continue
      }
      this.#step(this.#steps)
      if (this.#steps !== null && slice.over) return true
    }
  }

  #step(steps: Generator<void, void>): void {
    try {
      if (steps.next().done !== true) return
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#host.send({ type: 'problem', message: `what control sent cannot be used: ${text}` })
    }
    this.#steps = null
  }
}

function runToEnd(steps: Generator<void, void>): void {
  for (const _ of steps);
}
