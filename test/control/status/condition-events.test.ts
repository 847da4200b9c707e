import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import type { Condition } from '../../../src/api/condition.ts'
import type { ResourceSet } from '../../../src/compile/resource-set.ts'
import { ConditionEvents, noticesOf } from '../../../src/control/status/condition-events.ts'
import type { Notice } from '../../../src/control/status/events.ts'
import type { Seen } from '../../../src/control/status/seen-statuses.ts'

const TARGET = { kind: 'Backend', key: 'shop/api' } as const

const healthy = (status: Condition['status'], reason: string, message = 'so it is'): Condition =>
  ({ type: 'Healthy', status, reason, message }) as Condition

/** What is reported where a Backend that has the one status gets the other. */
function reported(was: Condition | undefined, now: Condition): string[] {
  const before = {
    uid: 'u',
    conditions: was === undefined ? [] : [{ ...was, lastTransitionTime: '' }],
  } as unknown as Seen
  return noticesOf(TARGET, { conditions: [now], rest: {} }, before).map(({ type, reason }) => `${type} ${reason}`)
}

describe('Events of Healthy', () => {
  it('are written where it changes, and where its reason does', () => {
    const well = healthy('True', 'Healthy')
    const panic = healthy('False', 'Panic')
    assert.deepEqual(reported(well, panic), ['Warning Panic'])
    assert.deepEqual(reported(panic, healthy('False', 'NoEligibleEndpoints')), ['Warning NoEligibleEndpoints'])
    assert.deepEqual(reported(panic, well), ['Normal Healthy'])
    assert.deepEqual(reported(well, healthy('False', 'NoEndpoints')), ['Warning NoEndpoints'])
    assert.deepEqual(reported(undefined, healthy('False', 'AddressNotAllowed')), ['Warning AddressNotAllowed'])
  })

  it('are not written for each pod, nor for one that is new', () => {
    assert.deepEqual(reported(healthy('True', 'Healthy', '2 of 3'), healthy('True', 'Healthy', '3 of 3')), [])
    assert.deepEqual(reported(healthy('False', 'Panic', '1 is out'), healthy('False', 'Panic', '2 are out')), [])
    assert.deepEqual(reported(undefined, healthy('False', 'NoEndpoints')), [])
    assert.deepEqual(reported(undefined, healthy('True', 'Healthy')), [])
  })
})

describe('Events of endpoints', () => {
  let notices: Notice[]
  let events: ConditionEvents

  beforeEach(() => {
    notices = []
    const backends = new Map([['shop/api', { object: { metadata: { uid: 'u-1' } } }]])
    const resources = { backends } as unknown as ResourceSet
    events = new ConditionEvents({ record: (notice) => void notices.push(notice) }, () => resources)
  })

  it('say of which Backend, and what', () => {
    events.endpointTurned('shop/api', {
      reason: 'EndpointEjected',
      message: 'endpoint 10.0.0.1:80 is ejected for 30 s',
    })
    events.endpointTurned('shop/api', { reason: 'EndpointRecovered', message: 'endpoint 10.0.0.1:80 is back' })
    assert.deepEqual(
      notices.map(({ type, reason, note }) => [type, reason, note]),
      [
        ['Warning', 'EndpointEjected', 'endpoint 10.0.0.1:80 is ejected for 30 s'],
        ['Normal', 'EndpointRecovered', 'endpoint 10.0.0.1:80 is back'],
      ],
    )
    const { kind, namespace, name, uid } = notices[0]!.regarding
    assert.deepEqual([kind, namespace, name, uid], ['Backend', 'shop', 'api', 'u-1'])
  })

  it('need an object: a Service that a rule names directly has none, nor has a Backend that is gone', () => {
    for (const backend of ['service:shop/web:80', 'shop/gone'])
      events.endpointTurned(backend, { reason: 'EndpointUnhealthy', message: 'endpoint 10.0.0.1:80 is unhealthy' })
    assert.deepEqual(notices, [])
  })
})
