/** The servers of the benches, each a separate process on free ports and its own CPU. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { mortal } from './mortal.ts'
import { find } from './programs.ts'

export const HOST = 'bench.example'
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const START_MS = 60_000

export interface Server {
  readonly name: string
  readonly pid: number
  readonly port: number
  stop(): Promise<void>
}

/** Where the answers come from: nginx on two ports, as cheap as a backend can be. */
export interface Origin extends Server {
  readonly ports: readonly [number, number]
}

export interface Gateway extends Server {
  readonly signalsPort: number
  readonly adminPort: number
  /** Of the manifests. */
  readonly folder: string
  /** Milliseconds from its start until /readyz said 200. */
  readonly readyAfter: number
}

/** Small answers of 600 bytes, `/large` 64 KiB, `/huge` 10 MiB, `/chunked` without a length. */
export async function startOrigin(scratch: string, cpu: number | undefined): Promise<Origin> {
  const folder = join(scratch, 'origin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'large'), 'x'.repeat(64 * 1024))
  writeFileSync(join(folder, 'huge'), 'x'.repeat(10 * 1024 * 1024))
  writeFileSync(join(folder, 'chunked'), 'x'.repeat(2048))
  const ports = [await freePort(), await freePort()] as const
  // Server-side includes make nginx drop the length, so that it answers in chunks.
  const server = `server {
    listen 127.0.0.1:${ports[0]}; listen 127.0.0.1:${ports[1]}; root ${folder}; default_type text/plain;
    location / { return 200 "${'X'.repeat(600)}"; }
    location /large { open_file_cache max=10; }
    location /huge { open_file_cache max=10; }
    location /chunked { ssi on; ssi_types text/plain; open_file_cache max=10; }
  }`
  const origin = await startNginx('origin', folder, cpu, 'access_log off;', server, ports[0])
  return { ...origin, ports }
}

/**
 * Debian's nginx as a proxy that does the same work: keep-alive both sides, forwarded headers, a request id, its access
 * log on.
 */
export async function startPeer(
  scratch: string,
  cpu: number | undefined,
  origin: Origin,
  options: { readonly name?: string; readonly bufferedLog: boolean },
): Promise<Server> {
  const name = options.name ?? 'nginx'
  const folder = join(scratch, name)
  mkdirSync(folder)
  const port = await freePort()
  const server = `upstream origin {
    server 127.0.0.1:${origin.ports[0]}; server 127.0.0.1:${origin.ports[1]};
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Request-Id $request_id;
    }
  }`
  const log = `access_log ${join(folder, 'access.log')} combined${options.bufferedLog ? ' buffer=64k flush=1s' : ''};`
  return await startNginx(name, folder, cpu, log, server, port)
}

export interface GatewayOptions {
  readonly workers?: number
  readonly flags?: readonly string[]
  readonly name?: string
  /** Content of the settings file, with the listeners; default: one listener and no file. */
  readonly settings?: (port: number) => object
  /** Folder of another version with its node_modules; default: this one. */
  readonly checkout?: string
}

/** Headgate with one worker unless said otherwise, its access log in a file, metrics on, the given manifests. */
export async function startHeadgate(
  scratch: string,
  cpu: number | undefined,
  manifests: Readonly<Record<string, string>>,
  { workers = 1, flags = [], settings, checkout, ...options }: GatewayOptions = {},
): Promise<Gateway> {
  const name = options.name ?? (checkout === undefined ? 'headgate' : 'other')
  const main = checkout === undefined ? MAIN : join(checkout, 'src/main.ts')
  const root = join(scratch, name)
  const folder = join(root, 'manifests')
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(manifests)) writeFileSync(join(folder, name), text)
  const [port, admin, signals] = [await freePort(), await freePort(), await freePort()]
  const settingsFile = join(root, 'settings.json')
  if (settings !== undefined) writeFileSync(settingsFile, JSON.stringify(settings(port)))
  const listeners = settings === undefined ? ['--http', `127.0.0.1:${port}`] : ['--settings', settingsFile]
  const began = performance.now()
  const child = spawn(
    ...pinned(cpu, process.execPath, [
      ...[main, 'run', '--config', folder, '--workers', String(workers), ...listeners],
      ...['--admin', `127.0.0.1:${admin}`, '--signals', `127.0.0.1:${signals}`, '--drain-delay', '0'],
      ...flags,
    ]),
    { stdio: ['ignore', openSync(join(root, 'access.log'), 'a'), openSync(join(root, 'process.log'), 'a')] },
  )
  await until(child, `Headgate (see ${join(root, 'process.log')})`, async () => {
    const answer = await fetch(`http://127.0.0.1:${signals}/readyz`).catch(() => undefined)
    await answer?.arrayBuffer()
    return answer?.ok === true
  })
  const readyAfter = performance.now() - began
  return {
    name,
    pid: child.pid!,
    port,
    signalsPort: signals,
    adminPort: admin,
    folder,
    readyAfter,
    stop: () => end(child),
  }
}

/** Manifests for the scenarios: one host, everything to the origin. @param more of the Backend, a line of YAML */
export function manifestsFor(origin: Origin, more = ''): Record<string, string> {
  return {
    'bench.yaml': `
apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: origin, namespace: bench }
spec:
  endpoints:
  - { address: 127.0.0.1, port: ${origin.ports[0]} }
  - { address: 127.0.0.1, port: ${origin.ports[1]} }
  loadBalancing: { algorithm: RoundRobin }
  ${more}
---
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: bench, namespace: bench }
spec:
  hostnames: [${HOST}]
  rules:
  - name: all
    backendRefs: [{ name: origin }]
`,
  }
}

export async function startNginx(
  name: string,
  folder: string,
  cpu: number | undefined,
  accessLog: string,
  server: string,
  port: number,
): Promise<Server> {
  const file = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(folder, kind)};`,
  )
  writeFileSync(
    file,
    `worker_processes 1; daemon off; pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')};
worker_rlimit_nofile 20000;
events { worker_connections 18000; }
http {
  ${accessLog} ${temporary.join(' ')}
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
  ${server}
}
`,
  )
  const arguments_ = ['-p', folder, '-c', file, '-e', join(folder, 'error.log')]
  const child = spawn(...pinned(cpu, find('nginx')!, arguments_, 'TERM'), { stdio: ['ignore', 'inherit', 'inherit'] })
  await until(child, `nginx (${name})`, () => opens(port))
  return { name, pid: child.pid!, port, stop: () => end(child) }
}

/** Command and arguments of a process on one CPU that ends with this one, by the signal: see {@link mortal}. */
export function pinned(
  cpu: number | undefined,
  command: string,
  arguments_: string[],
  signal?: string,
): [string, string[]] {
  const taskset = cpu === undefined ? undefined : find('taskset')
  // taskset replaces itself by the command: the process id stays.
  if (taskset === undefined) return mortal(command, arguments_, signal)
  return mortal(taskset, ['-c', String(cpu), command, ...arguments_], signal)
}

export async function opens(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** @param within milliseconds */
export async function until(
  child: ChildProcess,
  what: string,
  holds: () => Promise<boolean>,
  within = START_MS,
): Promise<void> {
  const deadline = performance.now() + within
  while (!(await holds())) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${what} ended at its start`)
    if (performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`${what} did not start within ${within / 1000} s`)
    }
    await delay(5)
  }
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const again = setTimeout(() => child.kill('SIGTERM'), 1_000)
  const last = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exited
  clearTimeout(again)
  clearTimeout(last)
}
