import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { TlsOptions } from 'node:tls'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { TlsConnector } from '../../src/connector/tls-connector.ts'
import type { UpstreamTls } from '../../src/snapshot/upstream-tls.ts'
import { makeCertificate, toPem } from '../../src/tls/certificate-maker.ts'
import type { SessionOwner } from '../../src/transport/connector.ts'
import { type Issued, type IssueOptions, keyPair, keyPem, TestAuthority } from '../lib/certificates.ts'
import { until } from '../socket/sockets.ts'
import {
  dial,
  HTTP1,
  NO_TLS_OPTIONS,
  type Outcome,
  rawEndpoint,
  Secrets,
  tlsEndpoint,
  tlsState,
} from './tls-endpoint.ts'

const NAME = 'api.shop.svc'
const DAY = 86_400_000
const root = new TestAuthority('Root')
const other = new TestAuthority('Root')
const scope = { after }

function close(outcome: Outcome): void {
  if ('session' in outcome) outcome.session.destroy()
}

/** @returns the reason and the detail of the failure, or what was agreed on */
async function tried(
  options: TlsOptions,
  tls: Partial<UpstreamTls> = {},
  { hostname, ca = root.ca }: { readonly hostname?: string; readonly ca?: string } = {},
): Promise<string> {
  const { port } = await tlsEndpoint(scope, options)
  const secrets = new Secrets()
  const outcome = await dial(
    port,
    { ...secrets.ca(ca), serverName: NAME, ...tls },
    tlsState(secrets),
    hostname === undefined ? {} : { hostname },
  )
  close(outcome)
  return 'error' in outcome ? `${outcome.error.reason} ${outcome.error.detail}` : 'connected'
}

const issued = (options: IssueOptions, authority = root): Issued => authority.issue(options)
const named = (...dns: string[]): Issued => root.server(...dns)

describe('a TLS connection to an endpoint', () => {
  it('stands when the certificate verifies', async () => {
    assert.equal(await tried(named(NAME)), 'connected')
    assert.equal(await tried(named('*.shop.svc')), 'connected')
    assert.equal(await tried(named('API.Shop.SVC')), 'connected')
  })

  it('stands with an intermediate authority that the endpoint sends, or that the bundle names alone', async () => {
    const between = new TestAuthority('Intermediate', root)
    const leaf = between.server(NAME)
    assert.equal(await tried(leaf), 'connected')
    const [alone] = leaf.cert.split(/(?<=-----END CERTIFICATE-----\n)/)
    assert.match(
      await tried({ ...leaf, cert: alone! }),
      /^UpstreamCertificateUntrusted .*its issuer is neither trusted/,
    )
    assert.equal(await tried({ ...leaf, cert: alone! }, {}, { ca: between.ca }), 'connected')
  })

  it('stands with each authority of a bundle, among many', async () => {
    const many = Array.from({ length: 20 }, () => new TestAuthority('Filler').ca).join('# comment\n')
    assert.equal(await tried(named(NAME), {}, { ca: many + other.ca + root.ca + many }), 'connected')
    assert.match(await tried(named(NAME), {}, { ca: many }), /^UpstreamCertificateUntrusted/)
  })

  it('trusts a certificate that signed itself where the bundle names it', async () => {
    const self = selfSigned()
    assert.equal(await tried(self, {}, { ca: self.cert }), 'connected')
  })

  describe('is refused, with a reason that says why', () => {
    const expired = {
      names: { dns: [NAME] },
      notBefore: new Date(Date.now() - 2 * DAY),
      notAfter: new Date(Date.now() - DAY),
    }
    const future = {
      names: { dns: [NAME] },
      notBefore: new Date(Date.now() + DAY),
      notAfter: new Date(Date.now() + 2 * DAY),
    }
    const cases: readonly (readonly [what: string, certificate: () => TlsOptions, RegExp])[] = [
      ['that has expired', () => issued(expired), /^UpstreamCertificateExpired .*has expired \(CERT_HAS_EXPIRED\)/],
      ['that is not valid yet', () => issued(future), /^UpstreamCertificateExpired .*not valid yet/],
      [
        'for another name',
        () => named('other.shop.svc'),
        /^UpstreamCertificateMismatch .*DNS:other.shop.svc, not api.shop.svc$/,
      ],
      [
        'with the name as common name alone',
        () => issued({ subject: { commonName: NAME } }),
        /^UpstreamCertificateMismatch .*no alternative names/,
      ],
      ['with a wildcard one level too deep', () => named('*.svc'), /^UpstreamCertificateMismatch/],
      ['with a wildcard for a part of a label', () => named('a*.shop.svc'), /^UpstreamCertificateMismatch/],
      ['with a wildcard below the name', () => named('*.api.shop.svc'), /^UpstreamCertificateMismatch/],
      ['with the name and a zero byte', () => named(`${NAME}\0.evil.example`), /^UpstreamCertificateMismatch/],
      ['for the address alone', () => issued({ names: { ip: ['127.0.0.1'] } }), /^UpstreamCertificateMismatch/],
      ['that signed itself', selfSigned, /^UpstreamCertificateSelfSigned/],
      ['of an authority nobody knows', () => other.server(NAME), /^UpstreamCertificateUntrusted/],
      ['of an authority that is sent along, and not trusted', sentAlong, /^UpstreamCertificateUntrusted/],
      ['issued by one that is no authority', issuedByLeaf, /^UpstreamCertificate(Invalid|Untrusted)/],
      ['for clients', () => root.client('x', { dns: [NAME] }), /^UpstreamCertificateInvalid .*not for servers/],
    ]
    for (const [what, certificate, expected] of cases)
      it(`a certificate ${what}`, async () => assert.match(await tried(certificate()), expected))
  })

  it('does not say a hostile name in the log as it stands', async () => {
    const detail = await tried(
      issued({ names: { dns: ['evil.example\r\n{"level":"info"}'], uri: ['x'.repeat(4_000)] } }),
    )
    assert.match(detail, /^UpstreamCertificateMismatch /)
    assert.ok(!/[\r\n]/.test(detail) && detail.length < 400, detail)
  })

  it('stands with any certificate where that is stated, and only there', async () => {
    assert.equal(await tried(selfSigned(), { insecureSkipVerify: true }), 'connected')
    assert.equal(await tried(named('other.svc'), { insecureSkipVerify: true, ca: undefined }), 'connected')
    assert.match(await tried(selfSigned(), { ca: undefined }), /^UpstreamCertificateSelfSigned/)
  })

  it('takes the authorities that the runtime brings where no bundle is named', async () => {
    assert.match(await tried(named(NAME), { ca: undefined }), /^UpstreamCertificateUntrusted/)
  })

  it('knows nothing but TLS 1.2 and later', async () => {
    const old = { ...named(NAME), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    assert.match(await tried(old), /^UpstreamTlsFailure .*no version of TLS from 1.2 on/)
    assert.equal(await tried({ ...named(NAME), maxVersion: 'TLSv1.2' }), 'connected')
  })

  it('says it when the endpoint speaks no TLS', async (t) => {
    const secrets = new Secrets()
    for (const [say, expected] of [
      ['HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak TLS/],
      ['', /closed the connection within the handshake/],
      ['\x16\x03\x03\x40\x00\x02\x00', /closed the connection within the handshake/],
      ['\x15\x03\x01\x00\x02\x02\x28', /^127.*HANDSHAKE_FAILURE/],
    ] as const) {
      const port = await rawEndpoint(t, (socket) => {
        socket.once('data', () => socket.end(Buffer.from(say, 'latin1')))
      })
      const outcome = await dial(port, secrets.ca(root.ca), tlsState(secrets))
      assert.ok('error' in outcome)
      assert.equal(outcome.error.reason, 'UpstreamTlsFailure')
      assert.match(outcome.error.detail, expected)
    }
  })

  it('says ConnectFailure when nothing listens', async (t) => {
    const { port, server } = await tlsEndpoint(t, named(NAME))
    server.close()
    const secrets = new Secrets()
    const outcome = await dial(port, secrets.ca(root.ca), tlsState(secrets))
    assert.ok('error' in outcome)
    assert.equal(outcome.error.reason, 'ConnectFailure')
  })
})

describe('the name that is sent and verified', () => {
  async function nameSent(
    tls: Partial<UpstreamTls>,
    hostname?: string,
  ): Promise<readonly [sent: string, outcome: string]> {
    const sent = Promise.withResolvers<string>()
    const certificate = root.issue({ names: { dns: ['a.example', 'b.example', 'up.shop.svc'], ip: ['127.0.0.1'] } })
    const { port, server } = await tlsEndpoint(scope, {
      ...certificate,
      SNICallback(name, answer) {
        sent.resolve(name)
        answer(null)
      },
    })
    server.on('secureConnection', (socket) => sent.resolve(String(socket.servername)))
    const secrets = new Secrets()
    const outcome = await dial(
      port,
      { ...secrets.ca(root.ca), ...tls },
      tlsState(secrets),
      hostname === undefined ? {} : { hostname },
    )
    const name = await sent.promise
    close(outcome)
    return [name, 'error' in outcome ? outcome.error.reason : 'connected']
  }

  it('is the one that is stated, before all others', async () => {
    assert.deepEqual(await nameSent({ serverName: 'a.example', serviceName: 'up.shop.svc' }, 'b.example'), [
      'a.example',
      'connected',
    ])
  })

  it('is the DNS name of the endpoint, in lower case and without its dot', async () => {
    assert.deepEqual(await nameSent({ serviceName: 'up.shop.svc' }, 'B.Example.'), ['b.example', 'connected'])
  })

  it('is the name of the Service in its cluster', async () => {
    assert.deepEqual(await nameSent({ serviceName: 'up.shop.svc' }), ['up.shop.svc', 'connected'])
    assert.deepEqual(await nameSent({ serviceName: 'up.other.svc' }), ['up.other.svc', 'UpstreamCertificateMismatch'])
  })

  it('is no name for an address, which the certificate must have', async () => {
    assert.deepEqual(await nameSent({}), ['false', 'connected'])
    assert.deepEqual(await nameSent({ serverName: '127.0.0.1' }), ['false', 'connected'])
    assert.match(await tried(named(NAME), { serverName: undefined }), /^UpstreamCertificateMismatch .*not 127.0.0.1$/)
  })
})

describe('a client certificate', () => {
  const clients = new TestAuthority('Clients')
  const demanding = (maxVersion: 'TLSv1.2' | 'TLSv1.3') =>
    ({ ...named(NAME), ca: clients.ca, requestCert: true, rejectUnauthorized: true, maxVersion }) as const

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    it(`is shown with its chain, over ${version}`, async (t) => {
      const between = new TestAuthority('Between', clients)
      const subject = Promise.withResolvers<unknown>()
      const { port } = await tlsEndpoint(t, demanding(version), (socket) =>
        subject.resolve(socket.getPeerCertificate().subject.CN),
      )
      const secrets = new Secrets()
      const tls = {
        ...secrets.ca(root.ca),
        serverName: NAME,
        clientCertificate: secrets.client(between.client('gateway')),
      }
      const outcome = await dial(port, tls, tlsState(secrets))
      assert.equal(await subject.promise, 'gateway')
      close(outcome)
    })

  it('is missed within the handshake of TLS 1.2', async () => {
    assert.match(await tried(demanding('TLSv1.2')), /^UpstreamTlsFailure/)
  })

  it('cannot be used: the connection is refused and says why', async () => {
    const good = clients.client('gateway')
    const encrypted = keyPair().privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    })
    for (const [pair, expected] of [
      [{ ...good, key: keyPem(keyPair()) }, /tls.key is not the key of the certificate/],
      [{ ...good, cert: 'nothing' }, /tls.crt cannot be used/],
      [{ ...good, key: String(encrypted) }, /encrypted/],
    ] as const) {
      const { port } = await tlsEndpoint(scope, named(NAME))
      const secrets = new Secrets()
      const tls = { ...secrets.ca(root.ca), serverName: NAME, clientCertificate: secrets.client(pair) }
      const outcome = await dial(port, tls, tlsState(secrets))
      assert.ok('error' in outcome)
      assert.equal(outcome.error.reason, 'UpstreamTlsUnavailable')
      assert.match(outcome.error.detail, expected)
    }
  })
})

describe('what a Secret must have', () => {
  it('refuses each connection until it is there', async (t) => {
    const { port } = await tlsEndpoint(t, named(NAME))
    const secrets = new Secrets()
    const tls = { ...NO_TLS_OPTIONS, ca: 'Secret default/ca ca.crt headgate.dev/ca', serverName: NAME }
    const state = tlsState(secrets)
    const missing = await dial(port, tls, state)
    assert.ok('error' in missing)
    assert.equal(missing.error.reason, 'UpstreamTlsUnavailable')
    assert.match(
      missing.error.detail,
      /there is no Secret default\/ca with the key ca\.crt and the type headgate\.dev\/ca/,
    )
    secrets.ca(root.ca)
    const found = await dial(port, tls, state)
    assert.ok('session' in found)
    close(found)
    secrets.put(tls.ca, null)
    assert.ok('error' in (await dial(port, tls, state)))
  })

  it('refuses a bundle without a certificate, or with one that is damaged, once for each version of it', async (t) => {
    const { port } = await tlsEndpoint(t, named(NAME))
    for (const pem of [
      '',
      'x',
      root.ca.replace(/[A-Z]/g, ''),
      `${root.ca}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
    ]) {
      const secrets = new Secrets()
      const state = tlsState(secrets)
      const tls = { ...secrets.ca(pem), serverName: NAME }
      const [one, two] = [await dial(port, tls, state), await dial(port, tls, state)]
      assert.ok('error' in one && 'error' in two)
      assert.equal(one.error.reason, 'UpstreamTlsUnavailable')
      assert.equal(one.error, two.error, 'read twice')
    }
  })

  it('acts on the next connection when it is another', async (t) => {
    const { port } = await tlsEndpoint(t, named(NAME))
    const secrets = new Secrets()
    const state = tlsState(secrets)
    const tls = { ...secrets.ca(other.ca), serverName: NAME }
    const reasons: unknown[] = []
    for (const pem of [other.ca, root.ca, other.ca]) {
      secrets.ca(pem)
      const outcome = await dial(port, tls, state)
      reasons.push('error' in outcome ? outcome.error.reason : 'connected')
      close(outcome)
    }
    assert.deepEqual(reasons, ['UpstreamCertificateUntrusted', 'connected', 'UpstreamCertificateUntrusted'])
  })
})

describe('TLS sessions of an endpoint', () => {
  /** Connects again and again; @returns whether each was resumed */
  async function resumptions(
    maxVersion: 'TLSv1.2' | 'TLSv1.3',
    between: (secrets: Secrets, at: number) => void,
    wall = Date.now,
  ): Promise<boolean[]> {
    const reused: boolean[] = []
    const { port, sockets } = await tlsEndpoint(scope, { ...named(NAME), maxVersion }, (socket) => {
      reused.push(socket.isSessionReused())
      socket.write('x')
    })
    const secrets = new Secrets()
    const state = tlsState(secrets, wall)
    const tls = { ...secrets.ca(root.ca), serverName: NAME }
    for (let at = 0; at < 3; at++) {
      between(secrets, at)
      const outcome = await dial(port, tls, state)
      assert.ok('session' in outcome, 'error' in outcome ? outcome.error.detail : '')
      // Over TLS 1.3 tickets come behind the handshake.
      await until(() => state.sessions.size === 1 && reused.length === at + 1)
      close(outcome)
      await until(() => sockets.size === 0)
    }
    return reused
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    it(`are resumed, over ${version}`, async () => {
      assert.deepEqual(await resumptions(version, () => {}), [false, true, true])
    })

  it('end with the bundle that the certificate was verified against', async () => {
    assert.deepEqual(await resumptions('TLSv1.3', (secrets, at) => void secrets.ca(`${root.ca}# ${at}\n`)), [
      false,
      false,
      false,
    ])
  })

  it('end an hour after the certificate was verified, however often they are resumed', async () => {
    let now = Date.now()
    assert.deepEqual(
      await resumptions(
        'TLSv1.3',
        (_, at) => void (now += at * 1_900_000),
        () => now,
      ),
      [false, true, false],
    )
  })

  it('are not resumed under options that verify where they were made under some that do not', async (t) => {
    const reused: boolean[] = []
    const { port } = await tlsEndpoint(t, selfSigned(), (socket) => {
      reused.push(socket.isSessionReused())
      socket.write('x')
    })
    const secrets = new Secrets()
    const state = tlsState(secrets)
    const lax = await dial(port, { ...secrets.ca(root.ca), serverName: NAME, insecureSkipVerify: true }, state)
    assert.ok('session' in lax)
    await until(() => state.sessions.size === 1)
    const strict = await dial(port, { ...secrets.ca(root.ca), serverName: NAME }, state)
    assert.ok('error' in strict)
    assert.equal(strict.error.reason, 'UpstreamCertificateSelfSigned')
    close(lax)
  })
})

describe('the protocol of a connection', () => {
  const h2 = {
    alpn: 'h2',
    withoutAlpn: false,
    expectedCapacity: 100,
    begin: () => assert.fail('nothing is agreed'),
  } as const

  for (const [what, ALPNProtocols] of [
    ['knows HTTP/1.1 alone', ['http/1.1']],
    ['knows no ALPN', undefined],
  ] as const)
    it(`is never another one: h2 is refused by an endpoint that ${what}`, async (t) => {
      const { port } = await tlsEndpoint(t, {
        ...named(NAME),
        ...(ALPNProtocols && { ALPNProtocols: [...ALPNProtocols] }),
      })
      const secrets = new Secrets()
      const outcome = await dial(port, { ...secrets.ca(root.ca), serverName: NAME }, tlsState(secrets), {
        protocol: h2,
      })
      assert.ok('error' in outcome)
      assert.equal(outcome.error.reason, 'UpstreamTlsFailure')
      assert.match(outcome.error.detail, /h2|NO_APPLICATION_PROTOCOL/)
    })

  it('is HTTP/1.1 where it is offered, and where the endpoint knows no ALPN', async () => {
    assert.equal(await tried({ ...named(NAME), ALPNProtocols: ['h2', 'http/1.1'] }), 'connected')
    assert.equal(await tried(named(NAME)), 'connected')
  })
})

describe('a connection that is cancelled', () => {
  for (const stage of ['', 'TLS handshake'])
    it(`calls its owner no more, ${stage === '' ? 'before it has what it needs' : 'within the handshake'}`, async (t) => {
      const closed = Promise.withResolvers<void>()
      const port = await rawEndpoint(t, (socket) =>
        socket.resume().on('end', () => {
          socket.destroy()
          closed.resolve()
        }),
      )
      const secrets = new Secrets()
      const owner: SessionOwner = {
        limits: { head: 1, headers: 1, uri: 1 },
        connected: () => assert.fail('connected'),
        connectFailed: () => assert.fail('failed'),
        available() {},
        closed() {},
      }
      const endpoint = { address: '127.0.0.1', port, authority: `127.0.0.1:${port}` } as Endpoint
      const options = { backend: 'default/up', tls: secrets.ca(root.ca), protocol: HTTP1 }
      const dialling = new TlsConnector(options, tlsState(secrets)).connect(endpoint, owner)
      await until(() => dialling.stage === stage)
      dialling.cancel()
      if (stage !== '') await closed.promise
      // Its context is made meanwhile.
      const { port: another } = await tlsEndpoint(t, named(NAME))
      close(await dial(another, { ...secrets.ca(root.ca), serverName: NAME }, tlsState(secrets)))
    })
})

/** A certificate for a server that its own key signed. */
function selfSigned(): { readonly cert: string; readonly key: string } {
  const keys = keyPair()
  const subject = { commonName: NAME }
  const validity = { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + DAY) }
  const request = { ...validity, subject, publicKey: keys.publicKey, serial: Buffer.of(1), use: 'server' } as const
  const der = makeCertificate({ ...request, names: { dns: [NAME] } }, { ...keys, subject })
  return { cert: toPem('CERTIFICATE', der), key: keyPem(keys) }
}

function sentAlong(): TlsOptions {
  const leaf = other.server(NAME)
  return { ...leaf, cert: leaf.cert + other.ca }
}

function issuedByLeaf(): TlsOptions {
  const middle = root.server('middle.example')
  const keys = keyPair()
  const fake = new TestAuthority('x')
  Object.assign(fake, { issuer: { subject: { commonName: 'middle.example' }, ...keys } })
  const leaf = fake.issue({ names: { dns: [NAME] } })
  return { ...leaf, cert: leaf.cert + middle.cert }
}
