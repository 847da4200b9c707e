import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { ownPorts, workerSettings } from '../../src/thread/worker-settings.ts'

const SURROUNDINGS = {
  loopback: true,
  ownAddresses: ['192.0.2.7'],
  places: [],
  closedPorts: [{ port: 10_250, what: 'closed' }],
}
const SHARE = { clients: 1234, upstreams: 800, seed: 'seed' }
const validator = createValidator(readSchemas())

function settings(raw: object) {
  const verdict = validator.checkSettings(raw)
  assert.ok(verdict.ok, JSON.stringify(verdict))
  return verdict.object
}

describe('the settings of a worker', () => {
  it('have every unit resolved, and what the process limit allows where nothing is said', () => {
    const given = workerSettings(settings({}), SHARE, [], SURROUNDINGS)
    const { limits, clientAddress, accessLog, upstreams, loop, sessionSeed } = given
    assert.deepEqual(limits, { head: 65_536, headers: 100, uri: 16_384, connections: 1234 })
    assert.equal(clientAddress, null)
    assert.deepEqual(accessLog, { enabled: true, sample: 100, fields: {} })
    const none = Number.POSITIVE_INFINITY
    const ceilings = { namespaceConnections: none, maxConnections: none, maxPending: none, maxConcurrentRequests: none }
    assert.deepEqual(upstreams, { connections: 800, ...ceilings })
    assert.deepEqual(loop, { seed: 'seed', passes: 8 })
    assert.equal(sessionSeed, 'seed')
    const kept = workerSettings(settings({}), { ...SHARE, sessionSeed: 'kept' }, [], SURROUNDINGS)
    assert.deepEqual([kept.sessionSeed, kept.loop.seed], ['kept', 'seed'])
  })

  it('take no more connections than the process limit allows, however many the file says', () => {
    const { limits } = workerSettings(settings({ limits: { connections: 1235 } }), SHARE, [], SURROUNDINGS)
    assert.equal(limits.connections, 1234)
  })

  it('take a connection less for each listener beyond those that open files are reserved for', () => {
    const sockets = Array.from({ length: 200 }, (_, i) => ({ name: `l${i}`, address: '127.0.0.1', port: 8000 + i }))
    const connections = (count: number) =>
      workerSettings(settings({}), SHARE, sockets.slice(0, count), SURROUNDINGS).limits.connections
    assert.deepEqual([connections(1), connections(16), connections(17), connections(200)], [1234, 1234, 1233, 1050])
  })

  it('name the Secrets of TLS by their contents, and what each listener speaks by its name', () => {
    const sockets = ['plain', 'https', 'gone'].map((name, i) => ({ name, address: '127.0.0.1', port: 8000 + i }))
    const proxyProtocol = { trusted: ['10.0.0.0/8'] }
    const given = workerSettings(
      {
        ...settings({}),
        listeners: [
          { name: 'https', port: 8443, tls: {}, proxyProtocol },
          { name: 'plain', port: 8080 },
        ],
        tls: {
          defaultCertificate: { secretName: 'default', namespace: 'certs' },
          sessionTicketKey: { secretName: 'tickets', namespace: 'certs' },
        },
      },
      SHARE,
      sockets,
      SURROUNDINGS,
    )
    assert.deepEqual(given.listeners, [
      { ...sockets[0], tls: false, secureTwin: { port: 8000, securePort: 8001 }, proxyProtocol: null },
      { ...sockets[1], tls: true, secureTwin: null, proxyProtocol },
      { ...sockets[2], tls: false, secureTwin: { port: 8002, securePort: 8001 }, proxyProtocol: null },
    ])
    assert.equal(given.tls.defaultCertificate?.chain, 'Secret certs/default tls.crt kubernetes.io/tls')
    assert.equal(given.tls.ticketKey, 'Secret certs/tickets key headgate.dev/session-ticket-key')
    const { tls } = workerSettings(settings({}), SHARE, sockets, SURROUNDINGS)
    assert.deepEqual(tls, { defaultCertificate: null, ticketKey: null })
  })

  it('lead clients to https by our own ports only where they reach us by these, whatever the order of listeners', () => {
    const names = ['secure-b', 'plain', 'secure-a']
    const sockets = names.map((name, i) => ({ name, address: '127.0.0.1', port: 8000 + i }))
    const listeners = names.map((name, i) => ({ name, port: 8000 + i, ...(name === 'plain' ? {} : { tls: {} }) }))
    const twins = (list: typeof listeners, loopback: boolean) =>
      workerSettings({ ...settings({}), listeners: list }, SHARE, sockets, { ...SURROUNDINGS, loopback }).listeners.map(
        ({ secureTwin }) => secureTwin,
      )
    const expected = [null, { port: 8001, securePort: 8002 }, null]
    assert.deepEqual(twins(listeners, true), expected)
    assert.deepEqual(twins(listeners.toReversed(), true), expected)
    assert.deepEqual(twins(listeners, false), [null, null, null])
  })

  it('say what the file says', () => {
    // The port of `b` cannot be had: it stays where it was.
    const sockets = [
      { name: 'a', address: '127.0.0.1', port: 1 },
      { name: 'b', address: '0.0.0.0', port: 3 },
    ]
    const given = workerSettings(
      settings({
        listeners: [
          { name: 'a', address: '127.0.0.1', port: 1 },
          { name: 'b', port: 2 },
        ],
        limits: { head: '8Ki', headers: 20, uri: 512, connections: 7, passes: 3 },
        clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['10.0.0.0/8'], trustedHops: 2 },
        upstreams: {
          denyCIDRs: ['10.1.0.0/16'],
          limits: { maxConnections: 9, maxPending: 0, maxConcurrentRequests: 8, namespaceConnections: 20 },
        },
      }),
      SHARE,
      sockets,
      SURROUNDINGS,
    )
    assert.deepEqual(
      given.listeners,
      sockets.map((socket) => ({ ...socket, tls: false, secureTwin: null, proxyProtocol: null })),
    )
    assert.deepEqual(given.limits, { head: 8_192, headers: 20, uri: 512, connections: 7 })
    assert.deepEqual(given.clientAddress, { header: 'x-forwarded-for', trustedCIDRs: ['10.0.0.0/8'], trustedHops: 2 })
    assert.deepEqual(given.upstreams, {
      connections: 800,
      maxConnections: 9,
      maxPending: 0,
      maxConcurrentRequests: 8,
      namespaceConnections: 20,
    })
    assert.deepEqual(given.loop, { seed: 'seed', passes: 3 })
    assert.deepEqual(given.dial, { ...SURROUNDINGS, denyCIDRs: ['10.1.0.0/16'], ownPorts: [1, 2, 3, 9901, 9902] })
  })

  it('know the ports on which this process listens', () => {
    const own = settings({
      listeners: [{ name: 'a', port: 80 }],
      admin: { address: '[::1]:7' },
      signals: { address: ':8' },
    })
    assert.deepEqual(ownPorts(own, []), [80, 7, 8])
    assert.deepEqual(ownPorts({ ...own, peers: { address: ':9', keyFile: '/key' } }, []), [80, 7, 8, 9])
  })
})
