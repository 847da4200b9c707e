import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { recollect } from '../../../src/source/checkpoint/checkpoint.ts'
import { CheckpointWriter, type CheckpointWriterOptions } from '../../../src/source/checkpoint/checkpoint-writer.ts'
import { StateFile } from '../../../src/source/checkpoint/state-file.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import { route } from '../../suite/source.ts'
import { eventually } from '../kubernetes/world.ts'
import { AT_ONCE } from './world.ts'

let state: string
let file: StateFile
let log: string[]
let writes: number
const writers: CheckpointWriter[] = []

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'headgate-writer-'))
  file = new StateFile(state)
  log = []
  writes = 0
})
afterEach(async () => {
  for (const one of writers.splice(0)) await one.stop(1_000)
  await rm(state, { recursive: true, force: true })
})

function writer(options: Partial<CheckpointWriterOptions> = {}): CheckpointWriter {
  const counted = new Proxy(file, {
    get: (target, name) => {
      if (name === 'replace') writes++
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const one = new CheckpointWriter({
    file: counted,
    cluster: async () => 'here',
    namespaces: [],
    log: { info: (line) => void log.push(line), warn: (line) => void log.push(line) },
    wall: () => Date.now(),
    now: () => performance.now(),
    pacing: AT_ONCE,
    ...options,
  })
  writers.push(one)
  return one
}

const put = (name: string, body = 'x'): SourceEvent => ({
  type: 'upsert',
  kind: 'Route',
  key: `shop/${name}`,
  raw: route(name, body),
  origin: { cluster: true },
})
const gone = (name: string): SourceEvent => ({ type: 'delete', kind: 'Route', key: `shop/${name}` })

async function kept(): Promise<string[]> {
  const bytes = await file.read()
  if (bytes === undefined) return []
  return [...(await recollect(bytes, { cluster: 'here', namespaces: [], keys: undefined })).objects.values()]
    .map(({ key, text }) => `${key} ${JSON.parse(text).spec.rules[0].respond.body}`)
    .sort()
}

async function keeps(expected: readonly string[]): Promise<void> {
  let now: string[] = []
  for (let i = 0; i < 400; i++) {
    now = await kept()
    if (JSON.stringify(now) === JSON.stringify(expected)) return
    await delay(5)
  }
  assert.deepEqual(now, expected)
}

describe('what is written of a cluster', () => {
  it('is nothing before everything was told, then every change', async () => {
    const one = writer()
    one.note([put('a'), put('b')])
    await delay(20)
    assert.equal(await file.exists(), false)
    one.complete()
    await keeps(['shop/a x', 'shop/b x'])
    one.note([put('a', 'y'), gone('b'), put('c')])
    await keeps(['shop/a y', 'shop/c x'])
    one.note([gone('a'), gone('c'), gone('never there')])
    await keeps([])
  })

  it('is one write for many changes, and none for what is told again as it was', async () => {
    const one = writer({ pacing: { ...AT_ONCE, batch: 100 } })
    one.complete()
    for (let i = 0; i < 500; i++) {
      one.note([put('a', `${i}`), put(`r${i % 7}`)])
      if (i % 50 === 0) await delay(1)
    }
    await keeps(['shop/a 499', ...Array.from({ length: 7 }, (_, i) => `shop/r${i} x`)])
    const before = writes
    assert.ok(before <= 10, `${before} writes`)
    one.note([put('a', '499')])
    await delay(150)
    assert.equal(writes, before)
  })

  it('is never more in a second than is allowed', async () => {
    const one = writer({ pacing: { ...AT_ONCE, bytesPerSecond: 1_000 } })
    one.complete()
    one.note([put('a', 'x'.repeat(1_000))])
    await eventually(() => writes === 1, 'the first write')
    one.note([put('a', 'y')])
    await delay(300)
    assert.equal(writes, 1)
  })

  it('is written at the end, in the time there is', async () => {
    const one = writer({ pacing: { batch: 60_000 } })
    one.complete()
    one.note([put('a')])
    await one.stop(5_000)
    assert.deepEqual(await kept(), ['shop/a x'])
    one.note([put('b')])
    await delay(10)
    assert.deepEqual(await kept(), ['shop/a x'])
  })

  it('does not hold up an end: a disk that hangs is left alone', async () => {
    const one = writer({ cluster: () => new Promise(() => {}) })
    one.note([put('a')])
    one.complete()
    const began = performance.now()
    await one.stop(50)
    assert.ok(performance.now() - began < 1_000)
  })

  it('has another time when nothing has changed, as long as that is known', async () => {
    let wall = Date.parse('2026-03-01T00:00:00Z')
    const one = writer({ wall: () => wall, pacing: { ...AT_ONCE, refresh: 30 } })
    one.note([put('a')])
    one.complete()
    await keeps(['shop/a x'])
    const written = async () => (await file.read())?.toString().includes('2026-03-02') === true
    one.current = false
    await delay(50)
    wall += 86_400_000
    await delay(100)
    assert.equal(await written(), false)
    one.current = true
    await eventually(() => writes > 1, 'another write')
    for (let i = 0; i < 200 && !(await written()); i++) await delay(5)
    assert.ok(await written())
  })

  it('is tried again when it cannot be written, which is said once, and once when it is well', async () => {
    // Nobody but root could not be kept from writing by permissions.
    await writeFile(join(state, 'cluster'), 'a file in place of the folder')
    const one = writer({ pacing: { ...AT_ONCE, pause: 10 } })
    one.note([put('a')])
    one.complete()
    await eventually(() => writes > 2, 'some attempts')
    assert.equal(log.length, 1)
    assert.match(
      log[0]!,
      /^cannot keep what the cluster tells in .*: a start without the API server would serve what was/,
    )
    await rm(join(state, 'cluster'))
    await keeps(['shop/a x'])
    await eventually(() => log.length === 2, 'said')
    assert.match(log[1]!, /^what the cluster tells is kept in .* again$/)
  })

  it('is given up, with the file, when it is too much', async () => {
    const one = writer({ most: 5_000 })
    one.note([put('a')])
    one.complete()
    await keeps(['shop/a x'])
    one.note([put('b', 'x'.repeat(5_000))])
    await eventually(() => log.length === 1, 'said')
    assert.match(log[0]!, /has more than 5000 bytes, which is too much/)
    for (let i = 0; i < 200 && (await file.exists()); i++) await delay(5)
    assert.equal(await file.exists(), false)
    one.note([put('c')])
    await delay(30)
    assert.equal(await file.exists(), false)
  })

  it('makes text of a millisecond of objects in a turn of the loop, however many there are', async () => {
    let clock = 0
    let packed = 0
    const one = writer({ now: () => (clock += 0.25) })
    const slow = (i: number): SourceEvent => {
      const event = put(`r${i}`)
      const toJSON = () => {
        packed++
        return route(`r${i}`)
      }
      return event.type === 'upsert' ? { ...event, raw: { toJSON } } : event
    }
    one.complete()
    one.note(Array.from({ length: 300 }, (_, i) => slow(i)))
    assert.equal(packed, 0, 'not while it is told')
    let most = 0
    for (let before = 0; packed < 300; before = packed) {
      await turn()
      most = Math.max(most, packed - before)
    }
    assert.ok(most <= 4, `${most} at once`)
    await eventually(() => writes > 0, 'a write')
  })
})
