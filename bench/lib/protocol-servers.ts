/**
 * The servers of the protocol rows: nginx, haproxy and Headgate that do the same work, each on a port for clear text
 * and one for TLS, with their access logs on; and the backends behind them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCertificate, toPem } from '../../src/tls/certificate-maker.ts'
import { freePort } from './free-port.ts'
import { startHaproxy } from './haproxy.ts'
import { end, type Gateway, HOST, type Origin, pinned, type Server, startHeadgate, startNginx } from './servers.ts'

/** Name of the server in TLS: wrk names in SNI the host of its URL, which must have an address. */
export const TLS_HOST = 'localhost'
export const GRPC_PATH = '/bench.Echo/Unary'

export interface ProtocolServer extends Server {
  readonly tlsPort: number
}

export interface Backends {
  readonly origin: Origin
  readonly grpc: Server
  readonly echo: Server
}

export interface PemPair {
  readonly chain: string
  readonly key: string
}

/** One key for all: what differs between certificates is their name. */
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

/** Signed by itself, for a year. */
export function pemPair(...names: readonly string[]): PemPair {
  const subject = { commonName: names[0]! }
  const serial = randomBytes(16)
  serial[0]! &= 0x7f
  const [notBefore, notAfter] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 365 * 86_400_000)]
  const request = { subject, publicKey, serial, notBefore, notAfter, use: 'server', names: { dns: names } } as const
  const certificate = makeCertificate(request, { subject, publicKey, privateKey })
  return {
    chain: toPem('CERTIFICATE', certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** A program of this folder that prints its port. */
async function startProgram(name: string, cpu: number | undefined, ...rest: string[]): Promise<Server> {
  const path = new URL(`${name}.ts`, import.meta.url).pathname
  const child = spawn(...pinned(cpu, process.execPath, [path, ...rest]), { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = Number(await firstLine(child))
  return { name, pid: child.pid!, port, stop: () => end(child) }
}

/** Of what it prints. */
export async function firstLine(child: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of child.stdout!) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  return text.slice(0, text.indexOf('\n'))
}

export const startGrpcOrigin = (cpu: number | undefined): Promise<Server> => startProgram('grpc-origin', cpu)
export const startEcho = (cpu: number | undefined): Promise<Server> => startProgram('websocket-echo', cpu)
export const startRelay = (cpu: number | undefined, target: Server): Promise<Server> =>
  startProgram('tcp-relay', cpu, String(target.port))

/** HTTP/1.1 and HTTP/2 over TLS, gRPC by `grpc_pass`, WebSocket by a location of its own; its log as Debian ships it. */
export async function startTlsNginx(
  scratch: string,
  cpu: number | undefined,
  { origin, grpc, echo }: Backends,
): Promise<ProtocolServer> {
  const folder = join(scratch, 'nginx-protocols')
  mkdirSync(folder)
  const { chain, key } = pemPair(TLS_HOST, HOST)
  writeFileSync(join(folder, 'chain.pem'), chain)
  writeFileSync(join(folder, 'key.pem'), key)
  const [port, tlsPort] = [await freePort(), await freePort()]
  const forwarded = `proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Request-Id $request_id;`
  const server = `upstream origin {
    server 127.0.0.1:${origin.ports[0]}; server 127.0.0.1:${origin.ports[1]};
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }
  upstream grpc {
    server 127.0.0.1:${grpc.port}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port}; listen 127.0.0.1:${tlsPort} ssl http2;
    ssl_certificate ${join(folder, 'chain.pem')}; ssl_certificate_key ${join(folder, 'key.pem')};
    ssl_session_cache shared:bench:16m; ssl_session_tickets on; ssl_protocols TLSv1.2 TLSv1.3;
    location / { proxy_pass http://origin; proxy_set_header Connection ""; ${forwarded} }
    location /bench.Echo/ { grpc_pass grpc://grpc; grpc_set_header X-Request-Id $request_id; }
    location /ws {
      proxy_pass http://127.0.0.1:${echo.port}; proxy_read_timeout 600s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; ${forwarded}
    }
  }`
  const log = `access_log ${join(folder, 'access.log')} combined;`
  const nginx = await startNginx('nginx', folder, cpu, log, server, port)
  return { ...nginx, tlsPort }
}

/** With TLS, HTTP/2, gRPC and WebSockets. */
export async function startProtocolHaproxy(
  scratch: string,
  cpu: number | undefined,
  { origin, grpc, echo }: Backends,
): Promise<ProtocolServer> {
  const folder = join(scratch, 'haproxy')
  mkdirSync(folder)
  const { chain, key } = pemPair(TLS_HOST, HOST)
  writeFileSync(join(folder, 'pair.pem'), chain + key)
  const [port, tlsPort] = [await freePort(), await freePort()]
  const sections = `frontend clients
  bind 127.0.0.1:${port}
  bind 127.0.0.1:${tlsPort} ssl crt ${join(folder, 'pair.pem')} alpn h2,http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Request-Id %[uuid()]
  use_backend grpc if { path_beg /bench.Echo/ }
  use_backend echo if { path_beg /ws }
  default_backend origin
backend origin
  balance roundrobin
  server one 127.0.0.1:${origin.ports[0]}
  server two 127.0.0.1:${origin.ports[1]}
backend grpc
  server one 127.0.0.1:${grpc.port} proto h2
backend echo
  server one 127.0.0.1:${echo.port}
`
  const defaults = ['timeout tunnel 600s', 'option http-keep-alive']
  const haproxy = await startHaproxy(folder, cpu, { defaults, sections }, port)
  return { ...haproxy, tlsPort }
}

/** Headgate with one worker, its listeners in a settings file. */
export async function startTlsHeadgate(
  scratch: string,
  cpu: number | undefined,
  manifests: Readonly<Record<string, string>>,
  name = 'headgate-protocols',
): Promise<Gateway & ProtocolServer> {
  const tlsPort = await freePort()
  const gateway = await startHeadgate(scratch, cpu, manifests, {
    name,
    settings: (port) => ({
      listeners: [
        { name: 'http', address: '127.0.0.1', port },
        { name: 'https', address: '127.0.0.1', port: tlsPort, tls: {} },
      ],
      tls: { defaultCertificate: { secretName: 'bench-tls', namespace: 'bench' } },
    }),
  })
  return { ...gateway, name: 'headgate', tlsPort }
}

export function secret(name: string, { chain, key }: PemPair): string {
  const stringData = { 'tls.crt': chain, 'tls.key': key }
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'bench' }, type: 'kubernetes.io/tls', stringData })}\n---\n`
}

/** One host, its paths to the three backends. */
export function protocolManifests({ origin, grpc, echo }: Backends): Record<string, string> {
  const backend = (name: string, ports: readonly number[], more: object = {}) =>
    resource('Backend', name, { endpoints: ports.map((port) => ({ address: '127.0.0.1', port })), ...more })
  const rule = (name: string, path: string) => ({
    name,
    matches: [{ path: { type: 'PathPrefix', value: path } }],
    backendRefs: [{ name }],
  })
  const rules = [rule('grpc', '/bench.Echo'), rule('echo', '/ws'), rule('origin', '/')]
  return {
    'secret.yaml': secret('bench-tls', pemPair(TLS_HOST, HOST)),
    'bench.yaml':
      backend('origin', origin.ports, { loadBalancing: { algorithm: 'RoundRobin' } }) +
      backend('grpc', [grpc.port], { protocol: 'GRPC' }) +
      backend('echo', [echo.port]) +
      resource('Route', 'bench', { hostnames: [HOST, TLS_HOST], rules }),
  }
}

export function resource(kind: string, name: string, spec: object): string {
  return `${JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind, metadata: { name, namespace: 'bench' }, spec })}\n---\n`
}
