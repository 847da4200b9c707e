import assert from 'node:assert/strict'
import { BlockList, isIPv6 } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  addressClass,
  CidrSet,
  canonicalAddress,
  classOf,
  isReserved,
  parseAddress,
  parseCIDR,
} from '../../src/pattern/cidr.ts'

describe('an address', () => {
  it('has one canonical form, IPv4 also for mapped addresses of dual-stack sockets', () => {
    assert.equal(canonicalAddress('192.0.2.1'), '192.0.2.1')
    assert.equal(canonicalAddress('::ffff:192.0.2.1'), '192.0.2.1')
    assert.equal(canonicalAddress('::FFFF:c000:201'), '192.0.2.1')
    assert.equal(canonicalAddress('2001:DB8:0:0:1:0:0:1'), '2001:db8::1:0:0:1')
    assert.equal(canonicalAddress('2001:db8:0:1:1:1:1:1'), '2001:db8:0:1:1:1:1:1')
    assert.equal(canonicalAddress('::'), '::')
    assert.equal(canonicalAddress('1::'), '1::')
  })
  it('is rejected in every ambiguous notation', () => {
    for (const text of [
      '',
      '1',
      '127.1',
      '010.1.1.1',
      '0x7f.0.0.1',
      '2130706433',
      '1.2.3.4.',
      '1.2.3.256',
      'fe80::1%eth0',
      '[::1]',
      '::g',
      '1:2',
      ':::',
      'localhost',
      ' 1.2.3.4',
    ])
      assert.equal(parseAddress(text), undefined, text)
  })
  it('has the form of WHATWG URL', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        fc.pre(isIPv6(text) && !/^(?:::|(?:0+:){5})ffff:/i.test(text))
        const canonical = canonicalAddress(text)!
        if (canonical.includes(':')) assert.equal(`[${canonical}]`, new URL(`http://[${text}]/`).hostname)
      }),
      { numRuns: 5000 },
    )
  })
})

describe('a set of prefixes', () => {
  it('contains the addresses that its prefixes cover', () => {
    const set = new CidrSet(['10.0.0.0/8', '192.0.2.7', '2001:db8::/33', '::1/128'])
    for (const text of ['10.255.0.1', '192.0.2.7', '::ffff:10.1.1.1', '2001:db8:7fff::1', '::1'])
      assert.ok(set.has(text), text)
    for (const text of ['11.0.0.1', '192.0.2.8', '2001:db8:8000::1', '::2', 'name', '']) assert.ok(!set.has(text), text)
  })
  it('keeps the families apart: ::/0 contains no IPv4 address', () => {
    assert.ok(!new CidrSet(['::/0']).has('1.2.3.4'))
    assert.ok(!new CidrSet(['0.0.0.0/0']).has('2001:db8::1'))
    assert.ok(new CidrSet(['0.0.0.0/0']).has('1.2.3.4'))
    assert.ok(new CidrSet(['::/0']).has('2001:db8::1'))
  })
  it('rejects other texts', () => {
    for (const text of [
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/08',
      '10.0.0.0/-1',
      '10.0.0.0/',
      '/8',
      'a/8',
      '10.0.0/8',
      '10.0.0.0/8/8',
    ])
      assert.equal(parseCIDR(text), undefined, text)
    assert.throws(() => new CidrSet(['x']), TypeError)
  })
  it('agrees with the BlockList of Node', () => {
    // Mapped addresses are IPv4 here, and both families at once there.
    const four = fc.ipV4()
    const six = fc.ipV6().filter((text) => canonicalAddress(text)!.includes(':'))
    const lists = fc.record({
      v4: fc.array(fc.tuple(four, fc.integer({ min: 0, max: 32 })), { maxLength: 8 }),
      v6: fc.array(fc.tuple(six, fc.integer({ min: 0, max: 128 })), { maxLength: 8 }),
      probes4: fc.array(four),
      probes6: fc.array(six),
    })
    fc.assert(
      fc.property(lists, ({ v4, v6, probes4, probes6 }) => {
        const list4 = new BlockList()
        const list6 = new BlockList()
        for (const [address, bits] of v4) list4.addSubnet(address, bits, 'ipv4')
        for (const [address, bits] of v6) list6.addSubnet(address, bits, 'ipv6')
        const set = new CidrSet([...v4, ...v6].map(([address, bits]) => `${address}/${bits}`))
        for (const probe of [...probes4, ...v4.map(([address]) => address)])
          assert.equal(set.has(probe), list4.check(probe, 'ipv4'), probe)
        for (const probe of [...probes6, ...v6.map(([address]) => address)])
          assert.equal(set.has(probe), list6.check(probe, 'ipv6'), probe)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the class of an address', () => {
  it('finds reserved addresses in every form that reaches them', () => {
    const places: Record<string, readonly string[]> = {
      loopback: [
        '127.0.0.1',
        '127.255.0.1',
        '::1',
        '::ffff:127.0.0.1',
        '::127.0.0.1',
        '64:ff9b::127.0.0.1',
        '64:ff9b:1::7f00:1',
        '2002:7f00:1::',
        '::ffff:0:127.0.0.1',
      ],
      linkLocal: [
        '169.254.169.254',
        'fe80::1',
        'febf::1',
        '::ffff:169.254.169.254',
        '64:ff9b::a9fe:a9fe',
        '2002:a9fe:a9fe::1',
      ],
      unspecified: ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0', '64:ff9b::'],
      multicast: ['224.0.0.1', '239.1.1.1', '255.255.255.255', 'ff02::1', '::ffff:224.0.0.1'],
      other: [
        '10.0.0.1',
        '8.8.8.8',
        '2001:db8::1',
        'fd00::1',
        '64:ff9b::808:808',
        '2002:808:808::1',
        '64:ff9b:1::808:808',
        '128.0.0.1',
        '169.253.0.1',
      ],
    }
    for (const [kind, addresses] of Object.entries(places))
      for (const address of addresses) assert.equal(classOf(address), kind, address)
    assert.equal(classOf('name'), undefined)
  })
  it('finds an embedded address at each position of RFC 6052', () => {
    // 127.0.0.1 behind prefixes of 48, 56 and 64 bits, with the reserved byte in between.
    for (const address of ['64:ff9b:1:7f00:0:100::', '64:ff9b:1:7f:0:1::', '64:ff9b:1:0:7f:0:100::'])
      assert.equal(classOf(address), 'loopback', address)
  })
  it('reserves all but other', () => {
    assert.ok(isReserved(parseAddress('127.0.0.1')!))
    assert.ok(!isReserved(parseAddress('10.0.0.1')!))
    assert.equal(addressClass(parseAddress('10.0.0.1')!), 'other')
  })
})
