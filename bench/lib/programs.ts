/**
 * Programs of the system that tests and benches measure against: found, installed where we may, or named as missing.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Program {
  /** What is started. */
  readonly command: string
  /** The Debian package that brings it. */
  readonly debianPackage: string
}

export const NGINX: Program = { command: 'nginx', debianPackage: 'nginx-light' }
export const WRK: Program = { command: 'wrk', debianPackage: 'wrk' }
export const HAPROXY: Program = { command: 'haproxy', debianPackage: 'haproxy' }
export const H2LOAD: Program = { command: 'h2load', debianPackage: 'nghttp2-client' }
export const REDIS: Program = { command: 'redis-server', debianPackage: 'redis-server' }
export const VARNISH: Program = { command: 'varnishd', debianPackage: 'varnish' }
export const CADDY: Program = { command: 'caddy', debianPackage: 'caddy' }
export const TASKSET: Program = { command: 'taskset', debianPackage: 'util-linux' }

/** Programs live in sbin too, which is not on every user's PATH. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']

/** @returns the absolute path, or undefined where it is not installed */
export function find(command: string): string | undefined {
  for (const folder of FOLDERS) {
    const path = join(folder, command)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  return undefined
}

/**
 * Makes sure that the programs are there: installs missing ones with apt-get when run as root on a Debian, and
 * starts no service by it.
 *
 * @returns one sentence that names what is missing and how to get it, or undefined when all are there
 */
export function provide(programs: readonly Program[]): string | undefined {
  const missing = () => programs.filter((program) => find(program.command) === undefined)
  if (missing().length > 0 && process.getuid?.() === 0 && find('apt-get') !== undefined)
    install(missing().map((program) => program.debianPackage))
  const still = missing()
  if (still.length === 0) return undefined
  const packages = still.map((program) => program.debianPackage).join(' ')
  return `missing: ${still.map((program) => program.command).join(', ')} (on Debian: apt-get install ${packages})`
}

function install(packages: readonly string[]): void {
  // RUNLEVEL=1: the packages' own scripts then start no service.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const options = { env, stdio: ['ignore', 'ignore', 'inherit'] as ['ignore', 'ignore', 'inherit'], timeout: 300_000 }
  process.stderr.write(`installing ${packages.join(' ')} with apt-get\n`)
  const arguments_ = ['install', '-y', '-q', '--no-install-recommends', ...packages]
  if (spawnSync('apt-get', arguments_, { ...options, stdio: 'ignore' }).status === 0) return
  spawnSync('apt-get', ['update', '-q'], options)
  spawnSync('apt-get', arguments_, options)
}
