import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CheckpointReplay } from '../../../src/source/checkpoint/checkpoint-replay.ts'
import type { SourceEvent } from '../../../src/source/source.ts'

const nested = (depth: number, end: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}${end}${'}'.repeat(depth)}`)

describe('a checkpoint replay', () => {
  it('treats an object nested too deeply for a comparison as changed, and continues with the others', () => {
    const raw = (end: number) => ({ metadata: { uid: 'u' }, spec: nested(60_000, end) })
    const object = { kind: 'Route' as const, key: 'evil/deep', text: JSON.stringify(raw(1)), reference: undefined }
    const replay = new CheckpointReplay({ written: 0, objects: new Map([['Route evil/deep', object]]) }, new Set())
    assert.equal([...replay.emitUnconditional(() => false)].length, 1)
    const upsert = (key: string, spec: unknown): SourceEvent => ({
      type: 'upsert',
      kind: 'Route',
      key,
      raw: spec,
      origin: { cluster: true },
    })
    const emitted = replay.merge([upsert('evil/deep', raw(2)), upsert('shop/app', {})]).flat()
    assert.deepEqual(
      emitted.map(({ key }) => key),
      ['evil/deep', 'shop/app'],
    )
  })
})
