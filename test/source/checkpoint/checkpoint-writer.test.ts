import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { loadCheckpoint } from '../../../src/source/checkpoint/checkpoint.ts'
import { CheckpointWriter, type CheckpointWriterOptions } from '../../../src/source/checkpoint/checkpoint-writer.ts'
import { StateFile } from '../../../src/source/checkpoint/state-file.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { route } from '../../suite/source.ts'
import { eventually } from '../kubernetes/world.ts'
import { IMMEDIATE_WRITES } from './world.ts'

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
  for (const checkpoint of writers.splice(0)) await checkpoint.stop(1_000)
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
  const checkpoint = new CheckpointWriter({
    file: counted,
    cluster: async () => 'here',
    namespaces: [],
    log: { info: (line) => void log.push(line), warn: (line) => void log.push(line) },
    time: systemTimers,
    pacing: IMMEDIATE_WRITES,
    ...options,
  })
  writers.push(checkpoint)
  return checkpoint
}

const put = (name: string, body = 'x'): SourceEvent => ({
  type: 'upsert',
  kind: 'Route',
  key: `shop/${name}`,
  raw: route(name, body),
  origin: { cluster: true },
})
const deleted = (name: string): SourceEvent => ({ type: 'delete', kind: 'Route', key: `shop/${name}` })

async function stored(): Promise<string[]> {
  const bytes = await file.read()
  if (bytes === undefined) return []
  return [
    ...(
      await loadCheckpoint(bytes, { cluster: 'here', namespaces: [], keys: undefined }, systemTimers)
    ).objects.values(),
  ]
    .map(({ key, text }) => `${key} ${JSON.parse(text).spec.rules[0].respond.body}`)
    .sort()
}

async function expectStored(expected: readonly string[]): Promise<void> {
  let now: string[] = []
  for (let i = 0; i < 400; i++) {
    now = await stored()
    if (JSON.stringify(now) === JSON.stringify(expected)) return
    await delay(5)
  }
  assert.deepEqual(now, expected)
}

describe('a checkpoint writer', () => {
  it('writes nothing before all objects are recorded, then every change', async () => {
    const checkpoint = writer()
    checkpoint.record([put('a'), put('b')])
    await delay(20)
    assert.equal(await file.exists(), false)
    checkpoint.markComplete()
    await expectStored(['shop/a x', 'shop/b x'])
    checkpoint.record([put('a', 'y'), deleted('b'), put('c')])
    await expectStored(['shop/a y', 'shop/c x'])
    checkpoint.record([deleted('a'), deleted('c'), deleted('never there')])
    await expectStored([])
  })

  it('combines many changes into one write, and writes nothing for an equal object', async () => {
    const checkpoint = writer({ pacing: { ...IMMEDIATE_WRITES, batch: 100 } })
    checkpoint.markComplete()
    for (let i = 0; i < 500; i++) {
      checkpoint.record([put('a', `${i}`), put(`r${i % 7}`)])
      if (i % 50 === 0) await delay(1)
    }
    await expectStored(['shop/a 499', ...Array.from({ length: 7 }, (_, i) => `shop/r${i} x`)])
    const before = writes
    assert.ok(before <= 10, `${before} writes`)
    checkpoint.record([put('a', '499')])
    await delay(150)
    assert.equal(writes, before)
  })

  it('respects the maximum rate', async () => {
    const checkpoint = writer({ pacing: { ...IMMEDIATE_WRITES, bytesPerSecond: 1_000 } })
    checkpoint.markComplete()
    checkpoint.record([put('a', 'x'.repeat(1_000))])
    await eventually(() => writes === 1, 'the first write')
    checkpoint.record([put('a', 'y')])
    await delay(300)
    assert.equal(writes, 1)
  })

  it('writes outstanding changes when it stops', async () => {
    const checkpoint = writer({ pacing: { batch: 60_000 } })
    checkpoint.markComplete()
    checkpoint.record([put('a')])
    await checkpoint.stop(5_000)
    assert.deepEqual(await stored(), ['shop/a x'])
    checkpoint.record([put('b')])
    await delay(10)
    assert.deepEqual(await stored(), ['shop/a x'])
  })

  it('stops after its timeout when the disk hangs', async () => {
    const checkpoint = writer({ cluster: () => new Promise(() => {}) })
    checkpoint.record([put('a')])
    checkpoint.markComplete()
    const began = performance.now()
    await checkpoint.stop(50)
    assert.ok(performance.now() - began < 1_000)
  })

  it('updates the time of the file without changes, while the source is current', async () => {
    let wall = Date.parse('2026-03-01T00:00:00Z')
    const checkpoint = writer({
      time: { ...systemTimers, wall: () => wall },
      pacing: { ...IMMEDIATE_WRITES, refresh: 30 },
    })
    checkpoint.record([put('a')])
    checkpoint.markComplete()
    await expectStored(['shop/a x'])
    const written = async () => (await file.read())?.toString().includes('2026-03-02') === true
    checkpoint.current = false
    await delay(50)
    wall += 86_400_000
    await delay(100)
    assert.equal(await written(), false)
    checkpoint.current = true
    await eventually(() => writes > 1, 'another write')
    for (let i = 0; i < 200 && !(await written()); i++) await delay(5)
    assert.ok(await written())
  })

  it('retries a failed write, and logs the failure and its end once', async () => {
    // Permissions would not stop root.
    await writeFile(join(state, 'cluster'), 'a file in place of the folder')
    const checkpoint = writer({ pacing: { ...IMMEDIATE_WRITES, pause: 10 } })
    checkpoint.record([put('a')])
    checkpoint.markComplete()
    await eventually(() => writes > 2, 'some attempts')
    assert.equal(log.length, 1)
    assert.match(
      log[0]!,
      /^cannot write the checkpoint .*: a start without the API server would serve its previous content/,
    )
    await rm(join(state, 'cluster'))
    await expectStored(['shop/a x'])
    await eventually(() => log.length === 2, 'said')
    assert.match(log[1]!, /^the checkpoint .* is written again$/)
  })

  it('deletes the file when the objects exceed the limit', async () => {
    const checkpoint = writer({ maxBytes: 5_000 })
    checkpoint.record([put('a')])
    checkpoint.markComplete()
    await expectStored(['shop/a x'])
    checkpoint.record([put('b', 'x'.repeat(5_000))])
    await eventually(() => log.length === 1, 'said')
    assert.match(log[0]!, /exceed the limit of 5000 bytes/)
    for (let i = 0; i < 200 && (await file.exists()); i++) await delay(5)
    assert.equal(await file.exists(), false)
    checkpoint.record([put('c')])
    await delay(30)
    assert.equal(await file.exists(), false)
  })

  it('serializes for a millisecond per turn of the event loop, regardless of the number of objects', async () => {
    let clock = 0
    let serialized = 0
    const checkpoint = writer({ time: { ...systemTimers, monotonic: () => (clock += 0.25) } })
    const slow = (i: number): SourceEvent => {
      const event = put(`r${i}`)
      const toJSON = () => {
        serialized++
        return route(`r${i}`)
      }
      return event.type === 'upsert' ? { ...event, raw: { toJSON } } : event
    }
    checkpoint.markComplete()
    checkpoint.record(Array.from({ length: 300 }, (_, i) => slow(i)))
    assert.equal(serialized, 0, 'not during the call')
    let most = 0
    for (let before = 0; serialized < 300; before = serialized) {
      await turn()
      most = Math.max(most, serialized - before)
    }
    assert.ok(most <= 4, `${most} at once`)
    await eventually(() => writes > 0, 'a write')
  })
})
