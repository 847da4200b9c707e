/**
 * What probes cost the process: `node bench/probes.ts [--endpoints 10000] [--interval 5] [--rounds 4] [--sockets N]`.
 * Prints processor time as a share of one core, probes begun and answered, and sockets; beside it what the same loop
 * costs with nothing to probe. The endpoints are addresses of 127.0.0.0/8 at one server, which is a process of its own.
 */
import { fork } from 'node:child_process'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { parseArgs } from 'node:util'
import { Probes } from '../src/control/health/probes.ts'
import { EndpointTable } from '../src/shared-memory/endpoint-table.ts'
import type { ActiveHealth } from '../src/snapshot/health.ts'
import type { BackendConfig } from '../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../src/thread/messages.ts'
import { systemTimers } from '../src/thread/system-timers.ts'
import { TestAuthority } from '../test/lib/certificates.ts'

const ANSWER = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok')

/** Counts what it is asked, and says how much on request. */
function serve(): void {
  let asked = 0
  let accepted = 0
  const answer = (socket: Socket): void => {
    accepted++
    socket.setNoDelay(true)
    socket.on('data', (data) => {
      // A probe is one read: it is small, and the next one follows seconds later.
      if (data.includes('\r\n\r\n')) asked++
      socket.write(ANSWER)
    })
    socket.on('error', () => {})
  }
  const servers: Server[] = [createServer(answer), createTlsServer(new TestAuthority().server('up.test'), answer)]
  let left = servers.length
  for (const server of servers)
    server.listen({ port: 0, host: '0.0.0.0', backlog: 4_096 }, () => {
      if (--left === 0) process.send!({ ports: servers.map((one) => (one.address() as AddressInfo).port) })
    })
  process.on('message', () => process.send!({ asked, accepted }))
  process.on('disconnect', () => process.exit())
}

interface Run {
  readonly name: string
  readonly active: Partial<ActiveHealth>
  readonly sockets: number
  readonly endpoints: number
}

const ACTIVE: ActiveHealth = {
  type: 'HTTP',
  protocol: 'HTTP',
  path: '/healthz',
  port: undefined,
  interval: 5_000,
  timeout: 1_000,
  jitterPercent: 20,
  healthyAfter: 2,
  unhealthyAfter: 3,
  codes: [[200, 399]],
  hostname: undefined,
  headers: [],
  bodyContains: '',
  grpcService: '',
}

interface PeerMessage {
  readonly ports?: readonly number[]
  readonly asked?: number
  readonly accepted?: number
}

class Peer {
  readonly #child = fork(import.meta.filename, ['--serve'])
  /** In clear, and by TLS. */
  readonly ports: Promise<readonly number[]> = this.#next().then((message) => message.ports!)

  #next(): Promise<PeerMessage> {
    return new Promise((resolve) => this.#child.once('message', (message) => resolve(message as PeerMessage)))
  }

  /** Requests, or connections where that is all that a probe asks for. */
  async count({ active }: Run): Promise<number> {
    const answer = this.#next()
    this.#child.send('counts')
    const { asked, accepted } = await answer
    return active.type === 'TCP' ? accepted! : asked!
  }

  stop(): void {
    this.#child.disconnect()
  }
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

async function measure(run: Run, peer: Peer, rounds: number): Promise<string[]> {
  const table = new EndpointTable(EndpointTable.allocate(1))
  let turned = 0
  const probes = new Probes({
    table,
    time: systemTimers,
    random: Math.random,
    sockets: run.sockets,
    refuses: () => undefined,
    turned: () => turned++,
  })
  const [clear, secure] = await peer.ports
  const port = run.active.protocol === 'HTTPS' ? secure! : clear!
  const rows: EndpointRow[] = []
  for (let slot = 0; slot < run.endpoints; slot++) {
    table.enlist(slot)
    rows.push({ address: `127.1.${slot >> 8}.${slot & 255}`, port, slot, weight: 1, state: 'ready' })
  }
  const active = { ...ACTIVE, ...run.active }
  const tls = { ca: undefined, serverName: 'up.test', insecureSkipVerify: true }
  probes.set({ id: 'shop/api', protocol: active.protocol, tls } as BackendConfig, active, rows)
  // All connections are there, and the code is compiled.
  await pause(2 * active.interval)
  const before = await peer.count(run)
  const cpu = process.cpuUsage()
  const start = performance.now()
  let sockets = 0
  for (let look = 0; look < rounds * 10; look++) {
    await pause(active.interval / 10)
    sockets = Math.max(sockets, probes.sockets)
  }
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - start) / 1_000
  const probed = (await peer.count(run)) - before
  probes.stop()
  await pause(500)
  const share = (user + system) / 1e4 / seconds
  const rate = probed / seconds
  const each = probed === 0 ? '' : `${((user + system) / probed).toFixed(0)} µs`
  return [run.name, `${share.toFixed(1)} %`, rate.toFixed(0), each, `${sockets}`, `${run.sockets}`, `${turned}`]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      endpoints: { type: 'string', default: '10000' },
      interval: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '4' },
      sockets: { type: 'string', default: '16384' },
    },
  })
  const [endpoints, rounds, sockets] = [Number(values.endpoints), Number(values.rounds), Number(values.sockets)]
  const interval = Number(values.interval) * 1_000
  const peer = new Peer()
  const https = { interval, protocol: 'HTTPS' } as const
  const tenth = endpoints / 10
  const runs: Run[] = [
    { name: 'nothing to probe', endpoints: 0, active: { interval }, sockets },
    { name: `${endpoints} by HTTP, connections kept`, endpoints, active: { interval }, sockets },
    {
      name: `${endpoints} by HTTP, with a text in the body`,
      endpoints,
      active: { interval, bodyContains: 'ok' },
      sockets,
    },
    { name: `${endpoints} by HTTP, few sockets`, endpoints, active: { interval }, sockets: 64 },
    { name: `${tenth} by HTTPS, connections kept`, endpoints: tenth, active: https, sockets },
    { name: `${tenth} by HTTPS, few sockets`, endpoints: tenth, active: https, sockets: 64 },
    { name: `${endpoints} by TCP, a connection each`, endpoints, active: { interval, type: 'TCP' }, sockets },
  ]
  const head = ['', 'of a core', 'probes/s', 'each', 'sockets', 'at most', 'turned']
  const lines = [head]
  for (const run of runs) {
    lines.push(await measure(run, peer, rounds))
    const cells = lines.at(-1)!.map((cell, i) => (i === 0 ? cell.padEnd(44) : cell.padStart(10)))
    if (lines.length === 2) console.log(head.map((cell, i) => (i === 0 ? cell.padEnd(44) : cell.padStart(10))).join(''))
    console.log(cells.join(''))
  }
  peer.stop()
}

if (process.argv.includes('--serve')) serve()
else await main()
