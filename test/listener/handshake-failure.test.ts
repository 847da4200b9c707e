import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import { connect, createServer } from 'node:tls'
import { detailOf, failureOf } from '../../src/listener/handshake-failure.ts'
import { TestAuthority } from '../lib/certificates.ts'

it("a failure is told by OpenSSL's reason, without its function, file and line", async (t) => {
  const { cert, key } = new TestAuthority().server('a.example')
  const server = createServer({ cert, key, requestCert: true, minVersion: 'TLSv1.3' }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false })
  client.on('error', () => undefined)
  const [error] = (await once(server, 'tlsClientError')) as [NodeJS.ErrnoException]
  assert.match(error.message, /openssl/)
  assert.equal(failureOf(error.code ?? ''), 'ClientCertificateMissing')
  assert.equal(detailOf(error), 'peer did not return a certificate')
})

it('an error that is not of OpenSSL is told by its message', () => {
  assert.equal(detailOf(new Error('the client has gone')), 'the client has gone')
})
