/** Fields that speak about the bytes of a body: they go with it when another takes its place (RFC 9110 §8). */
import type { Fields } from './fields.ts'

const BODY_FIELDS: readonly string[] = Object.freeze([
  'content-length',
  'trailer',
  'content-encoding',
  'content-language',
  'content-location',
  'content-range',
  'content-disposition',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'accept-ranges',
  'etag',
  'last-modified',
])

/** All of them but `content-type`, which the new body has, too. */
export function removeBodyFields(fields: Fields): void {
  for (const name of BODY_FIELDS) fields.remove(name)
}
