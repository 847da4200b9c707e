/** `headgate explain`: what a running gateway would do with a request, and why; nothing is sent to anybody. */
import type { CacheExplanation } from '../cache/cache-explanation.ts'
import type { ExplainAnswer, MatchView } from '../exchange/explain.ts'
import { AdminError, callAdmin } from './admin-client.ts'
import { type TokenIo, tokenOf } from './admin-token.ts'
import { align } from './columns.ts'
import type { ExplainCommand } from './explain-flags.ts'
import { printable } from './printable.ts'

/** @returns 1 where it was not explained; what becomes of the request does not matter */
export async function explain(command: ExplainCommand, io: TokenIo): Promise<number> {
  const { admin, body, output } = command
  try {
    const answer = (await callAdmin(admin, '/api/v1/explain', { body, token: tokenOf(command, io) })) as ExplainAnswer
    io.out(output === 'json' ? `${JSON.stringify(answer, null, 2)}\n` : toText(answer))
    return 0
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    io.err(`headgate: ${printable(error.message)}\n`)
    return 1
  }
}

function toText(answer: ExplainAnswer): string {
  const { method, url, listener, client, lost, lostComplete, refused, filters, cache, match, backends } = answer
  const rows: string[][] = [
    ['request', `${method} ${url}`],
    ['', `on listener ${listener}, from ${client}`],
    ['rule', match === undefined ? 'none' : ruleText(match)],
    ...lost.map((one) => ['', `not ${ruleText(one)}: ${one.why}`]),
  ]
  if (!lostComplete) rows.push(['', 'and more with this path, which are not shown'])
  if (refused !== undefined) rows.push(['refused', `${refused.status} ${refused.reason}: ${refused.detail}`])
  for (const [i, { filter, effect, status }] of filters.entries())
    rows.push([i === 0 ? 'filters' : '', `${filter}: ${effect}${status === undefined ? '' : `, with ${status}`}`])
  if (match !== undefined && refused === undefined) rows.push(...cacheRows(cache, filters), ...lastRows(answer))
  else if (backends.length > 0) rows.push(...lastRows(answer))
  return align(rows.map((row) => row.map(printable)))
}

/** `shop/web, rule images: /img/* on shop.example` */
function ruleText({ route, rule, hostname, path: { type, value }, method }: MatchView): string {
  const where =
    type === '' ? '' : `: ${method === undefined ? '' : `${method} `}${pathText(type, value)} on ${hostname}`
  return `${route}, rule ${rule}${where}`
}

function pathText(type: string, value: string): string {
  if (type === 'Exact') return `= ${value}`
  return type === 'RegularExpression' ? `~ ${value}` : `${value === '/' ? '' : value}/*`
}

function cacheRows(cache: CacheExplanation | undefined, filters: ExplainAnswer['filters']): string[][] {
  const answered = filters.find(({ status }) => status !== undefined)
  if (cache === undefined)
    return [['cache', answered === undefined ? 'its rule has none' : `${answered.filter} answers before it`]]
  const { verdict, result, why, key, keyDigest, vary, stores, stored } = cache
  const rows = [['cache', `${verdict}${result === undefined ? '' : ` (${result.split(' ')[1]})`}: ${why}`]]
  if (stored !== undefined) {
    const { status, bytes, state, age, left, lifetime, lifetimeBy, staleWhileRevalidate, staleIfError } = stored
    const stale = `stale-while-revalidate ${staleWhileRevalidate}s, stale-if-error ${staleIfError}s`
    rows.push([
      '',
      `stored: ${status}, ${bytes} bytes, ${state}, ${age}s old, ${left}s left of ${lifetime}s by ${lifetimeBy}`,
    ])
    rows.push(['', stale])
    if (stored.tagNames.length > 0) rows.push(['', `tags: ${stored.tagNames.join(', ')}`])
  }
  if (stores.length > 0) rows.push(['', `stores: ${stores.map(({ store, state }) => `${store} ${state}`).join(', ')}`])
  if (vary !== undefined) rows.push(['', `varies by ${vary.join(', ')}`])
  if (key !== undefined) rows.push(['', `key: ${key}`], ['', `digest: ${keyDigest ?? ''}`])
  return rows
}

function lastRows({ backends, filters }: ExplainAnswer): string[][] {
  if (filters.some(({ status }) => status !== undefined)) return []
  return [['backends', backends.length === 0 ? 'none: the gateway answers itself' : backends.join(', ')]]
}
