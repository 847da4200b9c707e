import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CheckpointReplay } from '../../../src/source/checkpoint/replay.ts'
import type { SourceEvent } from '../../../src/source/source.ts'

const nested = (depth: number, end: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}${end}${'}'.repeat(depth)}`)

describe('what stands in for a source', () => {
  it('goes on with the others when one object is nested more deeply than can be compared', () => {
    const raw = (end: number) => ({ metadata: { uid: 'u' }, spec: nested(60_000, end) })
    const one = { kind: 'Route' as const, key: 'evil/deep', text: JSON.stringify(raw(1)), need: undefined }
    const recall = new CheckpointReplay({ written: 0, objects: new Map([['Route evil/deep', one]]) }, new Set())
    assert.equal([...recall.tell(() => false)].length, 1)
    const upsert = (key: string, spec: unknown): SourceEvent => ({
      type: 'upsert',
      kind: 'Route',
      key,
      raw: spec,
      origin: { cluster: true },
    })
    const told = recall.accept([upsert('evil/deep', raw(2)), upsert('shop/app', {})]).flat()
    assert.deepEqual(
      told.map(({ key }) => key),
      ['evil/deep', 'shop/app'],
    )
  })
})
