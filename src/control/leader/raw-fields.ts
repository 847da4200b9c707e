/** Objects as an API server sent them, before anything of them is believed. */

/** The fields of an object; none of what is not one. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
