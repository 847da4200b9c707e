/**
 * Fills the memory of this replica from a list of URLs: requests of the gateway to its own listeners, at a bounded
 * rate, so that they pass what any request passes, and each rule decides as for a client without credentials.
 */
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { ReplicaWarmUp } from '../../admin/caches.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'

/** Where requests of a scheme go. */
export interface OwnListener {
  readonly address: string
  readonly port: number
  readonly tls: boolean
}

const AT_ONCE = 8
const TIMEOUT: Milliseconds = 30_000
/** Of a body; what is being stored is fetched to its end without its client. */
const MAX_READ = 16 * 1_024 * 1_024
/** That are kept. */
export const PROBLEMS = 20
const MAX_PROBLEM = 200

type Verdict = 'hits' | 'stored' | 'others' | 'failed'

export class WarmUp {
  readonly #urls: readonly URL[]
  readonly #listeners: () => readonly OwnListener[]
  readonly #counts: Record<Verdict, number> = { hits: 0, stored: 0, others: 0, failed: 0 }
  readonly #problems: { readonly url: string; readonly problem: string }[] = []
  readonly #stopTimer: () => void
  #next = 0
  #running = 0

  /** @param rate requests a second; below 1, too */
  constructor(urls: readonly URL[], listeners: () => readonly OwnListener[], time: TimerClock, rate: number) {
    this.#urls = urls
    this.#listeners = listeners
    this.#stopTimer = time.every(1_000 / rate, () => this.#begin())
    this.#begin()
  }

  get finished(): boolean {
    return this.#next === this.#urls.length && this.#running === 0
  }

  get view(): ReplicaWarmUp {
    const { hits, stored, others, failed } = this.#counts
    return {
      state: this.finished ? 'finished' : 'running',
      urls: this.#urls.length,
      requested: hits + stored + others + failed,
      ...{ hits, stored, others, failed },
      problems: this.#problems,
    }
  }

  stop(): void {
    this.#stopTimer()
    this.#next = this.#urls.length
  }

  #begin(): void {
    if (this.#next === this.#urls.length) return this.#stopTimer()
    if (this.#running >= AT_ONCE) return
    const url = this.#urls[this.#next++]!
    this.#running++
    void this.#request(url).then(([verdict, problem]) => {
      this.#running--
      this.#counts[verdict]++
      if (problem !== undefined && this.#problems.length < PROBLEMS)
        this.#problems.push({ url: url.href, problem: problem.slice(0, MAX_PROBLEM) })
    })
  }

  /** Never rejects. */
  #request(url: URL): Promise<[Verdict, string?]> {
    const tls = url.protocol === 'https:'
    const port = Number(url.port === '' ? (tls ? 443 : 80) : url.port)
    const own = this.#listeners().filter((listener) => listener.tls === tls)
    const listener = own.find((one) => one.port === port) ?? own[0]
    if (listener === undefined)
      return Promise.resolve(['failed', `there is no listener ${tls ? 'with' : 'without'} TLS`])
    const { promise, resolve } = Promise.withResolvers<[Verdict, string?]>()
    const options = {
      host: listener.address,
      port: listener.port,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, 'user-agent': 'headgate-warm-up', connection: 'close' },
      timeout: TIMEOUT,
      // Its own listener, at its own address: who it is need not be shown.
      ...(tls && { servername: url.hostname, rejectUnauthorized: false }),
    }
    const call = (tls ? requestHttps : requestHttp)(options, (response) => {
      const verdict = verdictOf(response.statusCode ?? 0, response.headers['cache-status'])
      let bytes = 0
      response.on('error', (error) => resolve(['failed', error.message]))
      response.on('end', () => resolve(verdict))
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= MAX_READ) return
        resolve(verdict)
        response.destroy()
      })
    })
    call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT / 1_000} s`)))
    call.on('error', (error) => resolve(['failed', error.message]))
    call.end()
    return promise
  }
}

const NOT_CACHED = 'its rule has no cache, or no rule has it; headgate explain says which'

/** By what the gateway itself says (RFC 9211); its entry is the last one, and no URL or detail in it has this text. */
function verdictOf(status: number, field: string | string[] | undefined): [Verdict, string?] {
  const text = `, ${field ?? ''}`
  const at = text.lastIndexOf(', headgate;')
  const entry = at === -1 ? '' : text.slice(at + 2)
  const parameters = entry.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
  if (/;\s*hit(?![^;])/.test(parameters)) return ['hits']
  if (/;\s*stored(?!=\?0)(?![^;=])/.test(parameters)) return ['stored']
  const why = entry === '' ? NOT_CACHED : entry
  return [status >= 500 || status === 0 ? 'failed' : 'others', `${status}: ${why}`]
}
