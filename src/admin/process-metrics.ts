/** The standard process metrics of Prometheus clients, under the names that existing dashboards use. */
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import type { MetricDefinition, Sample } from './collector.ts'

const NO_LABELS = Object.freeze({})

export function processDefinitions(): MetricDefinition[] {
  const startedAt = Date.now() / 1_000 - process.uptime()
  const maxDescriptors = descriptorLimit()
  const definitions: MetricDefinition[] = [
    one('process_cpu_seconds_total', 'counter', 'Processor time used by all threads, in user and system mode.', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }),
    one('process_resident_memory_bytes', 'gauge', 'Memory in use that is not swapped out.', () =>
      process.memoryUsage.rss(),
    ),
    one('process_start_time_seconds', 'gauge', 'When the process began, since the Unix epoch.', () => startedAt),
  ]
  if (maxDescriptors === undefined) return definitions
  return [
    ...definitions,
    {
      name: 'process_open_fds',
      type: 'gauge',
      help: 'File descriptors in use, connections included.',
      read: async () => single((await readdir('/proc/self/fd')).length),
    },
    one('process_max_fds', 'gauge', 'File descriptors the process may use.', () => maxDescriptors),
  ]
}

function one(name: string, type: 'counter' | 'gauge', help: string, read: () => number): MetricDefinition {
  return { name, type, help, read: () => single(read()) }
}

function single(value: number): Sample[] {
  return [{ labels: NO_LABELS, value }]
}

/** The soft limit; undefined where the system has no /proc. */
function descriptorLimit(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit)
  } catch {
    return undefined
  }
}
