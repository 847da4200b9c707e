/**
 * A worker of the stress test of the memory of responses: stores, finds, reads slowly, reads along, replaces and
 * removes as fast as it can, and compares every byte that it sees with what its head says.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { NUMBERS_BYTES } from '../../src/cache/cache-numbers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import {
  type EntryBytes,
  type EntryKey,
  EntryKind,
  type Fill,
  type FillUnderWay,
  type HeldEntry,
  type PassedBody,
} from '../../src/cache/response-memory.ts'
import {
  bodyByte,
  CACHE_BYTES,
  COUNTERS,
  Counter,
  firstForeign,
  HOT_KEYS,
  KEYS,
  type ResponseStressData,
  type ResponseStressSays,
  WORKERS,
} from './response-messages.ts'
import { random } from './thread-messages.ts'

const OWNERS = ['shop', 'news', 'api']
const MAX_FILLS = 12
const MAX_READERS = 40
const CHUNK = 20_000
/** No body as long as that can be kept. */
const MOST_KEPT = CACHE_BYTES / WORKERS / 2
/** What a worker does in one turn of its loop. */
const STEPS = 30

interface OwnFill {
  readonly fill: Fill
  readonly key: number
  readonly seed: number
  readonly length: number
  readonly fate: 'end' | 'fail' | 'short' | 'unkept'
  readonly source: HeldEntry | undefined
  written: number
  /** It is not kept, and others read along. */
  passed: PassedBody | undefined
}

/** A slow client: of an entry, or of a fetch of somebody else. */
interface Reader {
  readonly key: number
  read: number
  held: HeldEntry | undefined
  said: Said | undefined
  readonly follows: FillUnderWay | undefined
}

/** What the head of an entry says that it is. */
interface Said {
  readonly key: number
  readonly seed: number
  readonly length: number
}

class StressWorker {
  readonly #index: number
  readonly #memory: WorkerResponseMemory
  readonly #chance: () => number
  readonly #claims: Int32Array
  readonly #counters: Float64Array
  readonly #scratch = Buffer.alloc(CHUNK)
  readonly #key = Buffer.alloc(128)
  readonly #fills: OwnFill[] = []
  #readers: Reader[] = []
  #finishing = false

  constructor(data: ResponseStressData) {
    this.#index = data.index
    this.#memory = new WorkerResponseMemory(data.cache, WORKERS, data.index, setImmediate)
    this.#chance = random(data.seed)
    this.#claims = new Int32Array(data.claims)
    this.#counters = new Float64Array(data.counters)
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      if (!this.#finishing) this.#ask()
      this.#goOn()
      this.#readOn()
    }
    if (this.#finishing && this.#fills.length === 0 && this.#readers.length === 0) {
      this.#memory.leave()
      say({ type: 'finished' })
      return
    }
    setImmediate(() => this.run())
  }

  finish(): void {
    this.#finishing = true
  }

  #count(counter: number, by = 1): void {
    this.#counters[this.#index * COUNTERS + counter]! += by
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit)
  }

  #keyOf(key: number): EntryKey {
    const length = this.#key.write(`key ${key} ${'x'.repeat(key % 50)}`)
    return { bytes: this.#key, length }
  }

  #ask(): void {
    const key = this.#chance() < 0.7 ? this.#below(HOT_KEYS) : this.#below(KEYS)
    const found = this.#memory.find(this.#keyOf(key))
    if (found === null) return this.#begin(key, 0, undefined)
    this.#count(Counter.Hits)
    const said = this.#judge(found, key)
    const { serial, kind } = found
    const what = this.#chance()
    let held: HeldEntry | null = null
    if (what < 0.03) this.#memory.remove(found)
    else if (what < 0.2) held = found.hold()
    else if (said !== undefined) this.#compare(found, said, 0, found.bodyBytes)
    this.#memory.leave()
    if (held !== null && this.#readers.length < MAX_READERS && !(what < 0.06))
      this.#readers.push({ key, read: 0, held, said: undefined, follows: undefined })
    else if (held !== null && kind === EntryKind.Response && what < 0.06) this.#begin(key, serial, held)
    else held?.release()
    if (what > 0.97) this.#begin(key, serial, undefined)
  }

  #begin(key: number, seen: number, source: HeldEntry | undefined): void {
    const begun = this.#memory.begin(this.#keyOf(key), OWNERS[key % OWNERS.length]!, seen)
    if (typeof begun === 'string') return source?.release()
    if (begun.type === 'under-way') {
      source?.release()
      if (this.#readers.length >= MAX_READERS) return begun.cancel()
      begun.follow(() => {})
      this.#readers.push({ key, read: 0, held: undefined, said: undefined, follows: begun })
      return
    }
    this.#claim(key, 1)
    if (this.#fills.length >= MAX_FILLS) {
      source?.release()
      this.#claim(key, 0)
      return begun.fail()
    }
    this.#fill(key, begun, source)
  }

  /** Nobody else may have the claim of this key. */
  #claim(key: number, has: 0 | 1): void {
    Atomics.store(this.#claims, this.#index * KEYS + key, has)
    if (has === 0) return
    for (let worker = 0; worker < WORKERS; worker++)
      if (worker !== this.#index && Atomics.load(this.#claims, worker * KEYS + key) !== 0)
        violation(`workers ${this.#index} and ${worker} both fetch key ${key}`)
  }

  #fill(key: number, fill: Fill, source: HeldEntry | undefined): void {
    if (source?.gone === true) {
      this.#claim(key, 0)
      return fill.fail()
    }
    const old = source === undefined ? undefined : this.#judge(source, key)
    const seed = old?.seed ?? this.#below(2 ** 30)
    const length = old?.length ?? this.#length()
    const chance = this.#chance()
    const kind = source === undefined && chance > 0.97 ? EntryKind.Vary : EntryKind.Response
    const head = Buffer.from(`${key} ${seed} ${length} ${'h'.repeat(this.#below(300))}`)
    const known = chance < 0.6
    const meta = {
      kind,
      numbers: new Uint8Array(NUMBERS_BYTES).fill(key),
      head,
      subject: Buffer.alloc(8 * this.#below(5), key),
      bodyBytes: known ? length : -1,
      until: 1e15,
      began: 1,
    }
    if (kind === EntryKind.Vary) {
      this.#claim(key, 0)
      fill.record({ ...meta, bodyBytes: 0 })
      return
    }
    const fate = chance < 0.05 ? 'fail' : chance < 0.1 && length > 0 ? 'short' : chance < 0.13 ? 'unkept' : 'end'
    // The claim is over within the call where there is no room.
    this.#claim(key, 0)
    if (!fill.head(meta)) return source?.release()
    this.#fills.push({ fill, key, seed, length, fate, source, written: 0, passed: undefined })
  }

  #length(): number {
    const what = this.#chance()
    if (what < 0.1) return this.#below(3)
    if (what < 0.85) return this.#below(4_000)
    if (what < 0.98) return this.#below(60_000)
    if (what < 0.99) return this.#below(400_000)
    return this.#below(3_000_000)
  }

  /** One step of one fill. */
  #goOn(): void {
    const at = this.#below(this.#fills.length)
    const own = this.#fills[at]
    if (own === undefined) return
    const over = own.source === undefined ? this.#write(own) : this.#copy(own, own.source)
    if (!over) return
    this.#fills.splice(at, 1)
    own.source?.release()
  }

  #write(own: OwnFill): boolean {
    const last = own.fate === 'short' ? own.length - 1 : own.length
    if (own.written < last) {
      const count = Math.min(last - own.written, 1 + this.#below(CHUNK))
      for (let i = 0; i < count; i++) this.#scratch[i] = bodyByte(own.seed, own.written + i)
      return own.passed === undefined ? this.#store(own, count) : this.#pass(own, own.passed, 0, count)
    }
    this.#end(own)
    return true
  }

  /** @returns whether it is over */
  #store(own: OwnFill, count: number): boolean {
    const passed = own.fill.pass(this.#scratch, 0, count)
    own.written += count
    if (typeof passed === 'boolean') return !passed
    own.passed = passed
    const rest = own.written - passed.written
    own.written = passed.written
    return this.#pass(own, passed, count - rest, count)
  }

  #pass(own: OwnFill, passed: PassedBody, from: number, to: number): boolean {
    own.written += passed.write(this.#scratch, from, to)
    if (own.written !== passed.written) violation(`key ${own.key} has ${passed.written} of ${own.written} bytes`)
    if (this.#chance() < 0.01) passed.hurry()
    if (!passed.unread && this.#chance() > 0.001) return false
    passed.fail()
    return true
  }

  #end(own: OwnFill): void {
    if (own.passed !== undefined) {
      this.#count(Counter.Passed)
      if (own.fate === 'end') own.passed.end()
      else own.passed.fail()
      return
    }
    if (own.fate === 'fail') {
      this.#count(Counter.Failed)
      own.fill.fail()
    } else if (own.fate === 'short') own.fill.fail()
    else if (own.fill.end(own.fate !== 'unkept')) this.#count(Counter.Stored)
  }

  #copy(own: OwnFill, source: HeldEntry): boolean {
    const copied = own.fill.copy(source, 1 + this.#below(CHUNK))
    if (copied === false) return false
    if (copied === null) return true
    this.#count(Counter.Copied)
    this.#end(own)
    return true
  }

  /** One step of one slow client. */
  #readOn(): void {
    const at = this.#below(this.#readers.length)
    const reader = this.#readers[at]
    if (reader === undefined || (!this.#finishing && this.#chance() < 0.3)) return
    if (reader.held === undefined) reader.held = reader.follows?.hold() ?? undefined
    const { held } = reader
    if (held?.gone === true) this.#count(Counter.TakenBack)
    const over = held === undefined ? !this.#waits(reader) : held.gone || this.#readSome(reader, held)
    if (!over) return
    reader.follows?.cancel()
    reader.held?.release()
    this.#readers = this.#readers.filter((other) => other !== reader)
  }

  #waits({ follows }: Reader): boolean {
    const state = follows!.state
    return state === 'waiting' || state === 'filling'
  }

  /** @returns whether there is nothing more to read */
  #readSome(reader: Reader, held: HeldEntry): boolean {
    // Behind the first piece of what is not kept there is no head.
    const said = (reader.said ??= this.#judge(held, reader.key))
    if (said === undefined) return true
    const state = reader.follows?.state ?? 'whole'
    const written = held.reach(reader.read)
    if (held.gone) return true
    const count = Math.min(written - reader.read, 1 + this.#below(CHUNK))
    this.#compare(held, said, reader.read, count)
    reader.read += count
    if (reader.read < held.reach(reader.read)) return false
    if (held.gone) return true
    if (state === 'whole') {
      if (held.bodyBytes !== said.length || held.written !== said.length)
        violation(`key ${reader.key} has ${held.written} of ${said.length} bytes and is whole`)
      const { follows } = reader
      this.#count(follows === undefined ? Counter.HeldBodies : Counter.Followed)
      if (said.length > MOST_KEPT) this.#count(Counter.PassedWhole)
      return true
    }
    return state !== 'waiting' && state !== 'filling'
  }

  /** What the entry says that it is must be what was asked for. */
  #judge(entry: EntryBytes, key: number): Said | undefined {
    const text = (at: number, length: number): string => entry.bytes.latin1Slice(at, at + length)
    const said = text(entry.headAt, entry.headBytes).split(' ').map(Number)
    const [ofKey, seed, length] = said as [number, number, number]
    const { length: bytes } = this.#keyOf(key)
    if (ofKey !== key || text(entry.keyAt, entry.keyBytes) !== this.#key.latin1Slice(0, bytes))
      violation(
        `worker ${this.#index} got ${ofKey} for key ${key}: ${JSON.stringify(text(entry.keyAt, entry.keyBytes))}`,
      )
    for (let i = 0; i < NUMBERS_BYTES; i++)
      if (entry.bytes[entry.numbersAt + i] !== (key & 0xff)) violation(`foreign numbers in key ${key}`)
    for (let i = 0; i < entry.subjectBytes; i++)
      if (entry.bytes[entry.subjectAt + i] !== (key & 0xff)) violation(`foreign labels in key ${key}`)
    return entry.kind === EntryKind.Response ? { key, seed, length } : undefined
  }

  #compare(entry: EntryBytes, said: Said, from: number, count: number): void {
    for (let at = from; at < from + count; ) {
      const copied = entry.copyBody(at, this.#scratch, 0, Math.min(CHUNK, from + count - at))
      if (copied === 0) return violation(`key ${said.key}: no bytes at ${at} of ${said.length}`)
      const foreign = firstForeign(said.seed, at, this.#scratch, copied)
      if (foreign >= 0) return violation(`key ${said.key}: a foreign byte at ${foreign} of ${said.length}`)
      this.#count(Counter.CheckedBytes, copied)
      at += copied
    }
  }
}

function say(message: ResponseStressSays): void {
  parentPort!.postMessage(message)
}

function violation(what: string): void {
  say({ type: 'violation', what })
}

if (!isMainThread) {
  const worker = new StressWorker(workerData as ResponseStressData)
  parentPort!.once('message', () => worker.finish())
  say({ type: 'started' })
  worker.run()
}
