import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatPath } from '../../src/api/object.ts'
import { createValidator } from '../../src/api/validate.ts'
import { readSchemas } from '../../src/source/crds.ts'

const validator = createValidator(readSchemas())

function problemsOf(issuer: object = {}, rule: object = {}): string[] {
  const result = validator.check('Route', {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'a', namespace: 'b' },
    spec: {
      rules: [
        {
          name: 'token',
          matches: [{ path: { value: '/oauth2' } }],
          tokenIssuer: {
            ...{ issuer: 'https://shop.example.com/oauth2', signingKeySecretName: 'k', clientsSecretName: 'c' },
            ...issuer,
          },
          ...rule,
        },
      ],
    },
  })
  return result.ok ? [] : result.problems.map(({ path, message }) => `${formatPath(path)} ${message}`)
}

describe('a rule with tokenIssuer', () => {
  it('is good with a URL of https and lives that are neither nothing nor for ever', () => {
    for (const issuer of [
      {},
      { issuer: 'https://shop.example.com' },
      { issuer: 'https://shop.example.com/' },
      { issuer: 'https://shop.example.com:8443/a/b/' },
      { accessTokenTTL: '1s', refreshTokenTTL: '1m' },
      { accessTokenTTL: '1d', refreshTokenTTL: '366d', store: 'Embedded' },
    ])
      assert.deepEqual(problemsOf(issuer), [], JSON.stringify(issuer))
  })

  it('is refused with an issuer that two parties would spell differently', () => {
    for (const issuer of [
      'https://shop.example.com/?a=b',
      'https://shop.example.com/?',
      'https://shop.example.com/#a',
      'https://me@shop.example.com/',
      'https://',
      'https://SHOP.example.com/',
      'https://shop.example.com:443/',
      'https://shop.example.com/a/../b',
      'https://shop.example.com\\a',
    ])
      assert.match(problemsOf({ issuer }).join(), /^spec\.rules\[0\]\.tokenIssuer\.issuer /, issuer)
  })

  it('is refused with a life out of bounds', () => {
    assert.match(problemsOf({ accessTokenTTL: '2d' }).join(), /accessTokenTTL is between 1s and 1d/)
    assert.match(problemsOf({ accessTokenTTL: '10ms' }).join(), /accessTokenTTL is between/)
    assert.match(problemsOf({ refreshTokenTTL: '30s' }).join(), /refreshTokenTTL is between 1m and 366d/)
    assert.match(problemsOf({ refreshTokenTTL: '400d' }).join(), /refreshTokenTTL is between/)
  })

  it('is refused with auth of its own, which nobody could pass', () => {
    for (const policies of [{ auth: { anonymous: {} } }, { authorization: [] }])
      assert.match(problemsOf({}, { policies }).join(), /^spec\.rules\[0\]\.policies\.\w+ does not go with tokenIssuer/)
    assert.deepEqual(problemsOf({}, { policies: { timeouts: { idle: '5s' } } }), [])
  })
})
