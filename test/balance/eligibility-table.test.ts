/** The table of docs/health-checks.md, row by row, with every algorithm and two workers. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import { updatePanic } from '../../src/balance/eligibility.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import { pickEndpoint } from '../../src/exchange/endpoint-pick.ts'
import type { LinkedBackend } from '../../src/link/linked-tables.ts'
import { EndpointTable, SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { PassiveHealth } from '../../src/worker/passive-health.ts'
import { seeded } from '../suite/balancer.ts'

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random', 'ConsistentHash'] as const
type Algorithm = (typeof ALGORITHMS)[number]

type Pod = 'ready' | 'terminating' | 'neither'
type Ejection = 'none' | 'ejected' | 'over' | 'tried'

/** How many of the requests an endpoint gets. */
type Outcome = 'all' | 'one' | 'none'

interface Row {
  readonly pod: Pod
  readonly fails: boolean
  readonly ejection: Ejection
  readonly requests: string
  readonly inPanic: string
}

const EJECTIONS: readonly Ejection[] = ['none', 'ejected', 'over', 'tried']

function rows(): Row[] {
  const text = readFileSync(new URL('../../docs/health-checks.md', import.meta.url), 'utf8')
  const lines = text.split('\n')
  const from = lines.findIndex((line) => line.startsWith('| pod | probes | ejection |'))
  assert.notEqual(from, -1)
  const found: Row[] = []
  for (let at = from + 2; lines[at]!.startsWith('|'); at++) {
    const [pod, probes, ejection, requests, inPanic] = lines[at]!.split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    for (const fails of probes === 'any' ? [false, true] : [probes === 'fail'])
      for (const one of ejection === 'any' ? EJECTIONS : [ejection as Ejection])
        found.push({ pod: pod as Pod, fails, ejection: one, requests: requests!, inPanic: inPanic! })
  }
  return found
}

/** A few requests, none of which ends, by two workers in turn. */
class World {
  readonly #table = new EndpointTable(EndpointTable.allocate(2, 64))
  readonly #endpoints: Endpoint[] = []
  readonly #algorithm: Algorithm

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm
  }

  add(pod: Pod, fails: boolean, ejection: Ejection): Endpoint {
    const slot = this.#endpoints.length
    const address = `10.0.0.${slot}`
    const state = pod === 'ready' ? 'ready' : 'draining'
    const endpoint: Endpoint = { authority: `${address}:80`, address, port: 80, slot, weight: 1, state }
    this.#table.enlist(slot)
    if (fails) this.#table.mark(slot, SLOT_STATE.unhealthy, true)
    if (ejection !== 'none') assert.ok(this.#table.eject(slot))
    if (ejection === 'over' || ejection === 'tried') this.#table.offerTrial(slot)
    if (ejection === 'tried') assert.ok(this.#table.takeTrial(slot))
    if (pod === 'neither') this.#table.retire(slot)
    this.#endpoints.push(endpoint)
    return endpoint
  }

  /** @returns whether it is panic */
  settle(panicPercent: number): boolean {
    const inSet = this.#endpoints.filter(({ slot }) => (this.#table.state(slot) & SLOT_STATE.retired) === 0)
    return updatePanic(this.#table, inSet, panicPercent)
  }

  /** What the endpoint gets of many requests. */
  outcome(of: Endpoint): Outcome {
    const end: AttemptObserver = {
      attemptStarted: (_, { slot }) => this.#table.acquire(0, slot),
      attemptEnded() {},
    }
    const random = seeded(5)
    const workers = [0, 1].map(() => {
      const context = { gauge: this.#table, random, now: () => 0, requests: () => 100, topology: ALONE }
      const balancer = createBalancer(this.#algorithm, context)
      balancer.update(this.#endpoints)
      return {
        backend: { balancer } as unknown as LinkedBackend,
        health: new PassiveHealth(this.#table, { now: 0 }, end),
      }
    })
    let got = 0
    for (let request = 0; request < 80; request++) {
      const { backend, health } = workers[request % 2]!
      const endpoint = pickEndpoint(health, backend, request * 7_919_993, null)
      if (endpoint === undefined) continue
      health.attemptStarted(backend, endpoint)
      if (endpoint === of) got++
    }
    return got === 0 ? 'none' : got === 1 ? 'one' : 'all'
  }
}

/** Besides the endpoint, as many as are to be there. */
type Others = 'a ready one that is well' | 'a ready one that is not well' | 'none'

/** What a cell says where these others are there. */
function expected(cell: string, others: Others): Outcome {
  const [outcome, condition] = cell.split(', ') as [Outcome, string | undefined]
  assert.ok(['all', 'one', 'none'].includes(outcome), cell)
  if (condition === undefined) return outcome
  const conditions: Readonly<Record<string, boolean>> = {
    'while no ready one gets any': others !== 'a ready one that is well',
    'where none is ready': others === 'none',
  }
  assert.ok(condition in conditions, cell)
  return conditions[condition] === true ? outcome : 'none'
}

describe('the table of eligibility', () => {
  const table = rows()

  it('has every combination, once', () => {
    const all = new Set(table.map(({ pod, fails, ejection }) => `${pod} ${fails} ${ejection}`))
    assert.equal(all.size, 3 * 2 * EJECTIONS.length)
    assert.equal(table.length, all.size)
  })

  for (const algorithm of ALGORITHMS)
    it(`is what happens: ${algorithm}`, () => {
      let cases = 0
      for (const { pod, fails, ejection, requests, inPanic } of table)
        for (const others of ['a ready one that is well', 'a ready one that is not well', 'none'] as const)
          for (const panicPercent of [0, 100]) {
            const world = new World(algorithm)
            const endpoint = world.add(pod, fails, ejection)
            if (others === 'a ready one that is well') world.add('ready', false, 'none')
            if (others === 'a ready one that is not well') world.add('ready', true, 'none')
            const panic = world.settle(panicPercent)
            const text = `${pod}, fails: ${fails}, ${ejection}, panic: ${panic}, besides ${others}`
            assert.equal(world.outcome(endpoint), expected(panic ? inPanic : requests, others), text)
            cases++
          }
      assert.equal(cases, 24 * 3 * 2)
    })
})
