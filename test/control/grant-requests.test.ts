import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GrantAnswer, GrantRequest } from '../../src/auth/grant-store.ts'
import { GrantRequests } from '../../src/control/grant-requests.ts'
import { ANSWER_WITHIN, GrantClient } from '../../src/worker/grant-client.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { OWNER } from '../suite/grant-store.ts'

const mark = (name: string, namespace = 'shop'): GrantRequest => ({
  ...{ call: 'mark', owner: { ...OWNER, namespace }, mark: name, client: 'c', life: 60_000 },
})

interface Told {
  readonly worker: number
  readonly id: number
  readonly answer: GrantAnswer
}

function rig() {
  const turns: (() => void)[] = []
  const told: Told[] = []
  const time = {
    ...{ wall: () => 1_000, monotonic: () => 0, after: () => () => {}, every: () => () => {} },
    nextTurn(run: () => void) {
      turns.push(run)
      return () => {}
    },
  }
  const requests = new GrantRequests({
    time,
    answer: (worker, id, answer) => told.push({ worker, id, answer }),
    failure: (message) => assert.equal(message, undefined),
  })
  return { requests, told, turns, turn: () => turns.shift()?.() }
}

describe('what workers ask the embedded store', () => {
  it('waits for the settings, and is answered to the worker that asked', () => {
    const { requests, told, turn } = rig()
    requests.accept(0, 1, mark('a'))
    requests.accept(1, 1, mark('a'))
    turn()
    assert.deepEqual(told, [])
    requests.open(undefined)
    turn()
    assert.deepEqual(told, [
      { worker: 0, id: 1, answer: { value: 'first' } },
      { worker: 1, id: 1, answer: { value: 'again' } },
    ])
  })

  it('takes turns between namespaces, and leaves the thread between two transactions', () => {
    const { requests, told, turn, turns } = rig()
    requests.open(undefined)
    for (let id = 0; id < 500; id++) requests.accept(0, id, mark(`flood ${id}`, 'flood'))
    requests.accept(0, 1_000, mark('a'))
    turn()
    assert.ok(told.length <= 64)
    assert.ok(told.some(({ id }) => id === 1_000))
    while (turns.length > 0) turn()
    assert.equal(told.length, 501)
  })

  it('is refused beyond a bound, which one namespace reaches alone', () => {
    const { requests, told } = rig()
    for (let id = 0; id < 1_100; id++) requests.accept(0, id, mark(`${id}`, 'flood'))
    assert.equal(told.length, 76)
    assert.ok(told.every(({ answer }) => 'failure' in answer))
    requests.accept(0, 5_000, mark('a'))
    assert.equal(told.length, 76)
  })
})

describe('a worker that asks the embedded store', () => {
  const client = () => {
    const time = new VirtualTime()
    const sent: number[] = []
    return { time, sent, client: new GrantClient(time.keeper(), Math.random, (id) => sent.push(id)) }
  }

  it('gives up after a time, and is not confused by an answer that comes late', async () => {
    const rig = client()
    const lost = rig.client.find(OWNER, 'f')
    const refused = assert.rejects(lost, { name: 'GrantStoreFailure', message: /not answered in time/ })
    await rig.time.pass(ANSWER_WITHIN)
    await refused
    rig.client.answered(rig.sent[0]!, { value: undefined })
    const next = rig.client.isMarked(OWNER, 'm')
    rig.client.answered(rig.sent[1]!, { value: true })
    assert.equal(await next, true)
  })

  it('does not wait for a control thread that has ended', async () => {
    const rig = client()
    const lost = rig.client.mark(OWNER, 'm', 'c', 1_000)
    rig.client.forget()
    await assert.rejects(lost, { name: 'GrantStoreFailure', message: /control thread ended/ })
  })

  it('takes no answer for the worker that it replaces', async () => {
    const [before, after] = [client(), client()]
    before.client.find(OWNER, 'theirs').catch(() => {})
    const mine = after.client.find(OWNER, 'mine')
    after.client.answered(before.sent[0]!, { value: 'theirs' })
    after.client.answered(after.sent[0]!, { value: undefined })
    assert.equal(await mine, undefined)
    before.client.forget()
  })

  it('has a bound of calls under way', async () => {
    const rig = client()
    const calls = Array.from({ length: 1_025 }, () => rig.client.find(OWNER, 'f'))
    await assert.rejects(calls.at(-1)!, { name: 'GrantStoreFailure', message: /too many/ })
    assert.equal(rig.sent.length, 1_024)
    for (const id of rig.sent) rig.client.answered(id, { value: undefined })
    await Promise.all(calls.slice(0, -1))
  })
})
