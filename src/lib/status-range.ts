/** Ranges of statuses as users write them: `404`, `500-504`. */

export type StatusRange = readonly [first: number, last: number]

/** @param text as the schema allows it */
export function statusRange(text: string): StatusRange {
  const first = Number(text.slice(0, 3))
  return [first, text.length === 3 ? first : Number(text.slice(4))]
}

/** @returns what is wrong with it; undefined: nothing */
export function statusRangeFault(text: string): string | undefined {
  const [first, last] = statusRange(text)
  return last < first ? `ends before it begins; write ${last}-${first}` : undefined
}
