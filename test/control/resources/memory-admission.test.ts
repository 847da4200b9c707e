import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Kind } from '../../../src/api/kinds.ts'
import { MemoryAdmission } from '../../../src/control/resources/memory-admission.ts'
import type { SourceEvent } from '../../../src/source/source.ts'

type Upsert = SourceEvent & { readonly type: 'upsert' }

function told(key: string, kind: Kind = 'Route', raw: unknown = { key }): Upsert {
  return { type: 'upsert', kind, key, raw, origin: { cluster: true } }
}

function take(memory: MemoryAdmission, key: string, cost: number, kind: Kind = 'Route'): string | undefined {
  return memory.reserve(`${kind} ${key}`, told(key, kind), cost)
}

const keysOf = (events: Iterable<Upsert>): string[] => Array.from(events, ({ key }) => key)

describe('memory for objects', () => {
  it('is refused beyond the limit with a message that names the largest namespace', () => {
    const memory = new MemoryAdmission(100 * 2 ** 20)
    assert.equal(take(memory, 'a/one', 60 * 2 ** 20), undefined)
    assert.equal(take(memory, 'b/one', 10 * 2 ** 20), undefined)
    const refusal = take(memory, 'a/two', 20 * 2 ** 20)
    assert.match(refusal!, /20 MiB of memory: manifests take 70 MiB of 100 MiB \(namespace "a" alone 60 MiB\)/)
    assert.equal(memory.used, 70 * 2 ** 20)
  })
  it('keeps the last quarter for namespaces that have less than a quarter', () => {
    const memory = new MemoryAdmission(100)
    assert.equal(take(memory, 'greedy/a', 75), undefined)
    assert.notEqual(take(memory, 'greedy/b', 1), undefined)
    assert.equal(take(memory, 'small/a', 20), undefined)
    assert.notEqual(take(memory, 'small/b', 6), undefined)
    assert.equal(take(memory, 'small/b', 5), undefined)
    assert.notEqual(take(memory, 'third/a', 1), undefined)
  })
  it('is held for caches that the settings state, from the moment in which they do', () => {
    const memory = new MemoryAdmission(100_000)
    const rules = (key: string, caches: number) => memory.reserve(`Route ${key}`, told(key), 10_000, caches)
    for (const key of ['a/x', 'b/x', 'c/x']) assert.equal(rules(key, 20_000), undefined)
    assert.equal(memory.used, 30_000)
    memory.useInheritedCaches(true)
    assert.equal(memory.used, 90_000)
    assert.equal(rules('a/x', 20_000), undefined, 'a version that needs as much')
    assert.notEqual(rules('d/x', 20_000), undefined)
    assert.notEqual(rules('a/y', 0), undefined, 'the last quarter is for others')
    assert.deepEqual(keysOf(memory.ready()), [])
    memory.useInheritedCaches(false)
    assert.equal(memory.used, 30_000)
    assert.deepEqual(keysOf(memory.ready()).sort(), ['a/y', 'd/x'])
    memory.useInheritedCaches(true)
    memory.release('Route a/x')
    assert.equal(memory.used, 60_000)
  })
  it('always has room for a version that is no larger than the one before', () => {
    const memory = new MemoryAdmission(100)
    take(memory, 'a/x', 70)
    take(memory, 'b/x', 25)
    assert.equal(take(memory, 'a/x', 70), undefined)
    assert.equal(take(memory, 'a/x', 69), undefined)
    assert.notEqual(take(memory, 'a/x', 90), undefined)
    assert.equal(memory.used, 94)
  })
  const FOLLOWING = ['Service', 'EndpointSlice', 'ConfigMap', 'Secret'] as const
  it('is granted to referenced objects while their namespace uses no more than half', () => {
    for (const kind of FOLLOWING) {
      const memory = new MemoryAdmission(100)
      take(memory, 'a/x', 48)
      take(memory, 'b/x', 40, kind)
      assert.equal(take(memory, 'a/y', 2, kind), undefined)
      assert.equal(take(memory, 'c/y', 50, kind), undefined)
      assert.equal(take(memory, 'b/y', 10, kind), undefined)
      for (const other of ['Route', 'Backend', 'Ingress'] as const)
        assert.notEqual(take(memory, 'd/x', 1, other), undefined)
    }
  })
  it('cannot be exhausted by the referenced objects of one namespace: another one keeps its quarter', () => {
    for (const kind of FOLLOWING) {
      const memory = new MemoryAdmission(100_000)
      const taken = Array.from({ length: 30 }, (_, i) => take(memory, `greedy/${i}`, 5_000, kind)).filter((one) => !one)
      assert.equal(taken.length, 15)
      assert.equal(take(memory, 'greedy/0', 5_000, kind), undefined)
      assert.equal(take(memory, 'small/a', 20_000), undefined)
      assert.equal(take(memory, 'small/b', 5_000, kind), undefined)
      memory.release(`${kind} greedy/0`)
      memory.release(`${kind} greedy/1`)
      memory.release('Route small/a')
      assert.equal(keysOf(memory.ready())[0], 'greedy/15')
    }
  })
  it('is counted for a Namespace as its own', () => {
    const memory = new MemoryAdmission(100)
    assert.equal(take(memory, '/greedy', 70, 'Namespace'), undefined)
    assert.notEqual(take(memory, '/greedy', 90, 'Namespace'), undefined)
    assert.equal(take(memory, '/small', 20, 'Namespace'), undefined)
    assert.notEqual(take(memory, 'greedy/a', 1), undefined)
    assert.equal(take(memory, 'small/a', 5), undefined)
  })
  it('is offered to waiting objects as soon as there is room, each version as it was received', () => {
    const memory = new MemoryAdmission(100_000)
    take(memory, 'a/x', 70_000)
    memory.reserve('Route b/large', told('b/large', 'Route', { n: 1, text: 'ä' }), 50_000)
    memory.reserve('Route c/larger', told('c/larger'), 90_000)
    assert.equal(memory.waiting, 2)
    assert.deepEqual(keysOf(memory.ready()), [])
    memory.release('Route a/x')
    assert.deepEqual([...memory.ready()], [told('b/large', 'Route', { n: 1, text: 'ä' })])
  })
  it('drops a waiting object when it is deleted or a newer version arrives', () => {
    const memory = new MemoryAdmission(1_000)
    for (const key of ['a/1', 'a/2', 'a/3']) assert.notEqual(take(memory, key, 2_000), undefined)
    memory.release('Route a/1')
    memory.supersede('Route a/2')
    assert.equal(take(memory, 'a/3', 1), undefined)
    assert.equal(memory.waiting, 0)
  })
  it('bounds the waiting objects separately', () => {
    const memory = new MemoryAdmission(128 * 1024)
    const noise = (i: number): string => Array.from({ length: 300 }, (_, k) => Math.imul(k + i, k * 7_919 + i)).join()
    for (let i = 0; i < 200; i++) memory.reserve(`Route a/${i}`, told(`a/${i}`, 'Route', noise(i)), 1 << 20)
    assert.ok(memory.waiting > 0 && memory.waiting < 20, `${memory.waiting} wait`)
  })
  it('shares the room for waiting objects by namespace, in turns', () => {
    const memory = new MemoryAdmission(256 * 1024)
    take(memory, 'full/x', 192 * 1024)
    const noise = (i: number): string => Array.from({ length: 300 }, (_, k) => Math.imul(k + i, k * 7_919 + i)).join()
    for (let i = 0; i < 200; i++) memory.reserve(`Route a/${i}`, told(`a/${i}`, 'Route', noise(i)), 80 * 1024)
    const before = memory.waiting
    memory.reserve('Route b/1', told('b/1', 'Route', 'short'), 80 * 1024)
    memory.reserve('Route c/1', told('c/1', 'Route', noise(1)), 80 * 1024)
    assert.ok(memory.waiting >= before && memory.waiting < 20, `${memory.waiting} wait`)
    memory.release('Route full/x')
    const offered = keysOf(memory.ready())
    assert.equal(new Set(offered).size, offered.length, 'each once')
    assert.ok(offered.indexOf('b/1') >= 0 && offered.indexOf('b/1') < 3, offered.join())
    assert.ok(offered.indexOf('c/1') >= 0 && offered.indexOf('c/1') < 3, offered.join())
  })
  it('keeps the waiting objects of a namespace that has less than the one that asks', () => {
    const memory = new MemoryAdmission(128 * 1024)
    const noise = (i: number): string => Array.from({ length: 300 }, (_, k) => Math.imul(k + i, k * 7_919 + i)).join()
    memory.reserve('Route b/1', told('b/1', 'Route', noise(1)), 1 << 20)
    for (let i = 0; i < 200; i++) memory.reserve(`Route a/${i}`, told(`a/${i}`, 'Route', noise(i)), 1 << 20)
    memory.supersede('Route b/1')
    const without = memory.waiting
    memory.reserve('Route b/1', told('b/1', 'Route', noise(1)), 1 << 20)
    assert.equal(memory.waiting, without + 1)
  })
  it('offers an object again until it is accepted', () => {
    const memory = new MemoryAdmission(10_000)
    take(memory, 'full/x', 7_500)
    assert.notEqual(take(memory, 'a/1', 6_000), undefined)
    memory.release('Route full/x')
    assert.deepEqual(keysOf(memory.ready()), ['a/1'])
    assert.deepEqual(keysOf(memory.ready()), ['a/1'])
    assert.equal(take(memory, 'a/1', 6_000), undefined)
    assert.deepEqual(keysOf(memory.ready()), [])
  })
  it('adds up, whatever comes and goes', () => {
    const step = fc.tuple(fc.constantFrom('a/1', 'a/2', 'b/1', 'c/1'), fc.integer({ min: 0, max: 60 }))
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const memory = new MemoryAdmission(100)
        const model = new Map<string, number>()
        for (const [key, cost] of steps) {
          if (cost === 0) {
            memory.release(`Route ${key}`)
            model.delete(key)
          } else if (take(memory, key, cost) === undefined) model.set(key, cost)
          assert.equal(
            memory.used,
            [...model.values()].reduce((sum, one) => sum + one, 0),
          )
          assert.ok(memory.used <= 100)
        }
      }),
    )
  })

  it('takes what is counted for the objects that wait, and no buffers of the compression besides', () => {
    const MIB = 2 ** 20
    const memory = new MemoryAdmission(32 * MIB)
    take(memory, 'full/x', 24 * MIB)
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 4_000; i++) take(memory, `team-${i % 20}/${i}`, 30 * MIB)
    const taken = process.memoryUsage().arrayBuffers - before
    assert.ok(memory.waiting > 3_000, `${memory.waiting} wait`)
    assert.ok(taken < 16 * MIB, `${taken} bytes for ${memory.waiting} objects`)
  })
})
