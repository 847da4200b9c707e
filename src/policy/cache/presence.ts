/**
 * Whether a request has what makes it pass the cache by: an empty value is one, too, and so is what some server could
 * read as the named one.
 */
import { LastRead } from '../../cache/last-read.ts'
import { hasCookie, hasHeader } from '../../cache/selectors.ts'
import { decodeFormText } from '../../pattern/query.ts'
import type { DryExchange } from '../exchange.ts'
import { valueReader } from '../variables.ts'

export type Presence = (x: DryExchange) => boolean

/** @param selector `cookie:preview`, `header:x-debug`, or another variable */
export function presence(selector: string): Presence {
  const name = selector.slice(selector.indexOf(':') + 1)
  if (selector.startsWith('cookie:')) return (x) => hasCookie(x.request, name)
  if (selector.startsWith('header:')) return (x) => hasHeader(x.request, name.toLowerCase())
  if (selector.startsWith('query:')) return ({ query }) => query !== undefined && hasParameter(query, name)
  const read = valueReader(selector)
  return (x) => read(x) !== undefined
}

/** `;` separates parameters for some servers, and `&amp;` is a mistake of pages that some read as it was meant. */
const SEPARATORS = /&amp;|[&;]/i

const PARAMETERS = new LastRead(
  ([query = '']): ReadonlySet<string> =>
    new Set(query.split(SEPARATORS).map((part) => decodeFormText(part.split('=', 1)[0]!).trim())),
)

const hasParameter = (query: string, name: string): boolean => PARAMETERS.of([query]).has(name)
