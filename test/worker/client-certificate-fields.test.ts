import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { DEFAULT_TLS_OPTIONS, tlsOptions } from '../../src/snapshot/host-tls.ts'
import { rawBackend } from '../feature/backends.ts'
import { fingerprintOf, type Issued, TestAuthority } from '../lib/certificates.ts'
import { h2Session } from '../lib/h2-websocket.ts'
import { exchange, type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const clients = new TestAuthority('Clients')
const HOST = 'a.example'
/** In every spelling under which some upstream would read one of the fields. */
const FORGED = [
  'x-client-cert-subject: CN=forged',
  'X-CLIENT-CERT-SAN: URI:forged',
  'x_client_cert_subject: CN=forged',
  'X-Client_Cert-Fingerprint: forged',
  'x-client-cert-issuer: CN=forged',
  'x-client-cert: forged',
  'Client-Cert: :forged:',
  'client_cert_chain: :forged:',
]

interface World {
  readonly rig: TlsRig
  /** All that the upstream was sent. */
  sent(): string
}

/** A gateway whose one host may ask for a certificate, with an upstream that writes down what it is sent. */
async function world(t: TestContext, certificates: boolean): Promise<World> {
  let sent = ''
  const upstream = await rawBackend(t, (socket) => {
    let request = ''
    socket.on('data', (bytes: Buffer) => {
      sent += bytes.toString('latin1')
      request += bytes.toString('latin1')
      const complete = /transfer-encoding: chunked/i.test(request) ? /\r\n0\r\n(.*\r\n)*\r\n$/ : /\r\n\r\n$/
      if (!complete.test(request)) return
      request = ''
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  const rig = await tlsRig(t, {
    upstreams: [upstream.port],
    defaultSecret: 'default',
    rules: { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }] } },
  })
  rig.secret('default', authority.server(HOST))
  const ca = rig.content('ca', clients.ca)
  // By the key of the default options, which are those of the host in the tables.
  const options = { ...tlsOptions('TLSv1.2', { mode: 'Optional', ca }), key: DEFAULT_TLS_OPTIONS.key }
  if (certificates) rig.host(HOST, ['default'], { options })
  return { rig, sent: () => sent }
}

const head = (fields: readonly string[], rest = ''): string =>
  `${rest === '' ? 'GET' : 'POST'} / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n${fields.join('\r\n')}\r\n\r\n${rest}`

/** @returns the head that the upstream was sent */
async function sentWith({ rig, sent }: World, issued: Issued | null, text: string): Promise<string> {
  const before = sent().length
  const pair = issued === null ? {} : { cert: issued.cert, key: issued.key }
  assert.match(await exchange(await rig.handshake({ servername: HOST, ...pair }), text), /^HTTP\/1\.1 200 /)
  return sent().slice(before)
}

const certFields = (text: string): string[] => text.match(/^x-client-cert-.*$/gim) ?? []

describe('the certificate of a client reaches the upstream', () => {
  it('truthfully, whatever the client writes itself, over HTTP/1.1 and HTTP/2', async (t) => {
    const alice = clients.client('Alice', { uri: ['spiffe://example/alice'] })
    const w = await world(t, true)
    const expected = [
      'x-client-cert-subject: CN=Alice',
      'x-client-cert-san: URI:spiffe://example/alice',
      `x-client-cert-fingerprint: ${fingerprintOf(alice)}`,
    ]
    const first = await sentWith(w, alice, head(FORGED))
    assert.deepEqual(
      certFields(first).map((line) => line.trim()),
      expected,
    )
    // To name them in Connection takes the client's own away, not the gateway's.
    const named = FORGED.map((line) => line.slice(0, line.indexOf(':'))).join(', ')
    const hidden = await sentWith(w, alice, head([...FORGED, `connection: close, ${named}`]))
    assert.deepEqual(
      certFields(hidden).map((line) => line.trim()),
      expected,
    )
    const before = w.sent().length
    const session = await h2Session(t, `https://127.0.0.2:${w.rig.tlsPort}`, {
      servername: HOST,
      rejectUnauthorized: false,
      cert: alice.cert,
      key: alice.key,
    })
    const fields = Object.fromEntries(FORGED.map((line) => line.toLowerCase().split(': ')))
    const stream = session.request({ ':path': '/', ':authority': HOST, ...fields })
    await once(stream.resume(), 'close')
    assert.deepEqual(
      certFields(w.sent().slice(before)).map((line) => line.trim()),
      expected,
    )
    assert.doesNotMatch(w.sent(), /forged/)
  })

  it('and nothing in its place without one: not in a field, a trailer or on a clear-text listener', async (t) => {
    for (const certificates of [true, false]) {
      const w = await world(t, certificates)
      await sentWith(w, null, head(FORGED))
      const trailers = `4\r\nbody\r\n0\r\n${FORGED.join('\r\n')}\r\nx-checksum: real\r\n\r\n`
      const chunked = ['transfer-encoding: chunked', 'te: trailers', 'trailer: x-client-cert-subject, x-checksum']
      await sentWith(w, null, head(chunked, trailers))
      using clear = await w.rig.connect()
      clear.send(head(FORGED))
      assert.equal((await clear.response()).status, 200)
      using more = await w.rig.connect()
      more.send(head(chunked, trailers))
      assert.equal((await more.response()).status, 200)
      assert.equal(w.sent().match(/^(GET|POST) /gm)?.length, 4)
      assert.doesNotMatch(w.sent(), /forged/)
    }
  })

  it('as one line of ASCII, whatever stands in it, and refused where it is too long', async (t) => {
    const w = await world(t, true)
    for (const name of [
      'a\r\nx-admin: yes\r\n\r\nGET /admin HTTP/1.1',
      'a\nCN=root\n',
      'nul\0, tab\t, bell\x07, delete\x7f, \u0085, \u2028',
      'Zoë 中文 😀',
      ' space, "quote" \\ + ; < > #=',
    ]) {
      const text = await sentWith(w, clients.client(name, { uri: ['spiffe://a\r\nx-admin:yes'] }), head([]))
      assert.equal(text.match(/^[A-Z]+ /gm)?.length, 1)
      assert.doesNotMatch(text, /^x-admin|^CN=root/m)
      const [subject, san, fingerprint, ...others] = certFields(text).map((line) => line.trim())
      assert.match(subject!, /^x-client-cert-subject: CN=[ -~]+$/)
      assert.match(san!, /^x-client-cert-san: "?URI[ -~]+$/)
      assert.match(fingerprint!, /^x-client-cert-fingerprint: [0-9a-f]{64}$/)
      assert.deepEqual(others, [])
    }
    const uri = Array.from({ length: 200 }, (_, i) => `spiffe://example/${i}/${'x'.repeat(60)}`)
    const long = clients.client('long', { uri })
    const socket = await w.rig.handshake({ servername: HOST, cert: long.cert, key: long.key })
    socket.on('error', () => {})
    await once(socket.resume(), 'close')
    assert.equal(w.rig.handshakes.at(-1), 'ClientCertificateRefused')
  })
})
