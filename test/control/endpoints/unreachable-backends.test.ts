import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { unreachableReason } from '../../../src/compile/unreachable.ts'
import { UnreachableBackends } from '../../../src/control/endpoints/unreachable-backends.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const FINE = { usable: 1, refused: [], unresolved: [], unanswered: [] }
const NOTHING = { ...FINE, usable: 0 }
const reason = (facts: Partial<typeof FINE> | object) => unreachableReason({ ...NOTHING, ...facts })?.reason

describe('a Backend that cannot be reached', () => {
  it('is one with addresses, none of which can be used; one without pods is none', () => {
    assert.equal(unreachableReason(NOTHING), undefined)
    assert.equal(reason({ refused: ['169.254.169.254 port 80 is link-local'] }), 'AddressNotAllowed')
    assert.equal(reason({ unresolved: ['x.invalid cannot be resolved (ENOTFOUND)'] }), 'NameNotResolved')
    assert.equal(reason({ unanswered: ['x.example'] }), 'Pending')
    assert.equal(reason({ unanswered: ['y.example'], unresolved: ['x.invalid'] }), 'Pending')
    assert.equal(reason({ usable: 1, refused: ['a'], unresolved: ['b'], unanswered: ['c'] }), undefined)
  })

  it('names four of many reasons', () => {
    const refused = Array.from({ length: 6 }, (_, i) => `10.0.0.${i} port 80 is one of ours`)
    assert.match(
      unreachableReason({ ...NOTHING, refused })!.message,
      /10\.0\.0\.3 port 80 is one of ours and 2 more; correct/,
    )
  })

  it('is reported once for a burst, and not when nothing is different', async () => {
    const facts = new Map([['a/x', { ...NOTHING, unresolved: ['x.invalid'] as never[] }]])
    const told: string[][] = []
    const backends = new UnreachableBackends({
      factsOf: (backend) => facts.get(backend) ?? FINE,
      changed: (all) => told.push([...all.keys()]),
      time: systemTimers,
    })
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    backends.look(['a/x', 'a/y'])
    backends.look(['a/x'])
    await turn()
    backends.look(['a/x', 'a/y'])
    backends.forget('a/z')
    await turn()
    assert.deepEqual(told, [['a/x']])
    facts.clear()
    backends.look(['a/x'])
    await turn()
    assert.deepEqual(told, [['a/x'], []])
  })
})
