/** `slowStart` from the control thread, which puts endpoints into use, to the picks of a worker, on one virtual clock. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { Endpoints } from '../../src/control/endpoints/endpoints.ts'
import { UpstreamBudget } from '../../src/limit/upstream-budget.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { Timers } from '../../src/transport/timers.ts'
import { Backends } from '../../src/worker/backends.ts'
import { backend, compiled, route, SETTINGS, world } from '../compile/world.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { seeded } from '../suite/balancer.ts'

const ID = 'default/up'
const MINUTE = 60_000

/** Control and a worker that share a table of endpoints, and the Backend with `slowStart: 60s`. */
function gateway(t: TestContext) {
  const time = new VirtualTime()
  const keeper = time.keeper(5_000)
  const table = new EndpointTable(EndpointTable.allocate(1, 64))
  const block = new ProcessBlock(ProcessBlock.allocate(1))
  let worker = makeWorker()
  function makeWorker() {
    const timers = new Timers(keeper)
    const backends = new Backends({
      worker: 0,
      random: seeded(1),
      timers,
      endpoints: table,
      metrics: {} as never,
      metricsRow: () => 0,
      mayDial: () => true,
      budget: new UpstreamBudget(1),
      connectorOf: () => ({}) as never,
      tunnelsOf: () => ({}) as never,
      sessionKey: () => 'key' as never,
      limits: { head: 1, headers: 1, uri: 1 },
      topology: ALONE,
    })
    return { backends, timers }
  }
  const control = new Endpoints({
    table,
    block,
    validator: createValidator(readSchemas()),
    share: { clients: 1, upstreams: 1, seed: 'seed' },
    inCluster: false,
    time: keeper,
    random: () => 0.5,
    resources: () => world({}),
    events: {
      send: (message) => {
        if (message.type === 'endpoints') for (const _ of worker.backends.endpoints(message));
        if (message.type === 'epoch') block.passEpoch(0, message.epoch)
      },
      changed: () => {},
      unreachable: () => {},
      sent: () => {},
      problem: () => {},
      nameHealth: () => {},
    },
  })
  t.after(() => control.stop())
  control.useSettings(SETTINGS, [{ name: 'http', address: '127.0.0.1', port: 8_080 }])
  const build = (...numbers: readonly number[]) => {
    const endpoints = numbers.map((number) => ({ address: `192.0.2.${number}`, port: 80, weight: 1 }))
    const loadBalancing = { algorithm: 'RoundRobin' as const, slowStart: '60s', zoneAware: false }
    return compiled(
      world({
        routes: [route('default/all', { rules: { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }] } } })],
        backends: [backend(ID, { endpoints, loadBalancing })],
      }),
    )
  }
  return {
    time,
    /** The manifest lists these from now on, and its tables serve. */
    list(...numbers: readonly number[]) {
      const built = build(...numbers)
      control.compiling()
      for (const _ of control.prepare(built));
      worker.backends.define(built.snapshot.backends.get(ID)!, -1)
      control.settled(built)
    },
    /** Another worker in the place of the first; it is sent what there is. */
    replaceWorker(...numbers: readonly number[]) {
      const { backends } = worker
      worker = makeWorker()
      worker.backends.define(build(...numbers).snapshot.backends.get(ID)!, -1)
      const rows = (backends.find(ID)?.endpoints ?? []).map((endpoint) => ({ ...endpoint }))
      const message = { type: 'endpoints', backend: ID, connects: 'HTTP', complete: true, gone: [] } as const
      for (const _ of worker.backends.endpoints({ ...message, rows: [JSON.stringify(rows)] }));
    },
    /** Percent of the picks that the endpoint gets now. */
    share(number: number): number {
      worker.timers.touch()
      const picks = 6_000
      let count = 0
      for (let i = 0; i < picks; i++)
        if (worker.backends.find(ID)!.balancer.pick(NO_KEY, null)?.address === `192.0.2.${number}`) count++
      return (100 * count) / picks
    },
  }
}

function assertNear(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 2.5, `${actual} % instead of ${expected} %`)
}

describe('slow start, from control to the picks of a worker', () => {
  it('begins with a tenth of the share and ends with all of it, also in a worker that is replaced meanwhile', async (t) => {
    const { time, list, share, replaceWorker } = gateway(t)
    list(1, 2, 3)
    // All are new, so all share alike.
    assertNear(share(1), 33.3)
    await time.pass(2 * MINUTE)
    list(1, 2, 3, 4)
    // 0.1 of 3.1, a half of 3.5.
    assertNear(share(4), 3.2)
    await time.pass(MINUTE / 2)
    assertNear(share(4), 14.3)
    replaceWorker(1, 2, 3, 4)
    assertNear(share(4), 14.3)
    await time.pass(MINUTE / 2)
    assertNear(share(4), 25)
  })

  it('begins again when an endpoint comes back, and not for one that stays in a list of another order', async (t) => {
    const { time, list, share } = gateway(t)
    list(1, 2, 3)
    await time.pass(2 * MINUTE)
    list(1, 2)
    await time.pass(1_000)
    list(3, 2, 1)
    assertNear(share(3), 4.8)
    assertNear(share(1), 47.6)
    await time.pass(MINUTE)
    assertNear(share(3), 33.3)
  })
})
