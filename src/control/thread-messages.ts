/** What the supervisor gives the control thread, and what the two say to each other. */
import type { MessagePort } from 'node:worker_threads'
import type { SettingsObject } from '../api/settings.ts'
import type { ToWorker } from '../link/messages.ts'
import type { SharedBuffers, ThreadLog } from '../link/thread-data.ts'

/** A worker's port, transferred. */
export interface WorkerPort {
  readonly index: number
  readonly port: MessagePort
}

/** `workerData` of the control thread. */
export interface ControlData {
  readonly role: 'control'
  readonly shared: SharedBuffers
  /** All workers that live. */
  readonly workers: readonly WorkerPort[]
  /** In force when the process was started: validated, defaulted, flags applied, port 0 replaced by a real one. */
  readonly settings: SettingsObject
  /** Folder of the manifests. */
  readonly folder: string
  /** Connections of one worker, from the process limit. */
  readonly connections: number
  readonly log: ThreadLog
  /** Version, for the log and metrics. */
  readonly version: string
}

/** Supervisor → control, over `parentPort`. */
export type MainToControl =
  /** A worker was started; it has nothing yet, or what the supervisor kept for it. */
  | ({ readonly type: 'worker' } & WorkerPort)
  /** Its ledgers are cleared already; its port is dead. */
  | { readonly type: 'worker-gone'; readonly index: number }
  | { readonly type: 'metrics'; readonly id: number }
  /** Write out what is buffered and leave. */
  | { readonly type: 'stop' }

/** Control → supervisor, over `parentPort`. */
export type ControlToMain =
  /** What every worker was sent just now: the supervisor keeps it for workers that start while control is away. */
  | { readonly type: 'replica'; readonly message: ToWorker }
  /** A generation serves in every worker. */
  | { readonly type: 'programmed'; readonly generation: number; readonly routes: number; readonly rules: number }
  /** The admin API listens; as bound. */
  | { readonly type: 'admin'; readonly address: string }
  | { readonly type: 'metrics'; readonly id: number; readonly contentType: string; readonly body: string }
