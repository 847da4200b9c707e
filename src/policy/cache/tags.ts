/** Names by which a response can be purged together with others: tags of its origin, and cache groups (RFC 9875). */
import { cacheGroups } from '../../cache/cache-groups.ts'
import { groupLabel, labelOf, MAX_TAGS } from '../../cache/purge-labels.ts'
import { isTag } from '../../cache/tags.ts'
import type { Fields } from '../../message/fields.ts'

const NO_LABELS: readonly number[] = Object.freeze([])

/**
 * @param header of the tags, separated by spaces or commas; undefined: there are none
 * @param origin scheme and authority, to which groups belong
 * @returns null: they are more than an object may have, or one is none, by which it could not be purged
 */
export function tagLabels(header: string | undefined, origin: string, fields: Fields): readonly number[] | null {
  const groups = cacheGroups(fields)
  const text = header === undefined ? undefined : fields.joined(header)
  if (groups.length === 0 && text === undefined) return NO_LABELS
  const labels = new Set<number>()
  for (const group of groups) labels.add(groupLabel(origin, group))
  for (const tag of (text ?? '').split(/[\t ,]+/)) {
    if (tag === '') continue
    if (!isTag(tag)) return null
    labels.add(labelOf('tag', tag))
    if (labels.size > MAX_TAGS) return null
  }
  return labels.size > MAX_TAGS ? null : [...labels]
}
