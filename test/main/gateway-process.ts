/** Starts the gateway as a separate process whose threads contain a fault injection hook. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { mortal } from '../../bench/lib/mortal.ts'
import { closedPort } from '../feature/backends.ts'
import { eventually, type Scope } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import type { Fault } from './fault-hook.ts'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const HOOK = new URL('./fault-hook.ts', import.meta.url).href
const READY_MS = 90_000

export interface LogLine {
  readonly level: string
  readonly thread: string
  readonly message: string
}

export interface Started {
  readonly port: number
  readonly signalsPort: number
  readonly adminPort: number
  readonly folder: string
  readonly child: ChildProcess
  /** Process log so far. */
  readonly log: readonly LogLine[]
  /** Resolves with exit code and signal. */
  readonly ended: Promise<[code: number | null, signal: string | null]>
  write(name: string, text: string): Promise<void>
  fault(fault: Fault): void
  /** Status and body of `/readyz`, `/healthz` or `/metrics`. */
  signals(path: string): Promise<{ status: number; text: string }>
  /** The first past or future line whose message matches. */
  logged(pattern: RegExp, times?: number): Promise<LogLine>
}

export interface StartOptions {
  readonly workers?: number
  readonly flags?: readonly string[]
  readonly ready?: boolean
  readonly port?: number
  readonly env?: Readonly<Record<string, string>>
}

/** @param manifests file name → text */
export async function start(
  scope: Scope,
  manifests: Readonly<Record<string, string>>,
  { workers = 1, flags = [], ready = true, port, env = {} }: StartOptions = {},
): Promise<Started> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-main-'))
  for (const [name, text] of Object.entries(manifests)) await writeFile(join(folder, name), text)
  const [http, adminPort, signalsPort] = await Promise.all([port ?? closedPort(), closedPort(), closedPort()])
  const local = (number: number): string => `127.0.0.1:${number}`
  const args = ['--http', local(http), '--admin', local(adminPort), '--signals', local(signalsPort)]
  const child = spawn(
    ...mortal(process.execPath, [
      ...['--import', HOOK, MAIN, 'run', '--config', folder, ...args, '--workers', String(workers)],
      ...flags,
    ]),
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: { ...process.env, ...env } },
  )
  const log: LogLine[] = []
  createInterface({ input: child.stderr! }).on('line', (line) => {
    log.push(line.startsWith('{') ? (JSON.parse(line) as LogLine) : { level: 'raw', thread: '', message: line })
  })
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const started: Started = {
    port: http,
    adminPort,
    signalsPort,
    folder,
    child,
    log,
    ended,
    write: (name, text) => writeFile(join(folder, name), text),
    fault: (fault) => void child.send(fault),
    signals: (path) => request(signalsPort, { path, host: 'localhost' }),
    logged: (pattern, times = 1) =>
      eventually(() => {
        const found = log.filter((line) => pattern.test(line.message))
        if (found.length >= times) return found[times - 1]!
        throw new Error(`not in the log: ${pattern}\n${log.map((line) => line.message).join('\n')}`)
      }, READY_MS),
  }
  if (ready)
    await Promise.race([
      started.logged(/^ready after/),
      ended.then(([code]) => {
        throw new Error(`ended with ${code}:\n${log.map((line) => line.message).join('\n')}`)
      }),
    ])
  return started
}
