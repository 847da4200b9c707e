import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ObjectStatus } from '../../../src/api/condition.ts'
import { StatusCache } from '../../../src/control/status/status-cache.ts'
import { StatusSink, type StatusSubscriber } from '../../../src/control/status/status-sink.ts'
import { statusMap } from '../../compile/world.ts'

function status(key: string, message = 'is well', rules = 1): ObjectStatus {
  const condition = { type: 'Accepted', status: 'True', reason: 'Accepted', message, observedGeneration: 1 } as const
  return { kind: 'Route', key, conditions: [condition], rules }
}

/** Writes down what a subscriber hears. */
function recorder(name: string, heard: string[]): StatusSubscriber {
  const changes: string[] = []
  return {
    begin: () => changes.splice(0),
    prepare: ({ before, after, differs }) =>
      changes.push(
        `${before === undefined ? '+' : after === undefined ? '-' : differs ? '~' : '='}${(after ?? before)!.key}`,
      ),
    commit: (generation) => heard.push(`${name} ${generation}: ${changes.splice(0).sort().join(' ')}`),
    served: (generation) => heard.push(`${name} served ${generation}`),
    endpointsChanged: (backend) => heard.push(`${name} endpoints ${backend}`),
    handedOver: ({ handovers, more }) => heard.push(`${name} handed over ${handovers.length + more}`),
    recheckAll: () => heard.push(`${name} recheck`),
  }
}

function commit(sink: StatusSink, statuses: readonly ObjectStatus[], generation: number): void {
  for (const _ of sink.prepare(statusMap(statuses)));
  sink.commit(generation)
}

describe('the sink of statuses', () => {
  it('shows every subscriber the same changes, once and in the order of subscription', () => {
    const sink = new StatusSink()
    const heard: string[] = []
    sink.subscribe(recorder('one', heard))
    sink.subscribe(recorder('two', heard))
    const [a, b] = [status('a/a'), status('a/b')]
    commit(sink, [a, b], 1)
    assert.deepEqual(heard.splice(0), ['one 1: +a/a +a/b', 'two 1: +a/a +a/b'])
    commit(sink, [a, status('a/b', 'is not')], 2)
    assert.deepEqual(heard.splice(0), ['one 2: ~a/b', 'two 2: ~a/b'], 'the same object is no change')
    commit(sink, [status('a/a')], 3)
    assert.deepEqual(heard.splice(0), ['one 3: -a/b =a/a', 'two 3: -a/b =a/a'], 'another object may say the same')
    sink.served(3)
    sink.endpointsChanged('a/api')
    sink.recheckAll()
    sink.handedOver({ handovers: [], more: 2 })
    sink.handedOver({ handovers: [], more: 0 })
    assert.deepEqual(
      heard.filter((line) => line.startsWith('two')),
      ['two served 3', 'two endpoints a/api', 'two recheck', 'two handed over 2'],
    )
  })

  it('shows nothing of a generation that is given up', () => {
    const sink = new StatusSink()
    const heard: string[] = []
    const cache = new StatusCache(() => ({ total: 0, eligible: 0 }))
    sink.subscribe(recorder('one', heard))
    sink.subscribe(cache)
    const a = status('a/a', 'is well', 2)
    commit(sink, [a], 1)
    for (const _ of sink.prepare(statusMap([a, status('a/given-up', 'is well', 5)])));
    assert.deepEqual(cache.sizes(), { routes: 1, rules: 2 })
    commit(sink, [a, status('a/b', 'is well', 3)], 2)
    assert.deepEqual(heard, ['one 1: +a/a', 'one 2: +a/b'])
    assert.deepEqual(cache.sizes(), { routes: 2, rules: 5 })
  })

  it('prepares thousands of statuses in steps', () => {
    const sink = new StatusSink()
    let prepared = 0
    let most = 0
    sink.subscribe({ prepare: () => void prepared++ })
    let before = 0
    for (const _ of sink.prepare(statusMap(Array.from({ length: 5_000 }, (_, i) => status(`a/r${i}`))))) {
      most = Math.max(most, prepared - before)
      before = prepared
    }
    assert.deepEqual([prepared, most], [5_000, 256])
  })

  it('repeats what is in force to a subscriber that comes later, also in the middle of a generation', () => {
    const sink = new StatusSink()
    const heard: string[] = []
    const a = status('a/a')
    commit(sink, [a], 4)
    sink.served(4)
    sink.subscribe(recorder('late', heard))
    assert.deepEqual(heard.splice(0), ['late 4: +a/a', 'late served 4'])
    const many = Array.from({ length: 600 }, (_, i) => status(`b/r${i}`))
    const steps = sink.prepare(statusMap([a, ...many]))
    steps.next()
    const next: string[] = []
    sink.subscribe(recorder('later', next))
    for (const _ of steps);
    sink.commit(5)
    assert.deepEqual(next[0], 'later 4: +a/a')
    assert.equal(next[2]?.split(' ').length, 602, 'all that came with generation 5, and nothing twice')
    assert.equal(heard[0]?.split(' ').length, 602)
  })
})
