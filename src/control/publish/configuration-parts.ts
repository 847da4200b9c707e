/** What the configuration is put together with. */
import type { Validator } from '../../api/validate.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Logger } from '../../log/process-log.ts'
import type { ListenerRows } from '../../shared-memory/listener-rows.ts'
import type { ProcessBlock } from '../../shared-memory/process-block.ts'
import type { RowDirectory } from '../../shared-memory/row-directory.ts'
import type { SlotReclaimer } from '../../shared-memory/slot-reclaimer.ts'
import type { Source } from '../../source/source.ts'
import type { LastGoodChange, ServedVersion } from '../../thread/retained-state.ts'
import type { ProcessShare } from '../../thread/worker-settings.ts'
import type { EndpointDirectory } from '../endpoints/endpoint-directory.ts'
import type { FrontResolver } from '../endpoints/reserved-destinations.ts'
import type { ClusterDuties } from '../leader/cluster-duties.ts'
import type { Quarantine } from '../resources/quarantine.ts'
import type { ProblemList } from '../status/problem-list.ts'
import type { StatusCache } from '../status/status-cache.ts'
import type { Publisher } from './publisher.ts'

export interface ConfigurationParts {
  readonly validator: Validator
  readonly block: ProcessBlock
  readonly directory: EndpointDirectory
  readonly reclaimer: SlotReclaimer
  readonly publisher: Publisher
  readonly board: StatusCache
  readonly problems: ProblemList
  readonly rows: RowDirectory
  readonly listenerRows: ListenerRows
  readonly source: Source
  /** Loopback is then no place for a backend. */
  readonly inCluster: boolean
  /** Names in front of us. */
  readonly fronts: FrontResolver
  readonly log: Logger
  readonly now: () => Milliseconds
  readonly wall: () => Milliseconds
  /** What manifests may take, see `MemoryBudget`. */
  readonly configurationBytes: number
  readonly share: ProcessShare
  /** For the log. */
  readonly tellOfObject: (namespace: string, message: string) => void
  /** Resolves when hostnames among them are written where a restart finds them, or cannot be. */
  readonly keepLastGood: (changes: readonly LastGoodChange[]) => Promise<void>
  /** Towards the cluster that this runs in; none = it writes nothing there. */
  readonly duties: () => ClusterDuties | undefined
  readonly quarantine: Quarantine
  /** What was served when a control thread ended at its successor. */
  readonly served: readonly ServedVersion[]
}
