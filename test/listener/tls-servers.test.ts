/** Servers that a namespace makes many of, or large ones, at the cost of its own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { TlsServers } from '../../src/listener/tls-servers.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import { certificateRef, type HostTls, type TlsOptions, tlsOptions } from '../../src/snapshot/host-tls.ts'
import { keyPair, TestAuthority } from '../lib/certificates.ts'

const authority = new TestAuthority()
const keys = keyPair()
const MIB = 1024 * 1024

describe('the TLS servers of namespaces', () => {
  let listener: Server
  before(async () => {
    listener = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
  })
  after(() => void listener.close())

  /** The gateway's side of a client that sends nothing. */
  async function accepted(): Promise<Socket> {
    const address = listener.address() as { port: number }
    const client = connect(address.port, '127.0.0.1')
    client.on('error', () => {})
    const [socket] = (await once(listener, 'connection')) as [Socket]
    socket.on('error', () => {})
    socket.on('close', () => client.destroy())
    return socket
  }

  function world(bounds: { readonly kept?: number; readonly trustBytes?: number }) {
    const contents = new ContentStore()
    const servers = new TlsServers({
      contents,
      wall: Date.now,
      events: { secured: (_server, socket) => socket.destroy(), failed: (_error, socket) => socket.destroy() },
      ticketMaster: Buffer.alloc(32, 1),
      problem: (message) => assert.fail(message),
      ...bounds,
    })
    const host = (namespace: string, name: string, options: TlsOptions = tlsOptions('TLSv1.2')): HostTls => {
      const ref = certificateRef(namespace, name)
      if (contents.get(ref.chain) === undefined) {
        const { cert, key } = authority.issue({ names: { dns: [`${name}.test`] }, keys })
        contents.apply([
          { id: ref.chain, bytes: Buffer.from(cert) },
          { id: ref.key, bytes: Buffer.from(key) },
        ])
      }
      return { key: name, namespace, mode: 'Terminate', certificates: [ref], http: 'Serve', options }
    }
    const find = (tls: HostTls) => {
      const choice = { serverName: `${tls.key}.test`, ticketName: null, verifiesEcdsa: true, place: 0 }
      return servers.find(tls, choice) ?? assert.fail('there is no server')
    }
    return { contents, servers, host, find }
  }

  it('many certificates of one take no server from another', () => {
    const { servers, host, find } = world({ kept: 8 })
    const victim = host('b', 'victim')
    const kept = find(victim)
    for (let i = 0; i < 20; i++) find(host('a', `many${i}`))
    assert.equal(servers.size, 8)
    assert.equal(find(victim), kept)
  })

  it('large lists of one take a bounded memory, also with connections, and none from another', async () => {
    const most = 8 * MIB
    const { contents, servers, host, find } = world({ trustBytes: most })
    for (const namespace of ['a', 'b'])
      contents.apply([
        { id: `${namespace}/ca`, bytes: Buffer.from(authority.ca) },
        { id: `${namespace}/crl`, bytes: Buffer.from(namespace === 'a' ? large() : authority.revoke([])) },
      ])
    const demanding = (namespace: string) =>
      tlsOptions('TLSv1.2', { mode: 'Require', ca: `${namespace}/ca`, crl: `${namespace}/crl` })
    const victim = host('b', 'victim', demanding('b'))
    const kept = find(victim)
    const [mine, first] = [await accepted(), await accepted()]
    kept.accept(mine)
    find(host('a', 'many0', demanding('a'))).accept(first)
    assert.ok(servers.trustBytes > MIB, `${servers.trustBytes} are counted`)
    const gone = once(first, 'close')
    const open: Socket[] = []
    for (let i = 1; i <= 12; i++) {
      const socket = await accepted()
      open.push(socket)
      find(host('a', `many${i}`, demanding('a'))).accept(socket)
      assert.ok(servers.trustBytes <= most)
    }
    await gone
    assert.ok(servers.size <= 6, `${servers.size} are kept`)
    assert.equal(mine.destroyed, false)
    assert.equal(open.at(-1)!.destroyed, false)
    assert.equal(find(victim), kept)
    for (const socket of [mine, ...open]) socket.destroy()
  })

  it('a changed list gives up the server, whose memory is free when its connections have ended', async () => {
    const { contents, servers, host, find } = world({})
    const set = (id: string, text: string) => contents.apply([{ id, bytes: Buffer.from(text) }])
    set('ca', authority.ca)
    set('crl', authority.revoke([]))
    const tls = host('a', 'one', tlsOptions('TLSv1.2', { mode: 'Require', ca: 'ca', crl: 'crl' }))
    const socket = await accepted()
    find(tls).accept(socket)
    const alone = servers.trustBytes
    set('crl', authority.revoke([]))
    find(tls)
    assert.ok(servers.trustBytes > 1.5 * alone)
    socket.destroy()
    await once(socket, 'close')
    assert.ok(servers.trustBytes < 1.5 * alone)
  })
})

/** A list of some 256 KiB. */
function large(): string {
  const revoked = Array.from({ length: 8_000 }, (_, i) => ({ serial: Buffer.from([1, i >> 8, i & 255]) }))
  return authority.revoke(revoked)
}
