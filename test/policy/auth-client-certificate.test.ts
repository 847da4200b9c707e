import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AMBIENT_CREDENTIAL, CLAIMS, CONSUMER } from '../../src/policy/attribute.ts'
import { alternativeNames } from '../../src/policy/auth/client-certificate.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import { AUDIENCE, ISSUER, pemOf, RSA, tokenOf } from '../auth/tokens.ts'
import { PLAIN, pairs, TestExchange, testDeps } from './exchange.ts'

const CERTIFICATE = { subject: 'CN=alice,O=Example', san: '', fingerprint: 'ab'.repeat(32) }
const JWT = {
  jwt: { issuer: ISSUER, audiences: [AUDIENCE], keys: { publicKeySecretName: 'keys' } },
}

async function ask(value: object, certificate: typeof CERTIFICATE | null, fields = {}) {
  const deps = { ...testDeps(), clock: { wall: () => Date.now(), monotonic: () => performance.now() } }
  deps.contentsById.set('Secret shop/keys public.pem headgate.dev/jwt-key', Buffer.from(pemOf(RSA.publicKey)))
  const filter = auth.create(auth.plan(value, 'shop')!, deps, PLAIN)!
  const x = new TestExchange({ clientCertificate: certificate }, fields)
  const response = (await filter.onRequest!(x))?.response
  return { x, status: response?.status ?? 200, challenge: response?.fields.all('www-authenticate') ?? [] }
}

describe('a client certificate as a credential', () => {
  it('has names, however they are quoted', () => {
    assert.deepEqual(alternativeNames(''), [])
    assert.deepEqual(alternativeNames('DNS:a.example, URI:spiffe://example/a, IP Address:::1'), [
      'DNS:a.example',
      'URI:spiffe://example/a',
      'IP Address:::1',
    ])
    assert.deepEqual(alternativeNames('DNS:"a, URI:spiffe://example/root, b", email:"q\\"\\\\", DNS:c'), [
      'DNS:a, URI:spiffe://example/root, b',
      'email:q"\\',
      'DNS:c',
    ])
  })

  it('names the consumer: by its one URI, else by its subject, else by what it has', async () => {
    const consumer = async (certificate: object) =>
      (await ask({ clientCertificate: {} }, { ...CERTIFICATE, ...certificate })).x.get(CONSUMER)
    assert.equal(await consumer({}), 'CN=alice,O=Example')
    assert.equal(await consumer({ san: 'DNS:a, URI:spiffe://example/a' }), 'spiffe://example/a')
    assert.equal(await consumer({ san: 'URI:spiffe://example/a, URI:spiffe://example/b' }), 'CN=alice,O=Example')
    assert.equal(await consumer({ san: 'DNS:"x, URI:spiffe://example/root"' }), 'CN=alice,O=Example')
    assert.equal(await consumer({ subject: '', san: 'DNS:a' }), 'DNS:a')
    assert.equal(await consumer({ subject: '' }), `sha256:${CERTIFICATE.fingerprint}`)
  })

  it('has claims, and counts as one that browsers attach by themselves', async () => {
    const { x } = await ask({ clientCertificate: {} }, { ...CERTIFICATE, san: 'DNS:a, DNS:b' })
    assert.deepEqual(x.get(CLAIMS), { ...CERTIFICATE, san: ['DNS:a', 'DNS:b'] })
    assert.equal(x.get(AMBIENT_CREDENTIAL), true)
  })

  it('decides where it stands first, whatever token comes along, which no backend gets', async () => {
    const anyOf = [{ clientCertificate: { toHeaders: [{ field: 'Subject', header: 'X-User' }] } }, JWT]
    const bearer = { authorization: `Bearer ${await tokenOf()}`, x_user: 'root' }
    const first = await ask({ anyOf }, CERTIFICATE, { ...bearer, authorization: 'Bearer wrong' })
    assert.deepEqual([first.status, pairs(first.x.request)], [200, [['x-user', CERTIFICATE.subject]]])
    const token = await ask({ anyOf }, null, bearer)
    assert.deepEqual([token.status, token.x.get(CLAIMS)?.sub, pairs(token.x.request)], [200, 'alice', []])
    const last = anyOf.toReversed()
    const wrong = await ask({ anyOf: last }, CERTIFICATE, { authorization: 'Bearer wrong' })
    assert.equal(wrong.status, 401)
    const other = await ask({ anyOf: last }, CERTIFICATE)
    assert.deepEqual([other.status, other.x.get(CONSUMER)], [200, CERTIFICATE.subject])
    const none = await ask({ anyOf: last }, null)
    assert.deepEqual(none.challenge, ['Bearer realm="shop.example.com"', 'ClientCertificate realm="shop.example.com"'])
    const anonymous = { anyOf: [{ clientCertificate: {} }, { anonymous: {} }] }
    assert.equal((await ask(anonymous, null)).x.get(CONSUMER), undefined)
    assert.equal((await ask(anonymous, CERTIFICATE)).x.get(CONSUMER), CERTIFICATE.subject)
  })

  it('goes into headers of its own, which no other owns', () => {
    const problems = (toHeaders: object[]) =>
      auth.check!({ clientCertificate: { toHeaders } } as never, 'Settings').map(({ path }) => path.join('.'))
    assert.deepEqual(problems([{ field: 'Subject', header: 'x-user' }]), [])
    assert.deepEqual(problems([{ field: 'Subject', header: 'X-Client-Cert-Subject' }]), [
      'clientCertificate.toHeaders.0.header',
    ])
    assert.deepEqual(
      problems([
        { field: 'Subject', header: 'x-user' },
        { field: 'Fingerprint', header: 'X_User' },
      ]),
      ['clientCertificate.toHeaders.1.header'],
    )
  })
})
