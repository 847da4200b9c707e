/**
 * What one pod of many costs: `node bench/endpoint-sets.ts [pods …]`, 10,000 by default. For each algorithm how long
 * control works at the change of one EndpointSlice, from the slices to the messages, and how long a worker is held by
 * what it gets; beside it a set that is new to both. Median and ninth tenth of several changes;
 * messages are cloned as between threads.
 */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import type { EndpointSlice } from '../src/api/kubernetes.ts'
import type { SettingsObject } from '../src/api/settings.ts'
import { createValidator } from '../src/api/validate.ts'
import type { Algorithm } from '../src/balance/create-balancer.ts'
import { ALONE } from '../src/balance/topology.ts'
import { defaultBackend } from '../src/compile/backend.ts'
import { serviceBackendId } from '../src/compile/backend-service.ts'
import { endpointsOf } from '../src/compile/endpoints.ts'
import { emptyResourceSet, type ResourceSet, type ServedResource } from '../src/compile/resource-set.ts'
import { Endpoints } from '../src/control/endpoints/endpoints.ts'
import { UpstreamBudget } from '../src/limit/upstream-budget.ts'
import { EndpointTable } from '../src/shared-memory/endpoint-table.ts'
import { ProcessBlock } from '../src/shared-memory/process-block.ts'
import { FrozenMap } from '../src/snapshot/frozen-map.ts'
import { readSchemas } from '../src/source/crds.ts'
import type { ToWorker } from '../src/thread/messages.ts'
import { systemTimers } from '../src/thread/system-timers.ts'
import { Timers } from '../src/transport/timers.ts'
import { Backends } from '../src/worker/backends.ts'
import { MessageLoop } from '../src/worker/message-loop.ts'

const SETTINGS: SettingsObject = {
  ingressClass: { name: 'headgate', default: true },
  listeners: [{ name: 'http', port: 8080 }],
  admin: { address: '127.0.0.1:9901' },
  signals: { address: ':9902' },
  peers: { address: ':9903' },
  tenancy: 'Shared',
  hostnameHold: '1h',
  upstreams: { denyCIDRs: [] },
  limits: { head: '64Ki', headers: 100, uri: '16Ki', connections: 0, passes: 8, memory: 0, namespaceCost: 2_000_000 },
  accessLog: { format: 'json', fields: {}, sample: 100 },
  cache: { memory: 0, files: '1Gi', collapseTimeout: '5s', debugCIDRs: [] },
  watchNamespaces: [],
}
const ALGORITHMS: readonly Algorithm[] = [
  'RoundRobin',
  'WeightedRoundRobin',
  'LeastRequest',
  'PeakEWMA',
  'Random',
  'ConsistentHash',
]
const WORKERS = 4
/** As the controller of the cluster fills them. */
const OF_A_SLICE = 100
const CHANGES = 40
/** Turns of a worker's loop that are watched behind a message. */
const TURNS = 50
const SERVICE = 'shop/api'
const ID = serviceBackendId('shop', { name: 'api', port: 80 })

type Slices = ReadonlyMap<string, ServedResource<EndpointSlice>>

function slice(number: number, count: number, ready: (i: number) => boolean): ServedResource<EndpointSlice> {
  const key = `shop/api-${number}`
  const first = number * OF_A_SLICE
  const object: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `api-${number}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'api' } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: count }, (_, i) => ({
      addresses: [`10.${((first + i) >> 16) & 255}.${((first + i) >> 8) & 255}.${(first + i) & 255}`],
      conditions: { ready: ready(first + i) },
      zone: 'eu-1a',
      targetRef: { kind: 'Pod', namespace: 'shop', name: `api-${first + i}` },
    })),
  }
  return { object, key, created: 1 }
}

class Rig {
  readonly #table = new EndpointTable(EndpointTable.allocate(WORKERS))
  /** One for each worker; the first one is measured. */
  readonly #channels = Array.from({ length: WORKERS }, () => new MessageChannel())
  readonly #endpoints: Endpoints
  readonly #backends: Backends
  readonly #loop: MessageLoop
  #slices: Slices = new Map()
  #resources: ResourceSet = emptyResourceSet(SETTINGS)

  constructor(algorithm: Algorithm, pods: number) {
    this.#resources = {
      ...this.#resources,
      services: FrozenMap.from(
        new Map([
          [
            SERVICE,
            {
              key: SERVICE,
              created: 1,
              object: {
                apiVersion: 'v1',
                kind: 'Service',
                metadata: { name: 'api', namespace: 'shop' },
                spec: { selector: { app: 'api' }, ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }] },
              },
            } as never,
          ],
        ]),
      ),
    }
    for (let i = 0; i * OF_A_SLICE < pods; i++) this.#put(slice(i, Math.min(OF_A_SLICE, pods - i * OF_A_SLICE), yes))
    this.#endpoints = this.#createEndpoints()
    this.#backends = this.#createBackends()
    this.#backends.define({ ...defaultBackend(ID), algorithm }, -1)
    const host = { clock: systemTimers, endpoints: this.#backends, epoch: () => {} }
    this.#loop = new MessageLoop(host as never)
    this.#endpoints.useSettings(SETTINGS, [{ name: 'http', address: '127.0.0.1', port: 8_080 }])
  }

  /** All at once. @returns milliseconds of control, and the longest for which the worker is held */
  async begin(): Promise<[number, number]> {
    const compiled = {
      endpoints: new Map([[ID, endpointsOf(this.#resources, ID)]]),
      snapshot: { backends: new Map([[ID, defaultBackend(ID)]]) },
    }
    this.#endpoints.compiling()
    const control = timed(() => {
      for (const _ of this.#endpoints.prepare(compiled));
    })
    return [control, await this.#receive()]
  }

  /** One pod of the set, another one at each call, ceases to be ready, or is ready again. */
  async change(step: number): Promise<[number, number]> {
    const numbers = this.#slices.size
    const at = step >> 1
    const number = (at * 7) % numbers
    const gone = step % 2 === 0 ? number * OF_A_SLICE + (at % OF_A_SLICE) : -1
    const changed = slice(number, this.#slices.get(`shop/api-${number}`)!.object.endpoints.length, (i) => i !== gone)
    const control = timed(() => {
      this.#put(changed)
      this.#endpoints.podsChanged([ID], systemTimers.monotonic(), () => false)
    })
    return [control, await this.#receive()]
  }

  get size(): number {
    return this.#backends.find(ID)!.endpoints.length
  }

  stop(): void {
    this.#endpoints.stop()
    for (const { port1 } of this.#channels) port1.close()
  }

  #put(one: ServedResource<EndpointSlice>): void {
    this.#slices = new Map(this.#slices).set(one.key, one)
    this.#resources = {
      ...this.#resources,
      endpointSlices: FrozenMap.from(new Map([[SERVICE, this.#slices]])),
    }
  }

  /** @returns the longest turn */
  async #receive(): Promise<number> {
    const [measured, ...others] = this.#channels
    for (const { port2 } of others) while (receiveMessageOnPort(port2) !== undefined);
    let longest = timed(() => {
      for (let one = receiveMessageOnPort(measured!.port2); one !== undefined; ) {
        this.#loop.accept(one.message as ToWorker)
        one = receiveMessageOnPort(measured!.port2)
      }
    })
    // What the worker divides into turns.
    for (let turns = 0; turns < TURNS; turns++) {
      const began = performance.now()
      await new Promise((resolve) => setImmediate(resolve))
      longest = Math.max(longest, performance.now() - began)
    }
    return longest
  }

  #createEndpoints(): Endpoints {
    return new Endpoints({
      table: this.#table,
      block: new ProcessBlock(ProcessBlock.allocate(WORKERS)),
      validator: createValidator(readSchemas()),
      share: { clients: 1, upstreams: 1, seed: 'seed' },
      inCluster: false,
      time: systemTimers,
      random: Math.random,
      resources: () => this.#resources,
      events: {
        send: (message) => {
          if (message.type === 'settings') return
          for (const { port1 } of this.#channels) port1.postMessage(message)
        },
        changed: () => {},
        unreachable: () => {},
        sent: () => {},
        problem: (_, message) => console.log(message),
        nameHealth: () => {},
      },
    })
  }

  #createBackends(): Backends {
    return new Backends({
      worker: 0,
      random: Math.random,
      timers: new Timers(systemTimers),
      endpoints: this.#table,
      metrics: {} as never,
      metricsRow: () => 0,
      mayDial: () => true,
      budget: new UpstreamBudget(1),
      connectorOf: () => ({}) as never,
      tunnelsOf: () => ({}) as never,
      sessionKey: () => 'key' as never,
      topology: ALONE,
      limits: { head: 1, headers: 1, uri: 1 },
    })
  }
}

const yes = (): boolean => true

function timed(run: () => void): number {
  const began = performance.now()
  run()
  return performance.now() - began
}

function text(samples: readonly number[]): string {
  const sorted = [...samples].sort((a, b) => a - b)
  return `${sorted[sorted.length >> 1]!.toFixed(2)} (${sorted[Math.floor(sorted.length * 0.9)]!.toFixed(2)})`
}

async function measure(algorithm: Algorithm, pods: number): Promise<void> {
  const rig = new Rig(algorithm, pods)
  const [control, worker] = await rig.begin()
  // The first changes are for the compiler of the engine.
  for (let step = 0; step < CHANGES / 2; step++) await rig.change(step)
  const samples: [number, number][] = []
  for (let step = 0; step < CHANGES; step++) samples.push(await rig.change(step))
  if (rig.size !== pods) throw new Error(`${rig.size} of ${pods} endpoints are there`)
  rig.stop()
  const first = `${control.toFixed(1)} / ${worker.toFixed(1)}`
  console.log(
    `${String(pods).padStart(7)}  ${algorithm.padEnd(20)} ${text(samples.map(([one]) => one)).padEnd(18)} ${text(samples.map(([, one]) => one)).padEnd(18)} ${first}`,
  )
}

console.log('   pods  algorithm            control, ms        a worker held, ms  all new: control / worker')
const counts = process.argv.slice(2).map(Number)
for (const pods of counts.length > 0 ? counts : [10_000])
  for (const algorithm of ALGORITHMS) await measure(algorithm, pods)
