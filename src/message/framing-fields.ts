/** Fields that frame a message or concern one connection: codecs write them, and nobody else states them. */
import type { Fields } from './fields.ts'

/** RFC 9110 §7.6.1, RFC 9112 §6. */
export const FRAMING_FIELDS: readonly string[] = Object.freeze([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Removes those that were added to a message: what was parsed, the codec has judged. */
export function removeAddedFraming(fields: Fields): void {
  const { added } = fields
  if (added === null) return
  for (let i = added.length - 2; i >= 0; i -= 2) {
    const name = added[i]
    if (name !== undefined && FRAMING_FIELDS.includes(name)) fields.remove(name)
  }
}
