import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IdentityTable, identityDigest } from '../../src/shared-memory/identity-table.ts'

function table(slots = 16): IdentityTable {
  return new IdentityTable(IdentityTable.allocate(slots))
}

describe('an identity table', () => {
  it('returns the same slot for a name on every call and in every view of the memory', () => {
    const buffer = IdentityTable.allocate(64)
    const name = identityDigest('shop/api', '10.0.0.7', 8080)
    const slot = new IdentityTable(buffer).insertExclusive(name)
    assert.equal(new IdentityTable(buffer).find(name), slot)
    assert.equal(new IdentityTable(buffer).insertExclusive(name), slot)
    assert.equal(new IdentityTable(buffer).insert(name), slot)
    assert.equal(new IdentityTable(buffer).size, 1)
  })

  it('returns -1 for an unknown name, and for a new name when it is full', () => {
    const names = table(16)
    for (let i = 0; i < names.capacity; i++) assert.notEqual(names.insert(identityDigest('name', i)), -1)
    assert.equal(names.size, 14)
    assert.equal(names.insert(identityDigest('one more')), -1)
    assert.equal(names.insertExclusive(identityDigest('one more')), -1)
    assert.equal(names.find(identityDigest('one more')), -1)
    assert.notEqual(names.insertExclusive(identityDigest('name', 3)), -1)
  })

  it('maps names to distinct slots that never move, after any history', () => {
    const step = fc.record({ name: fc.nat(30), remove: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const names = table(16)
        const model = new Map<bigint, number>()
        for (const { name, remove } of steps) {
          // Low bits all alike: every name begins at the same cell, the longest chains there can be.
          const digest = (BigInt(name) << 32n) | 21n
          if (remove) {
            const slot = model.get(digest)
            if (slot !== undefined) names.remove(slot)
            model.delete(digest)
          } else {
            const slot = names.insertExclusive(digest)
            if (model.has(digest)) assert.equal(slot, model.get(digest))
            else if (model.size === names.capacity) assert.equal(slot, -1)
            else {
              assert.ok(slot >= 0 && ![...model.values()].includes(slot))
              model.set(digest, slot)
            }
          }
          for (let other = 0; other <= 30; other++) {
            const key = (BigInt(other) << 32n) | 21n
            assert.equal(names.find(key), model.get(key) ?? -1)
          }
          assert.equal(names.size, model.size)
          assert.deepEqual(new Set(names.used()), new Set(model.values()))
        }
      }),
    )
  })

  it('leaves no removed cells once it is empty', () => {
    const buffer = IdentityTable.allocate(16)
    const names = new IdentityTable(buffer)
    const slots = Array.from({ length: 10 }, (_, i) => names.insertExclusive((BigInt(i) << 32n) | 5n))
    for (const slot of slots) names.remove(slot)
    assert.ok(new BigUint64Array(buffer, 8).every((word) => word === 0n))
  })

  it('recounts after the writer was terminated between a word and the count', () => {
    const buffer = IdentityTable.allocate(16)
    const names = new IdentityTable(buffer)
    names.insertExclusive(identityDigest('a'))
    new BigUint64Array(buffer, 8)[names.insertExclusive(identityDigest('b'))] = 0n
    names.recount()
    assert.equal(names.size, 1)
  })

  it('rejects a size that is not a power of two', () => {
    assert.throws(() => IdentityTable.allocate(100), TypeError)
    assert.throws(() => IdentityTable.allocate(4), TypeError)
  })
})

describe('the digest of a name', () => {
  it('depends on each part, and is never a reserved word', () => {
    assert.notEqual(identityDigest('a', 'b'), identityDigest('ab'))
    assert.notEqual(identityDigest('shop/api', '10.0.0.1', 80), identityDigest('shop/api', '10.0.0.18', 0))
    fc.assert(fc.property(fc.string(), (text) => identityDigest(text) > 1n && identityDigest(text) < 1n << 64n))
  })
})
