import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { DialGuard, type DialRules } from '../../src/transport/dial-guard.ts'

const RULES: DialRules = {
  denyCIDRs: ['10.9.0.0/16'],
  loopback: true,
  ownPorts: [8080, 9901],
  ownAddresses: ['192.0.2.7', 'fe80::1%eth0', '2001:db8::7'],
  places: [{ address: '10.96.0.1', port: 443, what: 'the API server of the cluster' }],
  closedPorts: [],
}
const guard = new DialGuard(RULES)
const inCluster = new DialGuard({
  ...RULES,
  loopback: false,
  closedPorts: [10_250, 10_255].map((port) => ({ port, what: "a port of nodes' kubelets" })),
})

/** Every form in which a translator or a dual-stack socket takes an IPv4 address for itself. */
function forms(address: string): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  const hex = (...bytes: number[]) => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const [high, low] = [hex(a, b), hex(c, d)]
  return [
    address,
    `::ffff:${address}`,
    `::FFFF:${high}:${low}`,
    `0:0:0:0:0:ffff:${high}:${low}`,
    `::ffff:0:${address}`,
    `64:ff9b::${address}`,
    `64:ff9b::${high}:${low}`,
    `64:ff9b:1::${high}:${low}`,
    // RFC 6052 §2.2 below 64:ff9b:1::/48, in prefixes of 48, 56 and 64 bits.
    `64:ff9b:1:${high}:${hex(0, c)}:${hex(d, 0)}::`,
    `64:ff9b:1:${hex(0, a)}:${hex(0, b)}:${low}::`,
    `64:ff9b:1:0:${hex(0, a)}:${hex(b, c)}:${hex(d, 0)}:0`,
    `2002:${high}:${low}::1`,
    // ISATAP (RFC 5214), below any prefix.
    `2001:db8:1:2:0:5efe:${high}:${low}`,
    `2001:db8:1:2:200:5efe:${high}:${low}`,
  ]
}

describe('the dial guard', () => {
  for (const [address, why] of [
    ['169.254.169.254', /link-local/],
    ['169.254.170.2', /link-local/],
    ['100.100.100.200', /cloud keeps credentials/],
    ['192.0.0.192', /cloud keeps credentials/],
    ['168.63.129.16', /cloud keeps credentials/],
    ['224.0.0.1', /multicast/],
    ['255.255.255.255', /multicast/],
    ['10.9.1.1', /denyCIDRs/],
  ] as const)
    it(`refuses ${address} in every notation, with a reason`, () => {
      for (const form of forms(address)) assert.match(guard.refuses(form, 80) ?? '', why, form)
    })

  for (const [address, why] of [
    ['fe80::1', /link-local/],
    ['FE80::1', /link-local/],
    ['febf:ffff::1', /link-local/],
    ['fec0::1', /link-local/],
    ['fd00:ec2::254', /cloud keeps credentials/],
    ['fd20:ce::254', /cloud keeps credentials/],
    ['0.0.0.0', /unspecified/],
    ['0.1.2.3', /unspecified/],
    ['::', /unspecified/],
    ['::ffff:0.0.0.0', /unspecified/],
    ['64:ff9b::', /unspecified/],
    ['2002::', /unspecified/],
    ['::10.9.1.1', /denyCIDRs/],
    ['fe80::5efe:10.0.0.1', /link-local/],
    ['ff02::5efe:10.0.0.1', /multicast/],
    ['::169.254.169.254', /link-local/],
    ['ff02::1', /multicast/],
    ['not.an.address', /not an address/],
    ['2852039166', /not an address/],
    ['0xa9fea9fe', /not an address/],
    ['0251.0376.0251.0376', /not an address/],
    ['169.254.43518', /not an address/],
    ['169.254.169.254.', /not an address/],
    ['127.1', /not an address/],
    ['[::1]', /not an address/],
    ['fe80::1%eth0', /not an address/],
    ['', /not an address/],
  ] as const)
    it(`refuses ${address === '' ? 'nothing at all' : address}, and says why`, () =>
      assert.match(guard.refuses(address, 80) ?? '', why))

  it("refuses the gateway's ports at its own addresses, in every notation", () => {
    for (const address of [...forms('127.0.0.1'), '127.8.8.8', '::1', ...forms('192.0.2.7'), '2001:DB8:0:0::7']) {
      assert.match(guard.refuses(address, 9901) ?? '', /port of this gateway/, address)
      assert.equal(guard.refuses(address, 9903), undefined, address)
    }
    assert.equal(guard.refuses('192.0.2.8', 9901), undefined)
  })

  it('lets a backend on this machine through without a cluster, and not in one', () => {
    assert.equal(guard.refuses('127.0.0.1', 3000), undefined)
    for (const address of [...forms('127.0.0.1'), '127.8.8.8', '::1'])
      assert.match(inCluster.refuses(address, 3000) ?? '', /loopback/, address)
  })

  it('refuses the API server at its port, in every notation', () => {
    for (const form of forms('10.96.0.1')) assert.match(inCluster.refuses(form, 443) ?? '', /is the API server/, form)
    assert.equal(inCluster.refuses('10.96.0.1', 80), undefined)
    assert.equal(inCluster.refuses('10.96.0.2', 443), undefined)
  })

  it('closes the ports of kubelets at every address in a cluster', () => {
    for (const address of ['10.0.0.5', '2001:db8::5', '203.0.113.1'])
      for (const port of [10_250, 10_255]) {
        assert.match(inCluster.refuses(address, port) ?? '', /kubelets/)
        assert.equal(guard.refuses(address, port), undefined)
      }
    for (const form of forms('172.18.0.2')) assert.match(inCluster.refuses(form, 10_250) ?? '', /closed at every/, form)
  })

  it('permits other addresses of similar notation', () => {
    for (const address of ['10.0.0.1', '192.168.1.1', '2001:db8::1', 'fd00::1', '64:ff9b::10.0.0.1', '2002:a00:1::1'])
      assert.equal(inCluster.refuses(address, 80), undefined, address)
  })

  it('decides by the canonical address', () => {
    const octet = fc.nat(255)
    fc.assert(
      // 0.0.0.0/8 looks like an unused place in a local NAT64 prefix.
      fc.property(fc.tuple(fc.integer({ min: 1, max: 255 }), octet, octet, octet), (octets) => {
        const plain = octets.join('.')
        if (guard.refuses(plain, 80) !== undefined)
          for (const form of forms(plain)) assert.notEqual(guard.refuses(form, 80), undefined, form)
      }),
    )
  })
})
