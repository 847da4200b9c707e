/** Shared by the exchanges of one worker: services from the wiring, and the current tables and settings. */
import type { WeightedSplits } from '../balance/weighted-split.ts'
import type { Clock, Random } from '../lib/clock.ts'
import { AdaptiveLimits } from '../limit/adaptive-limit.ts'
import type { LinkedTables } from '../link/linked-tables.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'
import type { Timers } from '../transport/timers.ts'
import type { AccessLog } from './access-log.ts'
import type { AttemptObserver } from './attempt-observer.ts'
import { ClientResolver } from './client-address.ts'
import { HostCache } from './host-cache.ts'
import { LoopGuard } from './loop-guard.ts'
import { RecurringRequests } from './recurring-requests.ts'
import { UnattendedExchanges } from './unattended.ts'
import { WaitingRequests } from './waiting-requests.ts'

export interface ExchangeServices {
  /** Row of this worker in every ledger. */
  readonly worker: number
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly endpoints: EndpointTable
  readonly metrics: WorkerMetrics
  readonly splits: WeightedSplits
  readonly observer: AttemptObserver
  /** See {@link WaitingRequests}. */
  waitedFor?(generation: number): void
  /** Reports an internal error to the process log. */
  unexpected(error: unknown): void
}

export interface ExchangeContext extends ExchangeServices {
  readonly hosts: HostCache
  readonly adaptiveLimits: AdaptiveLimits
  /** In force now; null until the first commit. An exchange keeps what it began with. */
  tables: LinkedTables | null
  clients: ClientResolver
  accessLog: AccessLog
  loops: LoopGuard
  readonly unattended: UnattendedExchanges
  readonly waiting: WaitingRequests
  /** To be cleared when tables or settings change. */
  readonly recurring: RecurringRequests
  /** Exchanges and the gateway's own requests in flight, for which a drain waits. */
  active: number
  /** Those of them that are streams of a client's HTTP/2 connection. */
  streams: number
}

/** Until settings come, nothing is logged. */
const NO_LOG: AccessLog = { write() {}, again: () => true }

export function createExchangeContext(services: ExchangeServices): ExchangeContext {
  return {
    ...services,
    hosts: new HostCache(),
    adaptiveLimits: new AdaptiveLimits(services.endpoints),
    tables: null,
    clients: new ClientResolver(null),
    accessLog: NO_LOG,
    loops: new LoopGuard({ seed: '', passes: 1 }),
    unattended: new UnattendedExchanges(),
    waiting: new WaitingRequests((generation) => services.waitedFor?.(generation)),
    recurring: new RecurringRequests(),
    active: 0,
    streams: 0,
  }
}
