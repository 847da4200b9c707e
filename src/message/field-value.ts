/** Values of fields, as Latin-1 characters. */

const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** RFC 9110 §5.5, as Latin-1 characters. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value)
}

export function isPadded(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))
}

/** RFC 9110 §5.6.3: SP and HTAB and nothing else that `trim` takes for white space. */
export function withoutOws(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
