/** Passive health checks in the simulation: those of the product, with its defaults, on the clock of the simulation. */
import type { Balancer } from '../../src/balance/balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { Ejections } from '../../src/control/health/ejections.ts'
import type { AttemptOutcome } from '../../src/exchange/attempt-observer.ts'
import { pickEndpoint } from '../../src/exchange/endpoint-pick.ts'
import { NO_GRPC_STATUS } from '../../src/lib/grpc-status.ts'
import type { LinkedBackend } from '../../src/link/linked-tables.ts'
import type { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import type { HealthConfig } from '../../src/snapshot/health.ts'
import { PassiveHealth } from '../../src/worker/passive-health.ts'

const HEALTH: HealthConfig = {
  panicPercent: 30,
  passive: {
    consecutiveFailures: 5,
    baseEjection: 30_000,
    maxEjectionPercent: 50,
    successRate: { belowMeanPercent: 0, minRequests: 100 },
  },
  active: undefined,
}
/** How often the control thread looks for what workers have ejected. */
const LOOK_MS = 100

/** Of one gateway with one worker. */
export class SimulatedEjection {
  readonly #timers = { now: 0 }
  readonly #backend: LinkedBackend
  readonly #endpoints: readonly Endpoint[]
  readonly #workers: PassiveHealth
  readonly #control: Ejections
  #looked = 0

  constructor(table: EndpointTable, balancer: Balancer, endpoints: readonly Endpoint[]) {
    this.#backend = { balancer, endpoints, plan: { health: HEALTH } } as unknown as LinkedBackend
    this.#endpoints = endpoints
    this.#workers = new PassiveHealth(table, this.#timers, { attemptStarted() {}, attemptEnded() {} })
    this.#control = new Ejections(table, { ejected() {}, restored() {} })
  }

  pick(key: number, now: number): Endpoint | undefined {
    this.#timers.now = now
    if (now - this.#looked >= LOOK_MS) this.#look(now)
    return pickEndpoint(this.#workers, this.#backend, key, null)
  }

  ended(endpoint: Endpoint, began: number, fails: boolean, now: number): void {
    this.#timers.now = now
    const outcome: AttemptOutcome = {
      ...{ backend: this.#backend, endpoint, failure: null, unanswered: false, slowClient: false, reused: true },
      ...{ status: fails ? 500 : 200, grpcStatus: NO_GRPC_STATUS },
      ...{ startedAt: began, sentAt: began, headAt: now, endedAt: now },
    }
    this.#workers.attemptEnded(outcome)
  }

  #look(now: number): void {
    this.#looked = now
    for (const { slot } of this.#endpoints) this.#control.look('simulated', slot, HEALTH.passive, now, now)
    this.#control.expire(now)
  }
}
