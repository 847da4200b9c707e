/** Renders the metrics on request: at any time, also before the control thread has settings. */

import type { Logger } from '../log/process-log.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import { type AdminInputs, metricsSource } from './admin-view.ts'

export interface MetricsText {
  readonly contentType: string
  readonly body: string
}

export class MetricsAnswers {
  readonly #shared: SharedBuffers
  readonly #inputs: AdminInputs
  readonly #log: Logger
  #registry: Promise<{ contentType: string; render(): Promise<string> }> | undefined

  constructor(shared: SharedBuffers, inputs: AdminInputs, log: Logger) {
    this.#shared = shared
    this.#inputs = inputs
    this.#log = log
  }

  /** Loaded only when asked for: nothing that serves traffic waits for it. */
  async read(): Promise<MetricsText> {
    const { version } = this.#inputs
    this.#registry ??= import('../admin/metrics-registry.ts').then(
      ({ MetricsRegistry }) =>
        new MetricsRegistry({ shared: this.#shared, source: metricsSource(this.#inputs), version }),
    )
    const registry = await this.#registry
    return { contentType: registry.contentType, body: await registry.render() }
  }

  /** A request never ends the thread. @returns undefined where the metrics cannot be read; the log has the cause */
  async tryRead(): Promise<MetricsText | undefined> {
    try {
      return await this.read()
    } catch (error) {
      this.#log.error({ error }, 'the metrics cannot be read')
      return undefined
    }
  }
}
