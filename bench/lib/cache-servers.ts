/**
 * The servers of the rows of the cache: Headgate, nginx and Varnish that store responses of the same origin in memory,
 * each with the same object of 1 KiB, and misses that differ in their path.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { find } from './programs.ts'
import { resource } from './protocol-servers.ts'
import { end, HOST, opens, pinned, type Server, startNginx, until } from './servers.ts'

/** What is stored, and where the same is fetched each time. */
export const STORED = '/stored'
export const PLAIN = '/plain'
/** Objects of 1 MiB; whatever follows is another one. */
export const LARGE = '/stored/large/'
/** The same, which are not stored. */
export const PLAIN_LARGE = '/plain/large/'
/** Cold keys that take a while. */
export const SLOW = '/slow/'

/** Bytes that each server may store: less than the misses of a row bring, so that all of them evict. */
const STORE_MIB = 128
/** What the origin takes for a cold key, so that all who ask are there. */
const SLOW_MS = 300

/** 1 KiB that may be stored for an hour, and 1 MiB. */
export async function startCacheOrigin(scratch: string, cpu: number | undefined): Promise<Server> {
  const folder = join(scratch, 'cache-origin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'large'), 'x'.repeat(1024 * 1024))
  const port = await freePort()
  const fields = 'add_header Cache-Control "public, max-age=3600"; add_header ETag \'"1"\';'
  const server = `server {
    listen 127.0.0.1:${port}; root ${folder}; default_type text/plain; etag off;
    location / { ${fields} return 200 "${'X'.repeat(1024)}"; }
    location ~ ^(${LARGE}|${PLAIN_LARGE}) { ${fields} rewrite ^ /large break; open_file_cache max=10; }
  }`
  return await startNginx('cache-origin', folder, cpu, 'access_log off;', server, port)
}

export interface SlowOrigin {
  readonly port: number
  /** Requests that it had, by path. */
  readonly asked: ReadonlyMap<string, number>
  stop(): Promise<void>
}

/** In this process: answers after a while, and counts who asked. */
export async function startSlowOrigin(): Promise<SlowOrigin> {
  const asked = new Map<string, number>()
  const body = Buffer.alloc(1024, 'X')
  const server = createServer((request, response) => {
    const path = request.url!
    asked.set(path, (asked.get(path) ?? 0) + 1)
    setTimeout(() => {
      response.writeHead(200, { 'content-length': body.length, 'cache-control': 'public, max-age=3600' })
      response.end(body)
    }, SLOW_MS)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    port,
    asked,
    async stop() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** One host: a rule that stores, one that does not, and one whose Backend is slow. */
export function cacheManifests(origin: Server, slow: SlowOrigin): Record<string, string> {
  const cache = {}
  const rule = (path: string, backend: string, policies: object) => ({
    ...{ name: path.replaceAll('/', ''), matches: [{ path: { type: 'PathPrefix', value: path } }], policies },
    backendRefs: [{ name: backend }],
  })
  const rules = [rule(STORED, 'origin', { cache }), rule(PLAIN, 'origin', {}), rule(SLOW, 'slow', { cache })]
  return {
    'bench.yaml':
      resource('Backend', 'origin', { endpoints: [{ address: '127.0.0.1', port: origin.port }] }) +
      resource('Backend', 'slow', { endpoints: [{ address: '127.0.0.1', port: slow.port }] }) +
      resource('Route', 'bench', { hostnames: [HOST], rules }),
  }
}

/** Settings of a gateway that stores as much as the others. */
export const cacheSettings = (port: number): object => ({
  listeners: [{ name: 'http', address: '127.0.0.1', port }],
  cache: { memory: `${STORE_MIB}Mi` },
})

/** `proxy_cache` as its manual has it for speed: files in memory, no temporary copies, one fetch a key. */
export async function startCacheNginx(
  scratch: string,
  cpu: number | undefined,
  origin: Server,
  slow: SlowOrigin,
  bufferedLog: boolean,
): Promise<Server> {
  const folder = join(scratch, 'nginx-cache')
  mkdirSync(folder)
  const port = await freePort()
  const files = `/dev/shm/headgate-bench-${process.pid}`
  mkdirSync(files, { recursive: true })
  const proxy = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;`
  const cached = `${proxy} proxy_cache main; proxy_cache_lock on; proxy_cache_lock_timeout 30s;
      proxy_cache_use_stale updating; add_header X-Cache-Status $upstream_cache_status;`
  const server = `proxy_cache_path ${files} levels=1:2 keys_zone=main:64m max_size=${STORE_MIB}m use_temp_path=off;
  sendfile on; tcp_nopush on;
  upstream origin {
    server 127.0.0.1:${origin.port};
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ${PLAIN} { proxy_pass http://origin; ${proxy} }
    location ${STORED} { proxy_pass http://origin; ${cached} }
    location ${SLOW} { proxy_pass http://127.0.0.1:${slow.port}; ${cached} }
  }`
  const log = `access_log ${join(folder, 'access.log')} combined${bufferedLog ? ' buffer=64k flush=1s' : ''};`
  const nginx = await startNginx('nginx', folder, cpu, log, server, port)
  return {
    ...nginx,
    async stop() {
      await nginx.stop()
      rmSync(files, { recursive: true, force: true })
    },
  }
}

/** Varnish as Debian packages it, all in memory, and varnishncsa beside it, which writes its access log. */
export async function startVarnish(
  scratch: string,
  cpu: number | undefined,
  origin: Server,
  slow: SlowOrigin,
): Promise<Server> {
  const folder = join(scratch, 'varnish')
  mkdirSync(folder)
  const port = await freePort()
  const config = join(folder, 'default.vcl')
  writeFileSync(
    config,
    `vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "${origin.port}"; }
backend slow { .host = "127.0.0.1"; .port = "${slow.port}"; }
sub vcl_recv {
  if (req.url ~ "^${SLOW}") { set req.backend_hint = slow; } else { set req.backend_hint = origin; }
  if (req.url ~ "^${PLAIN}") { return (pass); }
}
sub vcl_backend_fetch { set bereq.http.X-Forwarded-Proto = "http"; set bereq.http.X-Request-Id = bereq.xid; }
`,
  )
  const directory = join(folder, 'work')
  const daemon = [
    ...[find('varnishd')!, '-F', '-j', 'none', '-n', directory, '-a', `127.0.0.1:${port}`, '-f', config],
    ...['-s', `malloc,${STORE_MIB}m`, '-p', 'listen_depth=4096', '-p', 'thread_pool_max=1200'],
  ]
  const log = [find('varnishncsa')!, '-n', directory, '-t', '30', '-a', '-w', join(folder, 'access.log')]
  // One process above both, whose processor time is that of both.
  const script = `${daemon.join(' ')} & ${log.join(' ')} & trap 'kill $(jobs -p)' TERM; wait`
  const errors = openSync(join(folder, 'error.log'), 'a')
  const child = spawn(...pinned(cpu, '/bin/bash', ['-c', script], 'TERM'), { stdio: ['ignore', errors, errors] })
  await until(child, `Varnish (see ${join(folder, 'error.log')})`, () => opens(port))
  return { name: 'varnish', pid: child.pid!, port, stop: () => end(child) }
}
