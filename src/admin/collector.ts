/**
 * A metric whose values are read at each scrape. prom-client's own metric classes store their values and buckets; its
 * registry needs only the members implemented here.
 */
import type { Metric, Registry } from 'prom-client'
import { BUCKETS } from '../shared-memory/metrics.ts'
import type { HistogramValue } from '../shared-memory/metrics-reader.ts'

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels: Labels
  readonly value: number
}

export interface HistogramSample {
  readonly labels: Labels
  readonly value: HistogramValue
}

export type MetricDefinition =
  | {
      readonly name: string
      readonly type: 'counter' | 'gauge'
      readonly help: string
      readonly read: () => Iterable<Sample> | Promise<Iterable<Sample>>
    }
  | {
      readonly name: string
      readonly type: 'histogram'
      readonly help: string
      readonly read: () => Iterable<HistogramSample>
    }

export function counter(name: string, help: string, read: () => Iterable<Sample>): MetricDefinition {
  return { name, type: 'counter', help, read }
}

export function gauge(name: string, help: string, read: () => Iterable<Sample>): MetricDefinition {
  return { name, type: 'gauge', help, read }
}

export function histogram(name: string, help: string, read: () => Iterable<HistogramSample>): MetricDefinition {
  return { name, type: 'histogram', help, read }
}

interface ExpositionLine {
  readonly metricName?: string
  readonly labels: Labels
  readonly value: number
}

class Collector {
  readonly name: string
  readonly help: string
  readonly type: MetricDefinition['type']
  readonly aggregator = 'sum'
  readonly #definition: MetricDefinition

  constructor(definition: MetricDefinition) {
    this.name = definition.name
    this.help = definition.help
    this.type = definition.type
    this.#definition = definition
  }

  /** Called by the registry for each scrape. */
  async get(): Promise<{
    name: string
    help: string
    type: string
    aggregator: string
    values: readonly ExpositionLine[]
  }> {
    const { name, help, type, aggregator } = this
    const definition = this.#definition
    const values: ExpositionLine[] = []
    if (definition.type === 'histogram') for (const sample of definition.read()) pushHistogram(values, name, sample)
    else for (const sample of await definition.read()) values.push(sample)
    return { name, help, type, aggregator, values }
  }

  /** Does nothing, because the values are stored elsewhere. */
  reset(): void {}
}

export function register(registry: Registry, definition: MetricDefinition): void {
  registry.registerMetric(new Collector(definition) as unknown as Metric<string>)
}

/** The unit of time in Prometheus, in milliseconds. */
const SECOND = 1_000

const BOUNDS = BUCKETS.map((milliseconds) => String(milliseconds / SECOND))

function pushHistogram(lines: ExpositionLine[], name: string, { labels, value }: HistogramSample): void {
  for (const [i, le] of BOUNDS.entries())
    lines.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: value.buckets[i]! })
  lines.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: value.count })
  lines.push({ metricName: `${name}_sum`, labels, value: value.sum / SECOND })
  lines.push({ metricName: `${name}_count`, labels, value: value.count })
}
