/**
 * How an instance registers itself with Headgate: a PUT when it can serve, the same PUT as heartbeat, a DELETE before it
 * ends. See docs/registration.md.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export interface RegistrationOptions {
  /** `http://127.0.0.1:9901/api/v1/backends/shop/catalog` */
  readonly backend: string
  readonly tokenFile: string
  readonly id: string
  readonly address: string
  readonly port: number
}

const LEASE = '6s'
const HEARTBEAT_MS = 2_000
const RETRY_MS = 100
const TIMEOUT_MS = 2_000
/** The gateway stops as well at the same time, so nobody may be there to take leave of. */
const LEAVE_MS = 500

export class Registration {
  readonly #url: string
  readonly #options: RegistrationOptions
  readonly #stopped = new AbortController()

  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#url = `${options.backend}/endpoints/${options.id}`
  }

  /** Resolves once it is registered; heartbeats go on until {@link leave}. */
  async begin(): Promise<void> {
    while (!this.#stopped.signal.aborted && !(await this.#put())) await this.#pause(RETRY_MS)
    void this.#beat()
  }

  /** No new requests from now on. */
  async leave(): Promise<void> {
    this.#stopped.abort()
    await this.#send('DELETE', undefined, LEAVE_MS).catch(() => {})
  }

  async #beat(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      await this.#pause(HEARTBEAT_MS)
      // The same PUT: where the lease has ended meanwhile, it registers again.
      if (!this.#stopped.signal.aborted) await this.#put()
    }
  }

  async #put(): Promise<boolean> {
    const { address, port, id } = this.#options
    const body = { address, port, metadata: { name: id, pid: String(process.pid) }, lease: LEASE }
    try {
      const response = await this.#send('PUT', body, TIMEOUT_MS)
      if (response.ok) return true
      const { reason, detail } = (await response.json()) as { reason?: string; detail?: string }
      // The gateway may still be reading its manifests.
      if (reason !== 'BackendNotFound' && reason !== 'NotServing') console.error(`not registered: ${reason}: ${detail}`)
    } catch {
      // The gateway is starting, or is being restarted.
    }
    return false
  }

  async #send(method: string, body: object | undefined, within: number): Promise<Response> {
    const token = readFileSync(this.#options.tokenFile, 'utf8').trim()
    return await fetch(this.#url, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(within),
    })
  }

  async #pause(time: number): Promise<void> {
    await delay(time, undefined, { signal: this.#stopped.signal }).catch(() => {})
  }
}
