/** One object as large as an API server lets pass, against whoever waits for the control thread meanwhile. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { ResourceCache } from '../../src/control/resources/resource-cache.ts'
import { readSchemas } from '../../src/source/crds.ts'
import type { SourceEvent } from '../../src/source/source.ts'
import { SETTINGS } from '../compile/world.ts'

/** 1.5 MiB, which is what etcd takes. */
const PATHS = 17_000

function ingress(version: string): SourceEvent {
  const paths = Array.from({ length: PATHS }, (_, i) => ({
    path: `/${version}${i}`,
    pathType: 'Exact',
    backend: { service: { name: 'a', port: { number: 1 + i } } },
  }))
  const metadata = { name: 'large', namespace: 'evil', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' }
  const raw = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { ...metadata, resourceVersion: version },
    spec: { rules: [{ host: 'large.test', http: { paths } }] },
  }
  return { type: 'upsert', kind: 'Ingress', key: 'evil/large', raw, origin: { cluster: true } }
}

describe('an Ingress with 17,000 paths', () => {
  it('holds up the control thread in no turn of its compile, new or edited', () => {
    const cache = new ResourceCache(createValidator(readSchemas()), SETTINGS)
    const memo = new CompileState()
    for (const version of ['a', 'b', 'c']) {
      cache.accept([ingress(version)])
      const steps = compile(cache.resources(), memo)
      let longest = 0
      for (let done = false; !done; ) {
        // Not by the clock: the supervisor does not count the time that a thread waits for a processor either.
        const began = process.threadCpuUsage()
        done = steps.next().done === true
        longest = Math.max(longest, process.threadCpuUsage(began).user / 1_000)
      }
      // The supervisor ends the thread after 600 ms, and the next one meets the same Ingress.
      assert.ok(longest < 300, `${Math.round(longest)} ms for version ${version}`)
    }
  })
})
