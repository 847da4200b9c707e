/** `headgate cache`: purges the HTTP cache of a running gateway and fills it ahead. */
import { readFileSync } from 'node:fs'
import type { PurgeView, WarmUpView } from '../admin/caches.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { AdminError, callAdmin } from './admin-client.ts'
import type { CacheCommand, CachePurgeCommand, CacheWarmCommand } from './cache-flags.ts'
import type { CommandIo } from './io.ts'
import { printable } from './printable.ts'

const LOOK_EVERY: Milliseconds = 500

export interface CacheIo extends CommandIo {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of a file, or of standard input. @throws where it cannot be read */
  read(file: string): string
  /** Between two looks at a list that is being worked on. */
  pause(): void
}

export const CACHE_IO: Omit<CacheIo, keyof CommandIo> = {
  environment: process.env,
  read: (file) => readFileSync(file === '-' ? 0 : file, 'utf8'),
  // A command has nothing else to do.
  pause: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY),
}

/** @returns 1 where it was not done, or not everywhere */
export async function runCache(command: CacheCommand, io: CacheIo): Promise<number> {
  try {
    return command.what === 'purge' ? await purge(command, io) : await warm(command, io)
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    io.err(`headgate: ${printable(error.message)}\n`)
    return 1
  }
}

async function purge(command: CachePurgeCommand, io: CacheIo): Promise<number> {
  const { admin, namespace, body, output } = command
  const path = namespace === undefined ? '/api/v1/cache/purges' : `/api/v1/cache/namespaces/${namespace}/purges`
  const view = (await callAdmin(admin, path, { body, token: tokenOf(command, io) })) as PurgeView
  const { namespaces, purged, soft, replicas, reached, detail } = view
  if (output === 'json') io.out(`${JSON.stringify(view, null, 2)}\n`)
  else {
    const names = body.all === true ? 'all' : `${purged} ${purged === 1 ? 'name' : 'names'}`
    const how = soft ? 'Marked as stale' : 'Purged'
    io.out(`${printable(`${how}: ${names} of ${namespaces.join(', ')}, in ${reached} of ${replicas} replicas.`)}\n`)
    if (reached < replicas) io.err(`headgate: ${printable(detail)}\n`)
  }
  return reached < replicas ? 1 : 0
}

async function warm(command: CacheWarmCommand, io: CacheIo): Promise<number> {
  const { admin, file, rate, output } = command
  const urls = file === undefined ? command.urls : linesOf(file, io)
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

function linesOf(file: string, io: CacheIo): string[] {
  const urls = readText(file, io)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (urls.length === 0) throw new AdminError(`${file} has no URL in it`)
  return urls
}

/** The first line of the file that is no comment. */
function tokenOf({ tokenFile }: CacheCommand, io: CacheIo): string {
  const text = tokenFile === undefined ? io.environment.HEADGATE_ADMIN_TOKEN : readText(tokenFile, io)
  const token = text?.split('\n').find((line) => line.trim() !== '' && !line.startsWith('#'))
  if (token === undefined)
    throw new AdminError('A change needs the token of admin.tokenFile: --token-file FILE, or HEADGATE_ADMIN_TOKEN')
  return token.trim()
}

function readText(file: string, io: CacheIo): string {
  try {
    return io.read(file)
  } catch (error) {
    throw new AdminError(`${file} cannot be read: ${(error as Error).message}`)
  }
}
