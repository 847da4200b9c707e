import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { describe, it } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { clientHello, common, records, serverName } from '../tls/hello-writer.ts'
import { tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()

describe('a listener with TLS', () => {
  it('serves hosts with certificates of their own, and all others with the default one', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('default.example'))
    rig.secret('a', authority.server('a.example'))
    rig.host('a.example', ['a'])
    for (const [servername, expected] of [
      ['a.example', 'a.example'],
      ['A.Example.', 'a.example'],
      ['b.example', 'default.example'],
      [undefined, 'default.example'],
    ] as const) {
      const socket = await rig.handshake(servername === undefined ? {} : { servername })
      assert.equal(socket.getPeerCertificate().subject.CN, expected)
      socket.end()
      await once(socket, 'close')
    }
    const answer = await rig.fetch({ servername: 'a.example', ca: authority.ca, rejectUnauthorized: true })
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n.*served$/s)
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes, ['full', 'full', 'full', 'full', 'full'])
  })
})

describe('the wrong protocol', () => {
  it('is answered with 400 where a request in clear text comes to a listener with TLS', async (t) => {
    const rig = await tlsRig(t)
    const client = connectTcp(rig.tlsPort, '127.0.0.2')
    client.write('GET /here HTTP/1.1\r\nhost: a.example\r\n\r\n')
    let answer = ''
    for await (const bytes of client) answer += String(bytes)
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n.*connection: close\r\n.*use https.*"ClearTextOnTls"/s)
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes, ['NotTls'])
    const [line] = rig.log()
    assert.deepEqual([line?.reason, line?.path, line?.status], ['ClearTextOnTls', '/here', 400])
  })

  it('is closed without an answer where a handshake comes to a listener without TLS', async (t) => {
    const rig = await tlsRig(t)
    const client = connectTcp(rig.port, '127.0.0.1')
    client.end(records(clientHello([serverName('a.example'), ...common()])))
    let answer = ''
    for await (const bytes of client) answer += String(bytes)
    assert.equal(answer, '')
    await rig.nothingLeft()
    const [line] = rig.log()
    assert.deepEqual([line?.reason, line?.status], ['TlsOnClearText', 0])
  })
})
