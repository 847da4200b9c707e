import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EndpointVersions } from '../../src/balance/endpoint-versions.ts'

function versions(...sets: readonly [string, string][]): EndpointVersions<string> {
  const made = new EndpointVersions<string>()
  for (const [key, set] of sets) made.add(key, set)
  return made
}

describe('endpoint sets on their way', () => {
  it('wait for the tables with their key, which drop older ones', () => {
    const sets = versions(['HTTP', 'a'], ['H2C', 'b'], ['HTTPS', 'c'])
    assert.equal(sets.use('H2C'), 'b')
    assert.deepEqual(
      [...sets.entries].map(([, set]) => set),
      ['b', 'c'],
    )
    assert.equal(sets.use('HTTPS'), 'c')
    assert.deepEqual(
      [...sets.entries].map(([, set]) => set),
      ['c'],
    )
  })

  it('are the newest of their key: a protocol that came back waits behind the one between', () => {
    const sets = versions(['HTTP', 'a'], ['H2C', 'b'], ['HTTP', 'c'])
    assert.equal(sets.use('H2C'), 'b')
    assert.equal(sets.use('HTTP'), 'c')
  })

  it('are the newest where none has the key', () => {
    assert.equal(versions(['HTTP', 'a'], ['H2C', 'b']).use('HTTPS'), 'b')
    assert.equal(versions().use('HTTP'), undefined)
  })

  it('are bounded, whatever never comes', () => {
    const sets = versions(...Array.from({ length: 1_000 }, (_, i): [string, string] => [`key ${i}`, `${i}`]))
    assert.deepEqual([...sets.entries].map(([, set]) => set).length, 8)
    assert.equal(sets.use('none'), '999')
  })
})
