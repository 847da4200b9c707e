/** Starts the real gateway as a process of its own, on free ports, with a folder of manifests made for one test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { mortal } from '../../bench/lib/mortal.ts'
import { withUptime } from '../lib/time-namespace.ts'
import { closedPort } from './backends.ts'
import { RawClient, type RawResponse, type RequestOptions, request } from './raw-client.ts'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const READY_MS = 90_000
/** Long enough for a machine with ten times as much to do: what comes is not waited for longer. */
const EVENTUALLY_MS = 30_000

/** What a harness object is tied to: a TestContext, or {@link suiteScope}. */
export interface Scope {
  after(end: () => void | Promise<void>): void
}

/**
 * For what `before` starts for a whole suite: call this in the body of `describe`. (`after` called inside of a hook
 * belongs to the hook and runs at its end.) What was started last ends first.
 */
export function suiteScope(): Scope {
  const ends: (() => void | Promise<void>)[] = []
  after(async () => {
    for (const end of ends.reverse()) await end()
  })
  return { after: (end) => void ends.push(end) }
}

export interface GatewayOptions {
  /** Default 1. */
  readonly workers?: number
  /** Members of the settings file besides the addresses, also of `admin`. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Flags that say where the resources come from, instead of the folder. */
  readonly source?: readonly string[]
  /** Do not wait for readiness: for folders that cannot become ready. */
  readonly unready?: boolean
  /** Files that the process may have open (`ulimit -n`). */
  readonly openFiles?: number
  /** Seconds for which the machine seems to have been up when the process begins: see `NO_OTHER_UPTIME`. */
  readonly uptime?: number
}

/** Members as docs/logs.md lists them. */
export type AccessLine = Readonly<Record<string, unknown>>

export interface Gateway {
  readonly port: number
  readonly adminPort: number
  readonly signalsPort: number
  readonly folder: string
  readonly process: ChildProcess
  /** Access log so far. */
  readonly accessLog: readonly AccessLine[]
  /** Lines of the process log so far, as text. */
  readonly processLog: readonly string[]
  /** Writes a manifest by atomic rename, so that it is never seen half-written. */
  write(name: string, yaml: string): Promise<void>
  remove(name: string): Promise<void>
  /** Writes the settings file anew: what every gateway of these tests has, with these members. */
  configure(members: Readonly<Record<string, unknown>>): Promise<void>
  connect(): Promise<RawClient>
  request(options?: RequestOptions): Promise<RawResponse>
  /** The first access line, past or to come, for which `matches` holds. */
  logged(matches: (line: AccessLine) => boolean): Promise<AccessLine>
  /** One SIGTERM, and waits until it has ended by itself: what outlives it is written. */
  shutDown(): Promise<void>
  /** SIGTERM, soon a second one, and waits until it has gone. Safe to call twice. */
  stop(): Promise<void>
}

/** @param manifests file name below the folder → YAML */
export async function startGateway(
  scope: Scope,
  manifests: Readonly<Record<string, string>>,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const root = await mkdtemp(join(tmpdir(), 'headgate-feature-'))
  const folder = join(root, 'manifests')
  await mkdir(folder)
  const write = async (name: string, yaml: string): Promise<void> => {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(root, 'next'), yaml)
    await rename(join(root, 'next'), join(folder, name))
  }
  for (const [name, yaml] of Object.entries(manifests)) await write(name, yaml)
  const [port, adminPort, signalsPort] = await Promise.all([closedPort(), closedPort(), closedPort()])
  const settings = join(root, 'settings.json')
  const configure = async (members: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    const text = JSON.stringify({
      listeners: [{ name: 'http', address: '127.0.0.1', port }],
      signals: { address: `127.0.0.1:${signalsPort}` },
      ...members,
      admin: { address: `127.0.0.1:${adminPort}`, ...(members.admin as object | undefined) },
    })
    await writeFile(join(root, 'next'), text)
    await rename(join(root, 'next'), settings)
  }
  await configure(options.settings)
  const workers = String(options.workers ?? 1)
  const limit = options.openFiles === undefined ? [] : ['-c', 'ulimit -n "$0" && exec "$@"', String(options.openFiles)]
  const before = limit.length > 0 ? ['sh', ...limit] : []
  if (options.uptime !== undefined) before.push(...withUptime(options.uptime))
  const [program = '', ...rest] = [...before, process.execPath]
  const child = spawn(
    ...mortal(program, [
      ...rest,
      MAIN,
      'run',
      ...(options.source ?? ['--config', folder]),
      '--settings',
      settings,
      '--workers',
      workers,
      '--drain-delay',
      '0',
    ]),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const accessLog: AccessLine[] = []
  const processLog: string[] = []
  readLines(child, accessLog, processLog)
  const stop = async (): Promise<void> => {
    await end(child)
    await rm(root, { recursive: true, force: true })
  }
  scope.after(stop)
  const gateway: Gateway = {
    port,
    adminPort,
    signalsPort,
    folder,
    process: child,
    accessLog,
    processLog,
    write,
    remove: (name) => rm(join(folder, name)),
    configure,
    connect: () => RawClient.connect(port),
    request: (request_) => request(port, request_),
    logged: (matches) =>
      eventually(() => {
        const line = accessLog.find(matches)
        if (line === undefined) throw new Error(`no such line in the access log:\n${shown(accessLog)}`)
        return line
      }),
    shutDown: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
    stop,
  }
  if (options.unready !== true) await ready(gateway)
  return gateway
}

/**
 * Repeats until it does not throw; after thirty seconds throws what it threw last. For what happens by itself in a
 * moment.
 */
export async function eventually<T>(attempt: () => T | Promise<T>, within = EVENTUALLY_MS): Promise<T> {
  const began = performance.now()
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() - began > within) throw error
    }
    // An attempt may read the metrics or a list of thousands: less often, the longer it has taken already.
    await delay(Math.min(100, Math.max(10, (performance.now() - began) / 8)))
  }
}

/** A Backend with static endpoints on 127.0.0.1. */
export function backend(name: string, ports: readonly number[], spec: Readonly<Record<string, unknown>> = {}): string {
  const endpoints = ports.map((port) => ({ address: '127.0.0.1', port }))
  return manifest('Backend', name, { endpoints, ...spec })
}

/** A Route; the rules are plain data. No hostnames: for every host that nobody names. */
export function route(
  name: string,
  hostnames: readonly string[],
  rules: readonly unknown[],
  spec: object = {},
): string {
  return manifest('Route', name, { ...(hostnames.length > 0 ? { hostnames } : {}), rules, ...spec })
}

/** JSON is YAML. Ends with a document separator, so that several can be put one after the other. */
export function manifest(kind: string, name: string, spec: object): string {
  const [namespace, own] = name.includes('/') ? name.split('/') : ['default', name]
  const object = { apiVersion: 'headgate.dev/v1alpha1', kind, metadata: { name: own, namespace }, spec }
  return `${JSON.stringify(object)}\n---\n`
}

/** A Secret, as {@link manifest}. */
export function secret(name: string, type: string, stringData: object): string {
  const [namespace, own] = name.includes('/') ? name.split('/') : ['default', name]
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: own, namespace }, type, stringData }
  return `${JSON.stringify(object)}\n---\n`
}

async function ready(gateway: Gateway): Promise<void> {
  const exited = once(gateway.process, 'exit').then(([code, signal]) => {
    throw new Error(`the gateway ended with ${code ?? signal}:\n${gateway.processLog.join('\n')}`)
  })
  const serves = eventually(async () => {
    const answer = await request(gateway.signalsPort, { path: '/readyz', host: 'localhost' })
    if (answer.status !== 200)
      throw new Error(`/readyz says ${answer.status} ${answer.text}\n${gateway.processLog.join('\n')}`)
  }, READY_MS)
  // Whichever comes second must not be an unhandled rejection: a gateway exits at the end of every test.
  exited.catch(() => {})
  serves.catch(() => {})
  await Promise.race([exited, serves])
}

/** Access lines are the JSON lines of standard output; everything else is the process log. */
function readLines(child: ChildProcess, accessLog: AccessLine[], processLog: string[]): void {
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const parsed = line.startsWith('{') ? (JSON.parse(line) as AccessLine) : undefined
    if (parsed !== undefined && 'duration' in parsed) accessLog.push(parsed)
    else processLog.push(line)
  })
  createInterface({ input: child.stderr! }).on('line', (line) => processLog.push(line))
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  // A second signal ends it at once: tests do not wait for a drain that some client of theirs holds up.
  const impatience = setTimeout(() => child.kill('SIGTERM'), 500)
  const last = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exited
  clearTimeout(impatience)
  clearTimeout(last)
}

function shown(lines: readonly AccessLine[]): string {
  return lines.map((line) => JSON.stringify(line)).join('\n')
}
