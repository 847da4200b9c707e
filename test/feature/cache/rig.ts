/** What the tests of the cache have in common: one gateway with two workers, one origin, a page for each case. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { eventually, type Gateway, manifest, type Scope, startGateway } from '../harness.ts'
import { RawClient, type RawResponse, type RequestOptions } from '../raw-client.ts'
import { type Answer, type Answers, type Asked, bodyOf, cacheOrigin, type Origin } from './origin.ts'

export type Fields = Readonly<Record<string, string>>

/** What a store holds is given out for it, however old; nothing is fetched. */
const WHAT_IS_STORED: Fields = { 'cache-control': 'only-if-cached, max-stale' }

export class CacheRig {
  readonly gateway: Gateway
  readonly origin: Origin
  /** Connections that no request uses; of both workers. */
  readonly #idle: RawClient[] = []
  #pages = 0

  private constructor(gateway: Gateway, origin: Origin) {
    this.gateway = gateway
    this.origin = origin
  }

  /**
   * @param policies hostname → its `cache`
   * @param more of manifests, by the name of their file; `up` is the Backend
   */
  static async start(
    scope: Scope,
    policies: Readonly<Record<string, object>>,
    more: (port: number) => string = () => '',
    settings: Readonly<Record<string, unknown>> = {},
  ): Promise<CacheRig> {
    const origin = await cacheOrigin(scope)
    const routes = Object.entries(policies).map(([host, cache]) => cachedRoute(host, cache))
    const endpoints = [{ address: '127.0.0.1', port: origin.port }]
    const all = manifest('Backend', 'up', { endpoints }) + routes.join('') + more(origin.port)
    const gateway = await startGateway(scope, { 'all.yaml': all }, { workers: 2, settings })
    const rig = new CacheRig(gateway, origin)
    scope.after(() => {
      for (const client of rig.#idle) client.socket.destroy()
    })
    return rig
  }

  /** A page of its own; the n-th time it is fetched it gives the n-th answer, further times the last. */
  page(host: string, ...answers: Answers): Page {
    return this.pageAt(`/p${++this.#pages}`, host, ...answers)
  }

  pageAt(path: string, host: string, ...answers: Answers): Page {
    return new Page(this, host, path, this.origin.add(path, answers))
  }

  async send(options: RequestOptions): Promise<RawResponse> {
    const client = this.#idle.pop() ?? (await RawClient.connect(this.gateway.port))
    const response = await client.request(options)
    if (
      response.framing === 'close' ||
      response.fields.some(([name, value]) => name === 'connection' && value === 'close')
    )
      client.socket.destroy()
    else this.#idle.push(client)
    return response
  }
}

export function cachedRoute(host: string, cache: object, policies: object = {}): string {
  const name = host.replaceAll('.', '-')
  const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache, retry: { attempts: 0 }, ...policies } }
  return manifest('Route', name, { hostnames: [host], rules: [rule] })
}

export class Page {
  readonly path: string
  readonly host: string
  /** What the origin was asked for it. */
  readonly asked: readonly Asked[]
  readonly #rig: CacheRig

  constructor(rig: CacheRig, host: string, path: string, asked: readonly Asked[]) {
    this.#rig = rig
    this.host = host
    this.path = path
    this.asked = asked
  }

  /** @param query with its `?` */
  get(headers: Fields = {}, query = ''): Promise<RawResponse> {
    return this.send({ headers, path: `${this.path}${query}` })
  }

  send(options: RequestOptions): Promise<RawResponse> {
    return this.#rig.send({ host: this.host, path: this.path, ...options })
  }

  /** GET, from the store alone: 504 where it has nothing. */
  stored(headers: Fields = {}): Promise<RawResponse> {
    return this.get({ ...headers, ...WHAT_IS_STORED })
  }

  /** A client gets the n-th answer, and the origin has been asked so many times. */
  is(response: RawResponse, answer: number, asked: number): void {
    assert.equal(response.status, 200, `${response.status} ${response.text}`)
    assert.equal(response.text, bodyOf(this.path, answer))
    assert.equal(this.asked.length, asked, `asked ${this.asked.length} times; ${shown(response)}`)
  }

  /** GET, and {@link is}. */
  async gets(answer: number, asked: number, headers: Fields = {}, query = ''): Promise<RawResponse> {
    const response = await this.get(headers, query)
    this.is(response, answer, asked)
    return response
  }

  /** A response from the store: the first answer, the origin asked no more than before; it has an Age (§5.1). */
  async hits(headers: Fields = {}, answer = 1, query = ''): Promise<RawResponse> {
    const before = this.asked.length
    const response = await this.gets(answer, before, headers, query)
    assert.match(response.header('age') ?? 'none', /^\d+$/, '§5.1: a response of a cache has an Age')
    return response
  }

  /** Waits until the origin was asked so many times. */
  async arrived(times: number): Promise<void> {
    await eventually(() => assert.ok(this.asked.length >= times, `asked ${this.asked.length} of ${times} times`))
  }

  /** The last request that the origin was sent. */
  get last(): Asked {
    return this.asked.at(-1)!
  }
}

export const shown = ({ status, fields }: RawResponse): string =>
  `${status} ${fields.map(([name, value]) => `${name}: ${value}`).join(' | ')}`

/** All lines of a field. */
export const linesOf = ({ fields }: RawResponse, name: string): string =>
  fields
    .filter(([own]) => own === name)
    .map(([, value]) => value)
    .join(', ')

/** The parameters of the member of this cache (RFC 9211), true where one has no value. */
export function cacheStatus(response: RawResponse): Readonly<Record<string, string | true>> {
  const value = linesOf(response, 'cache-status')
  const found: Record<string, string | true> = {}
  for (const part of value.split(', ').at(-1)!.split(';').slice(1)) {
    const [name = '', own] = part.trim().split('=', 2)
    found[name] = own ?? true
  }
  return found
}

/**
 * What becomes of a first response, seen by a second request:
 * - `hit`: it is used
 * - `stale`: it is stored, used for whoever takes it stale, and fetched anew for others
 * - `validates`: it is stored, and used when the origin says that it is still true
 * - `unstored`: nothing is stored
 * - `asks`: the origin is asked again, whether something is stored or not
 */
export type Fate = 'hit' | 'stale' | 'validates' | 'unstored' | 'asks'

export interface Row {
  /** Section and rule, the name of the test. */
  readonly rule: string
  /** Fields of the first answer, or more about it. */
  readonly answer: readonly string[] | Answer
  readonly host?: string
  /** Of the first request; the second has them too unless `again` is given. */
  readonly request?: Fields
  readonly again?: Fields
  readonly fate: Fate
}

/** One test for each row; they run at the same time. */
export function table(rig: () => CacheRig, rows: readonly Row[]): void {
  for (const row of rows) it(row.rule, () => check(rig(), row))
}

async function check(rig: CacheRig, row: Row): Promise<void> {
  const { host = STANDARD, request = {}, again = request, fate } = row
  const given: Answer = Array.isArray(row.answer) ? { fields: row.answer } : (row.answer as Answer)
  // What is stale at once is worth storing only where it can be validated.
  const first = fate === 'stale' ? { ...given, fields: [...(given.fields ?? []), 'etag: "of-the-table"'] } : given
  const page = rig.page(host, first, ({ fields }) =>
    fields.has('if-none-match') || fields.has('if-modified-since') ? { status: 304 } : {},
  )
  const status = first.status ?? 200
  const passed = await page.get(request)
  assert.equal(passed.status, status, shown(passed))
  const body = status === 204 || status === 304 ? '' : (first.body ?? bodyOf(page.path, 1))
  assert.equal(passed.text, String(body))
  if (fate === 'stale' || fate === 'unstored') {
    const stored = await page.stored(again)
    assert.equal(stored.status, fate === 'stale' ? status : 504, `what is stored: ${shown(stored)}`)
    if (fate === 'stale') assert.equal(stored.text, String(body))
    assert.equal(page.asked.length, 1, '§5.2.1.7: only-if-cached asks nobody')
  }
  const second = await page.get(again)
  const asked = fate === 'hit' ? 1 : 2
  assert.equal(page.asked.length, asked, `asked ${page.asked.length} times; ${shown(second)}`)
  const conditional = page.last.fields.has('if-none-match') || page.last.fields.has('if-modified-since')
  if (fate === 'validates') assert.ok(conditional, '§4.3.1: the stored validator is sent')
  if (asked === 2 && !conditional) {
    assert.equal(second.text, bodyOf(page.path, 2))
    return
  }
  assert.equal(second.status, status, shown(second))
  assert.equal(second.text, String(body))
  if (fate === 'hit') assert.match(second.header('age') ?? 'none', /^\d+$/, '§5.1: a response of a cache has an Age')
}

/** The host whose rule has `cache: {}` alone, or nearly so. */
export const STANDARD = 'standard.test'

export const FRESH = 'cache-control: max-age=3600'
/** An Expires, a Date or a Last-Modified so many seconds from now. */
export const date = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toUTCString()
