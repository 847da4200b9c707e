import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { createSecureContext } from 'node:tls'
import fc from 'fast-check'
import { type CertificateFault, type CertificatePair, readCertificatePair } from '../../src/tls/certificate.ts'
import { makeCertificate, toPem } from '../../src/tls/certificate-maker.ts'
import { type Issued, keyPair, keyPem, TestAuthority } from '../lib/certificates.ts'

const DAY = 86_400_000
const root = new TestAuthority('Root')
const middle = new TestAuthority('Middle', root)
const shop = middle.server('shop.example', '*.shop.example')

const blocksOf = (pem: string): string[] => pem.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? []
const [leaf, issuer] = blocksOf(shop.cert) as [string, string]

function read(cert: string, key: string): CertificatePair {
  const found = readCertificatePair(cert, key)
  assert.ok(!('fault' in found), (found as CertificateFault).fault)
  // What is read as good is good for OpenSSL, too.
  createSecureContext({ cert: found.chain, key: found.key })
  return found
}

function faultOf(cert: string, key: string): string {
  const found = readCertificatePair(cert, key)
  assert.ok('fault' in found, 'it is refused')
  return found.fault
}

function selfSigned(options: { keys?: ReturnType<typeof keyPair>; dns?: string[]; notAfter?: Date } = {}): Issued {
  const { keys = keyPair(), dns = ['self.example'], notAfter = new Date(Date.now() + DAY) } = options
  const subject = { commonName: 'self' }
  const der = makeCertificate(
    {
      subject,
      publicKey: keys.publicKey,
      serial: Buffer.from([1]),
      notBefore: new Date(Date.now() - DAY),
      notAfter,
      use: 'server',
      names: { dns },
    },
    { subject, ...keys },
  )
  return { cert: toPem('CERTIFICATE', der), key: keyPem(keys), serial: Buffer.from([1]), x509: undefined as never }
}

describe('a certificate and its key', () => {
  it('are read with their names and their time', () => {
    const { chain, key, facts } = read(shop.cert, shop.key)
    assert.deepEqual(facts.names, ['shop.example', '*.shop.example'])
    assert.equal(facts.notAfter, shop.x509.validToDate.getTime())
    assert.equal(facts.selfSigned, false)
    assert.equal(facts.commonNameOnly, false)
    assert.equal(facts.remark, undefined)
    assert.deepEqual(blocksOf(chain), [leaf, issuer])
    assert.equal(key, shop.key)
  })

  for (const type of ['ec', 'rsa', 'ed25519'] as const)
    it(`may be of type ${type}`, () => {
      const one = root.issue({ keyType: type, names: { dns: ['a.example'] } })
      assert.deepEqual(read(one.cert, one.key).facts.names, ['a.example'])
    })

  it('may have text around their blocks, line ends of Windows, and parameters of the curve before the key', () => {
    const noise = `subject=/CN=x\n${shop.cert.replaceAll('\n', '\r\n')}\nsome words\n`
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
    const sec1 = createPrivateKey(shop.key).export({ type: 'sec1', format: 'pem' })
    assert.deepEqual(read(noise, `${parameters}${sec1}`).facts.names, ['shop.example', '*.shop.example'])
  })

  it('are sent leaf first, each issuer behind what it signed, however they are written', () => {
    const { chain, facts } = read(`${root.ca}${issuer}${leaf}`, shop.key)
    assert.deepEqual(blocksOf(chain), [leaf, issuer, root.ca])
    assert.match(facts.remark!, /right order/)
    fc.assert(
      fc.property(fc.shuffledSubarray([leaf, issuer, root.ca], { minLength: 3 }), (parts) => {
        assert.deepEqual(blocksOf(read(parts.join(''), shop.key).chain), [leaf, issuer, root.ca])
      }),
    )
  })

  it('are sent without certificates that are no part of the chain, and each once', () => {
    const stranger = new TestAuthority('Stranger').ca
    const { chain, facts } = read(`${leaf}${stranger}${issuer}${leaf}`, shop.key)
    assert.deepEqual(blocksOf(chain), [leaf, issuer])
    assert.match(facts.remark!, /^1 of the 3 certificates in tls\.crt is no part/)
  })

  it('have the time that the whole chain has, a root left out', () => {
    const short = selfSigned({ notAfter: new Date(Date.now() + 5 * DAY) })
    assert.equal(read(short.cert, short.key).facts.selfSigned, true)
    const long = root.issue({ notAfter: new Date(Date.now() + 9000 * DAY), names: { dns: ['a.example'] } })
    const { facts } = read(`${long.cert}${root.ca}`, long.key)
    assert.equal(facts.notAfter, long.x509.validToDate.getTime(), 'the root ends earlier, and nobody looks at it')
    const below = middle.issue({ notAfter: new Date(Date.now() + 9000 * DAY), names: { dns: ['a.example'] } })
    assert.ok(read(below.cert, below.key).facts.notAfter < below.x509.validToDate.getTime())
  })

  it('are read whatever their time is', () => {
    const old = root.issue({
      notBefore: new Date(Date.now() - 9 * DAY),
      notAfter: new Date(Date.now() - DAY),
      names: { dns: ['old.example'] },
    })
    assert.ok(read(old.cert, old.key).facts.notAfter < Date.now())
  })

  it('have no name where only the subject has one', () => {
    const bare = root.issue({ subject: { commonName: 'cn.example' } })
    const { facts } = read(bare.cert, bare.key)
    assert.deepEqual(facts.names, [])
    assert.equal(facts.commonNameOnly, true)
  })

  it('are refused where they do not belong together', () => {
    assert.match(faultOf(shop.cert, middle.server('other.example').key), /not the key of the certificate/)
    assert.match(faultOf(issuer, shop.key), /not the key of the certificate/)
  })

  it('are refused in halves', () => {
    assert.match(faultOf(leaf.slice(0, 300), shop.key), /no END line/)
    assert.match(faultOf(`${leaf}${issuer.slice(0, 300)}`, shop.key), /no END line/)
    assert.match(faultOf(shop.cert, shop.key.slice(0, 100)), /no END line/)
    const cut = leaf.split('\n')
    cut.splice(5, 1)
    assert.match(faultOf(cut.join('\n'), shop.key), /certificate 1 in it is damaged/)
    assert.match(faultOf('', shop.key), /no certificate in PEM/)
    assert.match(faultOf(shop.cert, ''), /no private key in PEM/)
    assert.match(faultOf(shop.key, shop.cert), /no certificate in PEM/)
    assert.match(faultOf(leaf.replace(/\n[A-Za-z0-9]{4}/, '\n%%%%'), shop.key), /not Base64/)
  })

  it('are refused with an encrypted key, in either form of encryption', () => {
    const key = createPrivateKey(shop.key)
    const pkcs8 = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    assert.match(faultOf(shop.cert, String(pkcs8)), /encrypted/)
    const rsa = root.issue({ keyType: 'rsa' })
    const legacy = createPrivateKey(rsa.key).export({
      type: 'pkcs1',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    })
    assert.match(String(legacy), /Proc-Type: 4,ENCRYPTED/)
    assert.match(faultOf(rsa.cert, String(legacy)), /encrypted/)
  })

  it('are refused where OpenSSL refuses them as too weak, and where they would cost too much', () => {
    const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength })
    const weak = selfSigned({ keys: rsa(1024) })
    assert.throws(() => createSecureContext({ cert: weak.cert, key: weak.key }), /too small/)
    assert.match(faultOf(weak.cert, weak.key), /1024 bits/)
    const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
    assert.match(faultOf(selfSigned({ keys: curve }).cert, keyPem(curve)), /secp256k1/)
  })

  it('are refused when they are larger than anything that makes sense', () => {
    assert.match(faultOf(`${shop.cert}${' '.repeat(70_000)}`, shop.key), /larger than/)
    assert.match(faultOf(leaf.repeat(17), shop.key), /more than 16 blocks/)
    assert.match(faultOf(shop.cert, `${shop.key}${' '.repeat(40_000)}`), /larger than/)
  })

  it('never show a part of the key, or of what stands for it, in what is said of them', () => {
    const lines = shop.key.split('\n').filter((line) => line.length > 20 && !line.startsWith('-'))
    fc.assert(
      fc.property(fc.nat({ max: shop.key.length }), fc.nat({ max: shop.key.length }), fc.string(), (a, b, text) => {
        const mangled = `${shop.key.slice(0, a)}${text}${shop.key.slice(b)}`
        const found = readCertificatePair(shop.cert, mangled)
        if ('fault' in found) for (const line of lines) assert.ok(!found.fault.includes(line.slice(0, 16)))
      }),
    )
  })

  it('never throw, whatever stands there', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat({ max: 2000 }), (cert, key, at) => {
        readCertificatePair(cert, key)
        readCertificatePair(`${shop.cert.slice(0, at)}${cert}${shop.cert.slice(at)}`, shop.key)
        readCertificatePair(`-----BEGIN CERTIFICATE-----${cert}-----END CERTIFICATE-----`, shop.key)
        readCertificatePair(shop.cert, `-----BEGIN PRIVATE KEY-----${key}-----END PRIVATE KEY-----`)
      }),
    )
  })
})
