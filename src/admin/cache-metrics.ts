/** Metrics of the cache. */
import { type CacheStatistics, sumCacheStatistics } from '../cache/memory/buffers.ts'
import { ARCHIVE_OUTCOMES, ARCHIVES } from '../cache/response-archive.ts'
import { CACHE_RESULTS } from '../cache/results.ts'
import { STORE_REASONS } from '../cache/verdicts.ts'
import { CACHE_ARCHIVE_CELLS } from '../shared-memory/metrics.ts'
import type { MetricsReader } from '../shared-memory/metrics-reader.ts'
import type { CacheBuffers } from '../shared-memory/process-buffers.ts'
import { counter, gauge, type MetricDefinition, type Sample } from './collector.ts'

/** Requests by what became of them and why. */
export function cacheResults(reader: MetricsReader) {
  return CACHE_RESULTS.map((name, i) => {
    const [result = '', reason = ''] = name.split(' ')
    return { result, reason, count: reader.sum(reader.layout.cacheRequests + i) }
  })
}

/** Responses by why they were not stored, or that they were. */
export function cacheJudgements(reader: MetricsReader) {
  return STORE_REASONS.map((reason, i) => ({ reason, count: reader.sum(reader.layout.cacheJudged + i) }))
}

/** What became of the calls of archives. */
function archiveCalls(reader: MetricsReader): Sample[] {
  return ARCHIVES.flatMap((archive, row) =>
    ARCHIVE_OUTCOMES.map((outcome, i) => ({
      labels: { archive, outcome },
      value: reader.sum(reader.layout.cacheArchives + row * CACHE_ARCHIVE_CELLS + i),
    })),
  )
}

/** @param memory undefined: there is none */
export function cacheDefinitions(reader: MetricsReader, memory: CacheBuffers | undefined): MetricDefinition[] {
  return [
    counter('headgate_cache_requests_total', 'Requests of rules with a cache, by what became of them and why.', () =>
      cacheResults(reader).map(({ result, reason, count }) => ({ labels: { result, reason }, value: count })),
    ),
    counter('headgate_cache_responses_total', 'Responses that were judged whether they are stored, by why not.', () =>
      cacheJudgements(reader).map(({ reason, count }) => ({ labels: { reason }, value: count })),
    ),
    counter('headgate_cache_archive_total', 'Lookups and puts in Redis and in files, by what became of them.', () =>
      archiveCalls(reader),
    ),
    ...(memory === undefined ? [] : memoryDefinitions(memory, reader.layout.shape.workers)),
  ]
}

/** Why something that may be stored was not, or was stored no longer. */
const LOSSES = {
  Evicted: 'Evicted',
  Removed: 'Removed',
  Replaced: 'Replaced',
} as const satisfies Partial<Record<keyof CacheStatistics, string>>
const REFUSALS = {
  FailedFills: 'Failed',
  NoRoom: 'NoRoom',
  NoSlot: 'NoSlot',
  NoClaim: 'NoClaim',
  NoPin: 'NoPin',
} as const satisfies Partial<Record<keyof CacheStatistics, string>>

function memoryDefinitions(memory: CacheBuffers, workers: number): MetricDefinition[] {
  const read = (): CacheStatistics => sumCacheStatistics(memory, workers)
  const one = (value: number): Sample[] => [{ labels: {}, value }]
  const by = (names: Partial<Record<keyof CacheStatistics, string>>, label: string) => (): Sample[] => {
    const statistics = read()
    return Object.entries(names).map(([name, value]) => ({
      labels: { [label]: value },
      value: statistics[name as keyof CacheStatistics],
    }))
  }
  return [
    gauge('headgate_cache_entries', 'Responses, records of variants and keys that cannot be stored, in memory.', () =>
      one(read().Entries),
    ),
    gauge('headgate_cache_memory_bytes', 'Memory of the cache: the limit, in use, and held for reading.', () => {
      const { UsedBytes, HeldBytes } = read()
      return [
        { labels: { kind: 'limit' }, value: memory.memory.byteLength },
        { labels: { kind: 'used' }, value: UsedBytes },
        { labels: { kind: 'held' }, value: HeldBytes },
      ]
    }),
    counter('headgate_cache_stored_total', 'Entries that were stored in memory.', () => one(read().Stored)),
    counter('headgate_cache_dropped_total', 'Entries that are no longer in memory, by why.', by(LOSSES, 'reason')),
    counter('headgate_cache_refused_total', 'What memory could not take, by why.', by(REFUSALS, 'reason')),
  ]
}
