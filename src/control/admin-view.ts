/** What the admin API and the metrics read of the control thread's state. */
import type { AdminData, BackendView, ProblemView, SettingView } from '../admin/admin-data.ts'
import type {
  BackendGauges,
  EndpointState,
  MetricsSource,
  ProblemCount,
  SettingsReason,
} from '../admin/metrics-source.ts'
import { routeRows } from '../admin/route-rows.ts'
import type { Condition, ObjectStatus } from '../api/condition.ts'
import { formatPath } from '../api/object.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import { type EndpointTable, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import type { Snapshot } from '../snapshot/snapshot.ts'
import type { EndpointRow } from '../thread/messages.ts'
import type { EndpointDirectory } from './endpoints/endpoint-directory.ts'
import type { ProblemList } from './status/problem-list.ts'
import { findingsOf, isUnlisted, type StatusCache, unwell } from './status/status-cache.ts'

export interface Viewed {
  readonly block: ProcessBlock
  readonly table: EndpointTable
  readonly directory: EndpointDirectory
  readonly board: StatusCache
  readonly problems: ProblemList
  readonly version: string
  readonly snapshot: () => Snapshot | undefined
  readonly settingViews: () => readonly SettingView[]
  readonly generation: () => number
  readonly budget: MemoryBudget
  readonly memory: MetricsSource['memory']['sizes']
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>
}

export function adminData(viewed: Viewed): AdminData {
  const { block, directory, board, problems, version, snapshot, generation } = viewed
  return {
    trouble: () => [],
    unready: () =>
      block.draining
        ? ['shutting down']
        : block.ready
          ? []
          : ['not every worker serves a routing table', ...(block.synced ? [] : problems.ofSource())],
    version: () => ({ version, node: process.version, generation: generation(), workers: block.workers }),
    *routes() {
      const now = snapshot()
      if (now !== undefined) yield* routeRows(now)
    },
    *backends() {
      for (const backend of snapshot()?.backends.values() ?? [])
        yield backendView(viewed.table, backend.id, backend.algorithm, directory.rows(backend.id))
    },
    statuses: () => board.list(),
    *problems() {
      yield* problems.list()
      yield* conditionProblems(board.list())
    },
    settings: viewed.settingViews,
    metrics: viewed.metrics,
  }
}

export function metricsSource(viewed: Viewed): MetricsSource {
  const { table, directory, board, problems, snapshot, generation } = viewed
  return {
    generation,
    sizes: () => ({ ...board.sizes(), backends: snapshot()?.backends.size ?? 0 }),
    *backends() {
      for (const id of snapshot()?.backends.keys() ?? []) yield backendGauges(table, id, directory.rows(id))
    },
    memory: { budget: viewed.budget, sizes: viewed.memory },
    problems: () => problemCounts(board.list(), problems.settings),
  }
}

function stateOf(table: EndpointTable, row: EndpointRow): EndpointState {
  const state = table.state(row.slot)
  if ((state & SLOT_STATE.ejected) !== 0) return 'ejected'
  if ((state & SLOT_STATE.unhealthy) !== 0) return 'unhealthy'
  return row.state === 'draining' ? 'draining' : 'eligible'
}

function backendGauges(table: EndpointTable, id: string, rows: readonly EndpointRow[]): BackendGauges {
  const endpoints: Record<EndpointState, number> = { eligible: 0, unhealthy: 0, ejected: 0, draining: 0 }
  let inFlight = 0
  for (const row of rows) {
    endpoints[stateOf(table, row)]++
    inFlight += table.inFlight(row.slot)
  }
  return { id, inFlight, endpoints }
}

function backendView(table: EndpointTable, id: string, algorithm: string, rows: readonly EndpointRow[]): BackendView {
  const endpoints = rows.map((row) => ({
    authority: row.address.includes(':') ? `[${row.address}]:${row.port}` : `${row.address}:${row.port}`,
    state: stateOf(table, row),
    weight: row.weight,
    inFlight: table.inFlight(row.slot),
    ...(row.zone !== undefined && { zone: row.zone }),
  }))
  return { id, algorithm, inFlight: endpoints.reduce((sum, one) => sum + one.inFlight, 0), endpoints }
}

/** What the conditions say that the list of problems does not: its own are those of fields. */
function* conditionProblems(statuses: Iterable<ObjectStatus>): Generator<ProblemView> {
  for (const status of statuses)
    for (const { reason, message, path } of findingsOf(status, isOurs))
      yield { object: `${status.kind} ${status.key}`, ...(path && { field: formatPath(path) }), reason, message }
}

/** No matter of somebody else. */
const isOurs = (condition: Condition): boolean => isUnlisted(condition) && condition.reason !== 'WrongClass'

function* problemCounts(statuses: Iterable<ObjectStatus>, settings: Iterable<SettingsReason>): Generator<ProblemCount> {
  for (const reason of settings) yield { kind: 'Settings', reason, objects: 1 }
  const counts = new Map<string, ProblemCount>()
  for (const { kind, conditions } of statuses)
    for (const reason of new Set(conditions.filter(unwell).map((one) => one.reason))) {
      if (reason === 'WrongClass') continue
      const id = `${kind} ${reason}`
      counts.set(id, { kind, reason, objects: (counts.get(id)?.objects ?? 0) + 1 })
    }
  yield* counts.values()
}
