/** How problems are put in words. */
import type { Schema } from './schema-dialect.ts'

/** A value as it may stand in a message: short, and on one line. */
export function quoted(value: string | number): string {
  if (typeof value === 'number') return String(value)
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value)
}

export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  switch (typeof value) {
    case 'object':
      return 'an object'
    case 'string':
      return 'text'
    case 'number':
      return Number.isInteger(value) ? 'a whole number' : 'a number'
    case 'boolean':
      return 'true or false (in YAML 1.1 also what is written yes, no, on, off without quotes)'
    default:
      return `a ${typeof value}`
  }
}

/** What the forms of our schemas are called; a form without a name is shown itself. */
const FORMS: readonly (readonly [start: string, name: string])[] = [
  ['^([0-9]{1,5}d)?', 'a duration such as 30s, 250ms or 1d12h'],
  ['^[0-9]{1,12}(k|M|G', 'a number of bytes such as 4096, 64Ki or 10Mi'],
  ['^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', 'a name of lower-case letters, digits and dashes'],
  ['^[a-z0-9]([-.a-z0-9]*', 'a name of lower-case letters, digits, dashes and dots'],
  ['^[a-z0-9]([-a-z0-9]{0,61}', 'a DNS name in lower case'],
  ['^(\\*|(\\*\\.)?[a-z0-9]', 'a DNS name in lower case, *. and one, or * for every host'],
  [
    '^((\\*\\.)?[a-z0-9]',
    'a host and a port such as api.partner.example:443, *.partner.example:443 or [2001:db8::7]:443',
  ],
  ['^[^\\s]+:[0-9]{1,5}$', 'a host and a port such as redis.data:6379 or [::1]:6379'],
  ['^[a-z0-9-]*[a-z]', 'the name of a port (a number is written without quotes)'],
  [
    '^(client\\.ip',
    'one of client.ip, client.ip/LENGTH, header:NAME, cookie:NAME, query:NAME, claim:PATH, consumer, route, path, method, host',
  ],
  ['^[1-5][0-9]{2}(-', 'a status such as 404, or a range such as 500-599'],
]

/** What a value of this schema is, with an article. */
export function aOrAn(schema: Schema): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`
  const { pattern } = schema
  if (pattern === undefined) return 'text'
  return FORMS.find(([start]) => pattern.startsWith(start))?.[1] ?? `text of the form ${pattern}`
}

/** `; did you mean "…"?` where one of the known names is close, else nothing. */
export function suggestion(given: string, known: readonly string[]): string {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(Math.min(given.length, 32) / 3)) + 1
  for (const name of known) {
    if (name === given || Math.abs(name.length - given.length) >= bestDistance) continue
    const distance = editDistance(given.toLowerCase(), name.toLowerCase())
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best === undefined ? '' : `; did you mean ${quoted(best)}?`
}

/** Damerau and Levenshtein, restricted: insertions, deletions, replacements and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(last[j]! + 1, current[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
