/** The exchange in memory: no sockets, and time that passes only when a test waits. */
import type { Purges } from '../../../src/cache/purges.ts'
import type { ExchangeContext } from '../../../src/exchange/exchange-context.ts'
import type { CacheServices } from '../../../src/policy/cache-services.ts'
import { FrontendHandle } from '../../../src/snapshot/frontend-handle.ts'
import type { PeerListener } from '../../../src/transport/peer.ts'
import type { Rules } from '../../compile/world.ts'
import type {
  Asking,
  ClientRequest,
  GatewayOptions,
  Scope,
  TransportGateway,
  TransportRig,
  UpstreamScript,
} from '../../suite/transport-rig.ts'
import { type InProcessOptions, settingsWith, TestPlane } from '../../worker/test-plane.ts'
import { settle, VirtualTime } from '../virtual-time.ts'
import { type MemoryListener, MemoryRequest } from './downstream.ts'
import type { HeapResponses } from './heap-responses.ts'
import { MemoryConnector } from './upstream.ts'

/** Milliseconds of one step of waiting, and after how many a test fails. */
const STEP = 10
const STEPS = 1_500
/** Turns in which what is under way goes on before time passes for it. */
const TURNS = 20

/** Of the wall clock at the start. */
const EPOCH = 1_800_000_000_000
/** The one of the settings that the test compiles with. */
const NAME = 'http'

/** @param capacity requests that a connection to an upstream carries at a time */
export function memoryRig(capacity: number): TransportRig {
  return {
    capacity,
    plainUpgrades: false,
    large: 2 * 1024 * 1024,
    async gateway(scope: Scope, options: GatewayOptions): Promise<TransportGateway> {
      return memoryGateway(scope, options, capacity)
    },
  }
}

export function memoryGateway(scope: Scope, options: GatewayOptions, capacity = 1): MemoryGateway {
  const gateway = new MemoryGateway(options, capacity)
  scope.after(() => gateway.destroy())
  return gateway
}

export class MemoryGateway implements TransportGateway {
  readonly #time = new VirtualTime()
  /** By how much the wall clock was set forth, milliseconds. */
  #jumped = 0
  readonly #connector: MemoryConnector
  readonly #plane: TestPlane
  readonly #listener: MemoryListener
  readonly #options: InProcessOptions

  constructor(options: GatewayOptions, capacity: number) {
    const scripts = new Map<number, UpstreamScript>()
    for (const [i, script] of options.upstreams.entries()) scripts.set(i + 1, script)
    this.#connector = new MemoryConnector(scripts, capacity)
    this.#options = { ...options, upstreams: [...scripts.keys()] }
    this.#plane = new TestPlane(this.#options, {
      clock: this.#time.keeper(0, () => EPOCH + this.#time.now + this.#jumped),
      connector: this.#connector,
      settings: () => {},
    })
    const { plane } = this.#plane
    plane.messages.accept({ type: 'settings', settings: settingsWith([]) })
    const listener: PeerListener = {
      name: NAME,
      frontend: new FrontendHandle(NAME),
      metricsRow: 0,
      leaving: false,
      secureTwin: null,
    }
    this.#listener = {
      handler: plane.handler,
      peer: { address: '127.0.0.1', scheme: 'http', listener, tls: null },
      open: new Set(),
    }
  }

  destroy(): void {
    for (const stream of [...this.#listener.open]) stream.destroy()
    this.#plane.plane.backends.retain([])
  }

  ask(asking: Asking = {}): ClientRequest {
    return new MemoryRequest(this.#listener, asking, (promise) => this.#wait(promise))
  }

  /** Puts other rules in force, and other options of the Backend; everything else stays. No time passes. */
  async link(rules: Rules, backend = this.#options.backend): Promise<void> {
    let over = false
    void this.#plane
      .link({ ...this.#options, rules, ...(backend !== undefined && { backend }) })
      .then(() => (over = true))
    for (let turn = 0; turn < 1_000 && !over; turn++) {
      await this.#time.pass(0)
      await settle()
    }
    if (!over) throw new Error('the tables did not come into force at once')
  }

  /** Secrets and ConfigMaps change without tables. @param bytes null: it is withdrawn */
  content(id: string, bytes: Uint8Array | null): void {
    this.#plane.plane.messages.accept({ type: 'contents', contents: [{ id, bytes }] })
  }

  /** What its exchanges share. */
  get context(): ExchangeContext {
    return this.#plane.plane.context
  }

  /** Hears of requests and responses of the cache. */
  get cacheCounts(): CacheServices['counts'] {
    return this.#plane.plane.cache.counts
  }

  get purges(): Purges {
    return this.#plane.purges
  }

  /** The memory of its cache. */
  get responses(): HeapResponses {
    return this.#plane.responses
  }

  get connections(): number {
    return this.#connector.connections
  }

  /** Sets the wall clock forth, or back where it is below 0; no time passes. */
  jump(milliseconds: number): void {
    this.#jumped += milliseconds
  }

  /** Milliseconds that have passed, whatever the wall clock says. */
  get passed(): number {
    return this.#time.now
  }

  pass(milliseconds: number): Promise<void> {
    return this.#time.pass(milliseconds)
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const settled = (): void => {
      over = true
    }
    promise.then(settled, settled)
    await this.until(() => over, 'what is waited for')
    return promise
  }

  async until(holds: () => boolean, what = 'it'): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      for (let turn = 0; turn < TURNS; turn++) {
        if (holds()) return
        await settle()
      }
      await this.#time.pass(STEP)
    }
    throw new Error(`${what} did not happen within ${STEP * STEPS} ms: ${JSON.stringify(this.#holdings)}`)
  }

  log(): readonly Readonly<Record<string, unknown>>[] {
    return this.#plane.log()
  }

  get #holdings(): Readonly<Record<string, number>> {
    let streams = 0
    for (const session of this.#connector.open) streams += session.active
    return { ...this.#plane.holdings, clients: this.#listener.open.size, streams }
  }

  async nothingLeft(): Promise<void> {
    await this.until(() => Object.values(this.#holdings).every((count) => count === 0), 'the end of everything')
  }

  get errors(): readonly unknown[] {
    return this.#plane.errors
  }
}
