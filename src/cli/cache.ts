/** `headgate cache`: purges the HTTP cache of a running gateway, shows what is in it, and fills it ahead. */
import {
  type CacheStatisticsView,
  type LookupView,
  MAX_WARM_UP_URLS,
  type PurgeView,
  type WarmUpView,
} from '../admin/caches.ts'
import { MAX_PURGED_NAMES } from '../cache/purge-request.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { AdminError, callAdmin } from './admin-client.ts'
import { readText, TOKEN_IO, type TokenIo, tokenOf } from './admin-token.ts'
import type {
  CacheCommand,
  CachePurgeCommand,
  CacheShowCommand,
  CacheStatsCommand,
  CacheWarmCommand,
} from './cache-flags.ts'
import { align } from './columns.ts'
import type { CommandIo } from './io.ts'
import { printable } from './printable.ts'

const LOOK_EVERY: Milliseconds = 500

export interface CacheIo extends TokenIo {
  /** Between two looks at a list that is being worked on. */
  pause(): void
}

export const CACHE_IO: Omit<CacheIo, keyof CommandIo> = {
  ...TOKEN_IO,
  // A command has nothing else to do.
  pause: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY),
}

/** @returns 1 where it was not done, or not everywhere */
export async function runCache(command: CacheCommand, io: CacheIo): Promise<number> {
  try {
    switch (command.what) {
      case 'purge':
        return await purge(command, io)
      case 'show':
        return await show(command, io)
      case 'stats':
        return await stats(command, io)
      case 'warm':
        return await warm(command, io)
    }
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    io.err(`headgate: ${printable(error.message)}\n`)
    return 1
  }
}

async function purge(command: CachePurgeCommand, io: CacheIo): Promise<number> {
  const { admin, namespace, body, output } = command
  checkNames(body)
  const view = (await callAdmin(admin, pathOf(namespace, 'purges'), { body, token: tokenOf(command, io) })) as PurgeView
  const { namespaces, purged, soft, replicas, reached, everywhere, unknown = [], detail } = view
  if (output === 'json') io.out(`${JSON.stringify(view, null, 2)}\n`)
  else {
    const names = body.all === true ? 'all' : `${purged} ${purged === 1 ? 'name' : 'names'}`
    const how = soft ? 'Marked as stale' : 'Purged'
    io.out(`${printable(`${how}: ${names} of ${namespaces.join(', ')}, in ${reached} of ${replicas} replicas.`)}\n`)
    if (!everywhere || unknown.length > 0) io.err(`headgate: ${printable(detail)}\n`)
  }
  return everywhere && unknown.length === 0 ? 0 : 1
}

const pathOf = (namespace: string | undefined, what: 'purges' | 'lookups'): string =>
  namespace === undefined ? `/api/v1/cache/${what}` : `/api/v1/cache/namespaces/${namespace}/${what}`

async function show(command: CacheShowCommand, io: CacheIo): Promise<number> {
  const { admin, namespace, body, output } = command
  checkNames(body)
  const call = { body, token: tokenOf(command, io) }
  const { items, complete, unknown = [] } = (await callAdmin(admin, pathOf(namespace, 'lookups'), call)) as LookupView
  if (output === 'json') io.out(`${JSON.stringify(items, null, 2)}\n`)
  else if (items.length === 0) io.out('Nothing is stored in the memory of this replica.\n')
  else {
    const rows = items.map(({ state, status, bytes, age, lifetime, lifetimeBy, tags, key }) =>
      [state, `${status}`, `${bytes}`, `${age}s`, `${lifetime}s by ${lifetimeBy}`, `${tags}`, key].map(printable),
    )
    io.out(align([['STATE', 'STATUS', 'BYTES', 'AGE', 'LIFETIME', 'TAGS', 'KEY'], ...rows]))
  }
  for (const one of unknown) io.err(`headgate: ${printable(one)}\n`)
  if (!complete) io.err(`headgate: there are more than these ${items.length}\n`)
  return items.length === 0 ? 1 : 0
}

async function stats({ admin, output }: CacheStatsCommand, io: CacheIo): Promise<number> {
  const view = (await callAdmin(admin, '/api/v1/cache')) as CacheStatisticsView
  if (output === 'json') {
    io.out(`${JSON.stringify(view, null, 2)}\n`)
    return 0
  }
  const { limit, used, held, entries, stored, evicted, removed, replaced, refused, hitRatio, purges } = view
  const rows = [
    ['memory', `${mebibytes(used)} of ${mebibytes(limit)} MiB used, ${mebibytes(held)} MiB held for slow readers`],
    ['entries', `${entries}: ${stored} stored, ${evicted} evicted, ${removed} removed, ${replaced} replaced`],
    ['refused', `${refused}, for which memory had no room`],
    ['hits', `${(hitRatio * 100).toFixed(1)} % of requests`],
    ...view.requests.map(({ result, reason, count }) => ['', `${count} ${result}: ${reason}`]),
    ...view.responses.map(({ reason, count }) => [reason === 'Stored' ? 'stored' : 'not stored', `${count} ${reason}`]),
    ['purges', purges.problem ?? `kept: ${purges.history}`],
  ]
  io.out(align(rows.map((row) => row.map(printable))))
  return 0
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)

async function warm(command: CacheWarmCommand, io: CacheIo): Promise<number> {
  const { admin, file, rate, output } = command
  const urls = file === undefined ? command.urls : linesOf(file, io)
  checkCount(urls.length, MAX_WARM_UP_URLS)
  const body = { urls, ...(rate !== undefined && { rate }) }
  let view = (await callAdmin(admin, '/api/v1/cache/warm-ups', { body, token: tokenOf(command, io) })) as WarmUpView
  while (view.state !== 'finished') {
    io.pause()
    view = (await callAdmin(admin, `/api/v1/cache/warm-ups/${view.id}`)) as WarmUpView
  }
  if (output === 'json') io.out(`${JSON.stringify(view, null, 2)}\n`)
  else {
    const { requested, hits, stored, others, failed, problems } = view
    io.out(`${requested} requested: ${stored} stored, ${hits} were there, ${others} not cached, ${failed} failed.\n`)
    for (const { url, problem } of problems) io.err(`headgate: ${printable(`${url}: ${problem}`)}\n`)
  }
  return view.failed > 0 ? 1 : 0
}

function checkNames({ urls, prefixes, tags }: CachePurgeCommand['body']): void {
  for (const names of [urls, prefixes, tags]) if (Array.isArray(names)) checkCount(names.length, MAX_PURGED_NAMES)
}

/** @throws {AdminError} */
function checkCount(count: number, most: number): void {
  if (count > most) throw new AdminError(`${count} names are too many for one command: ${most} at most; divide them`)
}

function linesOf(file: string, io: CacheIo): string[] {
  const urls = readText(file, io)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (urls.length === 0) throw new AdminError(`${file} has no URL in it`)
  return urls
}
