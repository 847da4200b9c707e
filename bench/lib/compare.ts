/** Compares two servers under the same load, in alternating rounds, so that other work of the machine affects both. */
import { cpuTime } from './cpu-time.ts'
import { type Load, type LoadResult, load } from './load.ts'
import type { Server } from './servers.ts'

export interface Scenario {
  readonly name: string
  readonly shows: string
  readonly load: Omit<Load, 'port' | 'seconds'>
}

export interface Plan {
  readonly scratch: string
  readonly cpu: number | undefined
  readonly warmUpSeconds: number
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

export interface Comparison {
  readonly scenario: string
  readonly subject: Figures
  readonly peer: Figures
  /** Median over the rounds of subject's processor time by the peer's. */
  readonly cpuRatio: number
}

interface Round extends LoadResult {
  readonly cpuPerRequest: number
}

export async function compare(scenario: Scenario, subject: Server, peer: Server, plan: Plan): Promise<Comparison> {
  const warmUps = [
    await once(scenario, subject, plan, plan.warmUpSeconds),
    await once(scenario, peer, plan, plan.warmUpSeconds),
  ]
  const rounds: [Round, Round][] = []
  for (let i = 0; i < plan.rounds; i++)
    rounds.push([
      await once(scenario, subject, plan, plan.roundSeconds),
      await once(scenario, peer, plan, plan.roundSeconds),
    ])
  return {
    scenario: scenario.name,
    subject: figures(
      subject,
      rounds.map(([own]) => own),
      warmUps[0]!,
    ),
    peer: figures(
      peer,
      rounds.map(([, other]) => other),
      warmUps[1]!,
    ),
    cpuRatio: median(rounds.map(([own, other]) => own.cpuPerRequest / other.cpuPerRequest)),
  }
}

async function once(scenario: Scenario, server: Server, plan: Plan, seconds: number): Promise<Round> {
  const before = cpuTime(server.pid)
  const result = await load(plan.scratch, plan.cpu, { ...scenario.load, port: server.port, seconds })
  return { ...result, cpuPerRequest: (cpuTime(server.pid) - before) / Math.max(1, result.requests) }
}

function figures(server: Server, rounds: readonly Round[], warmUp: Round): Figures {
  return {
    server: server.name,
    cpuPerRequest: median(rounds.map((round) => round.cpuPerRequest)),
    perSecond: median(rounds.map((round) => round.perSecond)),
    p50: median(rounds.map((round) => round.p50)),
    p99: median(rounds.map((round) => round.p99)),
    requests: rounds.reduce((sum, round) => sum + round.requests, 0),
    failed: rounds.reduce((sum, round) => sum + round.failed, warmUp.failed),
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
