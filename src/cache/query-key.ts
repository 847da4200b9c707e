/**
 * Which parameters of a query are part of a cache key. What is not in the key is not sent upstream either, or the
 * request is not cached: otherwise one client could choose, by a parameter that no key holds, what all others get.
 *
 * So nothing depends on how an origin reads a query. Parameters stay as they were sent, only their names are decoded,
 * to be found in the lists; a second separator (`;`, `&amp;`), a name in another case or encoding, or a repeated name
 * is part of a text that is either in the key and sent, or neither.
 */
import { decodeFormText } from '../pattern/query.ts'

export interface QueryKeyPlan {
  /** Exact names, decoded; all others are not in the key. */
  readonly include?: readonly string[]
  /** Names, decoded, with `*` at the end for all that begin so: these are not in the key. Not with {@link include}. */
  readonly exclude?: readonly string[]
  /** What becomes of a request with a parameter that is not in the key. */
  readonly others: 'Drop' | 'Bypass'
}

export interface QueryKey {
  /** For the key, and to be sent upstream. */
  readonly query: string | undefined
  /** The request has parameters that are not in the key, and is not cached: its query stays as it is. */
  readonly bypass: boolean
}

/** @param query without `?`; undefined where the target has none. @returns null: it is in the key as it is */
export type QueryKeyReader = (query: string | undefined) => QueryKey | null

const AS_IT_IS: QueryKeyReader = () => null

export function queryKeyReader(plan: QueryKeyPlan | undefined): QueryKeyReader {
  if (plan === undefined || (plan.include === undefined && plan.exclude === undefined)) return AS_IT_IS
  const { include, exclude, others } = plan
  if (include !== undefined && exclude !== undefined) throw new TypeError('include and exclude are alternatives')
  const included = include === undefined ? isNotOneOf(exclude!) : isOneOf(include)
  const ordered = include !== undefined
  return (query) => (query === undefined ? null : select(query, included, ordered, others === 'Bypass'))
}

function isOneOf(names: readonly string[]): (name: string) => boolean {
  const set = new Set(names)
  return (name) => set.has(name)
}

function isNotOneOf(patterns: readonly string[]): (name: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')))
  const prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1))
  return (name) => !exact.has(name) && !prefixes.some((prefix) => name.startsWith(prefix))
}

interface Parameter {
  readonly name: string
  readonly text: string
}

function select(
  query: string,
  included: (name: string) => boolean,
  ordered: boolean,
  bypass: boolean,
): QueryKey | null {
  const kept: Parameter[] = []
  let dropped = false
  for (const text of query.split('&')) {
    const equals = text.indexOf('=')
    const name = decodeFormText(equals === -1 ? text : text.slice(0, equals))
    if (included(name) && !(ordered && text === '')) kept.push({ name, text })
    // What is between two separators is no parameter, and no reason to bypass.
    else if (text !== '' && bypass) return { query, bypass: true }
    else dropped = true
  }
  // By name in the order of code units; of one name as they were sent, since their order is a meaning.
  const inOrder = ordered ? kept.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)) : kept
  if (!dropped && inOrder.every((parameter, i) => parameter === kept[i])) return null
  const text = inOrder.map((parameter) => parameter.text).join('&')
  return { query: text === '' ? undefined : text, bypass: false }
}
