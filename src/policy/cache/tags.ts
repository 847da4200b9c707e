/** Names by which a response can be purged together with others: tags of its origin, and cache groups (RFC 9875). */
import { cacheGroups } from '../../cache/cache-groups.ts'
import { Present, presenceIn } from '../../cache/field-presence.ts'
import { groupLabel, MAX_TAGS } from '../../cache/purge-labels.ts'
import { tagLabels } from '../../cache/tags.ts'
import type { ClientOrigin } from '../../message/client-origin.ts'
import type { Fields } from '../../message/fields.ts'
import { originText } from './words.ts'

const NONE: readonly number[] = Object.freeze([])

/** {@link labelsOf} of a response of an origin, of which most have neither: no text is made for these. */
export function tagsOf(
  header: string | undefined,
  origin: ClientOrigin,
  fields: Fields,
  present: number,
): readonly number[] | null {
  if (header === undefined && (present & Present.CacheGroups) === 0) return NONE
  return labelsOf(header, originText(origin), fields, present)
}

/**
 * @param header of the tags; undefined: there are none
 * @param origin scheme and authority, to which groups belong
 * @param present which fields there are
 * @returns null: they are more than an object may have, or one is no tag, so that it must not be stored
 */
export function labelsOf(
  header: string | undefined,
  origin: string,
  fields: Fields,
  present = presenceIn(fields),
): readonly number[] | null {
  if (header === undefined && (present & Present.CacheGroups) === 0) return NONE
  const groups = cacheGroups(fields)
  if (header === undefined && groups.length === 0) return NONE
  const tags = header === undefined ? NONE : tagLabels(fields, header)
  if (tags === undefined || tags.length + groups.length > MAX_TAGS) return null
  return [...tags, ...groups.map((group) => groupLabel(origin, group))]
}
