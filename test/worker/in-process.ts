/** A worker's request path on sockets, in the thread of the test. */

import { setTimeout as delay } from 'node:timers/promises'
import { tcpConnector } from '../../src/proxy/tcp-connector.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { Listeners } from '../../src/worker/listeners.ts'
import { RawClient } from '../feature/raw-client.ts'
import { type InProcessOptions, type Scope, settingsWith, TestPlane } from './test-plane.ts'

export class InProcess extends TestPlane {
  readonly listeners: Listeners
  #listening: Promise<void> = Promise.resolve()
  #connections = 0

  constructor(options: InProcessOptions) {
    super(options, {
      clock: systemTimers,
      connector: tcpConnector,
      settings: (settings) => (this.#listening = this.listeners.apply(settings)),
    })
    this.listeners = new Listeners({
      requests: this.plane.handler,
      timers: this.plane.timers,
      wall: systemTimers.wall,
      reusePort: false,
      heldLimit: 1 << 20,
      countConnection: (delta) => (this.#connections += delta),
      metricsRow: () => 0,
      refusedConnection: (metricsRow) => this.metrics.connectionRefused(metricsRow),
      changed: () => {},
    })
  }

  async listen(options: InProcessOptions): Promise<void> {
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }], options)
    this.plane.messages.accept({ type: 'settings', settings })
    await this.#listening
    if (options.unlinked !== true) await this.linked
    const [failure] = this.listeners.failures
    if (failure !== undefined) throw new Error(failure.message)
  }

  get port(): number {
    return this.listeners.ports.get('http')!
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.port)
  }

  override get holdings(): Readonly<Record<string, number>> {
    return { ...super.holdings, connections: this.#connections }
  }

  /** Waits until nothing is left; fails after five seconds with what is. */
  async nothingLeft(): Promise<void> {
    const deadline = performance.now() + 5_000
    for (;;) {
      const left = Object.entries(this.holdings).filter(([, count]) => count !== 0)
      if (left.length === 0) return
      if (performance.now() > deadline) throw new Error(`left over: ${JSON.stringify(left)}`)
      await delay(5)
    }
  }
}

export async function inProcess(scope: Scope, options: InProcessOptions = {}): Promise<InProcess> {
  const gateway = new InProcess(options)
  await gateway.listen(options)
  scope.after(() => {
    gateway.listeners.destroy()
    gateway.plane.backends.retain([])
  })
  return gateway
}
