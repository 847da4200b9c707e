/** Metrics of the cache. */
import { CACHE_RESULTS } from '../cache/results.ts'
import { STORE_REASONS } from '../cache/verdicts.ts'
import type { MetricsReader } from '../shared-memory/metrics-reader.ts'
import { counter, type MetricDefinition } from './collector.ts'

export function cacheDefinitions(reader: MetricsReader): MetricDefinition[] {
  const { layout } = reader
  return [
    counter('headgate_cache_requests_total', 'Requests of rules with a cache, by what became of them and why.', () =>
      CACHE_RESULTS.map((name, i) => {
        const [result = '', reason = ''] = name.split(' ')
        return { labels: { result, reason }, value: reader.sum(layout.cacheRequests + i) }
      }),
    ),
    counter('headgate_cache_responses_total', 'Responses that were judged whether they are stored, by why not.', () =>
      STORE_REASONS.map((reason, i) => ({ labels: { reason }, value: reader.sum(layout.cacheJudged + i) })),
    ),
  ]
}
