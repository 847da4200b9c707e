/** What purges have made of an entry since somebody looked last. */
import { CacheFlag, FLAGS_OFFSET } from '../../cache/cache-numbers.ts'
import { KeyPart } from '../../cache/key.ts'
import { partOf } from '../../cache/key-text.ts'
import { urlText } from '../../cache/purge-labels.ts'
import { HARD, KEPT, type Purges, type PurgeVerdict } from '../../cache/purges.ts'
import { type EntryBytes, EntryKind } from '../../cache/response-memory.ts'

const LABEL_BYTES = 8

/** Costs a comparison where nothing was purged. What is marked as stale is so for all who find it. */
export function judgePurges(purges: Purges, entry: EntryBytes): PurgeVerdict {
  // Records have no labels: a purge of what they lead to leaves them as they are.
  if (entry.checked === purges.newest || entry.kind !== EntryKind.Response) return KEPT
  const { view, subjectAt } = entry
  // Purges of others cost no object.
  if (purges.isQuiet(view.getFloat64(subjectAt, true), entry.checked)) {
    entry.checked = purges.last
    return KEPT
  }
  const labels = labelsOf(entry)
  const verdict = purges.judge(entry.checked, labels, labels.length, () => urlOf(entry))
  if (verdict === HARD) return verdict
  if (verdict !== KEPT) entry.setBits(FLAGS_OFFSET, CacheFlag.MarkedStale)
  entry.checked = purges.last
  return verdict
}

/** A view of them in the memory of the entry. */
export function labelsOf({ bytes, subjectAt, subjectBytes }: EntryBytes): Float64Array {
  return new Float64Array(bytes.buffer, bytes.byteOffset + subjectAt, subjectBytes / LABEL_BYTES)
}

/** As prefixes of a purge see it. */
export function urlOf({ bytes, keyAt, keyBytes }: EntryBytes): string {
  const part = (tag: KeyPart) => partOf(bytes, tag, keyAt, keyAt + keyBytes)
  return urlText(part(KeyPart.Host) ?? '', part(KeyPart.Path) ?? '', part(KeyPart.Query))
}
