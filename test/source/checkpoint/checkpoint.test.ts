import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { loadCheckpoint } from '../../../src/source/checkpoint/checkpoint.ts'
import { encodeState } from '../../../src/source/checkpoint/state-format.ts'
import { parseKeys, type StateKey } from '../../../src/source/checkpoint/state-key.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const KEYS = parseKeys(randomBytes(32).toString('base64'))

const objects = [
  { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name: 'r', namespace: 'shop' } },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'shop' }, data: { k: 'v' } },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'shop' }, data: { k: 'dg==' } },
]

function written(key: StateKey | undefined): Buffer {
  const header = { written: new Date(0).toISOString(), cluster: 'x', namespaces: [] }
  const encoder = encodeState(header, key)
  const lines = Buffer.from(objects.map((one) => `${JSON.stringify(one)}\n`).join(''))
  return Buffer.concat([encoder.head, encoder.update(lines), encoder.end()])
}

describe('the objects of a checkpoint', () => {
  it('are all of an encrypted file, and no payloads of one that anybody could have written', async () => {
    const load = async (key: StateKey | undefined) => {
      const consumer = { cluster: 'x', namespaces: [], keys: key && [key] }
      return [...(await loadCheckpoint(written(key), consumer, systemTimers)).objects.keys()]
    }
    assert.deepEqual(await load(KEYS[0]), ['Route shop/r', 'ConfigMap shop/c', 'Secret shop/s'])
    assert.deepEqual(await load(undefined), ['Route shop/r'])
  })
})
