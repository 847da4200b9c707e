/** The data with which the supervisor starts its threads, and the messages between them. */
import type { MessagePort } from 'node:worker_threads'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import type { ListenerFailure, ListenerSettings } from './messages.ts'

/** How a thread writes to its process-log ring; `createThreadLogger` of log/process-log.ts takes it. */
export interface ThreadLog {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  readonly format: 'json' | 'text'
}

/** Sockets as they are really open: where the settings ask for any free port (0), or for one that cannot be had. */
export interface ResolvedPorts {
  /**
   * What workers open, by the listener's name, with real addresses and ports. One that cannot be opened is missing, or
   * is where it was.
   */
  readonly sockets: readonly ListenerSettings[]
  /** Listeners that are not open as configured. */
  readonly failures: readonly ListenerFailure[]
  readonly admin: number
  readonly signals: number
  /** What a listener without an address is bound to: `::` takes IPv4 too, but not every machine has IPv6. */
  readonly everyAddress: '::' | '0.0.0.0'
}

/** `workerData` of a worker thread. */
export interface WorkerData {
  readonly role: 'worker'
  /** 0 … `workers` - 1: its row in every ledger. A replacement gets the index of the one it replaces. */
  readonly index: number
  readonly workers: number
  readonly shared: SharedBuffers
  /** To the control thread now running, transferred: `ToWorker` comes, `FromWorker` goes. */
  readonly control: MessagePort
  /** Whether listeners set SO_REUSEPORT; false where the system does not balance it and there is one worker. */
  readonly reusePort: boolean
  /** That a worker opens at each address and port, where several may bind one. */
  readonly sockets: number
  /** Bytes that compiled patterns may take in this worker. */
  readonly patternBytes: number
  /** Of connections and TLS: see `MemoryBudget`. */
  readonly connectionBytes: number
  readonly secureContexts: number
  readonly trustBytes: number
  /** Bytes of request heads that have come in part. */
  readonly heldBytes: number
  /** Bytes of bodies that wait, over all connections of a worker. */
  readonly bodyBytes: number
  /** Of the process: keys of session tickets are derived from it, so that any worker resumes what another began. */
  readonly ticketMaster: Uint8Array
  readonly log: ThreadLog
}

/** Supervisor → worker, over `parentPort`. */
export type MainToWorker =
  /**
   * There is a new control thread: close the old port, use this one. What is served stays until it sends something
   * newer.
   */
  | { readonly type: 'control-port'; readonly port: MessagePort }
  /** Go on serving, and send clients elsewhere for their next request: a drain is to come. */
  | { readonly type: 'leave' }
  /**
   * Stop accepting, end idle connections, finish what runs, then answer with `drained`.
   * `grace` milliseconds from now everything still open is cut and `drained` is sent all the same.
   */
  | { readonly type: 'drain'; readonly grace: number }
  /** Cut everything and leave. */
  | { readonly type: 'stop' }

/** Worker → supervisor, over `parentPort`. */
export type WorkerToMain =
  /** Ports as bound, by listener, and what could not be opened. Said again when that changes. */
  | {
      readonly type: 'listening'
      readonly ports: ReadonlyMap<string, number>
      readonly failures: readonly ListenerFailure[]
    }
  /** Nothing is open any more. */
  | { readonly type: 'drained' }
