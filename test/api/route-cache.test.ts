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

  it('says what others is about, where neither include nor exclude is stated', () => {
    const result = validate({ ...forward, policies: { cache: { key: { query: { others: 'Bypass' } } } } })
    assert.ok(!result.ok)
    assert.match(said(result.problems).join(), /others is about the parameters besides include or exclude; state one/)
  })

  it('is a warning where users of a split are to stay in one part, and the key does not tell them apart', () => {
    const split = { backendRefs: [{ name: 'b' }, { name: 'c' }], splitAffinity: { by: ['cookie:uid'] } }
    const cached = (by: string[]) => ({ policies: { cache: { key: { by } } } })
    const withCookie = { ...split, splitAffinity: { by: ['header:x-user'], cookie: { name: 'part' } } }
    for (const [rule, missing] of [
      [{ ...split, policies: { cache: {} } }, 'cookie:uid'],
      [{ ...split, ...cached(['cookie:other']) }, 'cookie:uid'],
      [{ ...withCookie, ...cached(['header:x-user']) }, 'cookie:part'],
    ] as const) {
      const result = validate(rule)
      assert.ok(result.ok, JSON.stringify(result))
      const [first, ...others] = said(result.warnings)
      assert.match(first!, new RegExp(`^spec\\.rules\\.0\\.splitAffinity holds .* name ${missing} in cache\\.key\\.by`))
      assert.deepEqual(others, [])
    }
    for (const rule of [
      split,
      { ...split, ...cached(['cookie:uid']) },
      { ...withCookie, ...cached(['cookie:part', 'header:x-user']) },
      { ...split, policies: { cache: { maxTTL: '0s' } } },
      { ...split, policies: { cache: { maxTTL: '0m0s' } } },
    ]) {
      const result = validate(rule)
      assert.deepEqual(result.ok && result.warnings, [])
    }
    // What the Route enforces is in force, whatever the rule states.
    const [everybody, apart] = [{ cache: {} }, cached(['cookie:uid']).policies]
    const shared = validate({ ...split, policies: apart }, { enforced: everybody })
    assert.match(said(shared.ok ? shared.warnings : []).join(), /name cookie:uid in cache\.key\.by/)
    const kept = validate({ ...split, policies: everybody }, { enforced: apart })
    assert.deepEqual(kept.ok && kept.warnings, [])
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
