/** Whether a request has what makes it pass the cache by: an empty value is one, too. */
import { hasCookie, hasHeader } from '../../cache/selectors.ts'
import type { DryExchange } from '../exchange.ts'
import { valueReader } from '../variables.ts'

export type Presence = (x: DryExchange) => boolean

/** @param selector `cookie:preview`, `header:x-debug`, or another variable */
export function presence(selector: string): Presence {
  const name = selector.slice(selector.indexOf(':') + 1)
  if (selector.startsWith('cookie:')) return (x) => hasCookie(x.request, name)
  if (selector.startsWith('header:')) return (x) => hasHeader(x.request, name.toLowerCase())
  const read = valueReader(selector)
  return (x) => read(x) !== undefined
}
