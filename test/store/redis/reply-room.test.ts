import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReplyRoom } from '../../../src/store/redis/reply-room.ts'

const KIB = 1_024
const LARGE = 256 * KIB

const roomOf = (): ReplyRoom =>
  new ReplyRoom({ most: 2_048 * KIB, least: 256 * KIB, largestReply: 600 * KIB, firstGuess: 16 * KIB })

/** How many of an owner may be on their way at once. */
function atOnce(room: ReplyRoom, owner: string): number {
  const taken: number[] = []
  for (let bytes = room.take(owner); bytes > 0; bytes = room.take(owner)) taken.push(bytes)
  for (const bytes of taken) room.failed(owner, bytes)
  return taken.length
}

/** Lookups one after the other. */
function looksUp(room: ReplyRoom, owner: string, times: number, bytes: number): void {
  for (let i = 0; i < times; i++) room.replied(owner, room.take(owner), bytes)
}

describe('the room for replies', () => {
  it('has an owner of large records ask for few at a time, and one of small records for many', () => {
    const room = roomOf()
    looksUp(room, 'large', 1, LARGE)
    looksUp(room, 'small', 30, KIB)
    assert.equal(atOnce(room, 'large'), 4)
    assert.ok(atOnce(room, 'small') > 300)
  })

  it('leaves half of it to others, however many an owner asks for, and one to each', () => {
    const room = roomOf()
    looksUp(room, 'large', 1, LARGE)
    looksUp(room, 'small', 30, KIB)
    while (room.take('large') > 0);
    assert.ok(atOnce(room, 'small') > 200)
    while (room.take('small') > 0);
    while (room.take('third') > 0);
    assert.ok(room.take('fourth') > 0)
  })

  it('believes a larger reply at once, and smaller ones little by little', () => {
    const room = roomOf()
    looksUp(room, 'a', 20, KIB)
    const before = atOnce(room, 'a')
    looksUp(room, 'a', 1, LARGE)
    assert.ok(atOnce(room, 'a') < 5)
    looksUp(room, 'a', 5, KIB)
    assert.ok(atOnce(room, 'a') < before / 10)
    looksUp(room, 'a', 40, KIB)
    assert.ok(atOnce(room, 'a') >= before)
  })

  it('takes a reply that did not come for as large as it is, and believes no other that was smaller', () => {
    const room = roomOf()
    looksUp(room, 'a', 40, KIB)
    const [taken, other] = [room.take('a'), room.take('a')]
    assert.ok(room.allowed(taken) < LARGE)
    room.tooLarge('a', taken, LARGE)
    const again = room.take('a', LARGE)
    assert.ok(room.allowed(again) >= LARGE)
    // Another one that was under way is as small as those before.
    room.replied('a', other, KIB)
    assert.ok(atOnce(room, 'a') < 5)
    room.replied('a', again, LARGE)
    looksUp(room, 'a', 40, KIB)
    const exact = room.take('a', LARGE)
    assert.ok(exact >= LARGE && room.allowed(exact) >= LARGE)
  })

  it('always allows what is usual', () => {
    const room = roomOf()
    looksUp(room, 'a', 40, KIB)
    assert.equal(room.allowed(room.take('a')), 15 * KIB)
    assert.equal(room.allowed(room.take('new')), 15 * KIB)
  })

  it('shrinks where replies are late, to what suffices for one, and grows with what comes', () => {
    const room = roomOf()
    for (let i = 0; i < 10; i++) room.late('a', room.take('a'))
    assert.equal(room.room, 256 * KIB)
    assert.equal(atOnce(room, 'a'), 1)
    looksUp(room, 'b', 100, 100 * KIB)
    assert.equal(room.room, 2_048 * KIB)
  })

  it('gives everything back, whatever becomes of the calls, of any number of owners', () => {
    const room = roomOf()
    for (let i = 0; i < 10_000; i++) {
      const owner = `owner ${i}`
      const taken = room.take(owner)
      if (i % 3 === 0) room.replied(owner, taken, i)
      else if (i % 3 === 1) room.failed(owner, taken)
      else room.late(owner, taken)
    }
    looksUp(room, 'last', 1_000, 100 * KIB)
    assert.equal(room.room, 2_048 * KIB)
    assert.ok(room.take('new') > 0)
  })
})
