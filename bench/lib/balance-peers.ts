/** nginx, haproxy and Headgate in front of the same servers, each with its algorithms at once. */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { SERVERS } from './balance-cases.ts'
import type { OriginCounts } from './balance-origin.ts'
import { freePort } from './free-port.ts'
import { startHaproxy } from './haproxy.ts'
import { firstLine, resource } from './protocol-servers.ts'
import { end, pinned, type Server, startHeadgate, startNginx } from './servers.ts'

/** One algorithm of one proxy. */
export interface Subject {
  readonly proxy: string
  readonly algorithm: string
  readonly port: number
  readonly host: string
}

export interface BalancePeers {
  readonly subjects: readonly Subject[]
  readonly servers: readonly Server[]
}

export interface BalanceOrigin extends Server {
  readonly ports: readonly number[]
  /** Makes the servers those of a case. @returns what there was since the last call */
  become(index: number): Promise<OriginCounts>
}

/** In the words of each, without health checks and retries. */
const NGINX = { 'round robin': '', least_conn: 'least_conn;', 'random two least_conn': 'random two least_conn;' }
const HAPROXY = { roundrobin: 'roundrobin', leastconn: 'leastconn', 'random(2)': 'random(2)' }
export const HEADGATE = ['RoundRobin', 'Random', 'LeastRequest', 'PeakEWMA'] as const

export async function startBalanceOrigin(cpu: number | undefined): Promise<BalanceOrigin> {
  const path = new URL('balance-origin.ts', import.meta.url).pathname
  const child = spawn(...pinned(cpu, process.execPath, [path]), { stdio: ['ignore', 'pipe', 'inherit'] })
  const ports = JSON.parse(await firstLine(child)) as number[]
  const control = ports[SERVERS]!
  return {
    name: 'origin',
    pid: child.pid!,
    port: control,
    ports: ports.slice(0, SERVERS),
    stop: () => end(child),
    become: async (index) => (await fetch(`http://127.0.0.1:${control}/case/${index}`)).json() as Promise<OriginCounts>,
  }
}

export async function startBalancePeers(
  scratch: string,
  cpu: number | undefined,
  origin: BalanceOrigin,
): Promise<BalancePeers> {
  const subjects: Subject[] = []
  const add = (proxy: string, algorithm: string, port: number): number => {
    subjects.push({ proxy, algorithm, port, host: `${algorithm.toLowerCase()}.example` })
    return port
  }
  const servers = [
    await nginx(scratch, cpu, origin, add),
    await haproxy(scratch, cpu, origin, add),
    await headgate(scratch, cpu, origin, add),
  ]
  for (const [index, subject] of subjects.entries())
    if (subject.proxy !== 'Headgate') subjects[index] = { ...subject, host: 'bench.example' }
  return { subjects, servers }
}

type Add = (proxy: string, algorithm: string, port: number) => number

async function nginx(scratch: string, cpu: number | undefined, { ports }: BalanceOrigin, add: Add): Promise<Server> {
  const folder = join(scratch, 'nginx-balance')
  mkdirSync(folder)
  const blocks: string[] = []
  let first = 0
  for (const [algorithm, line] of Object.entries(NGINX)) {
    const port = add('nginx', algorithm, await freePort())
    first ||= port
    const list = ports.map((one) => `server 127.0.0.1:${one} max_fails=0;`).join(' ')
    blocks.push(`upstream u${port} { ${line} ${list} keepalive 256; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://u${port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
    }
  }`)
  }
  const log = `access_log ${join(folder, 'access.log')} combined;`
  return await startNginx('nginx', folder, cpu, log, blocks.join('\n'), first)
}

async function haproxy(scratch: string, cpu: number | undefined, { ports }: BalanceOrigin, add: Add): Promise<Server> {
  const folder = join(scratch, 'haproxy-balance')
  mkdirSync(folder)
  const sections: string[] = []
  let first = 0
  for (const [algorithm, balance] of Object.entries(HAPROXY)) {
    const port = add('haproxy', algorithm, await freePort())
    first ||= port
    const list = ports.map((one, index) => `  server s${index} 127.0.0.1:${one}`).join('\n')
    sections.push(`listen l${port}\n  bind 127.0.0.1:${port}\n  balance ${balance}\n${list}\n`)
  }
  return await startHaproxy(folder, cpu, { defaults: ['retries 0'], sections: sections.join('') }, first)
}

async function headgate(scratch: string, cpu: number | undefined, { ports }: BalanceOrigin, add: Add): Promise<Server> {
  const manifests = HEADGATE.map((algorithm) => {
    const name = algorithm.toLowerCase()
    const endpoints = ports.map((port) => ({ address: '127.0.0.1', port }))
    const healthCheck = { passive: { consecutiveFailures: 0, successRate: { belowMeanPercent: 0 } } }
    const rules = [{ name: 'all', backendRefs: [{ name }], policies: { retry: { attempts: 0 } } }]
    return (
      resource('Backend', name, { endpoints, healthCheck, loadBalancing: { algorithm } }) +
      resource('Route', name, { hostnames: [`${name}.example`], rules })
    )
  })
  const gateway = await startHeadgate(scratch, cpu, { 'balance.yaml': manifests.join('') })
  for (const algorithm of HEADGATE) add('Headgate', algorithm, gateway.port)
  return gateway
}
