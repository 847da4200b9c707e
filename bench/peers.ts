/**
 * `node bench/peers.ts`: the balancers of nginx, haproxy and Headgate in real traffic, in one run, in front of the same
 * servers; and what the simulation says of Headgate's.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BALANCE_CASES } from './lib/balance-cases.ts'
import { HEADGATE, type Subject, startBalanceOrigin, startBalancePeers } from './lib/balance-peers.ts'
import { median } from './lib/compare.ts'
import { allowedCpus } from './lib/cpu-time.ts'
import { openLoad } from './lib/open-loop.ts'
import { HAPROXY, NGINX, provide, TASKSET } from './lib/programs.ts'
import type { Server } from './lib/servers.ts'
import { simulate } from './lib/simulation.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '6' },
    connections: { type: 'string', default: '400' },
    case: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  console.log('node bench/peers.ts [--case WORD] [--rounds 3] [--seconds 6] [--connections 400] [--json]')
  process.exit(0)
}
const missing = provide([NGINX, HAPROXY, TASKSET])
if (missing !== undefined || process.platform !== 'linux') {
  console.error(missing ?? 'the bench reads /proc and runs on Linux only')
  process.exit(1)
}

interface Round {
  readonly p50: number
  readonly p99: number
  readonly most: number
  readonly failed: number
  /** Share of the requests that the first server got. */
  readonly odd: number
}

const scratch = mkdtempSync(join(tmpdir(), 'headgate-peers-'))
// Started by root, nginx reads its files as another user.
chmodSync(scratch, 0o755)
const servers: Server[] = []
const [proxyCpu, loadCpu] = allowedCpus()
try {
  await bench()
} finally {
  await Promise.all(servers.map((server) => server.stop()))
  rmSync(scratch, { recursive: true, force: true })
}

async function bench(): Promise<void> {
  const cpus = loadCpu === undefined ? undefined : { proxy: proxyCpu, load: loadCpu }
  const origin = await startBalanceOrigin(cpus?.load)
  servers.push(origin)
  const peers = await startBalancePeers(scratch, cpus?.proxy, origin)
  servers.push(...peers.servers)
  const report: Record<string, object[]> = {}
  for (const [index, { name, rate, servers: models }] of BALANCE_CASES.entries()) {
    if (!name.includes(values.case)) continue
    const rounds = new Map(peers.subjects.map((subject) => [subject, [] as Round[]]))
    for (let i = 0; i < Number(values.rounds); i++)
      for (const subject of peers.subjects) rounds.get(subject)!.push(await measure(subject, index, rate))
    const rows: Row[] = [...rounds].map(([subject, all]) => ({ ...subject, ...middle(all) }))
    for (const algorithm of HEADGATE) {
      const requests = 200_000
      const { p50, p99, most, failed, shares } = simulate({ algorithm, servers: models, rate, requests })
      rows.push({ proxy: 'simulation', algorithm, p50, p99, most, failed, odd: shares[0]! })
    }
    report[name] = rows
    if (!values.json) show(name, rate, rows)
  }
  if (values.json) console.log(JSON.stringify(report, null, 2))

  async function measure({ port, host }: Subject, index: number, rate: number): Promise<Round> {
    await origin.become(index)
    const load = { port, host, path: '/', connections: Number(values.connections), seconds: Number(values.seconds) }
    const { requests, failed, latency } = await openLoad(cpus?.load, { ...load, rate: rate * 1_000 })
    const { served, most } = await origin.become(index)
    const all = served.reduce((sum, count) => sum + count, 0)
    return { p50: latency.p50, p99: latency.p99, most, failed: failed / requests, odd: served[0]! / all }
  }
}

interface Row extends Round {
  readonly proxy: string
  readonly algorithm: string
}

function middle(rounds: readonly Round[]): Round {
  const of = (figure: keyof Round): number => median(rounds.map((round) => round[figure]))
  return { p50: of('p50'), p99: of('p99'), most: of('most'), failed: of('failed'), odd: of('odd') }
}

function show(name: string, rate: number, rows: readonly Row[]): void {
  console.log(`\n${name}; ${(rate * 1_000).toFixed(0)} requests a second`)
  console.log('                                      p50 ms   p99 ms   most at one   failed %   share of the first %')
  for (const { proxy, algorithm, p50, p99, most, failed, odd } of rows) {
    const cells = [p50.toFixed(1), p99.toFixed(1), String(most), (failed * 100).toFixed(1), (odd * 100).toFixed(1)]
    const widths = [9, 9, 14, 11, 23]
    console.log(
      `${proxy.padEnd(12)}${algorithm.padEnd(23)}${cells.map((text, i) => text.padStart(widths[i]!)).join('')}`,
    )
  }
}
