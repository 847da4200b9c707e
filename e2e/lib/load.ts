/**
 * A steady, bounded load over keep-alive connections, run in a pod: every request that is not answered as expected is
 * counted with its reason, and nothing is tried again. Prints what happened so far as one line of JSON every second.
 *
 * This file is mounted into the pod as it is, so it stands alone.
 */
import { Agent, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import type { LoadReport } from './load-report.ts'

export interface LoadOptions {
  /** `http://address:port/path`, or `https:` with the host as SNI; no certificate is verified. */
  readonly url: string
  /** The Host field. */
  readonly host: string
  readonly method?: string
  /** Requests a second over all connections. */
  readonly rate: number
  readonly connections: number
  readonly headers?: Readonly<Record<string, string>>
  /** The one good status; 200 if not said. */
  readonly status?: number
  /** Milliseconds for one request. */
  readonly timeout?: number
  /** A new connection after so many requests; never if not said. */
  readonly perConnection?: number
  /**
   * So many pages of cached-origin.ts below the URL are asked for, in three variants; a body that is not that page and
   * variant in every line, and of one version, is a failure.
   */
  readonly pages?: number
}

interface State {
  requests: number
  failures: number
  connections: number
  late: number
  longestGap: number
  lastGood: number
  reasons: Map<string, number>
  served: Map<string, number>
  first: { at: number; reason: string }[]
  /** Answers by whole tenths of a millisecond, the last for everything from ten seconds on. */
  latency: Uint32Array
}

const HIGHEST = 100_000

function run(options: LoadOptions): void {
  const started = performance.now()
  const state: State = {
    requests: 0,
    failures: 0,
    connections: 0,
    late: 0,
    longestGap: 0,
    lastGood: started,
    reasons: new Map(),
    served: new Map(),
    first: [],
    latency: new Uint32Array(HIGHEST + 1),
  }
  for (let lane = 0; lane < options.connections; lane++) void drive(options, state, started, lane)
  setInterval(() => console.log(JSON.stringify(reportOf(state, started))), 1000)
}

/** One connection: a request each time one is due, one at a time. */
async function drive(options: LoadOptions, state: State, started: number, lane: number): Promise<void> {
  const interval = (1000 * options.connections) / options.rate
  let agent = newAgent(options)
  let due = started + (interval * lane) / options.connections
  for (let sent = 1; ; sent++) {
    const now = performance.now()
    if (now < due) await new Promise((resolve) => setTimeout(resolve, due - now))
    else if (now - due > interval) {
      state.late++
      // What could not be sent is not made up for: the load stays bounded.
      due = now
    }
    due += interval
    await send(options, state, started, agent)
    if (options.perConnection !== undefined && sent % options.perConnection === 0) {
      agent.destroy()
      agent = newAgent(options)
    }
  }
}

function newAgent({ url, host }: LoadOptions): Agent {
  const keep = { keepAlive: true, maxSockets: 1 }
  return url.startsWith('https:')
    ? new TlsAgent({ ...keep, servername: host, rejectUnauthorized: false })
    : new Agent(keep)
}

function send(options: LoadOptions, state: State, started: number, agent: Agent): Promise<void> {
  return new Promise((resolve) => {
    const begun = performance.now()
    const page = options.pages === undefined ? undefined : pageOf(state.requests, options.pages)
    let ended = false
    const end = (reason?: string, server?: string) => {
      if (ended) return
      ended = true
      const now = performance.now()
      state.requests++
      if (reason === undefined) {
        state.latency[Math.min(HIGHEST, Math.floor((now - begun) * 10))]!++
        state.longestGap = Math.max(state.longestGap, now - state.lastGood)
        state.lastGood = now
        if (server !== undefined) add(state.served, server)
      } else {
        state.failures++
        // A report is one line, and only so long a line comes out of a pod's log in one piece.
        add(state.reasons, state.reasons.has(reason) || state.reasons.size < 50 ? reason : 'others')
        if (state.first.length < 20) state.first.push({ at: Math.round(begun - started), reason })
      }
      resolve()
    }
    const sending = (options.url.startsWith('https:') ? tlsRequest : request)(`${options.url}${page?.name ?? ''}`, {
      agent,
      method: options.method ?? 'GET',
      headers: { ...options.headers, ...(page && { 'x-variant': page.variant }), host: options.host },
      timeout: options.timeout ?? 10_000,
    })
    const reused = () => (sending.reusedSocket ? 'on a used connection' : 'on a new connection')
    sending.on('socket', (socket) => {
      if (socket.connecting) state.connections++
    })
    sending.on('timeout', () => {
      end(`timeout ${reused()}`)
      sending.destroy()
    })
    sending.on('error', (error: NodeJS.ErrnoException) => end(`${error.code ?? error.message} ${reused()}`))
    sending.on('response', (response) => {
      const server = response.headers['x-served-by']
      const expected = response.statusCode === (options.status ?? 200)
      let text = ''
      response.on('data', (chunk: Buffer) => {
        if (page !== undefined || (!expected && text.length < 1000)) text += chunk.toString('latin1')
      })
      response.on('error', () => end(`answer cut off ${reused()}`))
      response.on('end', () => {
        if (!response.complete) end(`answer cut off ${reused()}`)
        else if (expected && page !== undefined && !isPage(text, page)) end(`wrong body: ${text.slice(0, 100)}`)
        else if (expected) end(undefined, typeof server === 'string' ? server : undefined)
        else end(`${response.statusCode} ${/"reason":"(\w+)"/.exec(text)?.[1] ?? text.slice(0, 100)}`)
      })
    })
    sending.end()
  })
}

interface Page {
  readonly name: string
  readonly variant: string
}

function pageOf(number: number, pages: number): Page {
  return { name: `page-${number % pages}`, variant: ['de', 'en', 'fr'][number % 3]! }
}

function isPage(text: string, { name, variant }: Page): boolean {
  const [first = '', ...others] = text.split('\n').slice(0, -1)
  return new RegExp(`^\\S*/${name} ${variant} v\\d+$`).test(first) && others.every((line) => line === first)
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function reportOf(state: State, started: number): LoadReport {
  const { requests, failures, connections, late, reasons, served, first, latency } = state
  const good = requests - failures
  const below = (share: number) => {
    let left = Math.ceil(good * share)
    const at = latency.findIndex((count) => (left -= count) <= 0)
    return at / 10
  }
  return {
    seconds: (performance.now() - started) / 1000,
    requests,
    failures,
    reasons: Object.fromEntries(reasons),
    first,
    connections,
    late,
    latency: { p50: below(0.5), p99: below(0.99), max: below(1) },
    longestGap: Math.max(state.longestGap, performance.now() - state.lastGood),
    served: Object.fromEntries(served),
  }
}

if (import.meta.main) run(JSON.parse(process.argv[2]!))
