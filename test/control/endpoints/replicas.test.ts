import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SliceEndpoint } from '../../../src/api/kubernetes.ts'
import { ALONE } from '../../../src/balance/topology.ts'
import { Replicas } from '../../../src/control/endpoints/replicas.ts'
import { slice, world } from '../../compile/world.ts'

const POD = { POD_NAMESPACE: 'gateway', POD_NAME: 'hg-2', HEADGATE_REPLICAS: 'headgate-replicas' }

function pod(name: string, zone: string | undefined, conditions: SliceEndpoint['conditions'] = {}): SliceEndpoint {
  const targetRef = { kind: 'Pod', namespace: 'gateway', name }
  return { addresses: [`10.0.0.${name.at(-1)}`], targetRef, conditions, ...(zone !== undefined && { zone }) }
}

function replicasOf(...endpoints: readonly SliceEndpoint[]) {
  return world({
    slices: [
      slice('gateway/r-4', 'headgate-replicas', { endpoints }),
      // Every pod again, in its other family.
      slice('gateway/r-6', 'headgate-replicas', { addressType: 'IPv6', endpoints }),
      // Of other Services, and of another namespace.
      slice('gateway/other', 'other', { endpoints: [pod('hg-2', 'x')] }),
      slice('tenant/r', 'headgate-replicas', { endpoints: [pod('hg-2', 'y'), pod('hg-9', 'y')] }),
    ],
  })
}

describe('where a replica stands', () => {
  it('is its zone, the replicas of each, and its place by name, by the slices of the installation alone', () => {
    const replicas = new Replicas(true, POD)
    const resources = replicasOf(pod('hg-3', 'b'), pod('hg-1', 'a'), pod('hg-2', 'b'), pod('hg-4', undefined))
    assert.deepEqual(replicas.topology(resources, undefined), {
      zone: 'b',
      replicas: [
        ['', 1],
        ['a', 1],
        ['b', 2],
      ],
      place: { index: 1, count: 4 },
      placeInZone: { index: 0, count: 2 },
    })
  })

  it('counts those that serve, and itself in any case', () => {
    const replicas = new Replicas(true, POD)
    const resources = replicasOf(
      pod('hg-1', 'a', { ready: true, serving: false, terminating: false }),
      pod('hg-2', 'a', { ready: true, serving: false, terminating: true }),
      pod('hg-3', 'a', { ready: true, serving: true, terminating: true }),
      pod('hg-4', 'a', { ready: true, serving: true }),
    )
    assert.deepEqual(replicas.topology(resources, undefined).place, { index: 0, count: 2 })
  })

  it('is unknown outside of a cluster, without the names of pod and Service, and until the pod is listed', () => {
    const resources = replicasOf(pod('hg-1', 'a'), pod('hg-2', 'a'))
    assert.deepEqual(new Replicas(false, POD).topology(resources, undefined), ALONE)
    for (const missing of Object.keys(POD))
      assert.deepEqual(new Replicas(true, { ...POD, [missing]: '' }).topology(resources, undefined), ALONE)
    assert.deepEqual(new Replicas(true, POD).topology(replicasOf(pod('hg-1', 'a')), undefined), ALONE)
    assert.deepEqual(new Replicas(true, POD).topology(world({}), undefined), ALONE)
  })

  it('is what the settings say before what the cluster says', () => {
    const outside = new Replicas(false, {})
    const stated = { zone: 'z', replica: { number: 2, of: 5 } }
    assert.deepEqual(outside.topology(world({}), stated), { ...ALONE, zone: 'z', place: { index: 1, count: 5 } })
    assert.deepEqual(outside.topology(world({}), { zone: 'z' }), { ...ALONE, zone: 'z' })
    const inside = new Replicas(true, POD)
    const resources = replicasOf(pod('hg-1', 'a'), pod('hg-2', 'a'))
    assert.deepEqual(inside.topology(resources, { zone: 'z' }), { ...ALONE, zone: 'z', place: { index: 1, count: 2 } })
    const same = { zone: 'a', replicas: [['a', 2]], place: { index: 1, count: 2 }, placeInZone: { index: 1, count: 2 } }
    assert.deepEqual(inside.topology(resources, { zone: 'a' }), same)
    assert.deepEqual(inside.topology(resources, undefined), same)
  })

  it('stays the same object while nothing differs', () => {
    const replicas = new Replicas(true, POD)
    const before = replicas.topology(replicasOf(pod('hg-1', 'a'), pod('hg-2', 'a')), undefined)
    assert.equal(replicas.topology(replicasOf(pod('hg-2', 'a'), pod('hg-1', 'a')), undefined), before)
    assert.notEqual(replicas.topology(replicasOf(pod('hg-2', 'b'), pod('hg-1', 'a')), undefined), before)
  })
})
