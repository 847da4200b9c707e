import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BACKEND_DEFAULTS, POLICY_DEFAULTS, withDefaults } from '../../src/api/defaults.ts'
import { backendOf, defaultBackend } from '../../src/compile/backend.ts'
import { policyContent } from '../../src/compile/policies.ts'
import { parseDuration } from '../../src/lib/quantity.ts'
import { validator } from './schemas.ts'

test('the defaults of a Backend are those of its schema', () => {
  const result = validator.check('Backend', {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Backend',
    metadata: { name: 'a' },
    spec: { service: { name: 'a', port: 80 } },
  })
  assert.ok(result.ok)
  const { service: _, ...options } = result.object.spec
  assert.deepEqual(options, BACKEND_DEFAULTS)
})

test('a Service that a rule names has the defaults of a Backend', () => {
  assert.deepEqual(backendOf('a', BACKEND_DEFAULTS), defaultBackend('a'))
})

test('absent policies are compiled to the defaults', () => {
  const compiled = policyContent({}, { name: 'a', matches: [], respond: { statusCode: 200 } }, 'shop')
  const { timeouts, retry, limits, upgrades, pathEncoding } = POLICY_DEFAULTS
  assert.deepEqual(
    compiled.timeouts,
    Object.fromEntries(Object.entries(timeouts).map(([name, text]) => [name, parseDuration(text)])),
  )
  assert.deepEqual(compiled.retry, { ...retry, backoff: parseDuration(retry.backoff) })
  assert.equal(limits.maxRequestBytes, undefined)
  assert.equal(compiled.limits.maxRequestBytes, -1)
  assert.deepEqual([compiled.upgrades, compiled.pathEncoding], [upgrades, pathEncoding])
})

test('a key that is stated in part gets the defaults of its other fields', () => {
  const { retry, timeouts, limits } = withDefaults({ retry: { attempts: 0 }, timeouts: { request: '9s' } })
  assert.deepEqual(retry, { ...POLICY_DEFAULTS.retry, attempts: 0 })
  assert.deepEqual(timeouts, { ...POLICY_DEFAULTS.timeouts, request: '9s' })
  assert.deepEqual(limits, { maxConcurrentRequests: 0 })
})
