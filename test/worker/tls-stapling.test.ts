import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { connect } from 'node:tls'
import { type Issued, keyPem, TestAuthority } from '../lib/certificates.ts'
import { type TlsRig, tlsRig } from './tls-rig.ts'

const DAY = 86_400_000

/** What openssl, as the responder of the authority, says of a certificate for a day. */
function responseFor(authority: TestAuthority, issued: Issued, status: 'V' | 'R'): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-ocsp-'))
  try {
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const ca = write('ca.pem', authority.ca)
    const key = write('ca.key', keyPem(authority.issuer))
    const leaf = write('leaf.pem', issued.cert)
    const revoked = status === 'R' ? '260101000000Z' : ''
    const serial = issued.serial.toString('hex').toUpperCase()
    const index = write('index.txt', `${status}\t991231000000Z\t${revoked}\t${serial}\tunknown\t/CN=a\n`)
    const out = join(folder, 'out.der')
    const files = ['-index', index, '-CA', ca, '-rsigner', ca, '-rkey', key, '-issuer', ca, '-cert', leaf]
    execFileSync('openssl', ['ocsp', ...files, '-ndays', '1', '-respout', out, '-noverify'], { stdio: 'pipe' })
    return readFileSync(out)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function stapled(rig: TlsRig): Promise<Buffer | null> {
  const options = { host: '127.0.0.2', port: rig.tlsPort, rejectUnauthorized: false, requestOCSP: true }
  const socket = connect({ ...options, servername: 'a.example' })
  const [response] = (await once(socket, 'OCSPResponse')) as [Buffer | null]
  socket.destroy()
  return response
}

it('the OCSP response of a Secret is stapled while it is good and valid', async (t) => {
  const authority = new TestAuthority()
  const issued = authority.server('a.example')
  let wall = Date.now()
  const rig = await tlsRig(t, { defaultSecret: 'default', wall: () => wall })
  rig.secret('default', issued)
  assert.equal(await stapled(rig), null)
  const good = responseFor(authority, issued, 'V')
  rig.secret('default', issued, good)
  assert.deepEqual(await stapled(rig), good)
  rig.secret('default', issued, responseFor(authority, issued, 'R'))
  assert.equal(await stapled(rig), null)
  rig.secret('default', issued, Buffer.from('nonsense'))
  assert.equal(await stapled(rig), null)
  rig.secret('default', issued, good)
  assert.deepEqual(await stapled(rig), good)
  wall += 2 * DAY
  assert.equal(await stapled(rig), null)
})
