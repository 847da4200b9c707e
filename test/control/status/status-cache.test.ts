import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Condition, ConditionReason, ConditionType, ObjectStatus } from '../../../src/api/condition.ts'
import { refusedConditions } from '../../../src/compile/conditions.ts'
import { ingressNotices } from '../../../src/control/status/condition-events.ts'
import { StatusCache } from '../../../src/control/status/status-cache.ts'
import { findingsOf, isUnlisted, unwell } from '../../../src/control/status/status-findings.ts'
import { StatusSink } from '../../../src/control/status/status-sink.ts'
import { statusMap } from '../../compile/world.ts'

function condition(type: ConditionType, status: 'True' | 'False', reason: ConditionReason): Condition {
  return { type, status, reason, message: `${type} is ${status}`, observedGeneration: 1 }
}

const well = [
  condition('Ready', 'False', 'Pending'),
  condition('Accepted', 'True', 'Accepted'),
  condition('PartiallyInvalid', 'False', 'AllValid'),
  condition('ResolvedRefs', 'True', 'ResolvedRefs'),
  condition('Programmed', 'False', 'Pending'),
  condition('Stale', 'False', 'Current'),
]

function routeStatus(key: string, conditions = well, rules = 2): ObjectStatus {
  return { kind: 'Route', key, conditions, rules }
}

const SEEN = { uid: 'u', resourceVersion: '1', generation: 1, className: undefined, conditions: [], rest: '' }

const LEFT_OUT = new Set(['a/some', 'a/none'])

function cacheWithSink() {
  const changes: string[] = []
  const sink = new StatusSink()
  const statuses = new StatusCache((backend) => ({
    total: backend === 'a/empty' ? 0 : 2,
    eligible: backend === 'a/full' || backend === 'a/some' ? 1 : 0,
    ...(LEFT_OUT.has(backend) && {
      leftOut: '3 of its endpoints are left out, since namespace a holds 9 of 9 places',
    }),
    refused: backend === 'a/refused' ? ['169.254.169.254 port 80 is link-local'] : [],
  }))
  sink.subscribe(statuses)
  sink.subscribe({
    prepare: ({ before, after, differs }) => {
      if (differs && after !== undefined) changes.push(`${after.key}${before === undefined ? ' new' : ''}`)
    },
  })
  const of = (key: string, type: ConditionType) =>
    statuses
      .list()
      .find((status) => status.key === key)
      ?.conditions.find((one) => one.type === type)
  const set = (list: readonly ObjectStatus[], generation: number): void => {
    for (const _ of sink.prepare(statusMap(list)));
    sink.commit(generation)
  }
  return { statuses, changes, of, set }
}

describe('the status cache', () => {
  it('has Programmed and Ready only once every worker serves the generation', () => {
    const { statuses, of, set } = cacheWithSink()
    set([routeStatus('a/a')], 3)
    statuses.served(2)
    assert.deepEqual([of('a/a', 'Programmed')?.status, of('a/a', 'Ready')?.status], ['False', 'False'])
    statuses.served(3)
    assert.deepEqual([of('a/a', 'Programmed')?.status, of('a/a', 'Ready')?.status], ['True', 'True'])
    set([routeStatus('a/a')], 4)
    assert.equal(of('a/a', 'Programmed')?.status, 'False')
  })

  it('has the cause where some endpoints of a Backend, or all, have no place', () => {
    const { of, set } = cacheWithSink()
    const backend = (key: string): ObjectStatus => ({ kind: 'Backend', key, conditions: [] })
    set([backend('a/some'), backend('a/none')], 1)
    assert.equal(
      of('a/some', 'Healthy')?.message,
      '1 of 2 endpoints take requests; 3 of its endpoints are left out, since namespace a holds 9 of 9 places.',
    )
    assert.deepEqual(
      [of('a/none', 'Healthy')?.reason, of('a/none', 'Healthy')?.message],
      [
        'NoEligibleEndpoints',
        'No endpoint takes requests: 3 of its endpoints are left out, since namespace a holds 9 of 9 places; use fewer.',
      ],
    )
  })

  it('gets a change once, and not an equal status', () => {
    const { statuses, changes, set } = cacheWithSink()
    set([routeStatus('a/a'), routeStatus('a/b')], 1)
    set([routeStatus('a/a'), routeStatus('a/b', [...well])], 2)
    assert.deepEqual(changes.sort(), ['a/a new', 'a/b new'])
    set([routeStatus('a/a', [condition('Accepted', 'False', 'Invalid')])], 3)
    assert.deepEqual(changes, ['a/a new', 'a/b new', 'a/a'])
    assert.equal(statuses.size, 1)
  })

  it('counts the Routes of which something is served', () => {
    const { statuses, set } = cacheWithSink()
    set([routeStatus('a/a'), routeStatus('a/b', well, 0), routeStatus('a/c', well, 5)], 1)
    assert.deepEqual(statuses.sizes(), { routes: 2, rules: 7 })
  })

  it('shows whether a Backend has endpoints now', () => {
    const { of, set } = cacheWithSink()
    const conditions = [condition('Accepted', 'True', 'Accepted')]
    set(
      ['a/empty', 'a/full', 'a/refused'].map((key) => ({ kind: 'Backend', key, conditions })),
      1,
    )
    assert.equal(of('a/empty', 'Healthy')?.reason, 'NoEndpoints')
    assert.equal(of('a/full', 'Healthy')?.status, 'True')
    assert.equal(of('a/refused', 'Healthy')?.reason, 'AddressNotAllowed')
    assert.match(
      of('a/refused', 'Healthy')?.message ?? '',
      /169\.254\.169\.254 port 80 is link-local; correct the address/,
    )
  })

  it('knows which conditions are faults', () => {
    assert.deepEqual(well.filter(unwell), [])
    for (const bad of [
      condition('Accepted', 'False', 'Invalid'),
      condition('PartiallyInvalid', 'True', 'Conflicted'),
      condition('Stale', 'True', 'LastGoodServed'),
      condition('ResolvedRefs', 'False', 'BackendNotFound'),
    ])
      assert.ok(unwell(bad), bad.type)
  })

  it('repeats nothing that the list of problems has of a refused version, as Events of an Ingress do', () => {
    for (const reason of ['Invalid', 'NotImplemented', 'TooCostly', 'Quarantined', 'MemoryBudget'] as const) {
      const conditions = refusedConditions([{ path: ['spec'], reason, message: 'is wrong' }], 1, true)
      const status: ObjectStatus = { kind: 'Ingress', key: 'a/web', conditions, rules: 0 }
      assert.deepEqual([...findingsOf(status, isUnlisted)], [])
      const notices = ingressNotices({ kind: 'Ingress', key: 'a/web' }, SEEN, status)
      assert.deepEqual(
        notices.map((notice) => notice.reason),
        [reason],
      )
    }
    const stale = routeStatus('a/stale', [condition('Stale', 'True', 'LastGoodServed')])
    assert.deepEqual([...findingsOf(stale, isUnlisted)], [])
    const closed = condition('Stale', 'True', 'ClosedByEdit')
    assert.deepEqual([...findingsOf(routeStatus('a/closed', [closed]), isUnlisted)], [closed])
  })
})
