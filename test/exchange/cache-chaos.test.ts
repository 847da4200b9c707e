/**
 * `cache` in two workers that share the real memory and an archive, while content changes, the archive fails, memory is
 * scarce and clients are slow or leave: each 64 bytes of a body name its path and version, and no body is ever another
 * one's, nor ended before its end. Other courses: `CACHE_SEED=1 CACHE_RUNS=100 node --test
 * test/exchange/cache-chaos.test.ts`.
 */
import assert from 'node:assert/strict'
import { env } from 'node:process'
import { describe, it } from 'node:test'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import { cachingGateway } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { recordArchive } from '../lib/record-archive.ts'
import { settle } from '../lib/virtual-time.ts'
import type { ClientRequest, FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'

const SEED = Number(env.CACHE_SEED ?? 13)
const RUNS = Number(env.CACHE_RUNS ?? 1)
const STEPS = 400
const MEMORY = 6 * 1024 * 1024
const BLOCK = 64
const PATHS = 10

/** xorshift32. */
function randomOf(seed: number): () => number {
  let state = (seed * 2_654_435_761) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const sizeOf = (path: number): number => [300, 5_000, 70_000, 200_000, 575_900][path % 5]!

function bodyOf(path: number, version: number): string {
  const bytes = sizeOf(path)
  let text = ''
  for (let at = 0; at < bytes; at += BLOCK) text += `/${path} v${version} @${at}`.padEnd(BLOCK - 1).concat('\n')
  return text.slice(0, bytes)
}

class Course {
  readonly #random: () => number
  readonly #records = new HeapRecords()
  readonly #gateways: MemoryGateway[]
  readonly #versions = new Array<number>(PATHS).fill(0)
  readonly #paused: ClientRequest[] = []
  readonly #running = new Set<Promise<void>>()
  readonly wrong: string[] = []
  readonly counts = { whole: 0, cut: 0, errors: 0, hits: 0, validated: 0 }

  constructor(scope: Scope, seed: number, store: string) {
    this.#random = randomOf(seed)
    const buffers = allocateCache(MEMORY, 2, [1, 2])!
    this.#gateways = [0, 1].map((worker) => {
      const responses = new WorkerResponseMemory(buffers, 2, worker, (run) => void setImmediate(run))
      const archive = recordArchive({ records: this.#records })
      return cachingGateway(scope, (request) => void this.#serve(request), { cache: { store }, archive, responses })
    })
  }

  #chance(share: number): boolean {
    return this.#random() < share
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  async #serve(request: ServedRequest): Promise<void> {
    const path = Number(request.target.slice(1))
    const version = this.#versions[path]!
    const etag = `"${path}-${version}"`
    const fields: Record<string, string> = { etag, 'cache-control': `max-age=${1 + (path % 2)}` }
    for (let turns = this.#below(4); turns > 0; turns--) await settle()
    if (request.gone) return
    if (request.fields['if-none-match'] === etag) return request.respond(304, '', fields)
    if (this.#chance(0.03)) return request.respond(503, 'no', { 'cache-control': 'no-store' })
    const body = bodyOf(path, version)
    if ((path + version) % 2 === 0) fields['content-length'] = String(body.length)
    request.head(200, fields)
    const cut = this.#chance(0.03)
    const piece = 1 + this.#below(200_000)
    for (let at = 0; at < body.length; at += piece) {
      if (request.gone) return
      request.write(body.slice(at, at + piece))
      if (cut) return request.reset()
      for (let turns = this.#below(3); turns > 0; turns--) await settle()
    }
    if (!request.gone) request.end()
  }

  #ask(): void {
    const path = this.#below(PATHS)
    const fields: Record<string, string> = {}
    if (this.#chance(0.1)) fields['if-none-match'] = `"${path}-${this.#versions[path]!}"`
    if (this.#chance(0.05)) fields['cache-control'] = 'no-cache'
    const client = this.#gateways[this.#below(2)]!.ask({ path: `/${path}`, fields })
    if (this.#chance(0.2)) {
      client.pause()
      this.#paused.push(client)
    }
    const running = client.response().then(
      ({ status, body, complete, fields: got }) => this.#judge(path, status, body, complete, got),
      () => void this.counts.cut++,
    )
    this.#running.add(running)
    void running.then(() => this.#running.delete(running))
    if (this.#chance(0.03)) setImmediate(() => client.vanish())
  }

  #judge(path: number, status: number, body: string, complete: boolean, fields: FieldMap): void {
    if (!complete) this.counts.cut++
    else if (status >= 500) this.counts.errors++
    else if (status === 200) {
      this.counts.whole++
      const told = fields['cache-status'] ?? ''
      if (/;hit/.test(told)) this.counts.hits++
      if (/fwd-status=304/.test(told)) this.counts.validated++
      const version = Number(/-(\d+)"$/.exec(fields.etag ?? '')?.[1])
      const wanted = bodyOf(path, version)
      if (fields.etag !== `"${path}-${version}"` || body !== wanted)
        this.wrong.push(`/${path} v${version}: ${body.length} of ${wanted.length} bytes, ${told}, ${body.slice(0, 80)}`)
    } else if (status !== 304 || body !== '') this.wrong.push(`/${path}: ${status} ${body.slice(0, 100)}`)
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS && this.wrong.length === 0; step++) {
      for (let i = this.#below(4); i >= 0; i--) this.#ask()
      if (this.#chance(0.1)) this.#versions[this.#below(PATHS)]!++
      if (this.#chance(0.05)) this.#records.fault = this.#records.fault === null ? 'broken' : null
      if (this.#chance(0.03)) {
        this.#records.records.clear()
        this.#records.pieces.clear()
      }
      if (this.#chance(0.03))
        for (const name of [...this.#records.pieces.keys()]) if (this.#chance(0.3)) this.#records.pieces.delete(name)
      if (this.#chance(0.5)) this.#paused.splice(this.#below(this.#paused.length + 1), 1)[0]?.resume()
      const time = this.#chance(0.3) ? this.#below(900) : 0
      for (const gateway of this.#gateways) await gateway.pass(time)
    }
    for (const client of this.#paused) client.resume()
    for (let i = 0; i < 2_000 && this.#running.size > 0; i++)
      for (const gateway of this.#gateways) await gateway.pass(10)
    assert.equal(this.#running.size, 0, 'requests without an end')
    for (const gateway of this.#gateways) await gateway.nothingLeft()
    for (const gateway of this.#gateways) assert.deepEqual(gateway.errors, [])
  }
}

describe('responses while everything fails', () => {
  for (const store of ['Redis', 'Tiered', 'Memory'])
    it(`are right or cut: ${store}`, async (t) => {
      for (let run = 0; run < RUNS; run++) {
        const course = new Course(t, SEED + run, store)
        await course.run()
        const { counts, wrong } = course
        assert.deepEqual(wrong, [], `CACHE_SEED=${SEED + run}`)
        t.diagnostic(JSON.stringify(counts))
        assert.ok(counts.whole > 100 && counts.hits > 10 && counts.validated > 10, JSON.stringify(counts))
      }
    })
})
