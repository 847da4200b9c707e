import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../src/message/fields.ts'
import { MAX_PER_SECOND, type ProbedEndpoint, Prober } from '../../src/probe/prober.ts'
import type { ActiveHealth } from '../../src/snapshot/health.ts'
import type { BackendConfig } from '../../src/snapshot/snapshot.ts'
import type { Connector, SessionOwner, UpstreamSession } from '../../src/transport/connector.ts'
import { Timers } from '../../src/transport/timers.ts'
import type { UpstreamHandler } from '../../src/transport/upstream.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { seeded } from '../suite/balancer.ts'

const ACTIVE: ActiveHealth = {
  type: 'HTTP',
  protocol: 'HTTP',
  path: '/',
  port: undefined,
  interval: 1_000,
  timeout: 500,
  jitterPercent: 0,
  healthyAfter: 1,
  unhealthyAfter: 1,
  codes: [[200, 299]],
  hostname: undefined,
  headers: [],
  bodyContains: '',
  grpcService: '',
}

/** Servers that answer at once, and close each connection behind it. */
class World {
  readonly time = new VirtualTime()
  /** Connections that were made, by namespace. */
  readonly made = new Map<string, number>()
  readonly prober: Prober
  #slots = 0

  constructor(maxSockets = 4_096) {
    const timers = new Timers(this.time.keeper())
    this.prober = new Prober({
      timers,
      random: seeded(17),
      maxSockets,
      refuses: () => undefined,
      connectorOf: ({ id }) => this.#connector(id.split('/')[0]!),
      isHealthy: () => true,
      turned: () => assert.fail('all of them answer'),
    })
  }

  #connector(namespace: string): Connector {
    return {
      connect: (_: unknown, owner: SessionOwner) => {
        this.made.set(namespace, (this.made.get(namespace) ?? 0) + 1)
        const cancel = this.time.after(1, () => owner.connected(this.#session(owner)))
        return { cancel }
      },
    } as unknown as Connector
  }

  #session(owner: SessionOwner): UpstreamSession {
    const session = {
      usable: true,
      idleTimeout: 0,
      dispatch: (_: unknown, handler: UpstreamHandler) => {
        this.time.after(1, () => {
          session.usable = false
          handler.onHead({ status: 200, fields: new Fields(), bodyLength: 0 })
          handler.onEnd(null)
        })
      },
      destroy: () => owner.closed(),
    }
    return session as unknown as UpstreamSession
  }

  probe(namespace: string, count: number, active: Partial<ActiveHealth> = {}): void {
    const endpoints: ProbedEndpoint[] = []
    for (let i = 0; i < count; i++) endpoints.push({ address: '10.0.0.1', port: 80, slot: this.#slots++ })
    this.prober.set({ id: `${namespace}/api`, protocol: 'HTTP' } as BackendConfig, { ...ACTIVE, ...active }, endpoints)
  }

  /** Connections made in some seconds, a second. */
  async rate(namespace: string, seconds: number): Promise<number> {
    const before = this.made.get(namespace) ?? 0
    await this.time.pass(seconds * 1_000)
    return ((this.made.get(namespace) ?? 0) - before) / seconds
  }
}

describe('the rate of probes', () => {
  it('is what was asked for, within the bound of the process', async () => {
    const world = new World()
    world.probe('shop', 200)
    await world.time.pass(1_000)
    const rate = await world.rate('shop', 3)
    // Deadlines have a resolution of 20 ms.
    assert.ok(rate > 190 && rate <= 200, `${rate} a second`)
    world.probe('shop', 20_000, { interval: 2_000 })
    await world.time.pass(1_000)
    const most = await world.rate('shop', 2)
    assert.ok(most > MAX_PER_SECOND * 0.9 && most <= MAX_PER_SECOND * 1.05, `${most} a second`)
    world.prober.stop()
  })

  it('uses few sockets fully', async () => {
    const world = new World(16)
    world.probe('shop', 2_000)
    await world.time.pass(1_000)
    // A namespace has half of the places, each for two milliseconds and a tick at the most.
    const rate = await world.rate('shop', 2)
    assert.ok(rate > 1_500, `${rate} a second`)
    assert.ok(world.prober.sockets <= 16)
    world.prober.stop()
  })

  it('is that of TLS handshakes where servers close each connection, and others are not late for it', async () => {
    const world = new World()
    world.probe('noisy', 5_000, { protocol: 'HTTPS' })
    world.probe('quiet', 20)
    await world.time.pass(2_000)
    const [noisy, quiet] = [world.made.get('noisy')!, world.made.get('quiet')!]
    await world.time.pass(4_000)
    const rates = [world.made.get('noisy')! - noisy, world.made.get('quiet')! - quiet].map((made) => made / 4)
    assert.ok(rates[0]! > 150 && rates[0]! <= 260, `${rates[0]} handshakes a second`)
    assert.ok(rates[1]! > 16, `${rates[1]} of 20 a second`)
    world.prober.stop()
  })
})
