/** `auth.clientCertificate`: who a client is by its handshake, over real connections. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { tlsOf } from '../../src/routing/find-host.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { rawBackend } from '../feature/backends.ts'
import { fingerprintOf, type Issued, TestAuthority } from '../lib/certificates.ts'
import { toUp } from './test-plane.ts'
import { exchange, type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const clients = new TestAuthority('Clients')
const HOST = 'a.example'

interface World {
  readonly rig: TlsRig
  /** Heads that the upstream was sent. */
  readonly heads: string[]
}

async function world(t: TestContext): Promise<World> {
  const heads: string[] = []
  const upstream = await rawBackend(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      heads.push(bytes.toString('latin1'))
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  const rules = toUp({
    auth: {
      clientCertificate: {
        toHeaders: [
          { field: 'Subject', header: 'X-Subject' },
          { field: 'SubjectAltName', header: 'x-names' },
          { field: 'Fingerprint', header: 'x-fingerprint' },
        ],
      },
    },
    authorization: [{ name: 'people', claim: 'subject', in: ['CN=Alice', 'CN=Bob'] }],
    requestHeaders: { set: [{ name: 'x-consumer', value: '%{consumer}' }] },
  } as Parameters<typeof toUp>[0])
  const rig = await tlsRig(t, {
    upstreams: [upstream.port],
    rules,
    defaultSecret: 'a',
    routes: {
      'default/a': {
        hostnames: [HOST],
        tls: {
          mode: 'Terminate',
          http: 'Serve',
          minVersion: 'TLS1.2',
          clientCertificate: { caSecretName: 'clients', mode: 'Optional' },
        },
        rules,
      },
    },
  })
  rig.secret('a', authority.server(HOST))
  const { options } = tlsOf(rig.plane.context.tables!.tables, new FrontendHandle('https'), HOST)!
  rig.content(options.clientCertificate!.ca, clients.ca)
  return { rig, heads }
}

const FORGED = ['x-subject: CN=Alice', 'X_Subject: CN=Alice', 'x-names: forged', 'x_fingerprint: forged']
const head = (...fields: string[]) =>
  `GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n${[...FORGED, ...fields].map((field) => `${field}\r\n`).join('')}\r\n`

async function ask({ rig }: World, issued: Issued | null): Promise<string> {
  const pair = issued === null ? {} : { cert: issued.cert, key: issued.key }
  return await exchange(await rig.handshake({ servername: HOST, ...pair }), head())
}

describe('auth.clientCertificate', () => {
  it('tells the backend who the client is, and nothing that the client says about itself', async (t) => {
    const w = await world(t)
    const alice = clients.client('Alice', { uri: ['spiffe://example/alice'] })
    assert.match(await ask(w, alice), /^HTTP\/1\.1 200 /)
    assert.deepEqual(w.heads[0]!.match(/^x[-_](subject|names|fingerprint|consumer):.*$/gim), [
      'x-subject: CN=Alice',
      'x-names: URI:spiffe://example/alice',
      `x-fingerprint: ${fingerprintOf(alice)}`,
      'x-consumer: spiffe://example/alice',
    ])
    assert.match(await ask(w, clients.client('Bob')), /^HTTP\/1\.1 200 /)
    assert.match(w.heads[1]!, /^x-consumer: CN=Bob\r$/m)
    assert.doesNotMatch(w.heads.join(''), /forged/)
  })

  it('is missing without one, in TLS and in clear text, and not good enough for everything', async (t) => {
    const w = await world(t)
    const missing = await ask(w, null)
    assert.match(missing, /^HTTP\/1\.1 401 /)
    assert.match(missing, /^www-authenticate: ClientCertificate realm="a\.example"\r$/m)
    using clear = await w.rig.connect()
    clear.send(head('x-client-cert-subject: CN=Alice'))
    assert.equal((await clear.response()).status, 401)
    assert.match(await ask(w, clients.client('Mallory')), /^HTTP\/1\.1 403 /)
    assert.deepEqual(w.heads, [])
  })
})
