/** Which names a field may have (RFC 9110 §5.1), in lower case. */
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

/** Names that were found good: the same few are added to message after message. */
const KNOWN_NAMES = new Set<string>()
const MAX_KNOWN_NAMES = 512

export function isFieldName(name: string): boolean {
  if (KNOWN_NAMES.has(name)) return true
  if (!FIELD_NAME.test(name)) return false
  if (KNOWN_NAMES.size < MAX_KNOWN_NAMES) KNOWN_NAMES.add(name)
  return true
}
