/** Allocates all memory that the threads of the process share. */
import { allocateCache } from '../cache/memory/buffers.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { DEFAULT_ENDPOINT_SLOTS, EndpointTable } from '../shared-memory/endpoint-table.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { createMetrics } from '../shared-memory/metrics.ts'
import { ProcessBlock } from '../shared-memory/process-block.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import { PurgeLog } from '../shared-memory/purge-log.ts'
import { WorkJournal } from '../shared-memory/work-journal.ts'
import { allocateLimits } from './limit-memory.ts'
import { secretWords } from './secret-words.ts'

/** Rows of the metrics: twice the number of listeners that settings may hold, and one row for all later names. */
const LISTENERS = 513

export interface ProcessSizes {
  /** Bytes of the process. */
  readonly memoryLimit: number
  /** Bytes of the HTTP cache. */
  readonly cache: number
  readonly workers: number
  /** Rows for endpoints and Backends together; a power of two. */
  readonly endpointSlots: number | undefined
  /** Process-log rings, by row of the process block. */
  readonly processLog: readonly SharedArrayBuffer[]
}

/** @param now monotonic */
export function allocateBuffers(sizes: ProcessSizes, now: Milliseconds): SharedBuffers {
  const { memoryLimit, cache, workers, endpointSlots = DEFAULT_ENDPOINT_SLOTS, processLog } = sizes
  return {
    process: ProcessBlock.allocate(workers),
    endpoints: EndpointTable.allocate(workers, endpointSlots),
    ...allocateLimits(memoryLimit, workers, now),
    purges: PurgeLog.allocate(workers + 1),
    cache: allocateCache(cache, workers, secretWords()),
    journal: WorkJournal.allocate(),
    metrics: createMetrics({ workers, listeners: LISTENERS }),
    accessLog: Array.from({ length: workers }, () => LineRing.create()),
    processLog,
  }
}
