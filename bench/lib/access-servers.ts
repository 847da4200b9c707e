/**
 * The servers of the rows of access: Headgate, nginx, haproxy and Caddy that let the same requests pass for the same
 * reason, each policy at a path of its own. No limit is ever reached: what is measured is what counting costs.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { API_KEY, AUDIENCE, ISSUER, type Tokens } from './access-tokens.ts'
import { freePort } from './free-port.ts'
import { startHaproxy } from './haproxy.ts'
import type { LoadResult } from './load.ts'
import { find } from './programs.ts'
import { resource } from './protocol-servers.ts'
import { end, HOST, type Origin, opens, pinned, type Server, startNginx, until } from './servers.ts'

/** Where the rule without any policy is, and those with one. */
export const PLAIN = '/plain'

const API_KEY_DIGEST = createHash('sha256').update(API_KEY).digest('hex')

/** The most there may be; nobody reaches it. */
const LIMIT = { name: 'clients', requests: 1_000_000, per: '1s', by: ['client.ip'] }

/** One host, a rule for each path; all go to the same Backend. */
export function accessManifests(origin: Origin, { publicKey }: Tokens): Record<string, string> {
  const jwt = { issuer: ISSUER, audiences: [AUDIENCE], keys: { publicKeySecretName: 'token-keys' } }
  const policies: Readonly<Record<string, object>> = {
    '/jwt': { auth: { jwt } },
    '/external': { auth: { external: { backendRef: { name: 'origin' }, path: '/auth', protocol: 'HTTP' } } },
    '/key': { auth: { apiKey: { secretName: 'clients', from: [{ header: 'x-api-key' }] } } },
    '/limit': { rateLimits: [{ ...LIMIT, scope: 'Local' }] },
    '/cluster': { rateLimits: [{ ...LIMIT, scope: 'Cluster' }] },
    [PLAIN]: {},
  }
  const rules = Object.entries(policies).map(([path, policies]) => ({
    ...{ name: path.slice(1), matches: [{ path: { type: 'PathPrefix', value: path } }], policies },
    backendRefs: [{ name: 'origin' }],
  }))
  const endpoints = origin.ports.map((port) => ({ address: '127.0.0.1', port }))
  return {
    'secrets.yaml':
      secret('token-keys', 'headgate.dev/jwt-key', { 'public.pem': publicKey }) +
      secret('clients', 'headgate.dev/api-keys', { client: `sha256:${API_KEY_DIGEST}` }),
    'bench.yaml':
      resource('Backend', 'origin', { endpoints, loadBalancing: { algorithm: 'RoundRobin' } }) +
      resource('Route', 'bench', { hostnames: [HOST], rules }),
  }
}

function secret(name: string, type: string, stringData: object): string {
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'bench' }, type, stringData })}\n---\n`
}

/** `auth_request`, `limit_req`, and a `map` for API keys, which stand in it as they are. */
export async function startAccessNginx(scratch: string, cpu: number | undefined, origin: Origin): Promise<Server> {
  const folder = join(scratch, 'nginx-access')
  mkdirSync(folder)
  const port = await freePort()
  const proxy = `proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;`
  const server = `upstream origin {
    server 127.0.0.1:${origin.ports[0]}; server 127.0.0.1:${origin.ports[1]};
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }
  map_hash_bucket_size 128;
  map $http_x_api_key $consumer { default ""; "${API_KEY}" client; }
  limit_req_zone $binary_remote_addr zone=clients:10m rate=1000000r/s;
  limit_req_status 429;
  server {
    listen 127.0.0.1:${port};
    location ${PLAIN} { ${proxy} }
    location /key { if ($consumer = "") { return 401; } proxy_set_header X-Api-Key ""; ${proxy} }
    location /limit { limit_req zone=clients burst=1000000 nodelay; ${proxy} }
    location /external { auth_request /auth; ${proxy} }
    location = /auth {
      internal; proxy_pass http://origin/auth; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header X-Original-URI $request_uri;
    }
  }`
  return await startNginx('nginx', folder, cpu, `access_log ${join(folder, 'access.log')} combined;`, server, port)
}

/** Tokens by `jwt_verify`, each time anew; API keys by their digest; a stick table counts requests of an address. */
export async function startAccessHaproxy(
  scratch: string,
  cpu: number | undefined,
  origin: Origin,
  { publicKey }: Tokens,
): Promise<Server> {
  const folder = join(scratch, 'haproxy-access')
  mkdirSync(folder)
  const port = await freePort()
  const [key, digests] = ['key.pem', 'digests'].map((name) => join(folder, name))
  writeFileSync(key!, publicKey)
  writeFileSync(digests!, `${API_KEY_DIGEST.toUpperCase()}\n`)
  const sections = `frontend clients
  bind 127.0.0.1:${port}
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Request-Id %[uuid()]
  stick-table type ip size 1m expire 60s store http_req_rate(10s)
  acl jwt path_beg /jwt
  acl key path_beg /key
  acl limit path_beg /limit
  http-request set-var(txn.bearer) http_auth_bearer if jwt
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg') if jwt
  http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss') if jwt
  http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud') if jwt
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int') if jwt
  http-request set-var(txn.now) date() if jwt
  http-request deny deny_status 401 if jwt !{ var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 if jwt !{ var(txn.iss) -m str ${ISSUER} }
  http-request deny deny_status 401 if jwt !{ var(txn.aud) -m str ${AUDIENCE} }
  http-request deny deny_status 401 if jwt { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 if jwt !{ var(txn.bearer),jwt_verify(txn.alg,"${key}") -m int 1 }
  http-request del-header authorization if jwt
  http-request deny deny_status 401 if key !{ req.hdr(x-api-key),sha2(256),hex -m str -f ${digests} }
  http-request del-header x-api-key if key
  http-request track-sc0 src if limit
  http-request deny deny_status 429 if limit { sc_http_req_rate(0) gt 2000000000 }
  default_backend origin
backend origin
  balance roundrobin
  server one 127.0.0.1:${origin.ports[0]}
  server two 127.0.0.1:${origin.ports[1]}
`
  return await startHaproxy(folder, cpu, { defaults: ['option http-keep-alive'], sections }, port)
}

/** `forward_auth`. */
export async function startAccessCaddy(scratch: string, cpu: number | undefined, origin: Origin): Promise<Server> {
  const folder = join(scratch, 'caddy-access')
  mkdirSync(folder)
  const port = await freePort()
  const file = join(folder, 'Caddyfile')
  const upstreams = origin.ports.map((port) => `127.0.0.1:${port}`).join(' ')
  const proxy = `reverse_proxy ${upstreams} {
      lb_policy round_robin
    }`
  writeFileSync(
    file,
    `{
  admin off
  auto_https off
}
http://${HOST}:${port} {
  bind 127.0.0.1
  log {
    output file ${join(folder, 'access.log')} {
      roll_disabled
    }
  }
  handle /external* {
    forward_auth ${upstreams} {
      uri /auth
    }
    ${proxy}
  }
  handle {
    ${proxy}
  }
}
`,
  )
  const env = { ...process.env, GOMAXPROCS: '1', HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const stdio = ['ignore' as const, 'ignore' as const, openSync(join(folder, 'error.log'), 'a')]
  const child = spawn(...pinned(cpu, find('caddy')!, ['run', '--config', file, '--adapter', 'caddyfile']), {
    env,
    stdio,
  })
  await until(child, `Caddy (see ${join(folder, 'error.log')})`, () => opens(port))
  return { name: 'caddy', pid: child.pid!, port, stop: () => end(child) }
}

export interface RedisServer extends Server {
  /** Scripts that were run so far. */
  scripts(): number
}

/** Without persistence, beside the backend. */
export async function startRedis(scratch: string, cpu: number | undefined): Promise<RedisServer> {
  const folder = join(scratch, 'redis')
  mkdirSync(folder)
  const port = await freePort()
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const child = spawn(...pinned(cpu, find('redis-server')!, flags), { stdio: 'ignore' })
  await until(child, 'redis-server', () => opens(port))
  const scripts = (): number => {
    const text = execFileSync(find('redis-cli')!, ['-p', String(port), 'info', 'commandstats'], { encoding: 'utf8' })
    return [...text.matchAll(/^cmdstat_evalsha:calls=(\d+)/gm)].reduce((sum, [, calls]) => sum + Number(calls), 0)
  }
  return { name: 'redis', pid: child.pid!, port, scripts, stop: () => end(child) }
}

export interface Verifier extends Server {
  verify(seconds: number): Promise<LoadResult>
}

/** jose alone, on the CPU of the proxies. */
export async function startVerifier(cpu: number | undefined, tokens: Tokens): Promise<Verifier> {
  const path = new URL('./token-verifier.ts', import.meta.url).pathname
  const child: ChildProcess = spawn(...pinned(cpu, process.execPath, [path, JSON.stringify(tokens)]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  await lines.next()
  const verify = async (seconds: number): Promise<LoadResult> => {
    child.stdin!.write(`${seconds}\n`)
    const line = (await lines.next()) as IteratorResult<string, undefined>
    if (line.done === true) throw new Error('the program that verifies tokens ended')
    const result = JSON.parse(line.value) as { verified: number; seconds: number }
    const perSecond = result.verified / result.seconds
    return { requests: result.verified, perSecond, p50: Number.NaN, p99: Number.NaN, failed: 0 }
  }
  return { name: 'jose', pid: child.pid!, port: 0, stop: () => end(child), verify }
}
