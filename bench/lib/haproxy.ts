/** The haproxy of every comparison: one thread, long-lived connections, an access log as the others have. */
import { spawn } from 'node:child_process'
import { openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { find } from './programs.ts'
import { end, opens, pinned, type Server, until } from './servers.ts'

export interface HaproxyConfig {
  /** Lines of `defaults` besides those that all have. */
  readonly defaults: readonly string[]
  /** `frontend`, `backend` and `listen` sections. */
  readonly sections: string
}

/**
 * Its log goes to standard output, which is a file.
 *
 * @param port which is open when it is ready
 */
export async function startHaproxy(
  folder: string,
  cpu: number | undefined,
  { defaults, sections }: HaproxyConfig,
  port: number,
): Promise<Server> {
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 9000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
${defaults.map((line) => `  ${line}\n`).join('')}${sections}`,
  )
  const errors = join(folder, 'error.log')
  const stdio = ['ignore' as const, openSync(join(folder, 'access.log'), 'a'), openSync(errors, 'a')]
  const child = spawn(...pinned(cpu, find('haproxy')!, ['-db', '-f', file]), { stdio })
  await until(child, `haproxy (see ${errors})`, () => opens(port))
  return { name: 'haproxy', pid: child.pid!, port, stop: () => end(child) }
}
