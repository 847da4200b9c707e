/** Entry of the thread that owns the files of the cache: so a slow disk holds up neither requests nor the pool. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { DiskMessage } from '../../store/archive/disk-report.ts'
import { FileServer } from '../../store/archive/file-server.ts'
import { FileStore } from '../../store/archive/file-store.ts'
import { systemTimers } from '../../thread/system-timers.ts'

export interface ArchiveData {
  readonly stateDirectory: string
  /** Of all files. */
  readonly maxBytes: number
  /** However small they are: each takes memory of the thread. */
  readonly maxFiles: number
}

/** From control: a worker's port, transferred. */
export interface ArchiveWorker {
  readonly port: MessagePort
}

/** To control, for the log: what keeps files from being written (undefined: nothing any more), or from being read. */
export type ArchiveFailure = { readonly failure: DiskMessage | undefined } | { readonly unread: string }

const { stateDirectory, maxBytes, maxFiles } = workerData as ArchiveData
const control = parentPort!
const store = new FileStore({
  stateDirectory,
  maxBytes,
  maxFiles,
  clock: systemTimers,
  failure: (failure) => control.postMessage({ failure } satisfies ArchiveFailure),
  unread: (unread) => control.postMessage({ unread } satisfies ArchiveFailure),
})
const server = new FileServer(store, systemTimers)
control.on('message', ({ port }: ArchiveWorker) => server.serve(port))
