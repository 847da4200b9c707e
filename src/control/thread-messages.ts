/** The data with which the supervisor starts the control thread, and the messages between the two. */
import type { MessagePort } from 'node:worker_threads'
import type { KeptRegistration, RegistrationChange } from '../api/registration.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import type { SettingsOverride } from '../source/settings.ts'
import type { ToWorker } from '../thread/messages.ts'
import type { LastGood, LastGoodChange, ServedVersion } from '../thread/retained-state.ts'
import type { Suspect } from '../thread/suspect-list.ts'
import type { ResolvedPorts, ThreadLog } from '../thread/thread-data.ts'
import type { ProcessShare } from '../thread/worker-settings.ts'

/** A worker's port, transferred. */
export interface WorkerPort {
  readonly index: number
  readonly port: MessagePort
}

/** Where the resources come from. */
export type SourceChoice =
  | { readonly type: 'folder'; readonly folder: string }
  /** In a pod its service account, elsewhere a kubeconfig. */
  | { readonly type: 'kubernetes'; readonly kubeconfig?: string; readonly context?: string }

/** `workerData` of the control thread. */
export interface ControlData {
  readonly role: 'control'
  readonly shared: SharedBuffers
  /** All workers that live. */
  readonly workers: readonly WorkerPort[]
  /** Undefined in the first control thread of the process: the supervisor then answers its `settings` with `go`. */
  readonly ports: ResolvedPorts | undefined
  /**
   * The last settings that were in force: with them a later control thread starts when the file is broken just then.
   */
  readonly settings: SettingsObject | undefined
  /** Last good versions of broken objects that an earlier control thread of this process has served. */
  readonly lastGood: readonly LastGood[]
  /** Objects at which earlier control threads of this process ended, and what was served of them. */
  readonly suspects: readonly Suspect[]
  readonly served: readonly ServedVersion[]
  /** What services have registered with earlier control threads of this process. */
  readonly registrations: readonly KeptRegistration[]
  readonly settingsFile: string | undefined
  readonly overrides: readonly SettingsOverride[]
  readonly source: SourceChoice
  /** What one worker has of the process limit, and what identifies the process. */
  readonly share: ProcessShare
  readonly memory: MemoryBudget
  readonly log: ThreadLog
  /** Version, for the log and metrics. */
  readonly version: string
}

/** Supervisor → control, over `parentPort`. */
export type MainToControl =
  /**
   * The addresses of the settings are free: let workers open them. Said again when another socket, or none, is a
   * listener's.
   */
  | { readonly type: 'go'; readonly ports: ResolvedPorts }
  /** A worker was started; it has nothing yet, or what the supervisor kept for it. */
  | ({ readonly type: 'worker' } & WorkerPort)
  /** Its ledgers are cleared already; its port is dead. */
  | { readonly type: 'worker-gone'; readonly index: number }
  | { readonly type: 'metrics'; readonly id: number }
  /** Write out what is buffered and leave. */
  | { readonly type: 'stop' }

/** Control → supervisor, over `parentPort`. */
export type ControlToMain =
  /** Valid settings: those in force at the start, and later each time they change. */
  | { readonly type: 'settings'; readonly settings: SettingsObject }
  /** There are no valid settings to start with: one line for each mistake. */
  | { readonly type: 'refused'; readonly lines: readonly string[] }
  /** What every worker was sent just now: the supervisor keeps it for workers that start while control is away. */
  | { readonly type: 'replica'; readonly message: ToWorker }
  /** For the next control thread. */
  | { readonly type: 'last-good'; readonly changes: readonly LastGoodChange[] }
  | { readonly type: 'registrations'; readonly changes: readonly RegistrationChange[] }
  /** While a newer version is worked on: what is served of an object, by kind and key. */
  | { readonly type: 'served'; readonly name: string; readonly version: ServedVersion | undefined }
  /** An object that was set aside has been worked on, or is gone. */
  | { readonly type: 'cleared'; readonly name: string }
  /** What keeps the source from being read, most important first; empty = nothing does. */
  | { readonly type: 'source'; readonly reasons: readonly string[] }
  /** A generation serves in every worker. */
  | { readonly type: 'programmed'; readonly generation: number; readonly routes: number; readonly rules: number }
  /** Undefined where the metrics cannot be read; the log has the cause. */
  | {
      readonly type: 'metrics'
      readonly id: number
      readonly answer: { readonly contentType: string; readonly body: string } | undefined
    }
