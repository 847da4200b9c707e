/**
 * Latency at a fixed rate: two servers in alternating rounds with the same schedule of requests, and the baseline of
 * client and backend without a proxy.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { median } from './compare.ts'
import { load } from './load.ts'
import { find } from './programs.ts'
import type { Server } from './servers.ts'

export interface OpenLoad {
  readonly port: number
  readonly path: string
  readonly host: string
  readonly seconds: number
  readonly connections: number
  /** Requests a second, due at times that are set before. */
  readonly rate: number
}

/** Milliseconds. */
export interface Tail {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly most: number
}

export interface OpenLoadResult {
  readonly requests: number
  /** Statuses other than 200, connections that broke, and answers that did not come. */
  readonly failed: number
  /** From the moment a request was due to the end of its answer. */
  readonly latency: Tail
}

export interface LatencyPlan {
  readonly scratch: string
  readonly cpu: number | undefined
  readonly warmUpSeconds: number
  readonly rounds: number
  readonly roundSeconds: number
  /** The rate at most; not more than half of what the slower one sustains. */
  readonly rate: number
  readonly load: Omit<OpenLoad, 'port' | 'seconds' | 'rate'>
}

/** Medians over the rounds; `failed` of all rounds. */
export interface LatencyFigures extends Tail {
  readonly server: string
  readonly failed: number
}

export interface LatencyComparison {
  readonly rate: number
  readonly subject: LatencyFigures
  readonly peer: LatencyFigures
  /** The backend asked directly: what of the above is neither's. */
  readonly floor: LatencyFigures
  /** Medians over the rounds of subject's figure by the peer's in the same round. */
  readonly p99Ratio: number
  readonly mostRatio: number
}

const CLIENT = new URL('open-loop-client.ts', import.meta.url).pathname

/** Nearest rank; sorts in place. */
export function summarize(times: Float64Array): Tail {
  times.sort()
  const at = (share: number): number => times[Math.max(0, Math.ceil(share * times.length) - 1)] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1) }
}

/**
 * When requests are due, in milliseconds from the start: with gaps as between clients who do not know of each other,
 * exponentially distributed around the rate, the same ones each time.
 */
export function schedule(rate: number, count: number): Float64Array {
  const times = new Float64Array(count)
  let state = 0x9e3779b9
  let at = 0
  for (let i = 0; i < count; i++) {
    // xorshift32 (Marsaglia 2003): never 0.
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    at -= (Math.log((state >>> 0) / 4_294_967_296) * 1_000) / rate
    times[i] = at
  }
  return times
}

export async function openLoad(cpu: number | undefined, options: OpenLoad): Promise<OpenLoadResult> {
  const client = [process.execPath, CLIENT, JSON.stringify(options)]
  const [command, ...rest] = cpu === undefined ? client : [find('taskset')!, '-c', String(cpu), ...client]
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the open-loop client ended with ${code}: ${output}`)
  return JSON.parse(output) as OpenLoadResult
}

/** @throws {TypeError} for a rate that is no positive number */
export async function compareLatency(
  subject: Server,
  peer: Server,
  origin: Server,
  plan: LatencyPlan,
): Promise<LatencyComparison> {
  if (!(plan.rate > 0)) throw new TypeError(`no such rate: ${plan.rate} requests a second`)
  const servers = [subject, peer, origin]
  const sustained: number[] = []
  for (const server of [subject, peer]) {
    const warm = { ...plan.load, port: server.port, seconds: plan.warmUpSeconds }
    sustained.push((await load(plan.scratch, plan.cpu, warm)).perSecond)
  }
  const rate = Math.floor(Math.min(plan.rate, Math.min(...sustained) / 2))
  const ask = (server: Server, seconds: number): Promise<OpenLoadResult> =>
    openLoad(plan.cpu, { ...plan.load, port: server.port, seconds, rate })
  // Each server's own way under this load, too: other than under wrk's, most turns of the loop have one request.
  for (const server of servers) await ask(server, plan.warmUpSeconds)
  const rounds: OpenLoadResult[][] = servers.map(() => [])
  for (let i = 0; i < plan.rounds; i++)
    for (const [index, server] of servers.entries()) rounds[index]!.push(await ask(server, plan.roundSeconds))
  const [own, other, floor] = rounds as [OpenLoadResult[], OpenLoadResult[], OpenLoadResult[]]
  const ratio = (figure: keyof Tail): number =>
    median(own.map((round, index) => round.latency[figure] / other[index]!.latency[figure]))
  return {
    rate,
    subject: figures(subject.name, own),
    peer: figures(peer.name, other),
    floor: figures('neither', floor),
    p99Ratio: ratio('p99'),
    mostRatio: ratio('most'),
  }
}

function figures(server: string, rounds: readonly OpenLoadResult[]): LatencyFigures {
  const middle = (figure: keyof Tail): number => median(rounds.map((round) => round.latency[figure]))
  return {
    server,
    p50: middle('p50'),
    p99: middle('p99'),
    p999: middle('p999'),
    most: middle('most'),
    failed: rounds.reduce((sum, round) => sum + round.failed, 0),
  }
}
