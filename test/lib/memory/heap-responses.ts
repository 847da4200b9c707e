/** The memory of responses for tests of what stands on it: a map of one thread, with all of the contract. */
import type {
  Begun,
  EntryBytes,
  EntryHead,
  EntryKey,
  EntryPlace,
  Fill,
  FillState,
  FillUnderWay,
  HeldEntry,
  ResponseMemory,
  StoredEntry,
} from '../../../src/cache/response-memory.ts'

class Entry implements StoredEntry, HeldEntry {
  readonly serial: number
  readonly kind: EntryBytes['kind']
  readonly bytes: Buffer
  readonly view: DataView
  readonly numbersAt = 0
  readonly headAt: number
  readonly headBytes: number
  readonly subjectAt: number
  readonly subjectBytes: number
  readonly keyAt: number
  readonly keyBytes: number
  readonly until: number
  readonly began: number
  readonly gone = false
  checked: number
  bodyBytes: number
  body: Buffer = Buffer.alloc(0)

  constructor(serial: number, key: Buffer, head: EntryHead) {
    this.serial = serial
    this.kind = head.kind
    const round = (length: number) => Math.ceil(length / 8) * 8
    this.subjectAt = round(head.numbers.length)
    this.headAt = this.subjectAt + round(head.subject.length)
    this.keyAt = this.headAt + head.head.length
    const shared = new SharedArrayBuffer(round(this.keyAt + key.length))
    this.bytes = Buffer.from(shared)
    this.view = new DataView(shared)
    this.bytes.set(head.numbers, 0)
    this.bytes.set(head.subject, this.subjectAt)
    this.bytes.set(head.head, this.headAt)
    this.bytes.set(key, this.keyAt)
    this.headBytes = head.head.length
    this.subjectBytes = head.subject.length
    this.keyBytes = key.length
    this.until = head.until
    this.began = head.began
    this.checked = head.began
    this.bodyBytes = head.bodyBytes
  }

  get place(): EntryPlace {
    return { slot: 0, record: 0, serial: this.serial }
  }

  get written(): number {
    return this.body.length
  }

  bodyText(from: number, length: number): string | null {
    return from + length > this.body.length ? null : this.body.toString('latin1', from, from + length)
  }

  copyBody(from: number, target: Uint8Array, at: number, length: number): number {
    const part = this.body.subarray(from, from + length)
    target.set(part, at)
    return part.length
  }

  setBits(offset: number, bits: number): void {
    this.view.setUint32(offset, this.view.getUint32(offset, true) | bits, true)
  }

  hold(): HeldEntry {
    return this
  }

  reach(): number {
    return this.written
  }

  release(): void {}
}

class HeapFill implements Fill {
  readonly type = 'fill'
  readonly followers = new Set<Follower>()
  readonly #memory: HeapResponses
  readonly #key: Buffer
  state: FillState = 'waiting'
  entry: Entry | null = null

  constructor(memory: HeapResponses, key: Buffer) {
    this.#memory = memory
    this.#key = key
  }

  get followed(): boolean {
    return this.followers.size > 0
  }

  head(head: EntryHead): boolean {
    this.entry = new Entry(++this.#memory.serial, this.#key, head)
    this.#become('filling')
    return true
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    const entry = this.entry!
    if (entry.body.length + end - start > this.#memory.maxBodyBytes) {
      this.fail()
      return false
    }
    entry.body = Buffer.concat([entry.body, bytes.subarray(start, end)])
    this.#become(this.state)
    return true
  }

  pass(bytes: Uint8Array, start: number, end: number): boolean {
    return this.write(bytes, start, end)
  }

  copy(from: HeldEntry): boolean | null {
    const bytes = Buffer.alloc(from.bodyBytes)
    from.copyBody(0, bytes, 0, bytes.length)
    return this.write(bytes, 0, bytes.length) ? true : null
  }

  end(keep = true): boolean {
    const entry = this.entry!
    if (entry.bodyBytes !== -1 && entry.bodyBytes !== entry.body.length) {
      this.fail()
      return false
    }
    entry.bodyBytes = entry.body.length
    if (keep) this.#memory.entries.set(this.#key.toString('hex'), entry)
    this.#over('whole')
    return true
  }

  record(head: EntryHead): boolean {
    if (this.entry !== null) {
      this.fail()
      return false
    }
    this.#memory.entries.set(this.#key.toString('hex'), new Entry(++this.#memory.serial, this.#key, head))
    this.#over('recorded')
    return true
  }

  fail(): void {
    this.#over('failed')
  }

  withdraw(): void {
    this.#over('recorded')
  }

  hold(): HeldEntry | null {
    return this.entry
  }

  #over(state: FillState): void {
    if (this.#memory.fills.get(this.#key.toString('hex')) === this) this.#memory.fills.delete(this.#key.toString('hex'))
    this.#become(state)
  }

  #become(state: FillState): void {
    this.state = state
    for (const follower of this.followers) follower.ring()
  }
}

class Follower implements FillUnderWay {
  readonly type = 'under-way'
  readonly #fill: HeapFill
  #changed: () => void = () => {}
  #rung = false

  constructor(fill: HeapFill) {
    this.#fill = fill
  }

  get state(): FillState {
    return this.#fill.state
  }

  follow(changed: () => void): void {
    this.#changed = changed
    this.#fill.followers.add(this)
  }

  ring(): void {
    if (this.#rung) return
    this.#rung = true
    setImmediate(() => {
      this.#rung = false
      if (this.#fill.followers.has(this)) this.#changed()
    })
  }

  hold(): HeldEntry | null {
    return this.#fill.entry
  }

  cancel(): void {
    this.#fill.followers.delete(this)
  }
}

export class HeapResponses implements ResponseMemory {
  readonly maxBodyBytes: number
  readonly entries = new Map<string, Entry>()
  readonly fills = new Map<string, HeapFill>()
  serial = 0

  constructor(maxBodyBytes = 1 << 24) {
    this.maxBodyBytes = maxBodyBytes
  }

  find(key: EntryKey): StoredEntry | null {
    return this.entries.get(textOf(key)) ?? null
  }

  findAt({ serial }: EntryPlace): StoredEntry | null {
    for (const entry of this.entries.values()) if (entry.serial === serial) return entry
    return null
  }

  leave(): void {}

  begin(key: EntryKey, _owner: string, seen: number): Begun {
    const text = textOf(key)
    const under = this.fills.get(text)
    if (under !== undefined) return new Follower(under)
    const there = this.entries.get(text)
    if (there !== undefined && there.serial !== seen) return 'found'
    const fill = new HeapFill(this, Buffer.from(text, 'hex'))
    this.fills.set(text, fill)
    return fill
  }

  remove({ bytes, keyAt, keyBytes }: StoredEntry): void {
    this.entries.delete(bytes.subarray(keyAt, keyAt + keyBytes).toString('hex'))
  }

  sweep(): void {}
}

function textOf({ bytes, length }: EntryKey): string {
  return Buffer.from(bytes.subarray(0, length)).toString('hex')
}
