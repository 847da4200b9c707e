/** What the admin API and the metrics read of the rooms. */
import type { AdminData, BackendView } from '../admin/admin-data.ts'
import type { BackendGauges, EndpointState, MetricsSource } from '../admin/metrics-source.ts'
import { routeRows } from '../admin/route-rows.ts'
import { usageOf } from '../balance/usage.ts'
import { keyOfNode } from '../compile/reference-graph.ts'
import type { ResourceSet } from '../compile/resource-set.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import { AdaptiveLimits } from '../limit/adaptive-limit.ts'
import { joinHostPort } from '../pattern/host.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { EndpointRow } from '../thread/messages.ts'
import type { Endpoints } from './endpoints/endpoints.ts'
import type { Health } from './health/health.ts'
import type { Pipeline } from './publish/pipeline.ts'
import type { SettingsFeed } from './settings/settings-feed.ts'
import type { Statuses } from './status/statuses.ts'

export interface AdminInputs {
  readonly block: ProcessBlock
  readonly table: EndpointTable
  readonly endpoints: Endpoints
  readonly health: Health
  readonly statuses: Statuses
  readonly pipeline: Pipeline
  readonly settings: SettingsFeed
  readonly version: string
  readonly budget: MemoryBudget
  readonly memory: MetricsSource['memory']['sizes']
  readonly resources: () => ResourceSet | undefined
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>
}

export function adminData(inputs: AdminInputs): AdminData {
  const { block, endpoints, statuses, pipeline, settings, version } = inputs
  return {
    unhealthy: () => [],
    unready: () =>
      block.draining
        ? ['shutting down']
        : block.ready
          ? []
          : ['not every worker serves a routing table', ...(block.synced ? [] : statuses.problems.ofSource())],
    version: () => {
      const { zone, place } = endpoints.topology
      return {
        version,
        node: process.version,
        generation: pipeline.generation,
        workers: block.workers,
        replica: place.index + 1,
        replicas: place.count,
        ...(zone !== undefined && { zone }),
      }
    },
    *routes() {
      const { snapshot } = pipeline
      if (snapshot !== undefined) yield* routeRows(snapshot)
    },
    *backends(offset) {
      for (const backend of Iterator.from(pipeline.snapshot?.backends.values() ?? []).drop(offset))
        yield backendView(inputs, backend, endpoints.rows(backend.id))
    },
    statuses: () => statuses.list(),
    problems: () => statuses.problemViews(),
    settings: () => settings.views(),
    metrics: inputs.metrics,
  }
}

export function metricsSource({
  table,
  endpoints,
  health,
  statuses,
  pipeline,
  budget,
  memory,
  resources,
}: AdminInputs): MetricsSource {
  return {
    generation: () => pipeline.generation,
    sizes: () => ({ ...statuses.sizes(), backends: pipeline.snapshot?.backends.size ?? 0 }),
    *backends() {
      for (const id of pipeline.snapshot?.backends.keys() ?? [])
        yield backendGauges(table, health, id, endpoints.rows(id))
    },
    memory: { budget, sizes: memory },
    problems: () => statuses.problemCounts(),
    *certificates() {
      for (const [node, { secret }] of resources()?.payloads ?? [])
        if (secret?.certificate !== undefined)
          yield { secret: keyOfNode(node), end: Math.floor(secret.certificate.notAfter / 1000) }
    },
  }
}

function backendGauges(table: EndpointTable, health: Health, id: string, rows: readonly EndpointRow[]): BackendGauges {
  const endpoints: Record<EndpointState, number> = { eligible: 0, unhealthy: 0, ejected: 0, draining: 0 }
  let inFlight = 0
  for (const row of rows) {
    endpoints[health.stateOf(row)]++
    inFlight += table.inFlight(row.slot)
  }
  return { id, inFlight, endpoints }
}

/** It is well, and other replicas of the gateway use it. */
const ELSEWHERE = 'left to other replicas of the gateway, by its zone or by the subset'

/** By slot; undefined where each gets its share by weight. */
function sharesOf({ table, endpoints }: AdminInputs, plan: BackendConfig, rows: readonly EndpointRow[]) {
  if (!plan.zoneAware && plan.subsetSize === 0) return undefined
  const all = rows.map((row) => ({ ...row, authority: joinHostPort(row.address, row.port) }))
  const usage = usageOf(all, plan.algorithm, plan, endpoints.topology, table)
  return new Map(all.map((endpoint) => [endpoint.slot, usage.get(endpoint) ?? 0]))
}

function backendView(inputs: AdminInputs, plan: BackendConfig, rows: readonly EndpointRow[]): BackendView {
  const { table, health } = inputs
  const { id, protocol, algorithm, adaptiveLimit } = plan
  const limits = new AdaptiveLimits(table)
  const { total, ready, eligible, panic, draining } = health.count(id)
  // Where nothing is ready zones and subsets do not matter.
  const shares = draining ? undefined : sharesOf(inputs, plan, rows)
  const endpoints = rows.map((row) => {
    const { state, usable, reason, since, probe } = health.verdict(row, id)
    const share = shares?.get(row.slot)
    const taken = usable && (row.state === 'ready' || draining)
    return {
      authority: joinHostPort(row.address, row.port),
      state,
      taken: taken && share !== 0,
      reason: taken && share === 0 && reason === '' ? ELSEWHERE : reason,
      ...(since !== undefined && { since: new Date(since).toISOString() }),
      ...(probe && {
        probe: { at: new Date(probe.at).toISOString(), took: Math.max(0, Math.round(probe.took)), fault: probe.fault },
      }),
      weight: row.weight,
      inFlight: table.inFlight(row.slot),
      ...(adaptiveLimit !== undefined && {
        unanswered: table.unanswered.sum(row.slot),
        limit: limits.limitOf(row.slot, adaptiveLimit),
      }),
      ...(row.zone !== undefined && { zone: row.zone }),
      ...(share !== undefined && { share: Number(share.toFixed(6)) }),
    }
  })
  const inFlight = endpoints.reduce((sum, one) => sum + one.inFlight, 0)
  const slot = inputs.endpoints.slotOf(id)
  const waiting = slot !== undefined && { connections: table.connections.sum(slot), waiting: table.pending.sum(slot) }
  return { id, protocol, algorithm, inFlight, ...waiting, total, ready, eligible, panic, endpoints }
}
