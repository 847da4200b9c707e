/** Anything at all as the request of a client that is none: nothing is issued, nothing throws, nothing is told. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseRefreshToken, writeRefreshToken } from '../../src/auth/refresh-token.ts'
import { BEARER_GRANT, rig, SECRET } from '../policy/token-issuer/rig.ts'

const NAMES = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'scope']
const MORE = ['refresh_token', 'assertion', 'token', 'resource', 'audience', 'token_type_hint', '__proto__', '']
const VALUES = [
  'client_credentials',
  'refresh_token',
  BEARER_GRANT,
  'billing',
  'robot',
  'a.b.c',
  'hgr_',
  '%',
  '%ff',
  '+',
]

const part = fc.oneof(
  fc
    .tuple(fc.constantFrom(...NAMES, ...MORE), fc.oneof(fc.constantFrom(...VALUES), fc.string({ unit: 'binary' })))
    .map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`),
  fc.string(),
)
const authorization = fc.option(
  fc.oneof(
    fc.string().map((text) => `Basic ${text}`),
    fc.string({ unit: 'binary' }).map((text) => `basic ${Buffer.from(`billing:${text}`).toString('base64')}`),
    fc.constantFrom('Bearer x', 'Basic', `Basic ${Buffer.from(SECRET).toString('base64')}`),
  ),
  { nil: undefined },
)

describe('a token issuer', () => {
  it('gives nobody anything who has no secret, whatever is sent', async () => {
    const gate = rig()
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('token', 'revoke', 'introspect'),
        fc.array(part, { maxLength: 12 }),
        authorization,
        async (endpoint, parts, field) => {
          const body = Buffer.from(parts.join('&'))
          const { status, json } = await gate.ask(`/oauth2/${endpoint}`, { method: 'POST', body } as object, {
            'content-type': 'application/x-www-form-urlencoded',
            ...(field === undefined ? {} : { authorization: field }),
          })
          assert.ok(status === 400 || status === 401, `${status}`)
          assert.ok(json.error === 'invalid_request' || json.error === 'invalid_client')
          assert.deepEqual(Object.keys(json).sort(), ['error', 'error_description'])
        },
      ),
      { numRuns: 500 },
    )
  })

  it('reads a refresh token in one spelling alone', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (a, b) => {
          const [family, secret] = [a, b].map((bytes) => Buffer.from(bytes).toString('base64url')) as [string, string]
          const text = writeRefreshToken(family, secret)
          const read = parseRefreshToken(text)
          assert.deepEqual([read?.familySecret, read?.secret], [family, secret])
          assert.notEqual(read?.family, family)
          for (const other of [` ${text}`, `${text}\n`, `${text}=`, text.replace('.', ''), text.toUpperCase()])
            assert.equal(parseRefreshToken(other), undefined)
        },
      ),
      { numRuns: 200 },
    )
    fc.assert(fc.property(fc.string(), (text) => void parseRefreshToken(text)))
  })
})
