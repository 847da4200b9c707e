/**
 * Whether a request has something of a selector: what `bypass` asks. An empty value is there too, and so is what some
 * server could read as the named one: a request that passes the cache by costs a fetch, one that does not may put what
 * was made for it into the store.
 */
import { looseName } from '../../message/fields.ts'
import { decodeFormText } from '../../pattern/query.ts'
import type { Exchange } from '../exchange.ts'
import { valueReader } from '../variables.ts'

export type Presence = (x: Exchange) => boolean

/** @param selector valid, of the grammar that all policies have in common */
export function presenceOf(selector: string): Presence {
  const colon = selector.indexOf(':')
  const name = selector.slice(colon + 1)
  switch (selector.slice(0, Math.max(0, colon))) {
    case 'header':
      return hasField(looseName(name))
    case 'cookie':
      return hasCookie(looseName(name))
    case 'query':
      return hasParameter(name)
    default: {
      const read = valueReader(selector)
      return (x) => read(x) !== undefined
    }
  }
}

function hasField(loose: string): Presence {
  return ({ request }) => {
    const { count, added } = request
    for (let i = 0; i < count; i++) if (request.nameIsLoosely(i, loose) && !request.isRemoved(i)) return true
    if (added !== null) for (let i = 0; i < added.length; i += 2) if (looseName(added[i]!) === loose) return true
    return false
  }
}

/** Pairs end at semicolons; old servers end them at commas too (RFC 2109 §4.4). */
const PAIRS = /[;,]/

function hasCookie(loose: string): Presence {
  return ({ request }) => {
    for (const line of request.all('cookie'))
      for (const pair of line.split(PAIRS))
        if (looseName(nameOf(pair).replaceAll('"', '').trim()) === loose) return true
    return false
  }
}

/** `;` separates parameters for some servers, and `&amp;` is a mistake of pages that some read as meant. */
const PARAMETERS = /&amp;|[&;]/i

function hasParameter(name: string): Presence {
  return ({ query }) => {
    if (query === undefined) return false
    for (const parameter of query.split(PARAMETERS)) if (decodeFormText(nameOf(parameter)).trim() === name) return true
    return false
  }
}

function nameOf(pair: string): string {
  const equals = pair.indexOf('=')
  return equals === -1 ? pair : pair.slice(0, equals)
}
