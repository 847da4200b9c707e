/** Statistics of the cache: of this replica, of another one as it says them, and the sum. */
import { cacheJudgements, cacheResults } from '../../admin/cache-metrics.ts'
import type { CacheNumbersView, PurgeView, ReplicaStatistics } from '../../admin/caches.ts'
import { sumCacheStatistics } from '../../cache/memory/buffers.ts'
import type { MetricsReader } from '../../shared-memory/metrics-reader.ts'
import type { CacheBuffers } from '../../shared-memory/process-buffers.ts'
import { countOf, listOf, recordOf, textOf } from './foreign.ts'

/** @param memory undefined: there is none */
export function ownStatistics(
  metrics: MetricsReader,
  memory: CacheBuffers | undefined,
  purges: ReplicaStatistics['purges'],
): ReplicaStatistics {
  const requests = cacheResults(metrics).filter(({ count }) => count > 0)
  return {
    ...numbersOf(memory, metrics.layout.shape.workers),
    hitRatio: hitRatioOf(requests),
    requests,
    responses: cacheJudgements(metrics).filter(({ count }) => count > 0),
    purges,
  }
}

/** @param each the first one says how purges are kept */
export function sumStatistics(each: readonly ReplicaStatistics[]): ReplicaStatistics {
  const requests = sumBy(
    each.flatMap((one) => one.requests),
    ({ result, reason }) => `${result} ${reason}`,
  )
  const responses = sumBy(
    each.flatMap((one) => one.responses),
    ({ reason }) => reason,
  )
  const numbers = NUMBERS.map((name) => [name, each.reduce((sum, one) => sum + one[name], 0)] as const)
  return {
    ...(Object.fromEntries(numbers) as Numbers),
    hitRatio: hitRatioOf(requests),
    requests,
    responses,
    purges: each[0]?.purges ?? { history: 'None' },
  }
}

/** @returns undefined: it is none */
export function readStatistics(body: unknown): ReplicaStatistics | undefined {
  const value = recordOf(body)
  if (value === undefined) return undefined
  const numbers = NUMBERS.map((name) => [name, countOf(value[name])] as const)
  const requests = listOf(value.requests, MAX_ROWS, readRow)
  const responses = listOf(value.responses, MAX_ROWS, readRow)
  const purges = recordOf(value.purges)
  const history = HISTORIES.find((one) => one === purges?.history)
  if (numbers.some(([, count]) => count === undefined)) return undefined
  if (requests === undefined || responses === undefined || history === undefined) return undefined
  const problem = textOf(purges?.problem, MAX_TEXT)
  return {
    ...(Object.fromEntries(numbers) as Numbers),
    hitRatio: hitRatioOf(requests),
    requests,
    responses,
    purges: { history, ...(problem !== undefined && { problem }) },
  }
}

const NUMBERS = [
  'limit',
  'entries',
  'used',
  'held',
  'stored',
  'evicted',
  'removed',
  'replaced',
  'refused',
] as const satisfies readonly (keyof CacheNumbersView)[]
type Numbers = Record<(typeof NUMBERS)[number], number>
const HISTORIES: readonly PurgeView['history'][] = ['Redis', 'Peers', 'File', 'None']
const MAX_ROWS = 256
const MAX_TEXT = 512

function readRow(body: unknown) {
  const value = recordOf(body)
  const reason = textOf(value?.reason, 64)
  const count = countOf(value?.count)
  if (reason === undefined || count === undefined) return undefined
  return { result: textOf(value?.result, 64) ?? '', reason, count }
}

function hitRatioOf(requests: ReplicaStatistics['requests']): number {
  const hits = requests.filter(({ result }) => result === 'hit' || result === 'stale').reduce(sumCounts, 0)
  const all = requests.reduce(sumCounts, 0)
  return all === 0 ? 0 : hits / all
}

const sumCounts = (sum: number, { count }: { readonly count: number }): number => sum + count

function sumBy<Row extends { readonly count: number }>(rows: readonly Row[], nameOf: (row: Row) => string): Row[] {
  const byName = Map.groupBy(rows, nameOf)
  return [...byName.values()].map((same) => ({ ...same[0]!, count: same.reduce(sumCounts, 0) }))
}

function numbersOf(memory: CacheBuffers | undefined, workers: number): CacheNumbersView {
  if (memory === undefined)
    return { limit: 0, entries: 0, used: 0, held: 0, stored: 0, evicted: 0, removed: 0, replaced: 0, refused: 0 }
  const sum = sumCacheStatistics(memory, workers)
  return {
    limit: memory.memory.byteLength,
    entries: sum.Entries,
    used: sum.UsedBytes,
    held: sum.HeldBytes,
    stored: sum.Stored,
    evicted: sum.Evicted,
    removed: sum.Removed,
    replaced: sum.Replaced,
    refused: sum.NoRoom + sum.NoSlot + sum.NoClaim,
  }
}
