import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReferenceGraph } from '../../../src/compile/reference-graph.ts'
import { SourceInterest } from '../../../src/control/resources/source-interest.ts'
import type { Interest, SourceEvent } from '../../../src/source/source.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

function backendOf(service: string): SourceEvent {
  const raw = { spec: { service: { name: service, port: 80 } } }
  return { type: 'upsert', kind: 'Backend', key: `shop/${service}`, raw, origin: { cluster: true } }
}

describe('the interest in referenced objects', () => {
  it('reaches the source within a quarter of a second, however long the call before it took', async () => {
    const time = new VirtualTime()
    let last: Interest = new Map()
    let lasts = 4_000
    const source = {
      interest(interest: Interest): void {
        last = new Map([...interest].map(([kind, keys]) => [kind, new Set(keys)]))
        // The machine runs something else for four seconds.
        time.now += lasts
        lasts = 0
      },
      hasSynced: () => true,
    }
    let done = 0
    const interest = new SourceInterest({
      source,
      graph: new ReferenceGraph(),
      guarded: () => [],
      done: () => done++,
      time: time.keeper(),
    })
    interest.addEvents([backendOf('one')])
    interest.synced()
    assert.deepEqual([...(last.get('Service') ?? [])], ['shop/one'])
    interest.addEvents([backendOf('two')])
    assert.equal(interest.busy, true, 'builds wait')
    await time.pass(300)
    assert.deepEqual([...(last.get('Service') ?? [])].sort(), ['shop/one', 'shop/two'])
    assert.equal(interest.busy, false, 'builds go on')
    assert.ok(done > 0)
  })
})
