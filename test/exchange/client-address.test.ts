import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Client, ClientResolver } from '../../src/exchange/client-address.ts'
import { forwardedFromRight, reportedHost, reportedScheme } from '../../src/exchange/forwarding-lists.ts'
import { BLOCK_LINES, fieldsText } from '../../src/http/field-lines.ts'
import { parseFields } from '../../src/http/head.ts'
import { Fields } from '../../src/message/fields.ts'
import { CidrSet } from '../../src/pattern/cidr.ts'
import { normalizeHost } from '../../src/pattern/host.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import type { Peer } from '../../src/transport/peer.ts'
import { addressList, type Element, forwarded, garbage, host, type Node, proto } from './forwarding-oracle.ts'

const PROXY = '10.0.0.1'
const TRUSTED = ['10.0.0.0/8', 'fd00::/8']

function peer(address: string): Peer {
  return {
    address,
    scheme: 'http',
    listener: { name: 'http', frontend: new FrontendHandle('http'), metricsRow: 0, leaving: false, secureTwin: null },
    tls: null,
  }
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

interface How {
  readonly header?: string
  readonly hops?: number
  readonly from?: string
  readonly trusted?: readonly string[]
  /** Host. */
  readonly host?: string
}

function resolve(resolver: ClientResolver, connection: Peer, authority: string, fields: Fields): Client {
  // HTTP/1.0 without Host: see host-cache.ts.
  const named = authority === '' ? { host: '', port: 0 } : normalizeHost(authority)
  return resolver.resolve(connection, authority, named, fields)
}

function seen(text: string, how: How = {}): Seen {
  const { header = 'x-forwarded-for', hops = 0, from = PROXY, trusted = TRUSTED, host = 'shop.test' } = how
  const resolver = new ClientResolver({ header, trustedCIDRs: trusted, trustedHops: hops })
  const fields = fieldsOf(text)
  return { ...resolve(resolver, peer(from), host, fields), left: fieldsText(fields) }
}

/** `X-Forwarded-*` as told to the upstream, in the order for, proto, host, port, and `Forwarded` where it is sent. */
function told({ forwarding }: Client): string[] {
  const text = forwarding.block.image(BLOCK_LINES)
  const lines = text.split('\r\n').slice(0, -1)
  const names = lines.map((line) => line.slice(0, line.indexOf(':')))
  assert.equal(new Set(names).size, names.length, text)
  return ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'forwarded'].flatMap((name) =>
    lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)),
  )
}

/** What only the gateway says, of a handshake of its own. */
const FORGED = [
  'X-Client-Cert-Subject: CN=root',
  'x_client_cert_subject: CN=root',
  'X-CLIENT_CERT-SAN: DNS:root',
  'x-client-cert-fingerprint: 00',
  'X-Client-Cert: 1',
  'X_Client_Cert_Verified: SUCCESS',
  'Client-Cert: :AA==:',
  'CLIENT_CERT_CHAIN: :AA==:',
]

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
  'X-Forwarded: for=6.6.6.6',
  'X-Forwarded-User: root',
  'x_forwarded-Email: root@shop.test',
  'X-FORWARDED-GROUPS: admin',
  'X-Forwarded-Client-Cert: Hash=1',
  'X-Forwarded-Tls_Client_Cert: 1',
  'X-Forwarded-Uri: /admin',
  'X-Forwarded-Method: GET',
  'X-Forwarded-Protocol: ssl',
  'X-Forwarded-: 1',
  'X-Original-URL: /admin',
  'X_Original_Host: evil.test',
  'X-Rewrite-URL: /admin',
  'X-Client-IP: 6.6.6.6',
  'X-Cluster-Client-IP: 6.6.6.6',
  'X-Scheme: https',
  'Front-End-Https: on',
  ...FORGED,
]

describe('the certificate of a client', () => {
  for (const forged of FORGED)
    it(`is told by nobody else, not by a trusted proxy either: "${forged}"`, () => {
      const { trusted, left } = seen(`${forged}\r\nAccept: x\r\nX-Forwarded-For: 9.9.9.9\r\n${forged}\r\n`)
      assert.deepEqual([trusted, left], [true, 'Accept: x\r\n'])
    })
})

describe('the client of an untrusted connection', () => {
  for (const spoof of SPOOFS)
    it(`is its peer, whatever "${spoof}" says, and the field is gone`, () => {
      const { address, trusted, forwarding, left } = seen(`${spoof}\r\nAccept: x\r\n${spoof}\r\n`, { from: '9.9.9.9' })
      assert.deepEqual([address, trusted, left], ['9.9.9.9', false, 'Accept: x\r\n'])
      assert.equal(
        forwarding.block.image(BLOCK_LINES),
        'x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: shop.test\r\nx-forwarded-port: 80\r\n',
      )
    })

  it('is its peer where no proxy is trusted at all', () => {
    const fields = fieldsOf('X-Forwarded-For: 6.6.6.6\r\n')
    const client = resolve(new ClientResolver(null), peer(PROXY), 'shop.test', fields)
    assert.deepEqual([client.address, client.trusted, fieldsText(fields)], [PROXY, false, ''])
  })

  it('loses the configured field, whatever its name, in every spelling', () => {
    for (const spoof of ['CF-Connecting-IP: 6.6.6.6', 'cf_connecting_ip: 6.6.6.6']) {
      const { address, left } = seen(`${spoof}\r\n`, { header: 'cf-connecting-ip', from: '9.9.9.9' })
      assert.deepEqual([address, left], ['9.9.9.9', ''])
    }
  })

  it('keeps what no proxy writes, also under names that look alike', () => {
    const kept = 'X-Forwarder: 1\r\nX-Originally: 1\r\nX-User: 1\r\nFrom: a\r\nTrue-Client-IP: 6.6.6.6\r\n'
    assert.equal(seen(kept, { from: '9.9.9.9' }).left, kept)
  })

  it('is sent with the Host of each request on its connection', () => {
    const resolver = new ClientResolver(null)
    const connection = peer('9.9.9.9')
    const ask = (authority: string): Client => resolve(resolver, connection, authority, new Fields())
    const first = ask('a.test')
    assert.equal(ask('a.test'), first)
    assert.deepEqual(told(ask('b.test:8081')), ['9.9.9.9', 'http', 'b.test:8081', '8081'])
    assert.deepEqual(told(ask('a.test')), ['9.9.9.9', 'http', 'a.test', '80'])
    assert.deepEqual(told(ask('')), ['9.9.9.9', 'http', '80'])
  })

  // A client leaves the port out where it is the scheme's own, whatever port a Service or a NodePort leads to.
  for (const [host, origin, port] of [
    ['shop.test', 'shop.test', 80],
    ['shop.test:', 'shop.test', 80],
    ['shop.test:80', 'shop.test', 80],
    ['shop.test:443', 'shop.test', 443],
    ['shop.test:30080', 'shop.test', 30_080],
    ['SHOP.test.:30080', 'shop.test', 30_080],
    ['[2001:DB8::1]', '[2001:db8::1]', 80],
    ['[2001:DB8::1]:30080', '[2001:db8::1]', 30_080],
    ['203.0.113.1:8080', '203.0.113.1', 8080],
    ['', '', 80],
  ] as const)
    it(`stands at port ${port} with Host: ${host}`, () => {
      const client = seen('', { from: '9.9.9.9', host })
      assert.deepEqual(told(client), ['9.9.9.9', 'http', ...(host === '' ? [] : [host]), String(port)])
      const { scheme, host: own, port: ownPort } = client.forwarding.origin
      assert.deepEqual([scheme, own, ownPort], ['http', origin, port])
    })

  it('is sent in Forwarded too when that is the configured field', () => {
    const client = seen('Forwarded: for=6.6.6.6;host=evil.test\r\n', {
      header: 'forwarded',
      from: 'fe80::9',
      host: 'a.test:81',
    })
    const expected = ['fe80::9', 'http', 'a.test:81', '81', 'for="[fe80::9]";proto=http;host="a.test:81"']
    assert.deepEqual([told(client), client.left], [expected, ''])
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
    // RFC 9110 §5.6.1.2: empty elements do not count.
    ['203.0.113.9, ', '203.0.113.9'],
    ['6.6.6.6, 203.0.113.9,, 10.1.1.1 , ,', '203.0.113.9'],
    [', ,', PROXY],
    ['6.6.6.6, "203.0.113.9"', PROXY],
    ['203.0.113.9:port', PROXY],
  ]
  for (const [value, address] of CASES)
    it(`is ${address} for "${value}"`, () => {
      const { address: own, trusted } = seen(`X-Forwarded-For: ${value}\r\n`)
      assert.deepEqual([own, trusted], [address, true])
    })

  it('is found over several lines as over one', () => {
    const client = seen(
      'X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nA: b\r\nx-forwarded-for: \r\nx-forwarded-for: 10.1.1.1\r\n',
    )
    assert.equal(client.address, '203.0.113.9')
    // What nobody vouches for does not go on: a server that takes the first address takes the client's.
    assert.deepEqual(client.forwarding.for, ['203.0.113.9', '10.1.1.1', PROXY])
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
    assert.equal(seen('X-Forwarded-For: 6.6.6.6, 7.7.7.7, , 8.8.8.8,\r\n', { hops: 2 }).address, '7.7.7.7')
    assert.equal(seen('X-Forwarded-For: 6.6.6.6, garbage\r\n', { hops: 1 }).address, PROXY)
    assert.deepEqual(told(seen(chain, { hops: 2 }))[0], '7.7.7.7, 8.8.8.8, 10.0.0.1')
    const hidden = seen('X-Forwarded-For: 6.6.6.6, 7.7.7.7, _a"\r\n', { hops: 2 })
    assert.deepEqual(told(hidden)[0], '7.7.7.7, unknown, 10.0.0.1')
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
    // A client that leaves a quote open swallows nothing of what a proxy appends.
    ['for=6.6.6.6;x=", for=203.0.113.9;y="a, for=7.7.7.7"', '203.0.113.9'],
    ['for=203.0.113.9; proto=https', '203.0.113.9'],
    ['notfor=203.0.113.9', PROXY],
    ['', PROXY],
  ]
  for (const [value, address] of FORWARDED)
    it(`is ${address} for "Forwarded: ${value}"`, () =>
      assert.equal(seen(`Forwarded: ${value}\r\n`, { header: 'forwarded' }).address, address))

  it('stays at a field of another name, where that says just this, in its own spelling alone', () => {
    const text = 'X-Request-Id: 1\r\nTrue-Client-IP: 203.0.113.9\r\ntrue_client_ip: 6.6.6.6\r\n'
    const how = { header: 'true-client-ip' }
    const { address, left } = seen(text, how)
    assert.deepEqual([address, left], ['203.0.113.9', 'X-Request-Id: 1\r\nTrue-Client-IP: 203.0.113.9\r\n'])
    for (const value of [
      'unknown',
      '6.6.6.6, 203.0.113.9',
      '203.0.113.9\r\nTrue-Client-IP: 203.0.113.9',
      '203.0.113.9:80',
    ])
      assert.equal(seen(`True-Client-IP: ${value}\r\n`, how).left, '', value)
    assert.equal(seen('X-Real-IP: 203.0.113.9\r\n', { header: 'x-real-ip' }).left, 'X-Real-IP: 203.0.113.9\r\n')
  })
})

describe('where a client behind trusted proxies stands', () => {
  const CHAIN = 'X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1\r\n'
  const ONE_HOP = 'X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n'

  for (const [what, text, expected, host] of [
    ['by Host alone', '', ['http', 'shop.test', '80']],
    ['by Host alone, with its port', '', ['http', 'shop.test:8080', '8080'], 'shop.test:8080'],
    ['by scheme', 'X-Forwarded-Proto: https', ['https', 'shop.test', '443']],
    ['by scheme in any case', 'X-Forwarded-Proto: HTTPS', ['https', 'shop.test', '443']],
    ['by the scheme of a tunnel', 'X-Forwarded-Proto: wss', ['https', 'shop.test', '443']],
    ['by the other scheme of a tunnel', 'X-Forwarded-Proto: ws', ['http', 'shop.test', '80']],
    ['by a list of one scheme', 'X-Forwarded-Proto: https, https', ['https', 'shop.test', '443']],
    ['by a list with empty elements', 'X-Forwarded-Proto: https, ,', ['https', 'shop.test', '443']],
    ['by several lines', 'X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https', ['https', 'shop.test', '443']],
    ['by no scheme of another kind', 'X-Forwarded-Proto: gopher', ['http', 'shop.test', '80']],
    [
      'by scheme and the port in Host',
      'X-Forwarded-Proto: https',
      ['https', 'shop.test:8443', '8443'],
      'shop.test:8443',
    ],
    ['by scheme and port', 'X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443', ['https', 'shop.test', '443']],
    [
      'by scheme and port, whatever port the proxy put into Host',
      'X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443',
      ['https', 'shop.test', '443'],
      'shop.test:8080',
    ],
    ['by a port', 'X-Forwarded-Port: 30080', ['http', 'shop.test', '30080']],
    ['by a port, also in Host', 'X-Forwarded-Port: 30080', ['http', 'shop.test:30080', '30080'], 'shop.test:80'],
    ['by a list of ports', 'X-Forwarded-Port: 443, 8443', ['http', 'shop.test', '8443']],
    ['by no port out of range', 'X-Forwarded-Port: 65536', ['http', 'shop.test', '80']],
    ['by no port with a leading zero', 'X-Forwarded-Port: 080', ['http', 'shop.test', '80']],
    ['by a host', 'X-Forwarded-Host: a.test', ['http', 'a.test', '80'], 'shop.test:8080'],
    ['by a host with its port', 'X-Forwarded-Host: a.test:8443', ['http', 'a.test:8443', '8443']],
    [
      'by a host that names the port itself',
      'X-Forwarded-Host: a.test:1\r\nX-Forwarded-Port: 2',
      ['http', 'a.test:1', '1'],
    ],
    ['by host and port', 'X-Forwarded-Host: a.test\r\nX-Forwarded-Port: 2', ['http', 'a.test', '2']],
    ['by a host with an underscore', 'X-Forwarded-Host: a_b.test', ['http', 'a_b.test', '80']],
    ['by an IPv6 host', 'X-Forwarded-Host: [2001:db8::1]:81', ['http', '[2001:db8::1]:81', '81']],
    ['by a list of hosts', 'X-Forwarded-Host: evil.test, a.test', ['http', 'a.test', '80']],
    ['by no host that could not be a Host', 'X-Forwarded-Host: a b', ['http', 'shop.test', '80']],
    ['by no host that is too long', `X-Forwarded-Host: ${'a.'.repeat(127)}test`, ['http', 'shop.test', '80']],
    [
      'by no field that is not configured',
      'Forwarded: for=6.6.6.6;proto=https;host=evil.test',
      ['http', 'shop.test', '80'],
    ],
    ['by no other field', 'X-Forwarded-Ssl: on\r\nX-Scheme: https\r\nFront-End-Https: on', ['http', 'shop.test', '80']],
    [
      'by no spelling with underscores',
      'X_Forwarded_Proto: https\r\nX-Forwarded_Host: evil',
      ['http', 'shop.test', '80'],
    ],
  ] as [string, string, string[], string?][])
    it(`is sent ${what}`, () => {
      const client = seen(`${ONE_HOP}${text === '' ? '' : `${text}\r\n`}`, host === undefined ? {} : { host })
      assert.deepEqual(told(client), ['203.0.113.9, 10.0.0.1', ...expected])
      assert.equal(client.left, '')
    })

  it('is in the element as far from the right as its address, where every hop wrote one', () => {
    const lists = 'X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: shop.test:8443, inner.test\r\n'
    assert.deepEqual(told(seen(`${CHAIN}${lists}`)).slice(1), ['https', 'shop.test:8443', '8443'])
    // Of a client that is one hop away, what stands further left is its own invention.
    assert.deepEqual(told(seen(`${ONE_HOP}${lists}`)).slice(1), ['http', 'inner.test', '80'])
    assert.deepEqual(told(seen(`${ONE_HOP}X-Forwarded-Proto: https, http, http\r\n`)).slice(1), [
      'http',
      'shop.test',
      '80',
    ])
  })

  it('is what the nearest proxy says where not every hop wrote an element', () => {
    const longer = 'X-Forwarded-For: 203.0.113.9, 10.2.2.2, 10.1.1.1\r\n'
    assert.deepEqual(told(seen(`${longer}X-Forwarded-Proto: https\r\n`)).slice(1), ['https', 'shop.test', '443'])
    assert.deepEqual(told(seen(`${longer}X-Forwarded-Proto: https, http\r\n`)).slice(1), ['http', 'shop.test', '80'])
    assert.deepEqual(told(seen('X-Forwarded-Proto: https\r\n')), [PROXY, 'https', 'shop.test', '443'])
  })

  it('is sent without Host for HTTP/1.0 that has none', () => {
    const https = 'X-Forwarded-Proto: https\r\n'
    assert.deepEqual(told(seen(https, { host: '' })), [PROXY, 'https', '443'])
    assert.deepEqual(told(seen(`${https}X-Forwarded-Port: 8443\r\n`, { host: '' })), [PROXY, 'https', '8443'])
    assert.deepEqual(told(seen('X-Forwarded-Host: a.test\r\n', { host: '' })), [PROXY, 'http', 'a.test', '80'])
  })

  it('is read out of Forwarded alone where that is configured', () => {
    const others =
      'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n'
    const forwarded =
      'Forwarded: for=6.6.6.6;host=evil.test;proto=http\r\n' +
      'Forwarded: for="203.0.113.9:4711";proto=https;host="shop.test:8443", for=10.1.1.1;proto=http;host=inner.test;by=_b\r\n'
    const client = seen(`${others}${forwarded}`, { header: 'forwarded', host: 'inner.test' })
    assert.deepEqual(told(client), [
      '203.0.113.9, 10.1.1.1, 10.0.0.1',
      'https',
      'shop.test:8443',
      '8443',
      'for=203.0.113.9;proto=https;host="shop.test:8443", for=10.1.1.1, for=10.0.0.1',
    ])
    assert.equal(client.left, '')
  })

  for (const [value, expected] of [
    ['for=203.0.113.9', ['203.0.113.9, 10.0.0.1', 'http', 'shop.test', '80']],
    ['for=203.0.113.9;proto=wss', ['203.0.113.9, 10.0.0.1', 'https', 'shop.test', '443']],
    ['for=203.0.113.9;host=a_b.test', ['203.0.113.9, 10.0.0.1', 'http', 'a_b.test', '80']],
    ['for=203.0.113.9;host="a, b"', ['203.0.113.9, 10.0.0.1', 'http', 'shop.test', '80']],
    // A proxy that hides its client still says how it was asked, and nothing left of it counts.
    ['for=6.6.6.6;host=evil.test, for=_hidden;proto=https', ['10.0.0.1', 'https', 'shop.test', '443']],
    ['for=6.6.6.6;host=evil.test, proto=https', ['10.0.0.1', 'https', 'shop.test', '443']],
    ['for=6.6.6.6;proto=https;host=evil.test, for="', ['10.0.0.1', 'http', 'shop.test', '80']],
    ['', ['10.0.0.1', 'http', 'shop.test', '80']],
  ] as const)
    it(`is sent for "Forwarded: ${value}"`, () => {
      const all = told(seen(`Forwarded: ${value}\r\n`, { header: 'forwarded' }))
      assert.deepEqual(all.slice(0, 4), expected)
      const [client] = forwardedFromRight(all[4]!).slice(-1)
      assert.deepEqual(
        [client!.address, client!.proto, client!.host!.text],
        [expected[0].split(',')[0], expected[1], expected[2]],
      )
    })

  it('passes on what else a trusted proxy says, in its own spelling alone', () => {
    const kept = 'X-Forwarded-User: ann\r\nX-Forwarded-Prefix: /shop\r\nx-original-url: /a\r\nX-Rewrite-Url: /b\r\n'
    assert.equal(seen(`${kept}X_Forwarded_User: root\r\nX-Original_Url: /c\r\nX_Request-Id: 1\r\n`).left, kept)
    assert.equal(seen('X-Forwarded-Scheme: https\r\nX-Forwarded-Protocol: ssl\r\nX-Client-Ip: 6.6.6.6\r\n').left, '')
  })
})

describe('whatever proxies and clients write', () => {
  const trusted = new CidrSet(TRUSTED)
  /** The first proxy of each chain saw this client. */
  const CLIENT: Node = { text: '203.0.113.77', address: '203.0.113.77' }
  const noCommas = (texts: readonly (string | undefined)[]) =>
    texts.filter((text) => text !== undefined && !/[,"]/.test(text))
  const said = fc.record({
    before: garbage,
    list: addressList,
    protos: fc.array(proto, { maxLength: 4 }).map(noCommas),
    hosts: fc.array(host, { maxLength: 4 }).map(noCommas),
    elements: forwarded,
  })

  /**
   * The addresses that count, the client's first: nothing before the last hidden one, and nothing before the last that
   * is not trusted.
   */
  function believed(chain: readonly (string | undefined)[]): string[] {
    const usable = chain.slice(chain.lastIndexOf(undefined) + 1) as string[]
    const first = usable.findLastIndex((address) => !trusted.has(address))
    return usable.slice(Math.max(first, 0))
  }

  it('counts as far as proxies that are trusted wrote it: X-Forwarded-*', () => {
    fc.assert(
      fc.property(said, ({ before, list: [nodes, list], protos, hosts }) => {
        const { address, forwarding } = seen(
          `X-Forwarded-For: ${before}, ${CLIENT.text}, ${list}\r\n` +
            `X-Forwarded-Proto: ${protos.join(', ')}\r\nX-Forwarded-Host: ${hosts.join(', ')}\r\n`,
        )
        const chain = believed([CLIENT, ...nodes].map((own) => own.address))
        const ofClient = (all: readonly (string | undefined)[]) =>
          all.at(-Math.max(chain.length, 1)) ?? all.at(-1) ?? ''
        assert.deepEqual(forwarding.for, [...chain, PROXY])
        assert.equal(address, chain[0] ?? PROXY)
        assert.equal(forwarding.origin.scheme, reportedScheme(ofClient(protos)) ?? 'http')
        assert.equal(forwarding.origin.authority, reportedHost(ofClient(hosts))?.text ?? 'shop.test')
      }),
      { numRuns: 2_000 },
    )
  })

  it('says the same of a list that is read alone, for a request that comes again', () => {
    fc.assert(
      fc.property(said, fc.constantFrom(0, 0, 1, 2), ({ before, list: [, list] }, hops) => {
        const value = `${before}, ${CLIENT.text}, ${list}`.replace(/^ +| +$/g, '')
        const resolver = new ClientResolver({ header: 'x-forwarded-for', trustedCIDRs: TRUSTED, trustedHops: hops })
        const whole = resolve(resolver, peer(PROXY), 'shop.test', fieldsOf(`X-Forwarded-For: ${value}\r\n`))
        // Anew, and as it is known.
        for (let i = 0; i < 2; i++) {
          const alone = resolver.reported(value)
          assert.deepEqual([alone.address ?? PROXY, alone.hops], [whole.address, whole.forwarding.for.length - 1])
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('is known afterwards, but for lists that are longer than those of proxies', () => {
    const resolver = new ClientResolver({ header: 'x-forwarded-for', trustedCIDRs: TRUSTED, trustedHops: 0 })
    const list = '2001:db8:1111:2222:3333:4444:5555:6666, fd00:1111:2222:3333:4444:5555:6666:7777, 10.0.0.7'
    const long = `${'x'.repeat(4_000)}, ${list}`
    assert.equal(resolver.reported(list), resolver.reported(list))
    assert.notEqual(resolver.reported(long), resolver.reported(long))
    assert.deepEqual(resolver.reported(long), resolver.reported(list))
  })

  it('counts as far as proxies that are trusted wrote it: Forwarded', () => {
    fc.assert(
      fc.property(said, ({ before, elements: [elements, text] }) => {
        const first: Element = { node: CLIENT, proto: 'https', host: 'first.test' }
        const { address, forwarding } = seen(
          `Forwarded: ${before}, for=${CLIENT.text};proto=https;host=first.test, ${text}\r\n`,
          { header: 'forwarded' },
        )
        const all = [first, ...elements]
        const chain = believed(all.map(({ node }) => node?.address))
        const own = all.at(-Math.max(chain.length, 1))!
        assert.deepEqual(forwarding.for, [...chain, PROXY])
        assert.equal(address, chain[0] ?? PROXY)
        assert.equal(forwarding.origin.scheme, reportedScheme(own.proto ?? '') ?? 'http')
        assert.equal(forwarding.origin.authority, reportedHost(own.host ?? '')?.text ?? 'shop.test')
      }),
      { numRuns: 2_000 },
    )
  })

  it('is forwarded as one consistent chain, which begins with the client', () => {
    fc.assert(
      fc.property(said, fc.boolean(), ({ before, list: [, list], protos, hosts, elements: [, text] }, standard) => {
        const client = seen(
          `X-Forwarded-For: ${before}, ${list}\r\nX-Forwarded-Proto: ${protos.join(', ')}\r\n` +
            `X-Forwarded-Host: ${hosts.join(', ')}\r\nForwarded: ${before}, ${text}\r\nX-Forwarded-Port: 8443\r\n`,
          { header: standard ? 'forwarded' : 'x-forwarded-for' },
        )
        const [addresses, scheme, authority, port, again] = told(client)
        assert.equal(addresses!.split(', ')[0], client.address)
        const { port: named } = normalizeHost(authority!)!
        assert.ok(named === 0 || String(named) === port)
        assert.equal(client.left, '')
        assert.equal(again !== undefined, standard)
        if (again === undefined) return
        const elements = forwardedFromRight(again).reverse()
        assert.equal(elements.map((own) => own.address).join(', '), addresses)
        assert.deepEqual([elements[0]!.proto, elements[0]!.host!.text], [scheme, authority])
        assert.ok(elements.slice(1).every((own) => own.proto === undefined && own.host === undefined))
      }),
      { numRuns: 2_000 },
    )
  })
})
