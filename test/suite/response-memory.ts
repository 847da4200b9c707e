/** What every memory of responses promises, run on each implementation. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { NUMBERS_BYTES } from '../../src/cache/cache-numbers.ts'
import {
  type EntryHead,
  type EntryKey,
  EntryKind,
  type Fill,
  type FillUnderWay,
  type HeldEntry,
  type ResponseMemory,
} from '../../src/cache/response-memory.ts'

export interface ResponseMemoryRig {
  /** Of one process: what one worker stores the others find. Two at least; room for 4 MiB in each. */
  readonly workers: readonly ResponseMemory[]
  stop(): void
}

export function keyOf(text: string): EntryKey {
  const bytes = Buffer.from(`${text} and what is behind it in the buffer`)
  return { bytes, length: Buffer.byteLength(text) }
}

export function headOf(head: string, bodyBytes = -1, more: Partial<EntryHead> = {}): EntryHead {
  const numbers = new Uint8Array(NUMBERS_BYTES).fill(7)
  const subject = Buffer.from('labels..')
  return {
    kind: EntryKind.Response,
    numbers,
    head: Buffer.from(head),
    subject,
    bodyBytes,
    until: 1e15,
    began: 5,
    ...more,
  }
}

export function beginFill(memory: ResponseMemory, key: string, owner = 'shop', seen = 0): Fill {
  const begun = memory.begin(keyOf(key), owner, seen)
  assert.ok(typeof begun === 'object' && begun.type === 'fill', `${key}: ${JSON.stringify(begun)}`)
  return begun
}

export function followFill(memory: ResponseMemory, key: string): FillUnderWay {
  const begun = memory.begin(keyOf(key), 'shop', 0)
  assert.ok(typeof begun === 'object' && begun.type === 'under-way')
  return begun
}

export function store(memory: ResponseMemory, key: string, body: string, owner = 'shop', seen = 0): boolean {
  const fill = beginFill(memory, key, owner, seen)
  const bytes = Buffer.from(body)
  return fill.head(headOf(`head of ${key}`, bytes.length)) && fill.write(bytes, 0, bytes.length) && fill.end()
}

/** Undefined: there is none. */
export function bodyOf(memory: ResponseMemory, key: string): string | undefined {
  const found = memory.find(keyOf(key))
  if (found === null) return undefined
  const body = Buffer.alloc(found.bodyBytes)
  assert.equal(found.copyBody(0, body, 0, body.length), body.length)
  memory.leave()
  return body.toString()
}

export function serialOf(memory: ResponseMemory, key: string): number {
  const { serial } = memory.find(keyOf(key))!
  memory.leave()
  return serial
}

function heldText(held: HeldEntry): string {
  const bytes = Buffer.alloc(held.written)
  return bytes.toString('latin1', 0, held.copyBody(0, bytes, 0, bytes.length))
}

/** Resolves at the next call. */
function change(fill: FillUnderWay): Promise<void> {
  return new Promise((resolve) => fill.follow(resolve))
}

/** Bytes that say where they are. */
function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff
  return bytes
}

export function responseMemorySuite(name: string, make: () => ResponseMemoryRig): void {
  describe(`a memory of responses: ${name}`, () => {
    let rig: ResponseMemoryRig | undefined
    const begin = (): readonly [ResponseMemory, ResponseMemory] => {
      rig = make()
      return [rig.workers[0]!, rig.workers[1]!]
    }
    afterEach(() => rig?.stop())

    it('gives every worker what one has stored, byte for byte', () => {
      const [here, there] = begin()
      const body = pattern(3_000, 1)
      const fill = beginFill(here, 'a')
      assert.equal(fill.head(headOf('status and fields', body.length, { until: 98_001, began: 17 })), true)
      assert.equal(here.find(keyOf('a')), null, 'nobody finds what is not whole')
      fill.write(body, 0, 1_000)
      fill.write(body, 1_000, 3_000)
      assert.equal(fill.end(), true)
      for (const memory of [here, there]) {
        const found = memory.find(keyOf('a'))!
        assert.deepEqual(
          [found.kind, found.bodyBytes, found.written, found.until],
          [EntryKind.Response, 3_000, 3_000, 99_000],
        )
        assert.equal(found.checked, 17)
        const text = (at: number, length: number): string => found.bytes.latin1Slice(at, at + length)
        assert.equal(text(found.headAt, found.headBytes), 'status and fields')
        assert.equal(text(found.subjectAt, found.subjectBytes), 'labels..')
        assert.equal(text(found.keyAt, found.keyBytes), 'a')
        assert.equal(found.subjectAt % 8, 0)
        assert.equal(found.numbersAt % 8, 0)
        for (let i = 0; i < NUMBERS_BYTES; i++) assert.equal(found.view.getUint8(found.numbersAt + i), 7)
        const copy = Buffer.alloc(2_002, 0xee)
        assert.equal(found.copyBody(999, copy, 1, 2_001), 2_001)
        assert.deepEqual(copy.subarray(1), body.subarray(999))
        assert.equal(copy[0], 0xee)
        assert.equal(found.copyBody(2_990, copy, 0, 100), 10)
        assert.equal(found.copyBody(3_000, copy, 0, 100), 0)
        memory.leave()
      }
    })

    it('tells keys apart whole: an empty one, one that is the beginning of another', () => {
      const [here] = begin()
      for (const key of ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'a\0'])
        assert.equal(store(here, key, `body of ${key}`), true)
      for (const key of ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'a\0'])
        assert.equal(bodyOf(here, key), `body of ${key}`)
      assert.equal(bodyOf(here, 'b'), undefined)
    })

    it('keeps bodies of every length, known before or not, whatever the pieces they come in', () => {
      const [here, there] = begin()
      const lengths = [0, 1, 31, 32, 33, 4_000, 4_096, 5_000, 70_000, 262_144, 300_000, 1_000_000, 1_900_000]
      for (const [i, length] of lengths.entries())
        for (const known of [true, false]) {
          const body = pattern(length, i)
          const key = `${length} ${known}`
          const fill = beginFill(here, key)
          assert.equal(fill.head(headOf('h', known ? length : -1)), true, key)
          for (let at = 0; at < length; ) {
            const end = Math.min(length, at + 1 + ((at * 7919 + 13) % 65_536))
            assert.equal(fill.write(body, at, end), true, key)
            at = end
          }
          assert.equal(fill.end(), true, key)
          const found = there.find(keyOf(key))!
          const copy = Buffer.alloc(length)
          assert.equal(found.copyBody(0, copy, 0, length), length)
          assert.ok(copy.equals(body), key)
          for (const from of [length - 1, length >> 1, 0, length >> 2]) {
            if (from < 0) continue
            const part = Buffer.alloc(Math.min(100, length - from))
            assert.equal(found.copyBody(from, part, 0, 100), part.length)
            assert.ok(part.equals(body.subarray(from, from + part.length)), `${key} from ${from}`)
          }
          there.leave()
        }
    })

    it('finds an entry again at its place, as long as its key leads to it', () => {
      const [here, there] = begin()
      store(here, 'a', 'first')
      const placeOf = (key: string) => {
        const { place } = there.find(keyOf(key))!
        there.leave()
        return place
      }
      const place = placeOf('a')
      const found = there.findAt(place)!
      assert.equal(found.serial, place.serial)
      const body = Buffer.alloc(5)
      found.copyBody(0, body, 0, 5)
      assert.equal(body.toString(), 'first')
      there.leave()
      store(here, 'a', 'second', 'shop', place.serial)
      assert.equal(there.findAt(place), null)
      const second = placeOf('a')
      here.remove(here.find(keyOf('a'))!)
      here.leave()
      assert.equal(there.findAt(second), null)
      // Whatever takes its memory and its slot is another one.
      for (let i = 0; i < 3_000; i++) {
        store(here, `b${i}`, 'x'.repeat(3_000))
        assert.equal(there.findAt(place), null)
        assert.equal(there.findAt(second), null)
      }
    })

    it('stores no body that is shorter or longer than was said, and keeps what was there', () => {
      const [here] = begin()
      store(here, 'a', 'old')
      const seen = serialOf(here, 'a')
      const short = beginFill(here, 'a', 'shop', seen)
      short.head(headOf('h', 10))
      short.write(Buffer.from('too short'), 0, 9)
      assert.equal(short.end(), false)
      const long = beginFill(here, 'a', 'shop', seen)
      long.head(headOf('h', 3))
      assert.equal(long.write(Buffer.from('long'), 0, 4), false)
      assert.equal(long.write(Buffer.from('long'), 0, 1), false)
      assert.equal(long.end(), false)
      assert.equal(bodyOf(here, 'a'), 'old')
      assert.equal(store(here, 'a', 'new', 'shop', seen), true)
      assert.equal(bodyOf(here, 'a'), 'new')
    })

    it('stores nothing longer than an entry may be, and says so at the head where the length is known', () => {
      const [here] = begin()
      assert.ok(here.maxBodyBytes > 1_900_000)
      assert.equal(beginFill(here, 'a').head(headOf('h', here.maxBodyBytes + 1_000_000)), false)
      const fill = beginFill(here, 'a')
      assert.equal(fill.head(headOf('h')), true)
      const chunk = Buffer.alloc(100_000)
      let written = 0
      while (fill.write(chunk, 0, chunk.length)) written += chunk.length
      assert.ok(written >= here.maxBodyBytes - chunk.length && written < here.maxBodyBytes + 1_000_000, `${written}`)
      assert.equal(fill.end(), false)
      assert.equal(store(here, 'a', 'short'), true)
    })

    it('lets one alone claim a key, and tells the others what becomes of it', async () => {
      const [here, there] = begin()
      const fill = beginFill(here, 'a')
      assert.equal(fill.followed, false)
      const [near, far] = [followFill(here, 'a'), followFill(there, 'a')]
      assert.equal(fill.followed, true)
      assert.deepEqual([near.state, far.state, far.hold()], ['waiting', 'waiting', null])
      const told = [change(near), change(far)]
      fill.head(headOf('the head', 6))
      await Promise.all(told)
      const readers = [near, far].map((follower) => ({ follower, held: follower.hold()! }))
      for (const { follower, held } of readers) {
        assert.equal(follower.state, 'filling')
        assert.equal(held.bytes.latin1Slice(held.headAt, held.headAt + held.headBytes), 'the head')
        assert.deepEqual([held.bodyBytes, held.written], [6, 0])
      }
      const more = readers.map(({ follower }) => change(follower))
      fill.write(Buffer.from('abc'), 0, 3)
      await Promise.all(more)
      for (const { held } of readers) assert.equal(heldText(held), 'abc')
      const last = readers.map(({ follower }) => change(follower))
      fill.write(Buffer.from('def'), 0, 3)
      assert.equal(fill.end(), true)
      await Promise.all(last)
      for (const { follower, held } of readers) {
        assert.equal(follower.state, 'whole')
        assert.equal(heldText(held), 'abcdef')
        held.release()
        held.release()
      }
      assert.equal(bodyOf(there, 'a'), 'abcdef')
      assert.equal(there.begin(keyOf('a'), 'shop', 0), 'found')
    })

    it('tells those who wait that a fill has failed, and those who read along that no more comes', async () => {
      const [here, there] = begin()
      const first = beginFill(here, 'a')
      const waiting = followFill(there, 'a')
      const told = change(waiting)
      first.fail()
      first.fail()
      await told
      assert.deepEqual([waiting.state, waiting.hold()], ['failed', null])
      const second = beginFill(there, 'a')
      second.head(headOf('h', 10))
      second.write(Buffer.from('abc'), 0, 3)
      const reading = followFill(here, 'a')
      const held = reading.hold()!
      const end = change(reading)
      second.fail()
      await end
      assert.deepEqual([reading.state, heldText(held)], ['failed', 'abc'])
      held.release()
      assert.equal(bodyOf(here, 'a'), undefined)
      assert.equal(store(here, 'a', 'again'), true)
    })

    it('has those who wait look again where a fill is withdrawn, and leaves what is there', async () => {
      const [here, there] = begin()
      assert.equal(store(here, 'a', 'old'), true)
      const serial = serialOf(here, 'a')
      const first = beginFill(here, 'a', 'shop', serial)
      const waiting = followFill(there, 'a')
      const told = change(waiting)
      first.withdraw()
      first.fail()
      await told
      assert.deepEqual([waiting.state, waiting.hold()], ['recorded', null])
      assert.equal(bodyOf(there, 'a'), 'old')
      beginFill(there, 'a', 'shop', serial).fail()
    })

    it('gives those who read along what nobody else is to find', async () => {
      const [here, there] = begin()
      const fill = beginFill(here, 'a')
      fill.head(headOf('h'))
      const [reading, waiting] = [followFill(there, 'a'), followFill(there, 'a')]
      const held = reading.hold()!
      fill.write(Buffer.from('abc'), 0, 3)
      const end = change(reading)
      assert.equal(fill.end(false), false)
      await end
      assert.deepEqual([reading.state, heldText(held), held.bodyBytes], ['whole', 'abc', 3])
      assert.equal(waiting.state, 'failed')
      held.release()
      assert.equal(bodyOf(there, 'a'), undefined)
    })

    it('records what has no body, for those who wait to look again', async () => {
      const [here, there] = begin()
      const fill = beginFill(here, 'a')
      const waiting = followFill(there, 'a')
      const told = change(waiting)
      assert.equal(fill.record(headOf('accept-language', 0, { kind: EntryKind.Vary })), true)
      await told
      assert.equal(waiting.state, 'recorded')
      const found = there.find(keyOf('a'))!
      assert.deepEqual([found.kind, found.bodyBytes], [EntryKind.Vary, 0])
      there.leave()
      const again = there.begin(keyOf('a'), 'shop', serialOf(there, 'a'))
      assert.ok(typeof again === 'object' && again.type === 'fill')
      assert.equal(again.record(headOf('', 0, { kind: EntryKind.Uncacheable, until: 19_001 })), true)
      assert.equal(here.find(keyOf('a'))!.kind, EntryKind.Uncacheable)
      here.leave()
      there.sweep(20_000, 1e9, () => false)
      assert.notEqual(bodyOf(there, 'a'), undefined)
      here.sweep(20_001, 1e9, () => false)
      there.sweep(20_001, 1e9, () => false)
      assert.equal(bodyOf(there, 'a'), undefined)
    })

    it('records nothing behind a head: the fill has failed, and its key is free', async () => {
      const [here, there] = begin()
      const fill = beginFill(here, 'a')
      fill.head(headOf('h'))
      const reading = followFill(there, 'a')
      const told = change(reading)
      assert.equal(fill.record(headOf('', 0, { kind: EntryKind.Uncacheable, until: 19_001 })), false)
      await told
      assert.equal(reading.state, 'failed')
      reading.cancel()
      assert.equal(bodyOf(there, 'a'), undefined)
      beginFill(there, 'a').fail()
    })

    it('calls nobody who has cancelled, and everybody else once for many changes', async () => {
      const [here, there] = begin()
      const fill = beginFill(here, 'a')
      const [stays, leaves] = [followFill(there, 'a'), followFill(there, 'a')]
      const calls = { stays: 0, leaves: 0 }
      stays.follow(() => calls.stays++)
      leaves.follow(() => calls.leaves++)
      leaves.cancel()
      fill.head(headOf('h'))
      for (let i = 0; i < 1_000; i++) fill.write(Buffer.from('x'), 0, 1)
      fill.end()
      while (stays.state !== 'recorded' || calls.stays === 0) await setImmediate()
      assert.equal(calls.leaves, 0)
      assert.ok(calls.stays < 10, `${calls.stays}`)
    })

    it('replaces an entry at once, while those who read the one before read it to its end', () => {
      const [here, there] = begin()
      store(here, 'a', 'first')
      const held = there.find(keyOf('a'))!.hold()!
      there.leave()
      const seen = serialOf(there, 'a')
      assert.equal(store(there, 'a', 'second', 'shop', seen), true)
      assert.deepEqual([bodyOf(here, 'a'), bodyOf(there, 'a'), heldText(held)], ['second', 'second', 'first'])
      assert.notEqual(serialOf(here, 'a'), seen)
      for (let i = 0; i < 3_500; i++) store(here, `filler ${i}`, 'x'.repeat(2_000))
      assert.equal(heldText(held), 'first')
      held.release()
    })

    it('makes a new entry of a new head and the body that is there', () => {
      const [here, there] = begin()
      const body = pattern(500_000, 3)
      const first = beginFill(here, 'a')
      first.head(headOf('old head', -1))
      first.write(body, 0, body.length)
      first.end()
      const found = there.find(keyOf('a'))!
      const { serial } = found
      const held = found.hold()!
      there.leave()
      const fill = beginFill(there, 'a', 'shop', serial)
      assert.equal(fill.head(headOf('a new and longer head', body.length)), true)
      let turns = 1
      while (fill.copy(held, 100_000) === false) turns++
      held.release()
      assert.equal(fill.end(), true)
      assert.equal(turns, 5)
      const now = here.find(keyOf('a'))!
      assert.equal(now.bytes.latin1Slice(now.headAt, now.headAt + now.headBytes), 'a new and longer head')
      const copy = Buffer.alloc(body.length)
      now.copyBody(0, copy, 0, copy.length)
      assert.ok(copy.equals(body))
      here.leave()
    })

    it('removes an entry for all, and keeps it for those who hold it', () => {
      const [here, there] = begin()
      store(here, 'a', 'body')
      const held = here.find(keyOf('a'))!.hold()!
      here.leave()
      there.remove(there.find(keyOf('a'))!)
      there.leave()
      assert.deepEqual([bodyOf(here, 'a'), bodyOf(there, 'a')], [undefined, undefined])
      for (let i = 0; i < 3_500; i++) store(here, `filler ${i}`, 'x'.repeat(2_000))
      assert.equal(heldText(held), 'body')
      held.release()
      assert.equal(store(there, 'a', 'again'), true)
    })

    it('shows every worker a judgement and a flag at once', () => {
      const [here, there] = begin()
      store(here, 'a', 'body')
      const found = there.find(keyOf('a'))!
      found.checked = 4_000_000_000
      found.setBits(48, 1 << 9)
      there.leave()
      const seen = here.find(keyOf('a'))!
      assert.equal(seen.checked, 4_000_000_000)
      assert.equal(seen.view.getUint32(seen.numbersAt + 48, true), 0x07070707 | (1 << 9))
      here.leave()
    })

    it('makes room by itself, and goes on storing', () => {
      const [here] = begin()
      for (let i = 0; i < 15_000; i++) assert.equal(store(here, `key ${i}`, `body ${i} `.repeat(20)), true, `${i}`)
      let found = 0
      for (let i = 0; i < 15_000; i++) {
        const body = bodyOf(here, `key ${i}`)
        if (body === undefined) continue
        assert.equal(body, `body ${i} `.repeat(20))
        found++
      }
      assert.ok(found > 3_000, `${found}`)
    })

    it('takes no entry of a tenant who has less than an equal share', () => {
      const [here] = begin()
      for (let i = 0; i < 200; i++) store(here, `small ${i}`, 'x'.repeat(2_000), 'small')
      for (let i = 0; i < 6_000; i++) store(here, `large ${i}`, 'x'.repeat(2_000), 'large')
      for (let i = 0; i < 200; i++) assert.notEqual(bodyOf(here, `small ${i}`), undefined, `${i}`)
    })

    it('keeps what is asked for, whatever passes through once', () => {
      const [here] = begin()
      for (let i = 0; i < 300; i++) store(here, `hot ${i}`, 'x'.repeat(2_000))
      for (let i = 0; i < 6_000; i++) {
        store(here, `once ${i}`, 'x'.repeat(2_000))
        bodyOf(here, `hot ${i % 300}`)
      }
      let kept = 0
      for (let i = 0; i < 300; i++) if (bodyOf(here, `hot ${i}`) !== undefined) kept++
      assert.ok(kept >= 290, `${kept} of 300`)
    })

    it('says none where as many fills are under way as may be, and goes on when they end', () => {
      const [here] = begin()
      const fills: Fill[] = []
      for (let i = 0; ; i++) {
        const begun = here.begin(keyOf(`key ${i}`), 'shop', 0)
        if (begun === 'none' && i > 5_000) break
        if (typeof begun === 'object' && begun.type === 'fill') fills.push(begun)
      }
      for (const fill of fills) fill.fail()
      assert.equal(store(here, 'a', 'body'), true)
    })

    it('takes heads that hold anything, and refuses those that are too long', () => {
      const [here] = begin()
      const head = pattern(60_000, 9)
      const fill = beginFill(here, 'a')
      assert.equal(fill.head({ ...headOf('', 3), head }), true)
      fill.write(Buffer.from('abc'), 0, 3)
      assert.equal(fill.end(), true)
      const found = here.find(keyOf('a'))!
      assert.ok(found.bytes.subarray(found.headAt, found.headAt + found.headBytes).equals(head))
      here.leave()
      assert.equal(beginFill(here, 'b').head({ ...headOf('h'), subject: Buffer.alloc(70_000) }), false)
      assert.equal(here.begin({ bytes: Buffer.alloc(70_000), length: 70_000 }, 'shop', 0), 'none')
    })
  })
}
