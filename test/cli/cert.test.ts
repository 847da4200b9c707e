import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { makeCertificates } from '../../src/cli/cert.ts'
import { defaultAuthorityFolder } from '../../src/cli/local-authority.ts'
import { makeFolder } from '../../src/cli/make-folder.ts'
import { type CertCommand, parseCommand } from '../../src/cli/parse.ts'

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'headgate-cert-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function cert(place: string, ...args: readonly string[]): Run {
  const command = parseCommand(['cert', ...args, '--ca', join(place, 'ca'), '--out', join(place, 'out')])
  assert.equal(command.name, 'cert', JSON.stringify(command))
  let out = ''
  let err = ''
  const io = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) }
  return { code: makeCertificates(command as CertCommand, io), out, err }
}

const modeOf = (file: string): number => statSync(file).mode & 0o777

suite('headgate cert', () => {
  test('makes an authority once, and certificates that it has signed', (t) => {
    const place = folder(t)
    const first = cert(place, 'Shop.example.com', '*.shop.example.com', '127.0.0.1', '::1')
    assert.equal(first.code, 0)
    assert.match(first.err, /A new local authority was made/)
    const base = join(place, 'out', 'shop.example.com')
    const ca = new X509Certificate(readFileSync(join(place, 'ca', 'ca.crt')))
    const leaf = new X509Certificate(readFileSync(`${base}.crt`))
    assert.ok(ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey))
    assert.deepEqual(
      [
        leaf.checkHost('shop.example.com'),
        leaf.checkHost('a.shop.example.com'),
        leaf.checkHost('a.b.shop.example.com'),
      ],
      ['shop.example.com', '*.shop.example.com', undefined],
    )
    assert.deepEqual([leaf.checkIP('127.0.0.1'), leaf.checkIP('::1')], ['127.0.0.1', '::1'])
    assert.deepEqual(
      [join(place, 'ca'), join(place, 'ca', 'ca.key'), join(place, 'ca', 'ca.crt'), `${base}.key`].map(modeOf),
      [0o700, 0o600, 0o644, 0o600],
    )
    const second = cert(place, 'other.example.com', '--rsa', '--days', '2')
    assert.match(second.err, /^The local authority is kept/)
    const other = new X509Certificate(readFileSync(join(place, 'out', 'other.example.com.crt')))
    assert.ok(other.verify(ca.publicKey))
    assert.equal(other.publicKey.asymmetricKeyType, 'rsa')
    assert.ok(other.validToDate.getTime() - Date.now() < 2 * 86_400_000)
  })

  test('a key that is replaced is nobody else’s to read, whatever the file before it was', (t) => {
    const place = folder(t)
    cert(place, 'a.example')
    const key = join(place, 'out', 'a.example.key')
    rmSync(key)
    writeFileSync(key, 'old', { mode: 0o644 })
    cert(place, 'a.example')
    assert.equal(modeOf(key), 0o600)
  })

  test('writes names as certificates have them', (t) => {
    const place = folder(t)
    assert.match(
      cert(place, 'bücher.example').out,
      /xn--bcher-kva\.example\.crt {2}certificate for xn--bcher-kva\.example/,
    )
    assert.match(cert(place, '*.bücher.example').out, /wildcard\.xn--bcher-kva\.example\.crt/)
    for (const wrong of ['a b', 'a_b/', '*', 'a..b', '..', '*.*.example', '../../etc/passwd']) {
      const run = cert(place, wrong)
      assert.equal(run.code, 1, wrong)
      assert.match(run.err, /is neither a hostname/)
    }
  })

  test('prints the manifest of a Secret, and writes nothing but the authority', (t) => {
    const place = folder(t)
    const { out } = cert(place, 'a.example', '-o', 'secret', '--secret', 'shop-tls')
    const secret = parse(out) as { type: string; metadata: { name: string }; data: Record<string, string> }
    assert.deepEqual([secret.type, secret.metadata.name], ['kubernetes.io/tls', 'shop-tls'])
    const leaf = new X509Certificate(Buffer.from(secret.data['tls.crt']!, 'base64'))
    assert.equal(leaf.checkHost('a.example'), 'a.example')
    assert.match(Buffer.from(secret.data['tls.key']!, 'base64').toString(), /^-----BEGIN PRIVATE KEY-----/)
    assert.equal(existsSync(join(place, 'out')), false)
  })

  test('makes certificates for clients', (t) => {
    const place = folder(t)
    cert(place, '--client', 'Alice B')
    const leaf = new X509Certificate(readFileSync(join(place, 'out', 'alice-b.crt')))
    assert.equal(leaf.subject, 'CN=Alice B')
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.2'])
  })

  test('says what is wrong with the command, or with the files', (t) => {
    const usage = (...args: string[]): string => {
      const command = parseCommand(['cert', ...args])
      return command.name === 'usage' ? command.message : ''
    }
    assert.match(usage(), /Name what the certificate is for/)
    assert.match(usage('--client', 'a', 'b'), /A client has one name/)
    assert.match(usage('a.example', '--days', '0'), /--days 0: it is a whole number from 1 to 3650/)
    const place = folder(t)
    writeFileSync(join(place, 'ca'), 'a file')
    const run = cert(place, 'a.example')
    assert.equal(run.code, 1)
    assert.match(run.err, /^The certificate cannot be made: /)
  })

  test('keeps the authority where the system keeps data of the user', () => {
    assert.equal(defaultAuthorityFolder({ XDG_DATA_HOME: '/data' }), '/data/headgate/ca')
    assert.match(defaultAuthorityFolder({ XDG_DATA_HOME: 'relative' }), /\/\.local\/share\/headgate\/ca$/)
  })

  test('says what the system says of a folder that cannot be made', { timeout: 20_000 }, (t) => {
    const place = folder(t)
    writeFileSync(join(place, 'out'), '')
    const inFile = cert(place, 'a.test')
    assert.equal(inFile.code, 1)
    assert.match(inFile.err, /^The certificate cannot be made: E/)
    if (process.platform !== 'linux') return
    assert.throws(() => makeFolder('/proc/headgate/a'), /ENOENT/)
  })
})
