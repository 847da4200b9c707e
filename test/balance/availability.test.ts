import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Availability, type Checks } from '../../src/balance/availability.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { EndpointTable, SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'

const { unhealthy, ejected, panic } = SLOT_STATE

const CHECKS: Checks = { panicPercent: 30, passive: { consecutiveFailures: 5, baseEjection: 30_000 } }

class World {
  readonly buffers = EndpointTable.allocate(2, 16_384)
  readonly table = new EndpointTable(this.buffers)
  readonly room = new Availability(this.table)
  endpoints: Endpoint[] = []
  reads = 0

  constructor(ready: number, draining = 0) {
    for (let slot = 0; slot < ready + draining; slot++) {
      const state = slot < ready ? 'ready' : 'draining'
      this.table.enlist(slot)
      this.endpoints.push({ authority: `e${slot}`, address: `e${slot}`, port: 80, slot, weight: 1, state })
    }
  }

  share(now = 0, panicPercent = 30): number {
    return this.room.refresh(this.endpoints, { ...CHECKS, panicPercent }, now).share
  }
}

describe('what a Backend can take', () => {
  it('is all while five of seven endpoints are well, then 1.4 times their share, and nothing in panic', () => {
    const world = new World(10)
    const shares: number[] = []
    for (let out = 0; out <= 10; out++) {
      if (out > 0) world.table.mark(out - 1, out % 2 === 0 ? unhealthy : ejected, true)
      shares.push(Number(world.share(out).toFixed(2)))
    }
    assert.deepEqual(shares, [1, 1, 1, 0.98, 0.84, 0.7, 0.56, 0.42, 0, 0, 0])
  })

  it('is measured by panicPercent', () => {
    const world = new World(10)
    for (let slot = 0; slot < 5; slot++) world.table.mark(slot, unhealthy, true)
    assert.equal(world.share(0, 50), 0.7)
    world.room.forget()
    assert.equal(world.share(0, 51), 0)
    for (let slot = 5; slot < 9; slot++) world.table.mark(slot, unhealthy, true)
    world.room.forget()
    assert.ok(Math.abs(world.share(1, 0) - 0.14) < 1e-9)
  })

  it('is nothing without ready endpoints, and those that terminate can still be tried', () => {
    assert.deepEqual([new World(0).share(), new World(0, 3).share()], [0, 0])
    const world = new World(0, 3)
    world.share()
    assert.equal(world.room.usable, true)
    const none = new World(0)
    none.share()
    assert.equal(none.room.usable, false)
  })

  it('does not count what leaves', () => {
    const world = new World(2)
    world.table.mark(0, unhealthy, true)
    world.table.retire(0)
    assert.equal(world.share(), 1)
  })

  it('panic is no room, and can be tried', () => {
    const world = new World(1)
    world.table.mark(0, unhealthy | panic, true)
    assert.equal(world.share(), 0)
    assert.equal(world.room.usable, true)
  })

  it('names the endpoint that waits for a trial, until somebody has it', () => {
    const world = new World(2)
    world.table.eject(1)
    world.table.offerTrial(1)
    assert.equal(world.share(), 0.7)
    assert.equal(world.room.trial, world.endpoints[1])
    assert.ok(world.table.takeTrial(1))
    assert.equal(world.room.trial, null)
  })

  it('does not count on endpoints whose requests fail and that may not be ejected, and tries them again', () => {
    const world = new World(1)
    const { faults } = world.table
    assert.equal(world.share(), 1)
    for (let i = 0; i < 5; i++) faults.failed(0)
    world.table.changed()
    assert.deepEqual([world.share(1_000), world.room.usable, world.room.trial], [0, true, null])
    // As long as an ejection would have taken.
    assert.equal(world.share(30_999), 0)
    assert.equal(world.room.trial, null)
    world.share(31_000)
    const { trial } = world.room
    assert.equal(trial, world.endpoints[0])
    world.room.trialBegan(trial!)
    assert.equal(world.room.trial, null)
    world.share(60_999)
    assert.equal(world.room.trial, null)
    world.share(61_000)
    assert.equal(world.room.trial, world.endpoints[0])
    faults.succeeded(0)
    world.table.changed()
    assert.deepEqual([world.share(61_001), world.room.trial], [1, null])
  })

  it('sees what another thread changes at the next look', () => {
    const world = new World(2)
    const other = new EndpointTable(world.buffers)
    const steps: readonly (readonly [share: number, change: () => void])[] = [
      [0.7, () => other.mark(0, unhealthy, true)],
      [0, () => other.eject(1)],
      [0.7, () => other.restore(1)],
      [1, () => other.mark(0, unhealthy, false)],
      [0.7, () => other.eject(0)],
      [0.7, () => other.offerTrial(0)],
      [1, () => other.restore(0)],
    ]
    for (const [i, [share, change]] of steps.entries()) {
      change()
      assert.equal(world.share(i + 1), share)
    }
  })

  it('counts a large Backend that changes all the time no more than its size allows', () => {
    const world = new World(10_000)
    let reads = 0
    const room = new Availability({
      faults: world.table.faults,
      get changes() {
        return world.table.changes
      },
      state(slot) {
        reads++
        return world.table.state(slot)
      },
    })
    for (let now = 0; now < 100; now++) {
      world.table.mark(5, unhealthy, now % 2 === 0)
      room.refresh(world.endpoints, CHECKS, now)
    }
    assert.ok(reads <= 110_000, `${reads} reads in 100 ms`)
    room.refresh(world.endpoints, CHECKS, 1_000)
    reads = 0
    for (let now = 2_000; now < 2_100; now++) room.refresh(world.endpoints, CHECKS, now)
    assert.equal(reads, 0, 'nothing has changed')
  })
})
