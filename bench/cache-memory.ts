/**
 * `node bench/cache-memory.ts [OBJECTS]`: what an object takes in the memory of responses besides its own bytes, what
 * finding one costs, and what storing one costs that pushes out another. Needs 2 GiB for a million objects.
 */
import { NUMBERS_BYTES } from '../src/cache/cache-numbers.ts'
import { allocateCache, readCacheStatistics } from '../src/cache/memory/buffers.ts'
import { divideCache, UNIT_BYTES } from '../src/cache/memory/layout.ts'
import { WorkerResponseMemory } from '../src/cache/memory/worker-response-memory.ts'
import { type EntryHead, type EntryKey, EntryKind } from '../src/cache/response-memory.ts'

const OBJECTS = Number(process.argv[2] ?? 1_000_000)
const WORKERS = 2
const BODY = Buffer.alloc(1_024, 'x')
const HEAD = Buffer.alloc(250, 'h')
/** Whole path, exact URL, Route, rule and a tag: 64 bits each. */
const SUBJECT = Buffer.alloc(40)
/** Room for all, with what they take beside. */
const BYTES_EACH = BODY.length + HEAD.length + 400

const key = Buffer.alloc(256)
let entry: EntryKey = { bytes: key, length: 0 }

function keyOf(object: number): EntryKey {
  const length = key.write(`https://www.example.com/products/images/${object}.jpg namespace/route/rule`)
  if (entry.length !== length) entry = { bytes: key, length }
  return entry
}

const buffers = allocateCache(OBJECTS * BYTES_EACH, WORKERS, [1, 2])!
const workers = Array.from({ length: WORKERS }, (_, i) => new WorkerResponseMemory(buffers, WORKERS, i, setImmediate))
const meta: EntryHead = {
  kind: EntryKind.Response,
  numbers: new Uint8Array(NUMBERS_BYTES),
  head: HEAD,
  subject: SUBJECT,
  bodyBytes: BODY.length,
  until: Number.MAX_VALUE,
  began: 0,
}

function store(object: number): void {
  const memory = workers[object % WORKERS]!
  const fill = memory.begin(keyOf(object), 'shop', 0)
  if (typeof fill === 'string' || fill.type !== 'fill') throw new Error('nobody else fills')
  fill.head(meta)
  fill.write(BODY, 0, BODY.length)
  fill.end()
}

function sum(statistic: 'Entries' | 'UsedBytes' | 'Evicted'): number {
  return workers.reduce((all, _, i) => all + readCacheStatistics(buffers, WORKERS, i)[statistic], 0)
}

/** Nanoseconds of CPU, each. */
function cost(times: number, run: (i: number) => void): number {
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) run(i)
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1_000) / times
}

/** Of the process, without what its heap has taken. */
function residentBytes(): number {
  const { rss, heapTotal } = process.memoryUsage()
  return rss - heapTotal
}

const resident = residentBytes()
for (let object = 0; object < OBJECTS; object++) store(object)
for (const memory of workers) memory.sweep(0, 1, () => false)
const grown = residentBytes() - resident
const entries = sum('Entries')
const used = sum('UsedBytes')
const payload = entries * (BODY.length + HEAD.length)
const tables = buffers.memory.byteLength - workers.length * segmentBytes()
console.log(`${entries} objects of ${BODY.length} bytes with heads of ${HEAD.length}, ${sum('Evicted')} evicted`)
console.log(`records: ${((used - payload) / entries).toFixed(0)} bytes each besides body and head, with key and labels`)
console.log(`tables (index, claims, ghosts): ${(tables / entries).toFixed(0)} bytes each`)
console.log(`both: ${((used - payload + tables) / entries).toFixed(0)} bytes each`)
console.log(
  `resident memory outside of the heap: ${((grown - payload) / entries).toFixed(0)} bytes each besides body and head`,
)

const body = Buffer.alloc(BODY.length)
const spread = (i: number): number => (i * 7_919) % OBJECTS
const found = cost(1_000_000, (i) => {
  const memory = workers[i % WORKERS]!
  const hit = memory.find(keyOf(spread(i)))
  hit?.copyBody(0, body, 0, body.length)
  memory.leave()
})
const keys = cost(1_000_000, (i) => void keyOf(spread(i)))
console.log(`finding one of all and copying its body: ${(found - keys).toFixed(0)} ns of CPU, without making the key`)
const hot = cost(1_000_000, (i) => {
  const memory = workers[0]!
  memory.find(keyOf(i % 100))
  memory.leave()
})
console.log(`finding one of a hundred: ${(hot - keys).toFixed(0)} ns of CPU`)
console.log(
  `storing one: ${(cost(300_000, (i) => store(OBJECTS + i)) - keys).toFixed(0)} ns of CPU; ${sum('Evicted')} evicted`,
)

function segmentBytes(): number {
  const layout = divideCache(buffers.memory.byteLength, WORKERS)!
  return layout.segmentUnits * UNIT_BYTES
}
