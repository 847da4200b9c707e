import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type NamespaceShare, UNLIMITED, UpstreamBudget } from '../../src/limit/upstream-budget.ts'

const member = { dropIdle: () => false }

function budgetOf(connections: number, clients = 1_000, namespaceConnections = Number.POSITIVE_INFINITY, workers = 1) {
  const budget = new UpstreamBudget(workers)
  budget.use({ ...UNLIMITED, connections, namespaceConnections }, clients)
  return budget
}

function takeAll(share: NamespaceShare, now = 0): number {
  let taken = 0
  while (taken < 100_000 && share.take(now)) taken++
  return taken
}

describe('connections to upstreams', () => {
  it('are three quarters for a namespace that is alone, and some are left for whoever comes next', () => {
    const budget = budgetOf(1_000)
    assert.equal(takeAll(budget.join('greedy', member)), 750)
    const next = takeAll(budget.join('next', member))
    assert.ok(next >= 180 && next <= 190, String(next))
    assert.ok(takeAll(budget.join('third', member)) >= 40)
    assert.ok(budget.open < 1_000)
  })

  it('are available again when they are given back', () => {
    const budget = budgetOf(8)
    const share = budget.join('a', member)
    const taken = takeAll(share)
    for (let i = 0; i < taken; i++) share.give()
    assert.equal(budget.open, 0)
    assert.equal(takeAll(share, 100), taken)
  })

  it('count for a namespace whose Backends are all deleted and made anew, as long as they are open', () => {
    const budget = budgetOf(1_000, 100, 50)
    for (let i = 0; i < 5; i++) {
      const backend = { dropIdle: () => false }
      const share = budget.join('a', backend)
      takeAll(share, i * 100)
      share.enter(0)
      share.leave(backend)
    }
    assert.equal(budget.open, 50)
    const share = budget.join('a', member)
    assert.equal(share.requests, 5)
    share.leave(member)
    for (let i = 0; i < 50; i++) share.give()
    assert.equal(budget.join('a', member), share, 'requests are under way')
    share.leave(member)
    for (let i = 0; i < 5; i++) share.exit()
    const next = budget.join('a', member)
    assert.notEqual(next, share, 'a namespace without anything is forgotten')
    assert.equal(takeAll(next, 1_000), 50)
  })

  it('are never more than the operator gives a namespace, divided among the workers', () => {
    assert.equal(takeAll(budgetOf(1_000, 1_000, 50).join('a', member)), 50)
    assert.equal(takeAll(budgetOf(1_000, 1_000, 50, 4).join('a', member)), 12)
    assert.equal(takeAll(budgetOf(1_000, 1_000, 1, 4).join('a', member)), 1, 'one at least')
  })

  it('that lie idle at the same namespace make room, and are not looked for again and again in vain', () => {
    const budget = budgetOf(8)
    let idle = 2
    let searches = 0
    const share = budget.join('a', {
      dropIdle() {
        searches++
        if (idle === 0) return false
        idle--
        share.give()
        return true
      },
    })
    assert.equal(takeAll(share), 6 + 2)
    assert.equal(share.connections, 6)
    const before = searches
    for (let i = 0; i < 100; i++) assert.equal(share.take(5), false)
    assert.equal(searches, before)
    assert.equal(share.take(50), false)
    assert.equal(searches, before + 1)
  })

  it('that lie idle at others make room where nothing is free', () => {
    const budget = budgetOf(1)
    let idle = true
    const other = budget.join('other', {
      dropIdle() {
        if (!idle) return false
        idle = false
        other.give()
        return true
      },
    })
    assert.ok(other.take(0))
    assert.ok(budget.join('a', member).take(0))
    assert.equal(budget.open, 1)
  })

  it('of a namespace whose Backends are gone still count for all, and for it when it comes back', () => {
    const budget = budgetOf(8)
    const share = budget.join('a', member)
    takeAll(share)
    share.leave(member)
    assert.equal(budget.open, 6)
    assert.equal(budget.join('a', member), share)
    share.give()
    assert.equal(budget.open, 5)
  })

  it('that are taken by a Backend of old tables leave the share of the present ones alone', () => {
    const budget = budgetOf(8)
    const old = budget.join('a', member)
    old.leave(member)
    const present = budget.join('a', member)
    old.enter(0)
    old.exit()
    assert.equal(budget.join('a', { dropIdle: () => false }), present)
  })

  it('never exceed what there is, whoever takes and gives in whichever order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.tuple(fc.nat(4), fc.boolean())), (limit, steps) => {
        const budget = budgetOf(limit)
        const shares = [0, 1, 2, 3, 4].map((name) => budget.join(String(name), member))
        for (const [at, take] of steps) {
          const share = shares[at]!
          if (take) share.take(0)
          else if (share.connections > 0) share.give()
          assert.ok(budget.open <= limit)
          assert.equal(
            budget.open,
            shares.reduce((sum, one) => sum + one.connections, 0),
          )
        }
      }),
    )
  })
})

describe('requests at a time', () => {
  it('are as many as open clients leave of what both may have', () => {
    const budget = new UpstreamBudget(1)
    let clients = 80
    budget.openClients = () => clients
    budget.use({ ...UNLIMITED, connections: 40, allConnections: 100 }, 82)
    const takenBy = (name: string): number => {
      const share = budget.join(name, { dropIdle: () => false })
      let taken = 0
      while (share.take(taken * 1_000)) taken++
      return taken
    }
    assert.equal(budget.connections, 20)
    // Three quarters of what is free.
    assert.equal(takenBy('a'), 15)
    clients = 10
    assert.equal(budget.connections, 40)
    assert.equal(takenBy('b'), 19)
  })

  it('leave places of clients for others', () => {
    const budget = budgetOf(1_000, 100)
    const share = budget.join('greedy', member)
    let taken = 0
    while (taken < 1_000 && share.enter(taken)) taken++
    assert.equal(taken, 75)
    assert.ok(budget.join('next', member).enter(taken))
    share.exit()
    assert.ok(share.enter(taken - 1))
  })

  it('over HTTP/2 are counted apart from connections of clients, of which one carries many', () => {
    const budget = budgetOf(1_000, 100)
    const share = budget.join('greedy', member)
    let taken = 0
    while (taken < 10_000 && share.enterStream(taken)) taken++
    assert.equal(taken, 3_072)
    assert.ok(budget.join('next', member).enterStream(taken))
    assert.ok(share.enter(0), 'HTTP/1.1 has its own')
    share.exit()
    for (let i = 0; i < taken; i++) share.exitStream()
    assert.deepEqual([share.requests, share.streams], [0, 0])
  })
})
