/** Clients of the soak: each asks for one thing after the other, in many ways, and checks every byte that it gets. */
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Causes } from './causes.ts'
import { ERROR_FIELD } from './origin.ts'
import { type Thing, VARIANTS, versionAt, versionIn, type World } from './world.ts'

export interface Counts {
  requests: number
  /** Bodies of 200 and 206, and 304, each compared with what there is. */
  checked: number
  bytes: number
  hits: number
  ranges: number
  notModified: number
  heads: number
  posts: number
  /** Of a hundred clients that leave in the middle. */
  left: number
  /** The connection ended before the end: a worker or a replica was killed, or the origin cut. */
  broken: number
  /** Of these and of those left, whose bytes so far were compared. */
  begun: number
  /** 502, 503 and 504. */
  failures: number
  /** The first of them, each with what is wrong. */
  readonly wrong: string[]
  wrongs: number
}

export const emptyCounts = (): Counts => ({
  ...{ requests: 0, checked: 0, bytes: 0, hits: 0, ranges: 0, notModified: 0, heads: 0, posts: 0, left: 0 },
  ...{ broken: 0, begun: 0, failures: 0, wrong: [], wrongs: 0 },
})

/** A running gateway; its port changes when it is started again. */
export interface Replica {
  readonly name: string
  port: number
  /** The oldest version that it may serve of a thing since a time: what was purged. */
  readonly floors: Map<Thing, { readonly version: number; readonly since: number }[]>
}

type Kind = 'get' | 'range' | 'conditional' | 'head' | 'no-cache' | 'leave' | 'slow' | 'post'

/** Of a hundred requests; the rest are plain. */
const SHARES: readonly (readonly [Kind, number])[] = [
  ...[['range', 6] as const, ['conditional', 8] as const, ['head', 3] as const, ['no-cache', 1] as const],
  ...[['leave', 2] as const, ['slow', 1] as const, ['post', 0.3] as const],
]
const TIMEOUT = 20_000
const MOST_WRONG = 50

export class Client {
  readonly #world: World
  readonly #replicas: readonly Replica[]
  readonly #counts: Counts
  readonly #clock: () => number
  readonly #causes: Causes
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  /** ETags seen, to ask with. */
  readonly #seen = new Map<string, string>()

  constructor(world: World, replicas: readonly Replica[], counts: Counts, clock: () => number, causes: Causes) {
    this.#world = world
    this.#replicas = replicas
    this.#counts = counts
    this.#clock = clock
    this.#causes = causes
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      const replica = this.#replicas[Math.floor(Math.random() * this.#replicas.length)]!
      await this.#ask(replica)
    }
    this.#agent.destroy()
  }

  async #ask(replica: Replica): Promise<void> {
    const { things } = this.#world
    // Some are asked for much more often than others.
    const thing = things[Math.floor(things.length * Math.random() ** 3)]!
    const variant = VARIANTS[Math.floor(Math.random() * VARIANTS.length)]!
    const kind = kindOf(Math.random() * 100)
    const headers: Record<string, string> = { host: thing.host, 'x-variant': variant }
    const seen = `${thing.host}${thing.path} ${thing.varies ? variant : ''}`
    const tag = this.#seen.get(seen)
    const from = Math.floor(Math.random() * thing.bytes)
    const to = Math.min(thing.bytes - 1, from + Math.floor(Math.random() * 5_000))
    if (kind === 'range') headers.range = `bytes=${from}-${to}`
    if (kind === 'conditional' && tag !== undefined) headers['if-none-match'] = tag
    if (kind === 'no-cache') headers['cache-control'] = 'no-cache'
    const asked = this.#clock()
    const method = kind === 'head' ? 'HEAD' : kind === 'post' ? 'POST' : 'GET'
    this.#counts.requests++
    const trouble = (what: string, answered = false): void =>
      this.#causes.trouble({ what, replica: replica.name, thing, asked, ended: this.#clock(), answered })
    const { response, parts, body } = await this.#exchange(replica, thing, method, headers, kind, trouble)
    if (response === undefined) return
    if (body === undefined) {
      this.#tell(replica, kind, thing, variant, response, this.#judgeBeginning(thing, variant, response, parts))
      return
    }
    const status = response.statusCode!
    if (status >= 500) trouble(`${method} ${status} ${shortOf(body)}`, ERROR_FIELD in response.headers)
    const etag = String(response.headers.etag)
    if (status === 200 && method === 'GET') this.#seen.set(seen, etag)
    if (/\bhit\b/.test(String(response.headers['cache-status']))) this.#counts.hits++
    const posted = Number(response.headers['x-version'])
    const failed = /fwd-status=503/.test(String(response.headers['cache-status']))
    const answer = { status, etag, body, method, from, to, asked, replica, kind, posted, failed }
    this.#tell(replica, kind, thing, variant, response, this.#judge(thing, variant, answer))
  }

  #tell(
    replica: Replica,
    kind: Kind,
    thing: Thing,
    variant: string,
    { headers, statusCode }: IncomingMessage,
    wrong: string | undefined,
  ): void {
    if (wrong === undefined) return
    this.#counts.wrongs++
    if (this.#counts.wrong.length >= MOST_WRONG) return
    const { age, etag, 'content-length': length, 'cache-status': cache } = headers
    const told = `${cache}, age ${age}, ${statusCode}, etag ${etag}, length ${length}`
    this.#counts.wrong.push(`${replica.name} ${kind} ${thing.host}${thing.path} ${variant}: ${wrong} (${told})`)
  }

  /** What has come of a body that ends early, or that the client leaves, is right as far as it goes. */
  #judgeBeginning(
    thing: Thing,
    variant: string,
    { statusCode, headers }: IncomingMessage,
    parts: readonly Buffer[],
  ): string | undefined {
    const version = Number(/-(\d+)"$/.exec(String(headers.etag))?.[1])
    if (statusCode !== 200 || parts.length === 0 || !(version < thing.began.length)) return undefined
    if (headers.etag !== this.#world.etag(thing, variant, version)) return `the tag of another variant`
    const got = Buffer.concat(parts)
    const wanted = this.#world.body(thing, variant, version).subarray(0, got.length)
    this.#counts.begun++
    return wanted.equals(got) ? undefined : `in what came of it: ${described(wanted, got)}`
  }

  /** The response and its whole body, where it came to that. */
  async #exchange(
    replica: Replica,
    { path }: Thing,
    method: string,
    headers: Record<string, string>,
    kind: Kind,
    trouble: (what: string) => void,
  ): Promise<{
    readonly response?: IncomingMessage | undefined
    readonly parts: readonly Buffer[]
    readonly body?: Buffer | undefined
  }> {
    const parts: Buffer[] = []
    let response: IncomingMessage | undefined
    try {
      response = await send(replica.port, path, method, headers, this.#agent)
      return { response, parts, body: await this.#read(response, kind, parts) }
    } catch (error) {
      trouble(`${method} ${kind} ${String(error)}`)
      this.#counts.broken++
      await delay(5)
      return { response, parts }
    }
  }

  /** The whole body; undefined where the client left before its end. */
  async #read(response: IncomingMessage, kind: Kind, parts: Buffer[]): Promise<Buffer | undefined> {
    for await (const part of response) {
      parts.push(part as Buffer)
      if (kind === 'leave') {
        this.#counts.left++
        response.destroy()
        return undefined
      }
      if (kind === 'slow') await delay(20)
    }
    if (!response.complete) throw new Error('cut off')
    return Buffer.concat(parts)
  }

  #judge(thing: Thing, variant: string, answer: Judged): string | undefined {
    const { status, etag, body, method, asked, replica, kind } = answer
    const counts = this.#counts
    if (method === 'POST') {
      if (status === 204) {
        counts.posts++
        // What an unsafe request changed is not served by this replica any more (RFC 9111 §4.4).
        floorAt(replica, thing, answer.posted, this.#clock())
      } else if (status < 500) return `status ${status}`
      return undefined
    }
    if (status >= 502 && status <= 504) {
      counts.failures++
      return undefined
    }
    if (status !== 200 && status !== 206 && status !== 304) return `status ${status}: ${shortOf(body)}`
    const version = Number(/-(\d+)"$/.exec(etag)?.[1])
    // Where the origin fails, what is fresh is served although the client wants it validated (RFC 9111 §4.3.3).
    const validated = kind === 'no-cache' && !answer.failed
    const floor = validated ? versionAt(thing, asked) : floorOf(replica, thing, asked)
    const outdated = this.#world.outdated(thing, version, asked, floor)
    if (outdated !== undefined) return outdated
    if (etag !== this.#world.etag(thing, variant, version))
      return `the tag of another variant, ${variant} was asked for`
    counts.checked++
    counts.bytes += body.length
    if (status === 304) {
      counts.notModified++
      return body.length === 0 ? undefined : 'a 304 with a body'
    }
    if (method === 'HEAD') {
      counts.heads++
      return undefined
    }
    const whole = this.#world.body(thing, variant, version)
    if (status === 200) return whole.equals(body) ? undefined : described(whole, body)
    counts.ranges++
    const part = whole.subarray(answer.from, answer.to + 1)
    return part.equals(body) ? undefined : `bytes ${answer.from}-${answer.to}: ${described(part, body)}`
  }
}

interface Judged {
  readonly status: number
  readonly etag: string
  readonly body: Buffer
  readonly method: string
  readonly from: number
  readonly to: number
  readonly asked: number
  readonly replica: Replica
  readonly kind: Kind
  /** The version that a POST made. */
  readonly posted: number
  /** The origin has failed. */
  readonly failed: boolean
}

/** From this time on, no older version is right. */
export function floorAt(replica: Replica, thing: Thing, version: number, since: number): void {
  const floors = replica.floors.get(thing) ?? []
  floors.push({ version, since })
  // Older ones say less, once these hold.
  if (floors.length > 20) floors.shift()
  replica.floors.set(thing, floors)
}

function floorOf(replica: Replica, thing: Thing, asked: number): number {
  let floor = 0
  for (const { version, since } of replica.floors.get(thing) ?? []) if (since <= asked) floor = Math.max(floor, version)
  return floor
}

function kindOf(luck: number): Kind {
  let left = luck
  for (const [kind, share] of SHARES) {
    if (left < share) return kind
    left -= share
  }
  return 'get'
}

const shortOf = (body: Buffer): string => body.latin1Slice(0, Math.min(100, body.length))

function described(wanted: Buffer, got: Buffer): string {
  if (wanted.length !== got.length)
    return `${got.length} of ${wanted.length} bytes, ${JSON.stringify(got.latin1Slice(0, Math.min(80, got.length)))}`
  let at = 0
  while (wanted[at] === got[at]) at++
  return `from ${at} on ${JSON.stringify(got.latin1Slice(at - (at % 64), Math.min(got.length, at + 64)))}, version in it ${versionIn(got)}`
}

function send(
  port: number,
  path: string,
  method: string,
  headers: Record<string, string>,
  agent: Agent,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sending = request({ host: '127.0.0.1', port, path, method, headers, agent, timeout: TIMEOUT })
    sending.on('timeout', () => sending.destroy(new Error('timeout')))
    sending.on('error', reject)
    sending.on('response', resolve)
    sending.end()
  })
}
