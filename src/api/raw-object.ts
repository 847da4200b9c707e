/** Reads objects that have not been validated: makes no assumptions, and never throws. */

/** The value of a field; undefined where there is none, or `value` has no fields. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}

/** The elements of a list; none where `value` is no list. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
