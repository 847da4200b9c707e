import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { connect, createServer } from 'node:tls'
import { type Issuer, makeCertificate, makeRevocationList, toPem } from '../../src/tls/certificate-maker.ts'

interface Keys {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const MAKERS: Readonly<Record<string, () => Keys>> = {
  'ECDSA P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'RSA 2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  Ed25519: () => generateKeyPairSync('ed25519'),
}

const from = new Date(Date.now() - 60_000)
const until = new Date(Date.now() + 86_400_000)

function authority(keys: Keys): { issuer: Issuer; certificate: X509Certificate } {
  const issuer: Issuer = { subject: { organization: 'Example', commonName: 'Example CA é' }, ...keys }
  const der = makeCertificate(
    {
      subject: issuer.subject,
      publicKey: keys.publicKey,
      serial: Buffer.from([1]),
      notBefore: from,
      notAfter: new Date('2062-01-02T03:04:05Z'),
      use: 'authority',
    },
    issuer,
  )
  return { issuer, certificate: new X509Certificate(der) }
}

for (const [kind, keysOf] of Object.entries(MAKERS))
  suite(`certificates with ${kind}`, () => {
    const { issuer, certificate: ca } = authority(keysOf())
    const keys = keysOf()
    const leaf = new X509Certificate(
      makeCertificate(
        {
          subject: { country: 'DE', organization: 'Shop, Inc.', commonName: 'shop.example' },
          publicKey: keys.publicKey,
          serial: Buffer.from('80ff00000000000000000000000000000000007f', 'hex'),
          notBefore: from,
          notAfter: until,
          use: 'server',
          names: {
            dns: ['shop.example', '*.shop.example', 'xn--bcher-kva.example'],
            ip: ['127.0.0.1', '2001:db8::1'],
            uri: ['spiffe://example/shop'],
            email: ['a@shop.example'],
          },
        },
        issuer,
      ),
    )

    test('X509Certificate reads what was asked for', () => {
      assert.ok(ca.ca)
      assert.ok(ca.verify(issuer.publicKey))
      assert.equal(ca.subject, 'O=Example\nCN=Example CA é')
      assert.equal(ca.validToDate.toISOString(), '2062-01-02T03:04:05.000Z')
      assert.ok(!leaf.ca)
      assert.ok(leaf.checkIssued(ca))
      assert.ok(leaf.verify(issuer.publicKey))
      assert.ok(leaf.checkPrivateKey(keys.privateKey))
      assert.equal(leaf.subject, 'C=DE\nO=Shop\\, Inc.\nCN=shop.example')
      assert.equal(leaf.serialNumber, '80FF00000000000000000000000000000000007F')
      assert.equal(Math.floor(leaf.validToDate.getTime() / 1000), Math.floor(until.getTime() / 1000))
      assert.equal(
        leaf.subjectAltName,
        'email:a@shop.example, DNS:shop.example, DNS:*.shop.example, DNS:xn--bcher-kva.example, ' +
          'URI:spiffe://example/shop, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1',
      )
      assert.equal(leaf.checkHost('shop.example'), 'shop.example')
      assert.equal(leaf.checkIP('127.0.0.1'), '127.0.0.1')
      assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    })

    test('openssl verifies the chain, strictly, and reads the revocation list', () => {
      const folder = mkdtempSync(join(tmpdir(), 'headgate-certificates-'))
      try {
        const write = (file: string, label: string, der: Uint8Array): string => {
          writeFileSync(join(folder, file), toPem(label, der))
          return join(folder, file)
        }
        const caFile = write('ca.pem', 'CERTIFICATE', ca.raw)
        const leafFile = write('leaf.pem', 'CERTIFICATE', leaf.raw)
        const listOf = (serials: readonly Buffer[], file: string): string =>
          write(
            file,
            'X509 CRL',
            makeRevocationList({ serials, thisUpdate: from, nextUpdate: until, number: 7 }, issuer),
          )
        const verify = (crl: string): string =>
          execFileSync(
            'openssl',
            [
              'verify',
              '-x509_strict',
              '-purpose',
              'sslserver',
              '-CAfile',
              caFile,
              '-CRLfile',
              crl,
              '-crl_check',
              leafFile,
            ],
            { encoding: 'utf8', stdio: 'pipe' },
          )
        assert.match(verify(listOf([Buffer.from([0x99])], 'other.crl')), /leaf\.pem: OK/)
        assert.match(verify(listOf([], 'empty.crl')), /leaf\.pem: OK/)
        const revoked = listOf([Buffer.from(leaf.serialNumber, 'hex')], 'revoked.crl')
        assert.throws(() => verify(revoked), /certificate revoked/)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })

test('a client and a server of node:tls accept them on both sides', async () => {
  const { issuer, certificate: ca } = authority(MAKERS['ECDSA P-256']!())
  const make = (use: 'server' | 'client'): { cert: string; key: string } => {
    const keys = MAKERS['RSA 2048']!()
    const names = use === 'server' ? { ip: ['127.0.0.1'] } : {}
    const der = makeCertificate(
      {
        subject: { commonName: use },
        publicKey: keys.publicKey,
        serial: Buffer.from([2]),
        notBefore: from,
        notAfter: until,
        use,
        names,
      },
      issuer,
    )
    return { cert: toPem('CERTIFICATE', der), key: String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' })) }
  }
  const pem = toPem('CERTIFICATE', ca.raw)
  const server = createServer({ ...make('server'), ca: pem, requestCert: true }, (socket) => socket.end('served'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    ca: pem,
    ...make('client'),
  })
  try {
    const [bytes] = await once(client, 'data')
    assert.equal(String(bytes), 'served')
  } finally {
    client.destroy()
    server.close()
  }
})
