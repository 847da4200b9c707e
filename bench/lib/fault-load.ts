/** Requests at a fixed rate, whatever their answers take, each with what became of it. Nothing is tried again. */
import { Agent, request } from 'node:http'
import { schedule } from './open-loop.ts'

export interface FaultLoadOptions {
  readonly address: string
  readonly port: number
  readonly host: string
  /** GETs a second. */
  readonly rate: number
  /** POSTs a second. */
  readonly posts: number
}

export interface Outcome {
  readonly method: 'GET' | 'POST'
  /** Wall clock, when it was sent. */
  readonly at: number
  readonly took: number
  /** 0: the connection failed. */
  readonly status: number
  /** Who answered; '' is the gateway itself, or nobody. */
  readonly servedBy: string
}

const TIMEOUT_MS = 30_000
/** Seconds of a schedule; longer runs have no more requests. */
const MOST_SECONDS = 300

export class FaultLoad {
  readonly outcomes: Outcome[] = []
  readonly #options: FaultLoadOptions
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1_000 })
  readonly #began = performance.now()
  readonly #waiting = new Set<() => void>()
  #stopped = false
  #underWay = 0

  constructor(options: FaultLoadOptions) {
    this.#options = options
    this.#drive('GET', options.rate)
    if (options.posts > 0) this.#drive('POST', options.posts)
  }

  /** Resolves with the first outcome that comes from now on for which `holds` is true; undefined after so long. */
  async next(holds: (outcome: Outcome) => boolean, within: number): Promise<Outcome | undefined> {
    const deadline = performance.now() + within
    for (let seen = this.outcomes.length; performance.now() < deadline; ) {
      for (; seen < this.outcomes.length; seen++) if (holds(this.outcomes[seen]!)) return this.outcomes[seen]
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, Math.max(1, deadline - performance.now()))
        this.#waiting.add(done)
      })
    }
    return undefined
  }

  /** Sends no more; resolves when every answer is there. */
  async stop(): Promise<void> {
    this.#stopped = true
    while (this.#underWay > 0) await this.next(() => true, TIMEOUT_MS)
    this.#agent.destroy()
  }

  #drive(method: Outcome['method'], rate: number): void {
    const due = schedule(rate, Math.ceil(rate * MOST_SECONDS))
    let sent = 0
    const look = (): void => {
      if (this.#stopped || sent === due.length) return
      for (const now = performance.now() - this.#began; sent < due.length && due[sent]! <= now; sent++)
        this.#send(method)
      setTimeout(look, 1)
    }
    look()
  }

  #send(method: Outcome['method']): void {
    const { address, port, host } = this.#options
    const at = Date.now()
    const began = performance.now()
    this.#underWay++
    let ended = false
    const end = (status: number, servedBy: string): void => {
      if (ended) return
      ended = true
      this.#underWay--
      this.outcomes.push({ method, at, took: performance.now() - began, status, servedBy })
      for (const wake of [...this.#waiting]) wake()
    }
    const body = method === 'POST' ? 'an order' : ''
    const headers = { host, ...(method === 'POST' && { 'content-length': body.length }) }
    const sending = request({ port, host: address, path: '/', method, headers, agent: this.#agent })
    sending.setTimeout(TIMEOUT_MS, () => sending.destroy())
    sending.on('error', () => end(0, ''))
    sending.on('response', (response) => {
      response.resume()
      response.on('error', () => end(0, ''))
      response.on('end', () => end(response.statusCode!, String(response.headers['x-served-by'] ?? '')))
    })
    sending.end(body)
  }
}
