import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { SplitRef } from '../../src/balance/split.ts'
import { UserSplit } from '../../src/balance/user-split.ts'
import { hashKey } from '../../src/lib/hash.ts'
import { identityOf } from '../../src/snapshot/rule-levels.ts'

const USERS = Array.from({ length: 20_000 }, (_, i) => new UserSplit(hashKey(`user-${i}`)))

function refs(weights: Readonly<Record<string, number>>): SplitRef[] {
  return Object.entries(weights).map(([id, weight]) => ({ identity: hashKey(id), weight }))
}

/** The Backend of each user; undefined where none has a weight. */
function parts(backends: readonly SplitRef[]): (number | undefined)[] {
  return USERS.map((user) => backends[user.turn({ key: 'r', backends })]?.identity)
}

function shareOf(id: string, found: readonly (number | undefined)[]): number {
  return found.filter((one) => one === hashKey(id)).length / found.length
}

function moved(before: readonly (number | undefined)[], after: readonly (number | undefined)[]): number {
  return before.filter((one, i) => one !== after[i]).length / before.length
}

function close(actual: number, expected: number, margin = 0.012): void {
  assert.ok(Math.abs(actual - expected) < margin, `${actual} is not about ${expected}`)
}

describe('a split by user', () => {
  const before = parts(refs({ 'a/stable': 90, 'a/canary': 10 }))

  it('follows the weights', () => {
    close(shareOf('a/canary', before), 0.1)
    const three = parts(refs({ 'a/one': 1, 'a/two': 2, 'a/three': 5 }))
    close(shareOf('a/one', three), 1 / 8)
    close(shareOf('a/three', three), 5 / 8)
  })

  it('asks neither the order nor the rule', () => {
    assert.deepEqual(parts(refs({ 'a/canary': 10, 'a/stable': 90 })), before)
    const backends = refs({ 'a/stable': 90, 'a/canary': 10 })
    assert.deepEqual(
      USERS.map((user) => backends[user.turn({ key: 'renamed', backends })]!.identity),
      before,
    )
  })

  it('moves users only to the Backend whose weight grows, and no more than the weights say', () => {
    const after = parts(refs({ 'a/stable': 80, 'a/canary': 20 }))
    close(shareOf('a/canary', after), 0.2)
    close(moved(before, after), 0.1)
    for (const [i, one] of before.entries()) if (one === hashKey('a/canary')) assert.equal(after[i], one)
    // In proportion the weights are as they were.
    assert.equal(moved(before, parts(refs({ 'a/stable': 9, 'a/canary': 1 }))), 0)
  })

  it('moves nobody else when a Backend is added, removed, or gets nothing for a while', () => {
    const three = parts(refs({ 'a/stable': 90, 'a/canary': 10, 'a/blue': 20 }))
    for (const [i, one] of three.entries()) if (one !== hashKey('a/blue')) assert.equal(one, before[i])
    assert.deepEqual(parts(refs({ 'a/blue': 0, 'a/stable': 90, 'a/canary': 10 })), before)
  })

  it('renaming one Backend moves its own users, and of others only those that come to it', () => {
    const after = parts(refs({ 'a/stable': 90, 'a/canary-2': 10 }))
    close(shareOf('a/canary-2', after), 0.1)
    // All but those for whom the other is ahead of both names: 90 of 110.
    close(moved(before, after), 0.182)
  })

  it('two references to one Backend get what both weights say', () => {
    const stable = hashKey('a/stable')
    const first = { identity: stable, weight: 60, backendIndex: 0, priority: 0 }
    const second = { ...first, identity: identityOf(stable, [first]), weight: 30 }
    assert.notEqual(second.identity, stable)
    const twice = parts([first, ...refs({ 'a/canary': 10 }), second])
    close(shareOf('a/canary', twice), 0.1)
    close(shareOf('a/stable', twice), 0.6)
  })

  it('nobody goes to a weight of 0, for any weights', () => {
    assert.equal(USERS[0]!.turn({ key: 'r', backends: refs({ 'a/one': 0, 'a/two': 0 }) }), -1)
    assert.equal(USERS[0]!.turn({ key: 'r', backends: [] }), -1)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 16 }), fc.nat(), (weights, user) => {
        const backends = weights.map((weight, i) => ({ identity: hashKey(`b${i}`), weight }))
        const at = new UserSplit(user).turn({ key: 'r', backends })
        assert.ok(at === -1 ? weights.every((weight) => weight === 0) : weights[at]! > 0)
      }),
    )
  })

  it('the extremes of the weights are followed', () => {
    assert.ok(shareOf('a/one', parts(refs({ 'a/one': 1, 'a/million': 1_000_000 }))) < 0.001)
  })

  it('answers one question for one user alike, evenly over users', () => {
    const chances = USERS.map((user) => user.chance(7))
    assert.deepEqual(
      USERS.map((user) => user.chance(7)),
      chances,
    )
    for (const bound of [0.1, 0.5, 0.93]) close(chances.filter((chance) => chance < bound).length / USERS.length, bound)
    // Whoever is in a part is asked as anybody else.
    const canaries = chances.filter((_, i) => before[i] === hashKey('a/canary'))
    close(canaries.filter((chance) => chance < 0.5).length / canaries.length, 0.5, 0.05)
  })
})
