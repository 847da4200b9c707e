import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Route } from '../../src/api/route.ts'
import { accessProblems, accessWarnings } from '../../src/api/route-access.ts'

const jwt = { jwt: { issuer: 'i', audiences: ['a'], keys: {} } }
const claim = [{ name: 'a', claim: 'sub', in: ['x'] }]
const anonymous = { anonymous: {} }

const routeOf = (policies: object, rules: readonly object[], mode?: string) =>
  ({
    spec: {
      policies,
      rules: rules.map((own, i) => ({ name: `r${i}`, policies: own })),
      ...(mode === undefined ? {} : { tls: { mode } }),
    },
  }) as unknown as Route

const places = (problems: readonly { readonly path: readonly (string | number)[] }[]) =>
  problems.map(({ path }) => path.join('.'))

describe('policies that decide, with connections that are passed through', () => {
  const at = (policies: object, first: object = {}, mode = 'Passthrough') =>
    places(accessProblems(routeOf(policies, [first, { auth: jwt }], mode)))

  it('are refused where they would not hold: for the first rule, wherever they are stated', () => {
    assert.deepEqual(at({ auth: jwt }), ['spec.policies.auth'])
    assert.deepEqual(at({}, { auth: jwt, authorization: claim }), [
      'spec.rules.0.policies.auth',
      'spec.rules.0.policies.authorization',
    ])
    assert.deepEqual(at({ enforced: { access: { deny: ['10.0.0.0/8'] } } }), ['spec.policies.enforced.access'])
    assert.deepEqual(at({ enforced: { auth: jwt } }, { auth: anonymous }), ['spec.policies.enforced.auth'])
    assert.deepEqual(at({ auth: { anyOf: [anonymous, jwt] } }), ['spec.policies.auth'])
  })

  it('are accepted where they ask nothing of it, or requests are read', () => {
    assert.deepEqual(at({}), [])
    assert.deepEqual(at({ auth: jwt, authorization: claim }, { auth: anonymous, authorization: [] }), [])
    assert.deepEqual(at({ auth: anonymous, authorization: [], access: { allow: [] } }), [])
    assert.deepEqual(at({ auth: jwt }, {}, 'Terminate'), [])
  })
})

describe('authorization that asks who the client is', () => {
  const at = (policies: object, ...rules: readonly object[]) => places(accessWarnings(routeOf(policies, rules)))

  it('is a warning where nothing finds that out', () => {
    assert.deepEqual(at({ authorization: claim }, {}, {}), ['spec.policies.authorization'])
    assert.deepEqual(at({}, { authorization: claim }, { auth: jwt, authorization: claim }), [
      'spec.rules.0.policies.authorization',
    ])
    assert.deepEqual(at({ auth: jwt, authorization: claim }, {}, { auth: anonymous }), ['spec.policies.authorization'])
    for (const rule of [{ scopes: ['a'] }, { consumers: ['a'] }, { groups: ['a'] }])
      assert.deepEqual(at({ authorization: [{ name: 'a', ...rule }] }, {}).length, 1)
  })

  it('is none where something does, or it asks something else', () => {
    assert.deepEqual(at({ auth: jwt, authorization: claim }, {}, { authorization: [] }), [])
    assert.deepEqual(at({ enforced: { auth: jwt }, authorization: claim }, { auth: anonymous }), [])
    assert.deepEqual(at({ authorization: [{ name: 'a', sourceCIDRs: ['10.0.0.0/8'] }] }, {}), [])
  })
})

describe('auth by a client certificate', () => {
  const certificate = { clientCertificate: {} }
  const warnings = (policies: object, rules: readonly object[], tls?: object) => {
    const route = routeOf(policies, rules)
    return places(accessWarnings({ ...route, spec: { ...route.spec, ...(tls && { tls }) } } as Route))
  }

  it('is a warning where the Route asks clients for none, once for each place', () => {
    assert.deepEqual(warnings({ auth: certificate }, [{}, {}]), ['spec.policies.auth'])
    assert.deepEqual(warnings({}, [{ auth: { anyOf: [jwt, certificate] } }, { auth: jwt }], {}), [
      'spec.rules.0.policies.auth',
    ])
    assert.deepEqual(warnings({ auth: certificate }, [{}], { clientCertificate: { caSecretName: 'ca' } }), [])
    assert.deepEqual(warnings({ auth: jwt }, [{}]), [])
  })
})
