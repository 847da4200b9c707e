/**
 * Hit ratios of the memory of responses, as it runs, beside those of other policies with room for as many objects:
 * `node bench/cache-traces.ts [REQUESTS]`. The traces are made here, from a seed; nobody's requests are in the repository.
 */
import { NUMBERS_BYTES } from '../src/cache/cache-numbers.ts'
import { allocateCache, readCacheStatistics } from '../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../src/cache/memory/worker-response-memory.ts'
import { type EntryHead, type EntryKey, EntryKind } from '../src/cache/response-memory.ts'
import {
  adaptiveReplacement,
  clairvoyant,
  type EvictionPolicy,
  leastRecentlyUsed,
  sieve,
  windowTinyLfu,
} from './lib/eviction-policies.ts'

const REQUESTS = Number(process.argv[2] ?? 400_000)
const OBJECTS = 100_000
const BODY = Buffer.alloc(1_000, 'x')
const WORKERS = 2
/** Of the objects, that there is room for. */
const SHARES = [0.01, 0.05, 0.2]
/** What one takes, with its share of the tables. */
const ENTRY_BYTES = 1_450
const META: EntryHead = {
  kind: EntryKind.Response,
  numbers: new Uint8Array(NUMBERS_BYTES),
  head: Buffer.alloc(200, 'h'),
  subject: Buffer.alloc(32),
  bodyBytes: BODY.length,
  until: Number.MAX_VALUE,
  began: 0,
}

interface Trace {
  readonly name: string
  readonly objects: readonly number[]
}

/** xorshift32. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Draws ranks from 0, of which a few are asked for most. */
function zipf(objects: number, exponent: number, random: () => number): () => number {
  const sums = new Float64Array(objects)
  let sum = 0
  for (let rank = 0; rank < objects; rank++) sums[rank] = sum += 1 / (rank + 1) ** exponent
  return () => {
    const wanted = random() * sum
    let [low, high] = [0, objects - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

function traces(): Trace[] {
  const random = chance(20_261_129)
  const made = (name: string, next: (i: number) => number): Trace => ({
    name,
    objects: Array.from({ length: REQUESTS }, (_, i) => next(i)),
  })
  const steep = zipf(OBJECTS, 1, random)
  const flat = zipf(OBJECTS, 0.8, random)
  let [scan, left] = [OBJECTS, 0]
  return [
    made('Zipf 1.0', steep),
    made('Zipf 0.8', flat),
    made('Zipf 0.8, a third asked for once', () => (random() < 1 / 3 ? ++scan : flat())),
    made('Zipf 1.0, mixed with scans of 5,000', () => {
      if (left > 0) {
        left--
        return ++scan
      }
      if (random() < 1 / 10_000) left = 5_000
      return steep()
    }),
    made('Zipf 1.0, another half popular each quarter', (i) => {
      const rank = steep()
      return rank % 2 === 0 ? rank : rank + OBJECTS * Math.floor((4 * i) / REQUESTS)
    }),
  ]
}

/** The memory as it is; each request comes to any of its workers. @returns hits, and the objects that it has room for */
function runOurs({ objects }: Trace, bytes: number): { readonly hits: number; readonly capacity: number } {
  const buffers = allocateCache(bytes, WORKERS, [1, 2])
  if (buffers === undefined) throw new RangeError(`too little memory: ${bytes}`)
  const workers = Array.from({ length: WORKERS }, (_, i) => new WorkerResponseMemory(buffers, WORKERS, i, setImmediate))
  const random = chance(7)
  const key = Buffer.alloc(64)
  let hits = 0
  for (const object of objects) {
    const memory = workers[Math.floor(random() * WORKERS)]!
    const entry = { bytes: key, length: key.write(`http://example.com/objects/${object}`) }
    const found = memory.find(entry)
    memory.leave()
    if (found !== null) hits++
    else store(memory, entry)
  }
  const counts = workers.map((_, i) => readCacheStatistics(buffers, WORKERS, i).Entries)
  return { hits, capacity: counts.reduce((a, b) => a + b) }
}

function store(memory: WorkerResponseMemory, key: EntryKey): void {
  const fill = memory.begin(key, 'shop', 0)
  if (typeof fill === 'string' || fill.type !== 'fill') throw new Error('nobody else fills')
  fill.head(META)
  fill.write(BODY, 0, BODY.length)
  fill.end()
}

function ratio(hits: number): string {
  return `${((100 * hits) / REQUESTS).toFixed(1)} %`
}

function hitsOf(policy: EvictionPolicy, objects: readonly number[]): number {
  let hits = 0
  for (const object of objects) if (policy.request(object)) hits++
  return hits
}

for (const trace of traces()) {
  for (const share of SHARES) {
    const { hits, capacity } = runOurs(trace, Math.floor(share * OBJECTS * ENTRY_BYTES))
    const peers = [
      leastRecentlyUsed(capacity),
      windowTinyLfu(capacity),
      adaptiveReplacement(capacity),
      sieve(capacity),
      clairvoyant(capacity, trace.objects),
    ]
    const others = peers.map((policy) => `${policy.name} ${ratio(hitsOf(policy, trace.objects))}`)
    console.log(`${trace.name}, room for ${capacity}: headgate ${ratio(hits)}, ${others.join(', ')}`)
  }
}
