import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatPath } from '../../src/api/object.ts'
import { validator } from './schemas.ts'

const oidc = (more: object = {}) => ({ auth: { oidc: { secretName: 'a', ...more } } })
const exact = (value: string) => [{ path: { type: 'Exact', value } }]

function problems(spec: object): string[] {
  const route = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name: 'a' }, spec }
  const verdict = validator.check('Route', route)
  return verdict.ok ? [] : verdict.problems.map(({ path, message }) => `${formatPath(path)} ${message}`)
}

const rule = (name: string, more: object = {}) => ({ name, respond: {}, ...more })

describe('paths that policies serve themselves', () => {
  it('are of one policy, however often it is stated', () => {
    const policies = oidc()
    assert.deepEqual(problems({ policies, rules: [rule('a'), rule('b', { policies })] }), [])
    assert.deepEqual(
      problems({
        rules: [rule('a', { policies }), rule('b', { policies: oidc({ redirectPath: '/b', logoutPath: '/c' }) })],
      }),
      [],
    )
    const [problem] = problems({ policies, rules: [rule('b', { policies: oidc({ scopes: ['openid', 'groups'] }) })] })
    assert.match(problem!, /^spec\.rules\[0\]\.policies\.auth serves \/oauth2\/callback, which another auth/)
    assert.match(
      problems({ policies: { ...policies, enforced: oidc({ secretName: 'b' }) }, rules: [rule('a')] })[0]!,
      /serves/,
    )
  })

  it('are no paths of rules, which would never be asked or take them away', () => {
    for (const value of ['/oauth2/callback', '/logout'])
      assert.match(
        problems({ policies: oidc(), rules: [rule('a', { matches: exact(value) })] })[0]!,
        /^spec\.rules\[0\]\.matches\[0\]\.path\.value is a path that auth of this Route serves itself/,
      )
    assert.deepEqual(problems({ policies: oidc(), rules: [rule('a', { matches: exact('/logout/x') })] }), [])
    assert.deepEqual(problems({ rules: [rule('a', { matches: exact('/logout') })] }), [])
  })

  it('are in normal form, two, and not those of another method in the list', () => {
    const at = (value: object) =>
      problems({ policies: { auth: value }, rules: [rule('a')] }).map((one) => one.split(' ')[0])
    assert.deepEqual(at({ oidc: { secretName: 'a', redirectPath: '/a/../b' } }), [
      'spec.policies.auth.oidc.redirectPath',
    ])
    assert.deepEqual(at({ oidc: { secretName: 'a', logoutPath: '/oauth2/callback' } }), [
      'spec.policies.auth.oidc.logoutPath',
    ])
    const second = { secretName: 'b', redirectPath: '/b', logoutPath: '/b/out' }
    assert.deepEqual(at({ anyOf: [{ oidc: { secretName: 'a' } }, { oidc: { ...second, cookie: { name: 'b' } } }] }), [])
    assert.deepEqual(at({ anyOf: [{ oidc: { secretName: 'a' } }, { oidc: second }] }), [
      'spec.policies.auth.anyOf[1].oidc.cookie.name',
    ])
  })

  it('name a Secret, so the settings have none', () => {
    const verdict = validator.checkSettings({ policies: { enforced: oidc() } })
    assert.ok(!verdict.ok)
    assert.match(verdict.problems[0]!.message, /names a Secret in the namespace of a Route/)
  })
})
