/** `headgate cache`: purges the HTTP cache of a running gateway, shows what is in it, and fills it ahead. */
import {
  type CacheStatisticsView,
  type LookupView,
  MAX_WARM_UP_URLS,
  type PurgeView,
  type Reach,
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
import { lookupText, statisticsText, warmUpText } from './cache-view.ts'
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
  for (const name of literalStars(body)) io.err(`headgate: ${printable(name)}\n`)
  if (output === 'json') io.out(`${JSON.stringify(view, null, 2)}\n`)
  else {
    const names = body.all === true ? 'all' : `${purged} ${purged === 1 ? 'name' : 'names'}`
    const how = soft ? 'Marked as stale' : 'Purged'
    // Where nobody says how many there are, those that are known are not all.
    const known = everywhere || reached < replicas
    const where = known
      ? `in ${reached} of ${replicas} replicas`
      : 'in this replica; which others there are is not known'
    io.out(`${printable(`${how}: ${names} of ${namespaces.join(', ')}, ${where}.`)}\n`)
    if (!everywhere || unknown.length > 0) io.err(`headgate: ${printable(detail)}\n`)
  }
  return everywhere && unknown.length === 0 ? 0 : 1
}

const pathOf = (namespace: string | undefined, what: 'purges' | 'lookups'): string =>
  namespace === undefined ? `/api/v1/cache/${what}` : `/api/v1/cache/namespaces/${namespace}/${what}`

async function show(command: CacheShowCommand, io: CacheIo): Promise<number> {
  const { admin, namespace, body, output, replica } = command
  checkNames(body)
  const call = { body, token: tokenOf(command, io) }
  const view = (await callAdmin(admin, pathOf(namespace, 'lookups') + queryOf(replica), call)) as LookupView
  const { items, complete, unknown, replicas, missing } = view
  const several = replicas.length + missing.length > 1
  io.out(output === 'json' ? `${JSON.stringify(items, null, 2)}\n` : lookupText(view, several))
  for (const one of [...literalStars(body), ...unknown]) io.err(`headgate: ${printable(one)}\n`)
  if (!complete) io.err(`headgate: there are more than these ${items.length}\n`)
  return checkReach(view, replica, io) && items.length > 0 ? 0 : 1
}

async function stats({ admin, output, replica }: CacheStatsCommand, io: CacheIo): Promise<number> {
  const view = (await callAdmin(admin, `/api/v1/cache${queryOf(replica)}`)) as CacheStatisticsView
  io.out(output === 'json' ? `${JSON.stringify(view, null, 2)}\n` : statisticsText(view))
  return checkReach(view, replica, io) ? 0 : 1
}

async function warm(command: CacheWarmCommand, io: CacheIo): Promise<number> {
  const { admin, file, rate, output, replica } = command
  const urls = file === undefined ? command.urls : linesOf(file, io)
  checkCount(urls.length, MAX_WARM_UP_URLS)
  const call = { body: { urls, ...(rate !== undefined && { rate }) }, token: tokenOf(command, io) }
  let view = (await callAdmin(admin, `/api/v1/cache/warm-ups${queryOf(replica)}`, call)) as WarmUpView
  while (view.state !== 'finished') {
    io.pause()
    view = (await callAdmin(admin, `/api/v1/cache/warm-ups/${view.id}`)) as WarmUpView
  }
  if (output === 'json') io.out(`${JSON.stringify(view, null, 2)}\n`)
  else {
    const { problems, replicas } = view
    io.out(warmUpText(view))
    for (const { replica: of, url, problem } of problems)
      io.err(`headgate: ${printable(`${replicas.length > 1 ? `${of}: ` : ''}${url}: ${problem}`)}\n`)
  }
  return checkReach(view, replica, io) && view.failed === 0 ? 0 : 1
}

const queryOf = (replica: string | undefined): string =>
  replica === undefined ? '' : `?replica=${encodeURIComponent(replica)}`

/** Elsewhere a * at the end stands for whatever follows: what it is here is said. */
function literalStars({ urls, prefixes }: CachePurgeCommand['body']): string[] {
  const said = (names: unknown, remedy: string): string[] =>
    (Array.isArray(names) ? (names as readonly string[]) : [])
      .filter((name) => name.endsWith('*'))
      .map((name) => `the * of ${name} stands for itself: ${remedy}`)
  return [
    ...said(urls, 'all below a path is --prefix with the path alone'),
    ...said(prefixes, 'leave it out, a prefix is all below it'),
  ]
}

/** @returns whether it is of all that it was to be of; what it is not of, is said */
function checkReach({ missing, everywhere, detail }: Reach, replica: string | undefined, io: CacheIo): boolean {
  if (missing.length === 0 && (everywhere || replica !== undefined)) return true
  for (const { name, why } of missing) io.err(`headgate: ${printable(`Not of ${name}: ${why}.`)}\n`)
  if (missing.length === 0) io.err(`headgate: ${printable(detail)}\n`)
  return false
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
