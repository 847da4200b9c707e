import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { exchange, type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const RESPOND = { respond: { statusCode: 200, body: 'served' } }

async function rigWithHosts(t: TestContext): Promise<TlsRig> {
  const rig = await tlsRig(t, {
    defaultSecret: 'default',
    routes: {
      'default/strict': {
        hostnames: ['strict.example'],
        tls: {
          mode: 'Terminate',
          http: 'Redirect',
          minVersion: 'TLS1.3',
          hsts: { maxAge: '1h', includeSubDomains: true, preload: false },
        },
        rules: { all: RESPOND },
      },
      'default/closed': {
        hostnames: ['closed.example'],
        tls: { mode: 'Terminate', http: 'Closed', minVersion: 'TLS1.2' },
        rules: { all: RESPOND },
      },
    },
  })
  rig.secret('default', authority.server('*.example'))
  return rig
}

async function statusOf(rig: TlsRig, servername: string, text: string): Promise<string> {
  const answer = await exchange(await rig.handshake({ servername }), text)
  return answer.slice(9, 12)
}

describe('requests on connections that were made for another host', () => {
  it('get 421 where the options differ, also with an absolute target, and are served where they are equal', async (t) => {
    const rig = await rigWithHosts(t)
    const get = (host: string): string => `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`
    for (const [servername, host, expected] of [
      ['strict.example', 'strict.example', '200'],
      ['strict.example', 'STRICT.example.:443', '200'],
      ['closed.example', 'strict.example', '421'],
      ['strict.example', 'closed.example', '421'],
      ['strict.example', 'anybody.example', '421'],
      ['anybody.example', 'closed.example', '200'],
      ['closed.example', 'anybody.example', '200'],
    ] as const)
      assert.equal(await statusOf(rig, servername, get(host)), expected, `${host} on a connection for ${servername}`)
    const absolute = 'GET https://strict.example/ HTTP/1.1\r\nhost: strict.example\r\nconnection: close\r\n\r\n'
    assert.equal(await statusOf(rig, 'closed.example', absolute), '421')
    const pipelined = `GET / HTTP/1.1\r\nhost: closed.example\r\n\r\n${get('strict.example')}`
    const answers = await exchange(await rig.handshake({ servername: 'closed.example' }), pipelined)
    assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 421'])
  })
})

describe('HSTS and clear text', () => {
  it('is stated over https alone, and clear text is redirected or refused as the host says', async (t) => {
    const rig = await rigWithHosts(t)
    const secure = await rig.fetch({ servername: 'strict.example' })
    assert.match(secure, /^HTTP\/1\.1 200 .*\r\nstrict-transport-security: max-age=3600; includeSubDomains\r\n/s)
    const clear = async (head: string): Promise<string> => {
      const client = connect(rig.port, '127.0.0.1')
      client.write(`${head}connection: close\r\n\r\n`)
      let answer = ''
      for await (const bytes of client) answer += String(bytes)
      return answer
    }
    const redirected = await clear('GET /a?b=c HTTP/1.1\r\nhost: strict.example\r\n')
    assert.match(redirected, /^HTTP\/1\.1 308 .*\r\nlocation: https:\/\/strict\.example\/a\?b=c\r\n/s)
    assert.doesNotMatch(redirected, /strict-transport-security/)
    assert.match(
      await clear('POST / HTTP/1.1\r\nhost: closed.example\r\ncontent-length: 0\r\n'),
      /^HTTP\/1\.1 403 .*ClearTextClosed/s,
    )
    assert.match(await clear('GET / HTTP/1.1\r\nhost: anybody.example\r\n'), /^HTTP\/1\.1 200 /)
  })
})
