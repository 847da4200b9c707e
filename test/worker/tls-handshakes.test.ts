import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import { tlsOptions } from '../../src/snapshot/host-tls.ts'
import { eventually } from '../feature/harness.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { clientHello, common, protocols, records, serverName } from '../tls/hello-writer.ts'
import { type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()

/** What the client hears when a handshake is refused: its own error, or the alert that was sent. */
async function failureOf(rig: TlsRig, options: ConnectionOptions): Promise<string> {
  try {
    const socket = await rig.handshake(options)
    // Over TLS 1.3 the server's refusal comes after the client is content.
    await Promise.race([once(socket, 'close'), once(socket, 'data')])
    return socket.destroyed ? 'closed' : 'served'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

/** Everything that the server sends, as hexadecimal digits. */
async function rawAnswer(rig: TlsRig, bytes: Buffer): Promise<string> {
  const socket = connectTcp(rig.tlsPort, '127.0.0.2')
  socket.write(bytes)
  return await all(socket)
}

async function all(socket: Socket): Promise<string> {
  const parts: Buffer[] = []
  for await (const bytes of socket) parts.push(bytes as Buffer)
  return Buffer.concat(parts).toString('hex')
}

describe('options of a hostname', () => {
  it('its minimum version holds in truth, and no other host’s', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example', 'b.example'))
    rig.host('new.example', ['default'], { options: tlsOptions('TLSv1.3') })
    assert.equal(
      await failureOf(rig, { servername: 'new.example', maxVersion: 'TLSv1.2' }),
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    )
    const modern = await rig.handshake({ servername: 'new.example' })
    assert.equal(modern.getProtocol(), 'TLSv1.3')
    modern.destroy()
    const old = await rig.handshake({ servername: 'old.example', maxVersion: 'TLSv1.2' })
    assert.equal(old.getProtocol(), 'TLSv1.2')
    assert.match(old.getCipher().name, /^ECDHE-.*(GCM|POLY1305)/)
    old.destroy()
    assert.equal(
      await failureOf(rig, {
        servername: 'old.example',
        minVersion: 'TLSv1.1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL@SECLEVEL=0',
      }),
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    )
    assert.equal(
      await failureOf(rig, { servername: 'old.example', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }),
      'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
    )
    await rig.nothingLeft()
    assert.deepEqual(
      rig.handshakes.filter((one) => one !== 'full' && one !== 'ClientGone'),
      ['NoSharedVersion', 'NoSharedVersion', 'NoSharedCipher'],
    )
  })

  it('groups for the exchange of keys are cheap ones: the dear ones of a client are not taken', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    for (const ecdhCurve of ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521:P-256'])
      (await rig.handshake({ servername: 'a.example', ecdhCurve })).destroy()
    for (const ecdhCurve of ['P-521', 'ffdhe3072']) {
      await assert.rejects(rig.handshake({ servername: 'a.example', ecdhCurve }), /handshake failure/i, ecdhCurve)
      await eventually(() => assert.equal(rig.handshakes.at(-1), 'NoSharedCipher'))
    }
  })

  it('protocols: HTTP/1.1 by name and without one, an alert for what nobody speaks', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    for (const ALPNProtocols of [['http/1.1'], ['nonsense', 'http/1.1'], []] as const) {
      const socket = await rig.handshake({ ALPNProtocols: [...ALPNProtocols] })
      assert.equal(socket.alpnProtocol, ALPNProtocols.length === 0 ? false : 'http/1.1')
      socket.destroy()
    }
    assert.equal(await failureOf(rig, { ALPNProtocols: ['nonsense'] }), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes.at(-1), 'NoSharedProtocol')
  })

  it('a name without a certificate gets the alert unrecognized_name where there is no default one', async (t) => {
    const rig = await tlsRig(t)
    rig.secret('a', authority.server('a.example'))
    rig.host('a.example', ['a'])
    assert.equal(await failureOf(rig, { servername: 'b.example' }), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
    assert.equal(await failureOf(rig, {}), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
    ;(await rig.handshake({ servername: 'a.example' })).end()
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes, ['NoCertificate', 'NoCertificate', 'full'])
  })
})

describe('certificates', () => {
  it('RSA and ECDSA for one name: each client gets what it knows', async (t) => {
    const rig = await tlsRig(t)
    rig.secret('ec', authority.server('a.example'))
    rig.secret('rsa', authority.issue({ keyType: 'rsa', names: { dns: ['a.example'] } }))
    for (const secrets of [
      ['ec', 'rsa'],
      ['rsa', 'ec'],
    ]) {
      rig.host('a.example', secrets)
      for (const [options, expected] of [
        [{}, 'ec'],
        [{ sigalgs: 'RSA-PSS+SHA256' }, 'rsa'],
        [{ maxVersion: 'TLSv1.2' }, 'ec'],
        [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }, 'rsa'],
        [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, 'ec'],
      ] as const) {
        const socket = await rig.handshake({ servername: 'a.example', ...options })
        assert.equal(socket.getPeerX509Certificate()!.publicKey.asymmetricKeyType, expected, JSON.stringify(options))
        socket.destroy()
      }
    }
  })

  it('of several, the one that covers the name most exactly is chosen, whatever their order', async (t) => {
    const rig = await tlsRig(t)
    rig.secret('exact', authority.server('a.example'))
    rig.secret('wild', authority.server('*.example'))
    rig.secret('deep', authority.server('*.deep.example', 'deep.example'))
    for (const secrets of [
      ['exact', 'wild', 'deep'],
      ['deep', 'wild', 'exact'],
    ])
      for (const [name, expected] of [
        ['a.example', 'a.example'],
        ['x.deep.example', '*.deep.example'],
        ['deep.example', '*.deep.example'],
      ] as const) {
        rig.host(name, secrets)
        const socket = await rig.handshake({ servername: name })
        assert.equal(socket.getPeerCertificate().subject.CN, expected)
        socket.destroy()
      }
  })

  it('a changed Secret acts on the next handshake and breaks no open connection; a broken one changes nothing', async (t) => {
    const rig = await tlsRig(t)
    const serialOf = async (): Promise<string> => {
      const socket = await rig.handshake({ servername: 'a.example' })
      socket.end()
      return socket.getPeerCertificate().serialNumber.toLowerCase().padStart(32, '0')
    }
    const [first, second] = [authority.server('a.example'), authority.server('a.example')]
    rig.secret('a', first)
    rig.host('a.example', ['a'])
    const open = await rig.handshake({ servername: 'a.example' })
    assert.equal(await serialOf(), first.serial.toString('hex'))
    rig.secret('a', second)
    assert.equal(await serialOf(), second.serial.toString('hex'))
    rig.secret('a', { cert: first.cert, key: second.key })
    assert.equal(await serialOf(), second.serial.toString('hex'))
    assert.match(rig.problems.join(), /Secret test\/a cannot be used: tls.key is not the key of the certificate/)
    rig.secret('a', { cert: first.cert.slice(0, 100), key: first.key })
    assert.equal(await serialOf(), second.serial.toString('hex'))
    rig.secret('a', null)
    assert.equal(await failureOf(rig, { servername: 'a.example' }), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
    rig.secret('a', first)
    assert.equal(await serialOf(), first.serial.toString('hex'))
    open.write('GET / HTTP/1.1\r\nhost: a.example\r\n\r\n')
    assert.match(String((await once(open, 'data'))[0]), /^HTTP\/1\.1 200/)
    open.destroy()
    assert.equal(rig.problems.length, 2)
  })
})

describe('a ClientHello', () => {
  const hello = records(clientHello([serverName('a.example'), protocols('http/1.1'), ...common()]))

  it('in single bytes and in fifty records is answered', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    const message = clientHello([serverName('a.example'), ...common()])
    for (const bytes of [hello, records(message, Math.ceil(message.length / 50))]) {
      const socket = connectTcp({ port: rig.tlsPort, host: '127.0.0.2', noDelay: true })
      for (const byte of bytes) {
        socket.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      const [answer] = (await once(socket, 'data')) as [Buffer]
      // A ServerHello.
      assert.deepEqual([answer[0], answer[5]], [22, 2])
      socket.destroy()
    }
    await rig.nothingLeft()
  })

  it('that is broken gets its alert and the connection ends', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    for (const [bytes, alert] of [
      [records(clientHello([serverName('a'.repeat(300))])), '70'],
      [records(clientHello([serverName('a'.repeat(60_000))])), '70'],
      [records(clientHello([serverName('a'), serverName('b')])), '2f'],
      [Buffer.from([22, 3, 1, 0xff, 0xff]), '16'],
      [records(Buffer.from([1, 0xff, 0xff, 0xff])), '2f'],
    ] as const)
      assert.equal(await rawAnswer(rig, bytes), `1503030002${'02'}${alert}`)
    await rig.nothingLeft()
    assert.deepEqual(new Set(rig.handshakes), new Set(['MalformedHello']))
  })

  it('for an address, an empty name or no hostname is one for no name', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('default.example'))
    rig.host('127.0.0.2', ['none'], { mode: 'Passthrough' })
    for (const name of ['127.0.0.2', '', '::1', '[::1]', 'a b', 'bücher.example', 'a..b', '.']) {
      const socket = connectTcp(rig.tlsPort, '127.0.0.2')
      socket.write(records(clientHello([serverName(name), ...common()])))
      const [answer] = (await once(socket, 'data')) as [Buffer]
      assert.deepEqual([answer[0], answer[5]], [22, 2], name)
      socket.destroy()
    }
    await rig.nothingLeft()
  })

  it('that does not come, or no more of it, ends at the deadline of the handshake', { timeout: 30_000 }, async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default', handshake: 200 })
    rig.secret('default', authority.server('a.example'))
    const waiting = [Buffer.alloc(0), hello.subarray(0, 20), hello].map(async (bytes) => {
      const socket = connectTcp(rig.tlsPort, '127.0.0.2')
      socket.write(bytes)
      await all(socket).catch(() => {})
    })
    await Promise.all(waiting)
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes, ['Timeout', 'Timeout', 'Timeout'])
  })
})

describe('a client', () => {
  it('that leaves at any moment of the handshake leaves nothing behind', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    for (let turns = 0; turns < 12; turns++) {
      const socket = connect({ host: '127.0.0.2', port: rig.tlsPort, rejectUnauthorized: false })
      socket.on('error', () => {})
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      socket.destroy()
      const half = connectTcp({ host: '127.0.0.2', port: rig.tlsPort, allowHalfOpen: true })
      half.on('error', () => {})
      half.end(records(clientHello(common())))
      half.resume()
      await once(half, 'close')
    }
    await rig.nothingLeft()
  })

  it('that does not trust the certificate says so, and the gateway notes it', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    // node:tls verifies after the handshake, without an alert; openssl in the handshake.
    const socket = connectTcp(rig.tlsPort, '127.0.0.2')
    socket.write(records(clientHello([serverName('a.example'), ...common()])))
    await once(socket, 'data')
    socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 48]))
    await all(socket).catch(() => {})
    await rig.nothingLeft()
    assert.deepEqual(rig.handshakes, ['RefusedByClient'])
  })
})

describe('a flood of handshakes', () => {
  const hello = records(clientHello([serverName('a.example'), ...common()]))

  /** Clients that never go on behind their ClientHello. */
  async function stall(rig: TlsRig, count: number, localAddress = '127.0.0.1'): Promise<readonly Socket[]> {
    return await Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connectTcp({ port: rig.tlsPort, host: '127.0.0.2', localAddress })
        socket.on('error', () => {})
        await once(socket, 'connect')
        socket.write(hello)
        return socket
      }),
    )
  }

  it('from one source takes its own places alone, and waits for them', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default', handshakes: { all: 8, perSource: 4, perTurn: 2 } })
    rig.secret('default', authority.server('a.example'))
    const stalled = await stall(rig, 12)
    const answered = (): number => stalled.filter(({ bytesRead }) => bytesRead > 0).length
    await eventually(() => assert.equal(answered(), 4))
    // Another source is served at once.
    const other = await rig.handshake({ localAddress: '127.0.0.9' })
    other.destroy()
    assert.equal(answered(), 4)
    for (const socket of stalled.slice(0, 4)) socket.destroy()
    await eventually(() => assert.equal(answered(), 8))
    for (const socket of stalled) socket.destroy()
    await rig.nothingLeft()
  })

  it('from many sources that never go on keeps others waiting for a look or two, not for their deadlines', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default', handshakes: { all: 4, perSource: 2, perTurn: 2 } })
    rig.secret('default', authority.server('a.example'))
    const stalled = [...(await stall(rig, 2, '127.0.0.7')), ...(await stall(rig, 2, '127.0.0.8'))]
    await eventually(() => assert.equal(stalled.filter(({ bytesRead }) => bytesRead > 0).length, 4))
    let served = ''
    const other = rig.fetch({ servername: 'a.example', localAddress: '127.0.0.9' }).then((answer) => {
      served = answer
    })
    await eventually(() => {
      if (rig.handshakes.length === 0) rig.listeners.sweep()
      assert.match(served, /200/)
    })
    await other
    assert.deepEqual(rig.handshakes, ['Limit', 'full'])
    for (const socket of stalled) socket.destroy()
    await rig.nothingLeft()
  })

  it('beyond its share of the connections is closed, and counted', async (t) => {
    const rig = await tlsRig(t, {
      defaultSecret: 'default',
      connections: 16,
      handshakes: { all: 4, perSource: 2, perTurn: 2 },
    })
    rig.secret('default', authority.server('a.example'))
    const stalled = await stall(rig, 14)
    await eventually(() => assert.ok(rig.handshakes.includes('Limit'), rig.handshakes.join()))
    const other = await rig.handshake({ localAddress: '127.0.0.9' })
    other.destroy()
    for (const socket of stalled) socket.destroy()
    await rig.nothingLeft()
  })
})
