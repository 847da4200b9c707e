import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PutRoom } from '../../../src/store/archive/put-room.ts'

describe('the room of bodies that are being put', () => {
  it('is left to others by whoever takes the most of it', () => {
    const room = new PutRoom(100)
    let count = 0
    while (count < 1_000 && room.take('greedy', 5)) count++
    assert.equal(count, 10)
    assert.ok(room.take('calm', 20))
    assert.equal(room.take('calm', 20), false)
    assert.ok(room.take('late', 90), 'who has none puts one')
    room.giveBack('late', 90)
    for (let i = 0; i < 10; i++) room.giveBack('greedy', 5)
    assert.ok(room.take('calm', 40))
  })

  it('holds what is longer than all of it, one of an owner, beside what is not', () => {
    const room = new PutRoom(100)
    assert.ok(room.take('greedy', 5_000))
    assert.equal(room.take('greedy', 101), false)
    assert.ok(room.take('greedy', 10))
    assert.ok(room.take('calm', 5_000))
    room.giveBack('greedy', 5_000)
    assert.ok(room.take('greedy', 101))
  })

  it('gives back what is empty', () => {
    const room = new PutRoom(100)
    assert.ok(room.take('a', 0))
    room.giveBack('a', 0)
    assert.ok(room.take('a', 60))
    assert.equal(room.take('a', 60), false)
  })
})
