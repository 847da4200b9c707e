/** The memory of responses as the supervisor has it: allocated once, it outlives every worker. */
import { Doorbells } from '../../shared-memory/doorbells.ts'
import type { CacheBuffers } from '../../shared-memory/process-buffers.ts'
import { Claims } from './claims.ts'
import { bellsOf, divideCache, EPOCH, SECRET } from './layout.ts'
import { clearReader } from './readers.ts'
import { Records } from './record.ts'
import { MemoryStatistics, Statistic } from './statistics.ts'

/** A cache line, so that 64-bit numbers fit in everywhere. */
const GRAIN = 64

const sizeOf = (bytes: number): number => Math.floor(bytes / GRAIN) * GRAIN

/** Whether so many bytes are enough to store something. */
export const holdsEntries = (bytes: number, workers: number): boolean =>
  divideCache(sizeOf(bytes), workers) !== undefined

/**
 * @param bytes at most, of entries and all that leads to them; pages that were never written to take no memory
 * @param secret drawn by chance, known to nobody else
 * @returns undefined: that is too little for so many workers, and nothing is stored
 */
export function allocateCache(
  bytes: number,
  workers: number,
  secret: readonly [number, number],
): CacheBuffers | undefined {
  const size = sizeOf(bytes)
  const layout = divideCache(size, workers)
  if (layout === undefined) return undefined
  const memory = new SharedArrayBuffer(size)
  const words = new Int32Array(memory)
  words[EPOCH] = 1
  words.set(secret, SECRET)
  return { memory, bells: Doorbells.allocate(workers, bellsOf(layout)) }
}

/** A worker has exited: it reads and fills nothing any more. Its entries stay until its replacement removes them. */
export function clearWorkerMemory(buffers: CacheBuffers, workers: number, worker: number): void {
  const layout = divideCache(buffers.memory.byteLength, workers)
  if (layout === undefined) return
  const records = new Records(buffers.memory)
  const bells = new Doorbells(buffers.bells, workers, bellsOf(layout))
  bells.clear(worker)
  new Claims(records, layout, bells, worker).failAll(worker)
  clearReader(records.words, layout, worker)
}

/** What {@link Statistic} counts, of one worker. */
export type CacheStatistics = Readonly<Record<keyof typeof Statistic, number>>

export function readCacheStatistics(buffers: CacheBuffers, workers: number, worker: number): CacheStatistics {
  const layout = divideCache(buffers.memory.byteLength, workers)
  const cells = layout && new MemoryStatistics(buffers.memory, layout, worker)
  const entries = Object.entries(Statistic).map(([name, cell]) => [name, cells?.get(cell) ?? 0])
  return Object.fromEntries(entries) as CacheStatistics
}

/** The same of all workers together. */
export function sumCacheStatistics(buffers: CacheBuffers, workers: number): CacheStatistics {
  const sum: Record<string, number> = Object.fromEntries(Object.keys(Statistic).map((name) => [name, 0]))
  for (let worker = 0; worker < workers; worker++)
    for (const [name, value] of Object.entries(readCacheStatistics(buffers, workers, worker))) sum[name]! += value
  return sum as CacheStatistics
}
