import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { concealQuery, isConcealed } from '../../src/pattern/concealed.ts'

suite('what people are not shown', () => {
  test('values of parameters that are credentials by their names, however these are written', () => {
    for (const name of [
      ...['token', 'access_token', 'accessToken', 'api%5Fkey', '%61pi_key', 'token[]', 'jwt', 'password', 'pwd', 'otp'],
      // Links that are signed: of Azure, AWS and Google.
      ...['sig', 'X-Amz-Signature', 'X-Amz-Credential', 'X-Goog-Signature'],
      // Of OpenID Connect, and of sessions.
      ...['code', 'id_token', 'sid', 'session'],
    ])
      assert.equal(concealQuery(`a=1&${name}=s3cret;b=2`), `a=1&${name}=(hidden);b=2`)
  })

  test('and no others', () => {
    for (const query of ['page=2', 'lang_code=de', 'design=a', 'side=left', 'monkey=1', 'countrycode=49', 'hotpot=x'])
      assert.equal(concealQuery(query), query)
    for (const name of ['query:code', 'header:x-api-key', 'cookie:any', 'consumer']) assert.ok(isConcealed(name))
    assert.ok(!isConcealed('query:lang_code'))
  })
})
