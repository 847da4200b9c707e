import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../src/http/fields.ts'
import { parseFields } from '../../src/http/head.ts'
import { fieldsText } from '../../src/http/write-head.ts'
import { type Client, ClientResolver } from '../../src/proxy/client-address.ts'
import type { Peer } from '../../src/proxy/downstream.ts'

const PROXY = '10.0.0.1'
const TRUSTED = ['10.0.0.0/8', 'fd00::/8']

function peer(address: string): Peer {
  return { address, scheme: 'http', listener: { name: 'http', metricsRow: 0, leaving: false }, port: 8080 }
}

function fieldsOf(text: string): Fields {
  const fields = new Fields()
  const bytes = Buffer.from(`${text}\r\n`, 'latin1')
  const refuse = (_: string, detail: string): never => assert.fail(detail)
  parseFields({ fields, refuse }, bytes, 0, bytes.length, 0, { head: 10_000, headers: 100, uri: 0 })
  return fields
}

interface Seen extends Client {
  /** Fields that are left. */
  readonly left: string
}

function seen(text: string, { header = 'x-forwarded-for', hops = 0, from = PROXY, trusted = TRUSTED } = {}): Seen {
  const resolver = new ClientResolver({ header, trustedCIDRs: trusted, trustedHops: hops })
  const fields = fieldsOf(text)
  return { ...resolver.resolve(peer(from), 'shop.test', fields), left: fieldsText(fields) }
}

const SPOOFS = [
  'X-Forwarded-For: 6.6.6.6',
  'X_Forwarded_For: 6.6.6.6',
  'x-forwarded_for: 6.6.6.6',
  'X-Forwarded-Proto: https',
  'X_FORWARDED_PROTO: https',
  'X-Forwarded-Host: evil.test',
  'X-Forwarded-Port: 1',
  'X-Forwarded-Prefix: /admin',
  'X-Forwarded-Scheme: https',
  'X-Forwarded-Ssl: on',
  'X-Forwarded-Server: evil',
  'X-Real-IP: 6.6.6.6',
  'x_real-ip: 6.6.6.6',
  'Forwarded: for=6.6.6.6',
  'X-Request-Id: 1',
  'X_Request_Id: 1',
]

describe('the client of an untrusted connection', () => {
  for (const spoof of SPOOFS)
    it(`is its peer, whatever "${spoof}" says, and the field is gone`, () => {
      const { address, trusted, forwarding, left } = seen(`${spoof}\r\nAccept: x\r\n${spoof}\r\n`, { from: '9.9.9.9' })
      assert.deepEqual([address, trusted, left], ['9.9.9.9', false, 'Accept: x\r\n'])
      assert.equal(
        forwarding.block,
        'x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: shop.test\r\nx-forwarded-port: 8080\r\n',
      )
    })

  it('is its peer where no proxy is trusted at all', () => {
    const fields = fieldsOf('X-Forwarded-For: 6.6.6.6\r\n')
    const client = new ClientResolver(null).resolve(peer(PROXY), 'shop.test', fields)
    assert.deepEqual([client.address, client.trusted, fieldsText(fields)], [PROXY, false, ''])
  })

  it('loses the configured field, whatever its name, in every spelling', () => {
    for (const spoof of ['CF-Connecting-IP: 6.6.6.6', 'cf_connecting_ip: 6.6.6.6']) {
      const { address, left } = seen(`${spoof}\r\n`, { header: 'cf-connecting-ip', from: '9.9.9.9' })
      assert.deepEqual([address, left], ['9.9.9.9', ''])
    }
  })

  it('is told with the Host of each request on its connection', () => {
    const resolver = new ClientResolver(null)
    const connection = peer('9.9.9.9')
    const first = resolver.resolve(connection, 'a.test', new Fields())
    assert.equal(resolver.resolve(connection, 'a.test', new Fields()), first)
    assert.equal(resolver.resolve(connection, 'b.test', new Fields()).forwarding.host, 'b.test')
    assert.equal(resolver.resolve(connection, 'a.test', new Fields()).forwarding.host, 'a.test')
    assert.doesNotMatch(resolver.resolve(connection, '', new Fields()).forwarding.block, /host/)
  })
})

describe('the client behind trusted proxies', () => {
  const CASES: readonly (readonly [value: string, address: string])[] = [
    ['203.0.113.9', '203.0.113.9'],
    ['6.6.6.6, 203.0.113.9', '203.0.113.9'],
    ['6.6.6.6, 203.0.113.9, 10.1.1.1', '203.0.113.9'],
    ['203.0.113.9,10.1.1.1 ,\t10.2.2.2', '203.0.113.9'],
    ['10.9.9.9, 10.1.1.1', '10.9.9.9'],
    ['', PROXY],
    ['unknown', PROXY],
    ['203.0.113.9, unknown', PROXY],
    ['203.0.113.9, _hidden, 10.1.1.1', '10.1.1.1'],
    ['6.6.6.6, 1.2.3', PROXY],
    ['6.6.6.6, 1.2.3.4.5', PROXY],
    ['6.6.6.6, 0x7f.1', PROXY],
    ['6.6.6.6, 203.0.113.9:4711', '203.0.113.9'],
    ['6.6.6.6, [2001:db8::1]:4711', '2001:db8::1'],
    ['6.6.6.6, 2001:DB8:0::1', '2001:db8::1'],
    ['6.6.6.6, ::ffff:203.0.113.9', '203.0.113.9'],
    ['6.6.6.6, fd00::1', '6.6.6.6'],
    ['6.6.6.6, fe80::1%eth0', PROXY],
    ['6.6.6.6, ', PROXY],
  ]
  for (const [value, address] of CASES)
    it(`is ${address} for "${value}"`, () => {
      const { address: own, trusted } = seen(`X-Forwarded-For: ${value}\r\n`)
      assert.deepEqual([own, trusted], [address, true])
    })

  it('is found over several lines as over one', () => {
    const { address, forwarding } = seen(
      'X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nA: b\r\nx-forwarded-for: 10.1.1.1\r\n',
    )
    assert.equal(address, '203.0.113.9')
    assert.equal(forwarding.for, '6.6.6.6, 203.0.113.9, 10.1.1.1, 10.0.0.1')
  })

  it('is not read out of other forwarding fields than the configured one', () => {
    const { address, left } = seen('X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n')
    assert.deepEqual([address, left], [PROXY, ''])
  })

  it('is the address so many hops from the right where hops are counted', () => {
    const chain = 'X-Forwarded-For: 6.6.6.6, 7.7.7.7, 8.8.8.8\r\n'
    assert.equal(seen(chain, { hops: 1 }).address, '8.8.8.8')
    assert.equal(seen(chain, { hops: 2 }).address, '7.7.7.7')
    assert.equal(seen(chain, { hops: 9 }).address, '6.6.6.6')
    assert.equal(seen('X-Forwarded-For: 6.6.6.6, garbage\r\n', { hops: 1 }).address, PROXY)
    assert.equal(seen('', { hops: 1 }).address, PROXY)
  })

  it('is not looked for without end', () => {
    const chain = `6.6.6.6${', 10.1.1.1'.repeat(64)}`
    assert.equal(seen(`X-Forwarded-For: ${chain}\r\n`).address, '10.1.1.1')
  })

  const FORWARDED: readonly (readonly [value: string, address: string])[] = [
    ['for=203.0.113.9', '203.0.113.9'],
    ['For="203.0.113.9:4711";proto=https', '203.0.113.9'],
    ['for=6.6.6.6, for="[2001:db8::1]:80";by=10.0.0.1', '2001:db8::1'],
    ['proto=http;for=203.0.113.9, for=10.1.1.1', '203.0.113.9'],
    ['for=203.0.113.9, for=_hidden', PROXY],
    ['for=203.0.113.9, for=unknown', PROXY],
    // A proxy of ours that does not say for whom it asks: what the client wrote before is not believed.
    ['for=6.6.6.6, by=10.1.1.1;proto=http', PROXY],
    ['for="6.6.6.6, for=203.0.113.9', '203.0.113.9'],
    ['for=203.0.113.9, ,', '203.0.113.9'],
    ['notfor=203.0.113.9', PROXY],
    ['', PROXY],
  ]
  for (const [value, address] of FORWARDED)
    it(`is ${address} for "Forwarded: ${value}"`, () =>
      assert.equal(seen(`Forwarded: ${value}\r\n`, { header: 'forwarded' }).address, address))

  it('is told on with Forwarded too where that is the configured field', () => {
    const { forwarding } = seen('Forwarded: for=203.0.113.9;proto=https\r\n', { header: 'forwarded' })
    assert.match(forwarding.block, /^forwarded: for=203\.0\.113\.9;proto=https, for=10\.0\.0\.1\r$/m)
    assert.equal(forwarding.for, '203.0.113.9, 10.0.0.1')
    const v6 = seen('', { header: 'forwarded', from: 'fd00::1' })
    assert.equal(v6.forwarding.forwarded, 'for="[fd00::1]"')
  })

  it('takes scheme, host and port from the nearest proxy, and only what can be one', () => {
    const { forwarding } = seen(
      'X-Forwarded-Proto: http\r\nX-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: a.test:8443\r\nX-Forwarded-Port: 8443\r\n',
    )
    assert.deepEqual([forwarding.proto, forwarding.host, forwarding.port], ['https', 'a.test:8443', 8443])
    for (const [text, expected] of [
      ['X-Forwarded-Proto: gopher', ['http', 'shop.test', 8080]],
      ['X-Forwarded-Proto: https', ['https', 'shop.test', 443]],
      ['X-Forwarded-Port: 65536', ['http', 'shop.test', 8080]],
      ['X-Forwarded-Port: 080', ['http', 'shop.test', 8080]],
      ['X-Forwarded-Host: a b', ['http', 'shop.test', 8080]],
      [`X-Forwarded-Host: ${'a'.repeat(256)}`, ['http', 'shop.test', 8080]],
    ] as const) {
      const { forwarding: own } = seen(`${text}\r\n`)
      assert.deepEqual([own.proto, own.host, own.port], expected, text)
    }
  })

  it('keeps the request id and a configured field of another name that the proxy wrote, in their own spelling alone', () => {
    const text = 'X-Request-Id: 1\r\nTrue-Client-IP: 203.0.113.9\r\ntrue_client_ip: 6.6.6.6\r\n'
    const { address, left } = seen(text, { header: 'true-client-ip' })
    assert.deepEqual([address, left], ['203.0.113.9', 'X-Request-Id: 1\r\nTrue-Client-IP: 203.0.113.9\r\n'])
  })
})
