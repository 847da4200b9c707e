/** Entity tags (RFC 9110 §8.8.3). What is not in their syntax is no tag, and matches nothing. */

/** Opaque-tag: `"`, visible characters but `"`, bytes above 0x7f, `"`. `W/` is case-sensitive. */
const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/

export function isEntityTag(text: string): boolean {
  return ENTITY_TAG.test(text)
}

export function isWeak(tag: string): boolean {
  return tag.charCodeAt(0) === 0x57
}

/** Whether it identifies a representation byte by byte (RFC 9110 §8.8.1). */
export function isStrongTag(text: string): boolean {
  return isEntityTag(text) && !isWeak(text)
}

/** RFC 9110 §8.8.3.2: one is as good as the other. @param a @param b in their syntax */
export function weaklyEqual(a: string, b: string): boolean {
  return opaque(a) === opaque(b)
}

/** RFC 9110 §8.8.3.2: byte by byte the same representation. @param a @param b in their syntax */
export function stronglyEqual(a: string, b: string): boolean {
  return !isWeak(a) && a === b
}

function opaque(tag: string): string {
  return isWeak(tag) ? tag.slice(2) : tag
}

const MEMBER = /[ \t]*(?:((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|$)/y

/**
 * Whether one of a list of entity tags (`If-None-Match`, `If-Match`) weakly equals a tag. A comma may stand in a tag.
 * What follows something outside of the syntax is not read.
 *
 * @param tag in its syntax
 */
export function listHasWeakly(list: string, tag: string): boolean {
  const wanted = opaque(tag)
  MEMBER.lastIndex = 0
  while (MEMBER.lastIndex < list.length) {
    const match = MEMBER.exec(list)
    if (match === null) return false
    if (match[1] !== undefined && opaque(match[1]) === wanted) return true
  }
  return false
}
