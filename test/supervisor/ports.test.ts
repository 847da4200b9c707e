import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { parseSocketAddress } from '../../src/pattern/host.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { claimConfiguredPorts } from '../../src/supervisor/configured-ports.ts'
import { descriptorLimit, divideDescriptors } from '../../src/supervisor/file-descriptors.ts'
import { claimPorts, formatAddress } from '../../src/supervisor/ports.ts'

describe('an address to listen on', () => {
  it('is parsed with or without a host, IPv6 in brackets', () => {
    assert.deepEqual(parseSocketAddress('127.0.0.1:9901'), { host: '127.0.0.1', port: 9901 })
    assert.deepEqual(parseSocketAddress('[::1]:80'), { host: '::1', port: 80 })
    assert.deepEqual(parseSocketAddress(':9902'), { host: undefined, port: 9902 })
    for (const text of ['', '9901', '::1:80', '1.2.3.4:70000', 'a:b', '[::1]'])
      assert.equal(parseSocketAddress(text), undefined)
  })

  it('is formatted as it is parsed', () => {
    for (const text of ['127.0.0.1:9901', '[::1]:80']) assert.equal(formatAddress(parseSocketAddress(text)!), text)
    assert.equal(formatAddress({ host: undefined, port: 8080 }), '*:8080')
  })
})

describe('claiming ports', () => {
  const free = { host: '127.0.0.1', port: 0 }

  it('finds a different free port for each 0', async () => {
    const ports = await claimPorts(['a', 'b', 'c'].map((what) => ({ what, address: free })))
    assert.equal(new Set(ports).size, 3)
    assert.ok(ports.every((port) => port > 0))
    // The ports were released.
    assert.deepEqual(
      await claimPorts(ports.map((port) => ({ what: 'again', address: { host: '127.0.0.1', port } }))),
      ports,
    )
  })

  it('reports in one line which address is in use and how to find the process', async (t) => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.after(() => other.close())
    const { port } = other.address() as AddressInfo
    await assert.rejects(
      claimPorts([{ what: 'listener http', address: { host: '127.0.0.1', port } }]),
      (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`^listener http: 127\\.0\\.0\\.1:${port} is already in use\\. .*ss -ltnp`),
        )
        assert.ok(!error.message.includes('\n'))
        return true
      },
    )
  })

  it('detects another process that listens with SO_REUSEPORT', async (t) => {
    const other = createServer().listen({ port: 0, host: '127.0.0.1', reusePort: true })
    await once(other, 'listening')
    t.after(() => other.close())
    const { port } = other.address() as AddressInfo
    await assert.rejects(claimPorts([{ what: 'x', address: { host: '127.0.0.1', port } }]), /already in use/)
  })

  it('detects two claims of one port', async () => {
    const [port] = await claimPorts([{ what: 'x', address: free }])
    const address = { host: '127.0.0.1', port: port! }
    await assert.rejects(
      claimPorts([
        { what: 'listener http', address },
        { what: 'admin', address },
      ]),
      /^Error: admin: .* already in use/,
    )
  })

  it('reports an address that is not of this machine', async () => {
    await assert.rejects(
      claimPorts([{ what: 'admin', address: { host: '192.0.2.1', port: 0 } }]),
      /admin: 192\.0\.2\.1:0 is not an address of this machine/,
    )
  })
})

describe('the ports of the settings', () => {
  const validator = createValidator(readSchemas())
  const settings = { admin: { address: ':0' }, signals: { address: ':0' } }
  const verdict = validator.checkSettings(settings)
  assert.ok(verdict.ok, JSON.stringify(verdict))
  const { object } = verdict
  const claim = (more: Partial<typeof object>) => claimConfiguredPorts({ ...object, ...more, listeners: [] })
  const peersAt = (address: string, keyFile?: string) => ({
    peers: { ...object.peers, address, ...(keyFile !== undefined && { keyFile }) },
  })

  it('are those that there are, also of replicas that tell each other', async () => {
    const keyFile = '/etc/headgate-peers/key'
    for (const what of ['signals', 'peers'] as const) {
      const checked = validator.checkSettings({ ...settings, [what]: { address: ':70000' } })
      assert.deepEqual(checked.ok ? [] : checked.problems.map(({ path, message }) => [path.join('.'), message]), [
        [`${what}.address`, 'the port is 65535 at most'],
      ])
      const wrong =
        what === 'peers' ? peersAt(':70000', keyFile) : { signals: { ...object.signals, address: ':70000' } }
      await assert.rejects(claim(wrong), {
        message: `${what}: ":70000" is not an address. Write HOST:PORT with an IP address, or :PORT for all.`,
      })
    }
    const { signals } = await claim(peersAt('[::1]:9903', keyFile))
    assert.ok(signals > 0)
    // Where they have no key nothing listens there.
    assert.deepEqual((await claim(peersAt(':70000'))).failures, [])
  })
})

describe('the budget of file descriptors', () => {
  it('reserves some for the process and divides the rest between clients and upstreams', () => {
    const { clients, upstreams, connections, limit } = divideDescriptors(20_000, 4)
    assert.equal(limit, 20_000)
    assert.ok(4 * connections < 20_000 - 150)
    assert.ok(clients > upstreams && upstreams > 1_500)
    // Each has what the other may not have.
    assert.ok(connections - clients > 800 && connections - upstreams > 2_500)
  })

  it('has room for 15,000 clients that are idle among 20,000 files', () => {
    const { clients, connections } = divideDescriptors(20_000, 1)
    assert.ok(clients > 15_000 && connections - clients > 3_000)
  })

  it('gives each a minimum even at a very low limit', () => {
    const { clients, upstreams } = divideDescriptors(64, 2)
    assert.ok(clients >= 10 && upstreams >= 8)
  })

  it('has room for 64 listeners of each worker, of which each has more sockets where files are plenty', () => {
    for (const [limit, workers] of [
      [1_024, 4],
      [4_096, 4],
      [20_000, 4],
      [65_536, 8],
      [1_048_576, 64],
    ] as const) {
      const { connections, sockets } = divideDescriptors(limit, workers)
      const left = limit - workers * connections
      if (sockets > 1) assert.ok(64 * sockets * workers <= left / 2, `${limit} files, ${workers} workers: ${sockets}`)
    }
    assert.equal(divideDescriptors(1_024, 4).sockets, 1)
    assert.equal(divideDescriptors(65_536, 8).sockets, 4)
    assert.equal(divideDescriptors(20_000, 2).sockets, 4)
  })

  it('treats no limit as a large one', () => {
    assert.ok(divideDescriptors(Number.POSITIVE_INFINITY, 1).clients > 100_000)
  })

  it('is read from the system', () => {
    assert.ok(descriptorLimit() >= 256)
  })
})
