import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { tlsOptions } from '../../src/snapshot/host-tls.ts'
import { DerReader, SEQUENCE } from '../../src/tls/der-reader.ts'
import { SESSION_LIFETIME, TICKET_PERIOD } from '../../src/tls/ticket-keys.ts'
import { fingerprintOf, type Issued, TestAuthority } from '../lib/certificates.ts'
import { exchange, type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const clients = new TestAuthority('Clients')
/** Fields of OpenSSL's SSL_SESSION, by their tags: the second is missing where it is 0. */
const TICKET = 0xaa
const MAX_EARLY_DATA = 0xaf
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

/** A connection of which one response was read, and a session to come back with. */
async function begin(rig: TlsRig, options: ConnectionOptions): Promise<{ socket: TLSSocket; session: Buffer }> {
  const socket = await rig.handshake(options)
  let session = socket.getSession()!
  socket.on('session', (newer) => {
    session = newer
  })
  await exchange(socket, request(String(options.servername)))
  return { socket, session }
}

function request(host: string): string {
  return `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`
}

async function resumes(rig: TlsRig, options: ConnectionOptions, session: Buffer): Promise<boolean> {
  const socket = await rig.handshake({ ...options, session })
  const reused = socket.isSessionReused()
  socket.end()
  await once(socket.resume(), 'close')
  return reused
}

/** Two workers of one process, or two replicas with one Secret: they have the same master. */
async function pair(t: TestContext, now?: () => number): Promise<readonly [TlsRig, TlsRig]> {
  const issued = authority.server('a.example')
  const make = async (): Promise<TlsRig> => {
    const rig = await tlsRig(t, { defaultSecret: 'default', ...(now === undefined ? {} : { wall: now }) })
    rig.secret('default', issued)
    rig.host('a.example', ['default'])
    return rig
  }
  return [await make(), await make()]
}

for (const version of VERSIONS)
  describe(`sessions over ${version}`, () => {
    const options = { servername: 'a.example', maxVersion: version }

    it('are resumed by every worker, and after a changed certificate', async (t) => {
      const [one, other] = await pair(t)
      const { session } = await begin(one, options)
      assert.equal(await resumes(one, options, session), true)
      assert.equal(await resumes(other, options, session), true)
      other.secret('default', authority.server('a.example'))
      assert.equal(await resumes(other, options, session), true)
      await other.nothingLeft()
      assert.deepEqual(other.handshakes, ['resumed', 'resumed'])
    })

    it('are told of no early data', async (t) => {
      const [one] = await pair(t)
      const { session } = await begin(one, options)
      const tags: number[] = []
      // Node writes something of its own before it.
      const start = session.indexOf(Buffer.of(SEQUENCE, 0x82))
      const fields = new DerReader(session.subarray(start)).enter(SEQUENCE)
      while (!fields.atEnd) tags.push(fields.next().tag)
      assert.ok(tags.includes(TICKET), 'a ticket has come')
      assert.ok(!tags.includes(MAX_EARLY_DATA), 'and nothing may be sent ahead with it')
    })

    it('are not resumed under other options of the host', async (t) => {
      const [one] = await pair(t)
      const { session } = await begin(one, options)
      const ca = one.content('ca', clients.ca)
      one.host('a.example', ['default'], { options: tlsOptions('TLSv1.2', { mode: 'Optional', ca }) })
      assert.equal(await resumes(one, options, session), false)
    })

    it('outlive the key of their tickets as long as they last, and no longer', async (t) => {
      const start = Math.ceil(Date.now() / TICKET_PERIOD) * TICKET_PERIOD
      let wall = start - 1_000
      const [one, other] = await pair(t, () => wall)
      const { session } = await begin(one, options)
      wall = start + 1
      assert.equal(await resumes(other, options, session), true)
      wall = start + SESSION_LIFETIME
      assert.equal(await resumes(other, options, session), false)
    })

    it('a Secret with the key of the tickets counts, and a changed one ends them', async (t) => {
      const [one] = await pair(t)
      one.content('tickets', 'a'.repeat(48))
      await one.useTicketKey('tickets')
      const { session } = await begin(one, options)
      assert.equal(await resumes(one, options, session), true)
      one.content('tickets', 'b'.repeat(48))
      assert.equal(await resumes(one, options, session), false)
    })
  })

describe('client certificates', () => {
  const alice = clients.client('Alice, é', { uri: ['spiffe://example/alice'], email: ['alice@example.com'] })
  const strangers = new TestAuthority('Clients')

  async function demanding(
    t: TestContext,
    mode: 'Require' | 'Optional',
    crl?: string,
    wall: () => number = Date.now,
  ): Promise<{ readonly rig: TlsRig; readonly ca: string }> {
    const rig = await tlsRig(t, { defaultSecret: 'default', wall })
    rig.secret('default', authority.server('a.example'))
    const ca = rig.content('ca', clients.ca)
    if (crl !== undefined && crl !== '') rig.content('crl', crl)
    const trust = { mode, ca, ...(crl === undefined ? {} : { crl: 'crl' }) }
    rig.host('a.example', ['default'], { options: tlsOptions('TLSv1.2', trust) })
    return { rig, ca }
  }

  /** `served`, or `refused`: over TLS 1.3 the client hears of it after its own side of the handshake. */
  async function outcome(rig: TlsRig, options: ConnectionOptions): Promise<string> {
    try {
      const answer = await rig.fetch({ servername: 'a.example', ...options })
      return answer === '' ? 'refused' : 'served'
    } catch {
      return 'refused'
    }
  }

  for (const version of VERSIONS) {
    it(`demanded over ${version}: those that are valid are served, no others`, async (t) => {
      const { rig } = await demanding(t, 'Require', clients.revoke([]))
      const day = 86_400_000
      const expired = clients.issue({ use: 'client', notAfter: new Date(Date.now() - day), notBefore: new Date(0) })
      const early = clients.issue({ use: 'client', notBefore: new Date(Date.now() + day) })
      const server = clients.issue({ use: 'server', names: { dns: ['x.example'] } })
      const cases: readonly (readonly [string, Issued | null, string])[] = [
        ['Alice’s', alice, 'served'],
        ['none', null, 'refused'],
        ['one that has expired', expired, 'refused'],
        ['one that is not valid yet', early, 'refused'],
        ['one of another authority with the same name', strangers.client('Alice'), 'refused'],
        ['one for servers', server, 'refused'],
      ]
      for (const [what, issued, expected] of cases) {
        const pair = issued === null ? {} : { cert: issued.cert, key: issued.key }
        assert.equal(await outcome(rig, { ...pair, maxVersion: version }), expected, what)
      }
      await rig.nothingLeft()
      const [served, ...refused] = rig.handshakes
      assert.equal(served, 'full')
      assert.equal(refused.filter((one) => one === 'ClientCertificateMissing').length, 1)
      assert.equal(refused.filter((one) => one === 'ClientCertificateRefused').length, 4)
    })

    it(`revoked over ${version}: refused from the next handshake on, also where a session is resumed`, async (t) => {
      const { rig } = await demanding(t, 'Require', clients.revoke([]))
      const options = { servername: 'a.example', cert: alice.cert, key: alice.key, maxVersion: version }
      const { session } = await begin(rig, options)
      assert.equal(await resumes(rig, options, session), true)
      rig.content('crl', clients.revoke([alice]))
      assert.equal(await outcome(rig, { ...options, session }), 'refused')
      assert.equal(await outcome(rig, options), 'refused')
      rig.content('crl', clients.revoke([]))
      assert.equal(await outcome(rig, options), 'served')
    })

    it(`a bundle of other authorities over ${version} ends the sessions of the former`, async (t) => {
      const { rig } = await demanding(t, 'Require')
      const options = { servername: 'a.example', cert: alice.cert, key: alice.key, maxVersion: version }
      const { session } = await begin(rig, options)
      rig.content('ca', strangers.ca)
      assert.equal(await outcome(rig, { ...options, session }), 'refused')
      rig.content('ca', `${strangers.ca}${clients.ca}`)
      assert.equal(await outcome(rig, options), 'served')
    })
  }

  it('an authority between root and client may be sent by the client; the bundle names the root', async (t) => {
    const between = new TestAuthority('Between', clients)
    const bob = between.client('Bob')
    const { rig } = await demanding(t, 'Require')
    assert.equal(await outcome(rig, bob), 'served')
    rig.content('ca', between.ca)
    assert.equal(await outcome(rig, bob), 'refused')
    rig.content('ca', between.ca + clients.ca)
    assert.equal(await outcome(rig, { ...bob, cert: bob.cert.split(/(?<=-----END CERTIFICATE-----\n)/)[0]! }), 'served')
  })

  it('without its bundle or list, or with one that is broken or over, nobody is accepted', async (t) => {
    for (const mode of ['Require', 'Optional'] as const) {
      const { rig } = await demanding(t, mode, '')
      const expectNobody = async (why: string): Promise<void> => {
        assert.equal(await outcome(rig, alice), 'refused', `${mode}: ${why}`)
        assert.equal(
          await outcome(rig, {}),
          mode === 'Optional' ? 'served' : 'refused',
          `${mode}: ${why}, no certificate`,
        )
      }
      await expectNobody('the list is missing')
      rig.content('crl', clients.revoke([], new Date(Date.now() - 1_000)))
      await expectNobody('the list is over')
      rig.content('crl', 'nonsense')
      await expectNobody('the list is broken')
      rig.content('crl', strangers.revoke([]))
      await expectNobody('the list is of somebody else')
      rig.content('crl', clients.revoke([]))
      assert.equal(await outcome(rig, alice), 'served')
      rig.content('ca', 'nonsense')
      await expectNobody('the bundle is broken')
      rig.content('ca', null)
      await expectNobody('the bundle is missing')
    }
  })

  it('optional: those without one are served, and one that is not valid is refused', async (t) => {
    const { rig } = await demanding(t, 'Optional')
    assert.equal(await outcome(rig, {}), 'served')
    assert.equal(await outcome(rig, alice), 'served')
    assert.equal(await outcome(rig, strangers.client('Alice')), 'refused')
  })

  it('reach the upstream as fields', async (t) => {
    const seen: Record<string, unknown>[] = []
    const { rig } = await demanding(t, 'Require')
    rig.onPeer = (peer) => void seen.push({ ...peer.tls })
    const socket = await rig.handshake({ servername: 'A.example', cert: alice.cert, key: alice.key })
    await exchange(socket, request('a.example'))
    assert.deepEqual(seen, [
      {
        serverName: 'a.example',
        optionsKey: 'TLSv1.2\nRequire\nca\n',
        protocol: 'TLSv1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        clientCertificate: {
          subject: 'CN=Alice\\, \\C3\\A9',
          san: 'email:alice@example.com, URI:spiffe://example/alice',
          fingerprint: fingerprintOf(alice),
        },
      },
    ])
    await once(socket, 'close')
  })

  describe('on open connections', () => {
    /** Whether a connection is still there once the gateway has looked at it. */
    async function survives(rig: TlsRig, socket: TLSSocket): Promise<boolean> {
      if (socket.destroyed) return false
      const heard = once(socket, 'data').then(() => true)
      const ended = once(socket, 'close').then(() => false)
      rig.listeners.sweep()
      // Lists are read and chains are judged in short turns, at least one step in each.
      for (let turn = 0; turn < 64; turn++) await nextTurn()
      socket.resume()
      socket.write('GET / HTTP/1.1\r\nhost: a.example\r\n\r\n')
      return await Promise.race([heard, ended])
    }

    for (const version of VERSIONS)
      it(`over ${version}: end when they are revoked, and not by a list that names others`, async (t) => {
        const { rig } = await demanding(t, 'Require', clients.revoke([]))
        const options = { servername: 'a.example', cert: alice.cert, key: alice.key, maxVersion: version }
        const { session } = await begin(rig, options)
        const full = await rig.handshake(options)
        const resumed = await rig.handshake({ ...options, session })
        for (const socket of [full, resumed]) socket.on('error', () => {})
        rig.content('crl', clients.revoke([clients.client('Bob')]))
        assert.deepEqual([await survives(rig, full), await survives(rig, resumed)], [true, true])
        rig.content('crl', clients.revoke([clients.client('Bob'), alice]))
        assert.deepEqual([await survives(rig, full), await survives(rig, resumed)], [false, false])
        await rig.nothingLeft()
      })

    it('end when an authority between their client and the root is revoked, or has no list any more', async (t) => {
      const between = new TestAuthority('Between', clients)
      const bob = between.client('Bob')
      const { rig } = await demanding(t, 'Require', clients.revoke([]) + between.revoke([]))
      rig.content('ca', clients.ca + between.ca)
      // The authority between stands in the bundle and is not sent.
      const leaf = bob.cert.split(/(?<=-----END CERTIFICATE-----\n)/)[0]!
      const open = async (): Promise<TLSSocket> => {
        const socket = await rig.handshake({ servername: 'a.example', cert: leaf, key: bob.key })
        socket.on('error', () => {})
        assert.equal(await survives(rig, socket), true)
        return socket
      }
      const first = await open()
      rig.content('crl', clients.revoke([alice]) + between.revoke([alice]))
      assert.equal(await survives(rig, first), true)
      const serial = Buffer.from(new X509Certificate(between.ca).serialNumber, 'hex')
      rig.content('crl', clients.revoke([{ serial }]) + between.revoke([]))
      assert.equal(await survives(rig, first), false)
      rig.content('crl', clients.revoke([]) + between.revoke([]))
      const second = await open()
      rig.content('crl', clients.revoke([]))
      assert.equal(await survives(rig, second), false)
      await rig.nothingLeft()
    })

    it('end when the authority leaves the bundle, when the list is gone, and when their time is over', async (t) => {
      const between = new TestAuthority('Between', clients)
      const bob = between.client('Bob')
      let wall = Date.now()
      const { rig } = await demanding(t, 'Require', clients.revoke([]) + between.revoke([]), () => wall)
      const open = async (issued: Issued): Promise<TLSSocket> => {
        const socket = await rig.handshake({ servername: 'a.example', cert: issued.cert, key: issued.key })
        socket.on('error', () => {})
        assert.equal(await survives(rig, socket), true)
        return socket
      }
      const first = [await open(alice), await open(bob)] as const
      rig.content('ca', strangers.ca + clients.ca)
      assert.deepEqual([await survives(rig, first[0]), await survives(rig, first[1])], [true, true])
      rig.content('ca', strangers.ca)
      assert.deepEqual([await survives(rig, first[0]), await survives(rig, first[1])], [false, false])
      rig.content('ca', clients.ca)
      const second = await open(alice)
      rig.content('crl', null)
      assert.equal(await survives(rig, second), false)
      rig.content('crl', clients.revoke([], new Date(Date.now() + 200 * 86_400_000)))
      const third = await open(alice)
      wall += 91 * 86_400_000
      assert.equal(await survives(rig, third), false)
      await rig.nothingLeft()
    })
  })
})
