/** Metrics of a pod, as Prometheus reads them. */
export interface Metrics {
  /** One series; undefined where there is none. */
  value(series: string): number | undefined
  histogram(name: string): Histogram
}

export interface Histogram {
  readonly count: number
  /** Cumulative, by upper bound in seconds. */
  readonly buckets: readonly (readonly [le: number, count: number])[]
}

export async function metricsOf(address: string): Promise<Metrics> {
  const response = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(10_000) })
  const text = await response.text()
  if (!response.ok) throw new Error(`/metrics of ${address}: ${response.status} ${text}`)
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ')
    if (space > 0 && !line.startsWith('#')) values.set(line.slice(0, space), Number(line.slice(space + 1)))
  }
  return {
    value: (series) => values.get(series),
    histogram(name) {
      const buckets = [...values]
        .filter(([series]) => series.startsWith(`${name}_bucket{le="`))
        .map(
          ([series, count]) => [Number(/le="([^"]+)"/.exec(series)![1]!.replace('+Inf', 'Infinity')), count] as const,
        )
        .sort(([a], [b]) => a - b)
      return { count: values.get(`${name}_count`) ?? 0, buckets }
    },
  }
}

/**
 * The bucket in which this share of what came between two scrapes lies: more than the first, at most the second,
 * seconds.
 */
export function quantile(before: Histogram, after: Histogram, share: number): readonly [above: number, atMost: number] {
  const wanted = (after.count - before.count) * share
  let above = 0
  for (const [i, [le, count]] of after.buckets.entries()) {
    if (count - (before.buckets[i]?.[1] ?? 0) >= wanted) return [above, le]
    above = le
  }
  return [above, Number.POSITIVE_INFINITY]
}
