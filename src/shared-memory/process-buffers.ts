import type { EndpointBuffers } from './endpoint-table.ts'
import type { PlaceBuffers } from './named-places.ts'

/** See `allocateCache`. */
export interface CacheBuffers {
  /** Responses, and all that leads to them. */
  readonly memory: SharedArrayBuffer
  /** Wake those who follow a fetch of another worker. */
  readonly bells: SharedArrayBuffer
}

/** All shared memory of the process. Allocated once by the supervisor; outlives every other thread. */
export interface SharedBuffers {
  /** For `new ProcessBlock(…)`. */
  readonly process: SharedArrayBuffer
  /** For `new EndpointTable(…)`. */
  readonly endpoints: EndpointBuffers
  /** For `new LimitTable(…)`. */
  readonly limits: SharedArrayBuffer
  /** For `new NamedPlaces(…)`. */
  readonly places: PlaceBuffers
  /** For `new PurgeLog(…)`, whose writers are the workers by their indexes, and control behind them. */
  readonly purges: SharedArrayBuffer
  /** For `new WorkerResponseMemory(…)`; undefined where there is too little memory for it. */
  readonly cache: CacheBuffers | undefined
  /** For `new WorkJournal(…)`. */
  readonly journal: SharedArrayBuffer
  /** Metric cells of all workers. */
  readonly metrics: SharedArrayBuffer
  /** One ring of finished access-log lines for each worker, by its index. */
  readonly accessLog: readonly SharedArrayBuffer[]
  /** One ring of process-log lines for each thread but the main one, by its row in the process block. */
  readonly processLog: readonly SharedArrayBuffer[]
}
