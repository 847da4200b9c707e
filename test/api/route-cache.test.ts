import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { readSchemas } from '../../src/source/crds.ts'

const VALIDATOR = createValidator(readSchemas())

function validate(rule: object, policies: object = {}) {
  const rules = [{ name: 'a', ...rule }]
  const route = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name: 'r', namespace: 'n' } }
  return VALIDATOR.check('Route', { ...route, spec: { rules, policies } })
}

const said = (problems: readonly { readonly path: readonly (string | number)[]; readonly message: string }[]) =>
  problems.map(({ path, message }) => `${path.join('.')} ${message}`)

describe('cache of a Route', () => {
  const respond = { respond: { statusCode: 200, body: 'x' } }
  const forward = { backendRefs: [{ name: 'b' }] }

  it('is a warning where the rule answers itself', () => {
    const own = [respond, { redirect: { path: { type: 'ReplaceFullPath', replaceFullPath: '/b' } } }]
    for (const rule of own) {
      const result = validate({ ...rule, policies: { cache: {} } })
      assert.ok(result.ok, JSON.stringify(result))
      assert.match(said(result.warnings).join(), /^spec\.rules\.0\.policies\.cache does nothing: rule a answers itself/)
    }
    for (const rule of [
      { ...forward, policies: { cache: {} } },
      { ...respond, policies: { cache: { maxTTL: '0s' } } },
      { ...respond, policies: { cache: { maxTTL: '0m' } } },
      respond,
    ]) {
      const result = validate(rule)
      assert.deepEqual(result.ok && result.warnings, [])
    }
  })

  it('is a warning at the Route, where every rule of it answers itself', () => {
    for (const [policies, path] of [
      [{ cache: {} }, 'spec.policies.cache'],
      [{ enforced: { cache: {} } }, 'spec.policies.enforced.cache'],
    ] as const) {
      const idle = validate(respond, policies)
      assert.ok(idle.ok, JSON.stringify(idle))
      assert.equal(said(idle.warnings).length, 1)
      assert.ok(said(idle.warnings)[0]!.startsWith(`${path} does nothing: every rule answers itself`))
      const used = validate(forward, policies)
      assert.deepEqual(used.ok && used.warnings, [])
    }
  })

  it('goes with a split, whose parts its key tells apart', () => {
    const split = { backendRefs: [{ name: 'b' }, { name: 'c' }], splitAffinity: { by: ['cookie:uid'] } }
    const result = validate({ ...split, policies: { cache: {} } })
    assert.deepEqual(result.ok && result.warnings, [])
  })

  it('says what to write instead of what it cannot use', () => {
    const faults = (cache: object) => {
      const result = validate({ ...forward, policies: { cache } })
      return result.ok ? [] : said(result.problems)
    }
    const at = 'spec.rules.0.policies.cache'
    assert.deepEqual(faults({ version: 42 }), [`${at}.version must be text, not a whole number; write it in quotes`])
    assert.deepEqual(faults({ ttlByCode: [{ codes: [404], ttl: '1s' }] }), [
      `${at}.ttlByCode.0.codes.0 must be a status such as 404, or a range such as 500-599, not a whole number; write it in quotes`,
    ])
    // In quotes it would be none either.
    assert.match(faults({ maxTTL: 5 })[0]!, /a duration such as 30s, 250ms or 1d12h, not a whole number$/)
    assert.deepEqual(faults({ ttlByCode: [{ codes: ['404', '504-500'], ttl: '1s' }] }), [
      `${at}.ttlByCode.0.codes.1 ends before it begins; write 500-504`,
    ])
  })

  it('has in key.query include or exclude, or neither and nothing about others', () => {
    const faults = (query: object) => {
      const result = validate({ ...forward, policies: { cache: { key: { query } } } })
      return result.ok ? [] : said(result.problems)
    }
    assert.deepEqual(faults({}), [])
    assert.deepEqual(faults({ include: [], others: 'Bypass' }), [])
    assert.deepEqual(faults({ exclude: ['utm_*'], others: 'Drop' }), [])
    assert.match(faults({ include: ['a'], exclude: ['b'] })[0]!, /query state include or exclude, not both$/)
    assert.match(faults({ others: 'Bypass' })[0]!, /query others is about the parameters besides include or exclude/)
  })
})
