import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { identityDigest } from '../../src/shared-memory/identity-table.ts'
import { ProcessBlock, workerThread } from '../../src/shared-memory/process-block.ts'
import { SlotReclaimer } from '../../src/shared-memory/slot-reclaimer.ts'

const WORKERS = 2

describe('a retired slot', () => {
  let table: EndpointTable
  let block: ProcessBlock
  let reclaimer: SlotReclaimer
  const name = identityDigest('shop/api', '10.0.0.7', 8080)

  beforeEach(() => {
    table = new EndpointTable(EndpointTable.allocate(WORKERS, 64))
    block = new ProcessBlock(ProcessBlock.allocate(WORKERS))
    reclaimer = new SlotReclaimer(table, block)
    for (let worker = 0; worker < WORKERS; worker++) block.setLive(workerThread(worker), true)
  })

  function enlisted(): number {
    const slot = table.identities.insertExclusive(name)
    reclaimer.enlist(slot)
    return slot
  }

  it('is not eligible from the moment it is retired', () => {
    const slot = enlisted()
    assert.equal(table.eligible(slot), true)
    reclaimer.retire(slot)
    assert.equal(table.eligible(slot), false)
  })

  it('is freed only after every live worker has passed a later epoch', () => {
    const slot = enlisted()
    reclaimer.retire(slot)
    assert.equal(reclaimer.sweep(), 0)
    const epoch = reclaimer.seal()!
    block.passEpoch(0, epoch)
    assert.equal(reclaimer.sweep(), 0)
    block.passEpoch(1, epoch)
    assert.equal(reclaimer.sweep(), 1)
    assert.equal(table.identities.find(name), -1)
    assert.equal(reclaimer.pending, 0)
  })

  for (const ledger of ['requests', 'connections', 'pending'] as const)
    it(`is kept while ${ledger} are counted on it`, () => {
      const slot = enlisted()
      table[ledger].add(1, slot, 1)
      reclaimer.retire(slot)
      const epoch = reclaimer.seal()!
      for (let worker = 0; worker < WORKERS; worker++) block.passEpoch(worker, epoch)
      assert.equal(reclaimer.sweep(), 0)
      table[ledger].add(1, slot, -1)
      assert.equal(reclaimer.sweep(), 1)
    })

  it('is not held by a dead worker, and not reused before its replacement has passed the epoch', () => {
    const slot = enlisted()
    table.acquire(0, slot)
    reclaimer.retire(slot)
    const epoch = reclaimer.seal()!
    block.passEpoch(1, epoch)
    block.setLive(workerThread(0), false)
    table.clearWorker(0)
    block.clearWorker(0)
    block.setLive(workerThread(0), true)
    assert.equal(reclaimer.sweep(), 0)
    block.passEpoch(0, block.epoch)
    assert.equal(reclaimer.sweep(), 1)
  })

  it('keeps its index and its health when its name returns before it is freed', () => {
    const slot = enlisted()
    table.mark(slot, 2, true)
    reclaimer.retire(slot)
    reclaimer.seal()
    assert.equal(enlisted(), slot)
    assert.equal(reclaimer.pending, 0)
    assert.equal(table.eligible(slot), false)
    table.mark(slot, 2, false)
    assert.equal(table.eligible(slot), true)
  })

  it('is retired by the next control thread when the previous one died first', () => {
    const kept = enlisted()
    const orphan = table.identities.insertExclusive(identityDigest('never enlisted'))
    const next = new SlotReclaimer(table, block)
    next.adopt(new Set([kept]))
    const epoch = next.seal()!
    for (let worker = 0; worker < WORKERS; worker++) block.passEpoch(worker, epoch)
    assert.equal(next.sweep(), 1)
    assert.deepEqual([...table.identities.used()], [kept])
    assert.notEqual(orphan, kept)
  })

  it('begins no epoch when nothing was retired', () => {
    enlisted()
    assert.equal(reclaimer.seal(), undefined)
    assert.equal(block.epoch, 0)
  })
})
