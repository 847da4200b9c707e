/** Names by which a response can be purged together with others: tags of its origin, and cache groups (RFC 9875). */
import { cacheGroups } from '../../cache/cache-groups.ts'
import { groupLabel, labelOf, MAX_TAGS } from '../../cache/purge-labels.ts'
import type { Fields } from '../../message/fields.ts'

/** Longer ones count as those characters. */
const MAX_TAG = 256
const NO_LABELS: readonly number[] = Object.freeze([])

/**
 * @param header of the tags, separated by spaces or commas; undefined: there are none
 * @param origin scheme and authority, to which groups belong
 * @returns null: they are more than an object may have
 */
export function tagLabels(header: string | undefined, origin: string, fields: Fields): readonly number[] | null {
  const groups = cacheGroups(fields)
  const text = header === undefined ? undefined : fields.joined(header)
  if (groups.length === 0 && text === undefined) return NO_LABELS
  const labels = new Set<number>()
  for (const group of groups) labels.add(groupLabel(origin, group))
  for (const tag of (text ?? '').split(/[\t ,]+/)) {
    if (tag !== '') labels.add(labelOf('tag', tag.slice(0, MAX_TAG)))
    if (labels.size > MAX_TAGS) return null
  }
  return [...labels]
}
