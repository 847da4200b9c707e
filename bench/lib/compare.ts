/** Compares servers under the same load, in alternating rounds, so that other work of the machine affects all. */
import { cpuTime } from './cpu-time.ts'
import type { LoadResult } from './load.ts'
import type { Server } from './servers.ts'

export interface Scenario<S extends Server = Server> {
  readonly name: string
  readonly shows: string
  readonly run: (server: S, seconds: number) => Promise<LoadResult>
}

export interface Plan {
  readonly warmUpSeconds: number
  /** All servers warm up at the same time, each with a part of the processor: for figures that are rough anyway. */
  readonly warmUpTogether?: boolean
  readonly rounds: number
  readonly roundSeconds: number
}

/** Medians over the rounds. */
export interface Figures {
  readonly server: string
  /** Microseconds of processor time a request, all threads and processes of the server. */
  readonly cpuPerRequest: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly requests: number
  readonly failed: number
}

/** Of the subject to another server: medians over the rounds. */
export interface Ratio {
  readonly server: string
  readonly cpu: number
  readonly perSecond: number
}

export interface Comparison {
  readonly scenario: string
  /** The subject first. */
  readonly figures: readonly Figures[]
  readonly ratios: readonly Ratio[]
}

interface Round extends LoadResult {
  readonly cpuPerRequest: number
}

/** @param servers the subject first */
export async function compare<S extends Server>(
  scenario: Scenario<S>,
  servers: readonly S[],
  plan: Plan,
): Promise<Comparison> {
  const sides = servers.map((server) => ({ server, warmUpFailed: 0, rounds: [] as Round[] }))
  const warmUp = async (side: (typeof sides)[number]): Promise<void> => {
    side.warmUpFailed = (await once(scenario, side.server, plan.warmUpSeconds)).failed
  }
  if (plan.warmUpTogether === true) await Promise.all(sides.map(warmUp))
  else for (const side of sides) await warmUp(side)
  // There and back: who comes after another one finds its caches, so that nobody always does.
  for (let i = 0; i < plan.rounds; i++)
    for (const { server, rounds } of i % 2 === 0 ? sides : sides.toReversed())
      rounds.push(await once(scenario, server, plan.roundSeconds))
  const [subject, ...peers] = sides
  return {
    scenario: scenario.name,
    figures: sides.map(({ server, rounds, warmUpFailed }) => figures(server, rounds, warmUpFailed)),
    ratios: peers.map(({ server, rounds }) => {
      const ratioOf = (key: 'cpuPerRequest' | 'perSecond') =>
        median(rounds.map((round, i) => subject!.rounds[i]![key] / round[key]))
      return { server: server.name, cpu: ratioOf('cpuPerRequest'), perSecond: ratioOf('perSecond') }
    }),
  }
}

async function once<S extends Server>(scenario: Scenario<S>, server: S, seconds: number): Promise<Round> {
  const before = cpuTime(server.pid)
  const result = await scenario.run(server, seconds)
  return { ...result, cpuPerRequest: (cpuTime(server.pid) - before) / Math.max(1, result.requests) }
}

function figures(server: Server, rounds: readonly Round[], warmUpFailed: number): Figures {
  return {
    server: server.name,
    cpuPerRequest: median(rounds.map((round) => round.cpuPerRequest)),
    perSecond: median(rounds.map((round) => round.perSecond)),
    p50: median(rounds.map((round) => round.p50)),
    p99: median(rounds.map((round) => round.p99)),
    requests: rounds.reduce((sum, round) => sum + round.requests, 0),
    failed: rounds.reduce((sum, round) => sum + round.failed, warmUpFailed),
  }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Nearest rank; for an even count and 0.5 the mean of the middle two. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  if (share === 0.5 && sorted.length % 2 === 0 && sorted.length > 0)
    return (sorted[sorted.length / 2 - 1]! + sorted[sorted.length / 2]!) / 2
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN
}
