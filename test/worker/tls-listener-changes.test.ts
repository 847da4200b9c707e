import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { certificateRef } from '../../src/snapshot/host-tls.ts'
import { closedPort } from '../feature/backends.ts'
import { RawClient } from '../feature/raw-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { settingsWith } from './test-plane.ts'
import { exchange, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const GET = 'GET / HTTP/1.1\r\nhost: a.example\r\n\r\n'
const LAST = 'GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n'

async function secure(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'a.example', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  return socket
}

describe('listeners that change what they speak at their ports', () => {
  it('leave open connections what they were accepted with, and others untouched', async (t) => {
    const rig = await tlsRig(t, { defaultSecret: 'default' })
    rig.secret('default', authority.server('a.example'))
    const [one, two, three] = (await Promise.all([closedPort(), closedPort(), closedPort()])) as [
      number,
      number,
      number,
    ]
    const use = async (
      ...listeners: readonly (readonly [name: string, port: number, tls: boolean, proxied?: boolean])[]
    ) => {
      const settings = settingsWith(
        listeners.map(([name, port, tls, proxied]) => ({
          name,
          address: '127.0.0.1',
          port,
          tls,
          proxyProtocol: proxied === true ? { trusted: ['127.0.0.0/8'] } : null,
        })),
      )
      const defaultCertificate = certificateRef('test', 'default')
      await rig.use({ ...settings, tls: { defaultCertificate, ticketKey: null } })
    }
    const clear = async (port: number, before = ''): Promise<number> => {
      using client = await RawClient.connect(port)
      client.send(before + LAST)
      return (await client.response()).status
    }
    const over = async (port: number): Promise<string> => (await exchange(await secure(port), LAST)).slice(9, 12)

    await use(['a', one, false], ['b', two, true], ['c', three, false])
    const untouched = await RawClient.connect(three)
    t.after(() => untouched.socket.destroy())
    const stays = async (): Promise<void> => {
      untouched.send(GET)
      const response = await untouched.response()
      assert.deepEqual([response.status, response.header('connection')], [200, undefined])
    }
    const inClear = await RawClient.connect(one)
    t.after(() => inClear.socket.destroy())
    inClear.send(GET)
    assert.equal((await inClear.response()).status, 200)
    const inTls = await secure(two)
    await stays()

    // Both ports change their speech, and the names go with it.
    await use(['b', one, true], ['a', two, false], ['c', three, false])
    inClear.send(GET)
    assert.equal((await inClear.response()).status, 200)
    assert.match(await exchange(inTls, GET), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
    assert.deepEqual([await over(one), await clear(two)], ['200', 200])
    await stays()

    // Renamed, and a PROXY header is expected.
    await use(['renamed', one, true], ['a', two, false, true], ['c', three, false])
    assert.deepEqual([await over(one), await clear(two, 'PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\n')], ['200', 200])
    await stays()

    await use(['renamed', one, false], ['a', two, false], ['c', three, false])
    assert.deepEqual([await clear(one), await clear(two)], [200, 200])
    await stays()
  })
})
