/** What the memory of one worker is made of. */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import { Claims } from './claims.ts'
import { HeldRecords } from './entries.ts'
import { EntryIndex } from './entry-index.ts'
import { type Layout, UNIT_BYTES } from './layout.ts'
import { Readers } from './readers.ts'
import { Records } from './record.ts'
import { Segment } from './segment.ts'
import { MemoryStatistics } from './statistics.ts'

/** Of a segment: what one entry may take of it. */
const ENTRY_SHARE = 1 / 2
/** Lengths are words with a sign. */
const MAX_ENTRY_BYTES = 2 ** 31 - 1

export interface MemoryParts {
  readonly layout: Layout
  readonly records: Records
  readonly index: EntryIndex
  readonly claims: Claims
  readonly readers: Readers
  readonly segment: Segment
  readonly held: HeldRecords
  readonly statistics: MemoryStatistics
  /** Of an entry, with all that it takes. */
  readonly maxEntryBytes: number
}

export function assemble(buffer: SharedArrayBuffer, layout: Layout, bells: Doorbells, worker: number): MemoryParts {
  const records = new Records(buffer)
  const index = new EntryIndex(records, layout)
  const claims = new Claims(records, layout, bells, worker)
  const readers = new Readers(records.words, layout, worker)
  const statistics = new MemoryStatistics(buffer, layout, worker)
  const segment = new Segment({ records, index, layout, readers, statistics, bells })
  const held = new HeldRecords(records, layout, readers, statistics)
  const maxEntryBytes = Math.min(Math.floor(layout.segmentUnits * UNIT_BYTES * ENTRY_SHARE), MAX_ENTRY_BYTES)
  return { layout, records, index, claims, readers, segment, held, statistics, maxEntryBytes }
}
