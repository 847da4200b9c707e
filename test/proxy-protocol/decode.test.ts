import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32c } from '../../src/proxy-protocol/crc32c.ts'
import { decodeProxyHeader } from '../../src/proxy-protocol/decode.ts'
import type { ProxyHeader } from '../../src/proxy-protocol/header.ts'
import { binary, ip6, port, SIGNATURE, tcp4, tlv, withChecksum } from './headers.ts'

const decode = (text: string | Buffer) => decodeProxyHeader(Buffer.from(text as string, 'latin1'))

/** @returns what is decoded of it, after it was refused or found incomplete for every shorter piece */
function accepted(header: string | Buffer): ProxyHeader {
  const bytes = Buffer.isBuffer(header) ? header : Buffer.from(header, 'latin1')
  for (let end = 0; end < bytes.length; end++)
    assert.equal(decodeProxyHeader(bytes.subarray(0, end)), null, `${end} of ${bytes.length} bytes are enough`)
  const alone = decodeProxyHeader(bytes)
  const followed = decodeProxyHeader(Buffer.concat([bytes, Buffer.from('GET / HTTP/1.1\r\n')]))
  assert.deepEqual(alone, followed)
  assert.ok(typeof alone === 'object' && alone !== null, String(alone))
  assert.equal(alone.length, bytes.length)
  return alone
}

const ends = (sourceAddress: string, sourcePort: number, destinationAddress: string, destinationPort: number) => ({
  sourceAddress,
  sourcePort,
  destinationAddress,
  destinationPort,
})

describe('a header of version 1', () => {
  it('names both ends of the connection', () => {
    assert.deepEqual(
      accepted('PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n').connection,
      ends('203.0.113.7', 51234, '192.0.2.1', 443),
    )
    assert.deepEqual(
      accepted('PROXY TCP6 2001:DB8::0:1 2001:db8:0:0::2 1 65535\r\n').connection,
      ends('2001:db8::1', 1, '2001:db8::2', 65535),
    )
  })

  it('may have its longest form', () => {
    const longest = `PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}fffe 65535 65534\r\n`
    assert.equal(longest.length, 104)
    accepted(longest)
    accepted(`PROXY UNKNOWN${' x'.repeat(46)}\r\n`)
  })

  it('names IPv4-mapped addresses as IPv4, as everything else does', () => {
    assert.deepEqual(
      accepted('PROXY TCP6 ::ffff:203.0.113.7 ::ffff:c000:201 1 2\r\n').connection,
      ends('203.0.113.7', 1, '192.0.2.1', 2),
    )
  })

  it('says nothing of the client with UNKNOWN, whatever follows', () => {
    for (const rest of ['', ' ffff::1 ffff::2 1 2', ' TCP4 1.2.3.4 1.2.3.4 1 1', ' \0\xff', ' a\rb'])
      assert.equal(accepted(`PROXY UNKNOWN${rest}\r\n`).connection, null)
  })

  for (const line of [
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234',
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234 443 ',
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234 443 1',
    'PROXY TCP4  203.0.113.7 192.0.2.1 51234 443',
    'PROXY TCP4 203.0.113.7\t192.0.2.1 51234 443',
    'PROXY TCP4 203.0.113.007 192.0.2.1 51234 443',
    'PROXY TCP4 203.0.113 192.0.2.1 51234 443',
    'PROXY TCP4 203.0.113.256 192.0.2.1 51234 443',
    'PROXY TCP4 2001:db8::1 192.0.2.1 51234 443',
    'PROXY TCP6 203.0.113.7 192.0.2.1 51234 443',
    'PROXY TCP6 fe80::1%eth0 2001:db8::2 51234 443',
    'PROXY TCP6 [2001:db8::1] 2001:db8::2 51234 443',
    'PROXY TCP4 203.0.113.7 192.0.2.1 65536 443',
    'PROXY TCP4 203.0.113.7 192.0.2.1 051234 443',
    'PROXY TCP4 203.0.113.7 192.0.2.1 -1 443',
    'PROXY TCP4 203.0.113.7 192.0.2.1 1e3 443',
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\n',
    'PROXY TCP5 203.0.113.7 192.0.2.1 51234 443',
    'PROXY tcp4 203.0.113.7 192.0.2.1 51234 443',
    'PROXY UNKNOWNS',
    'PROXY ',
    'PROXY UDP4 203.0.113.7 192.0.2.1 51234 443',
  ])
    it(`is refused as ${JSON.stringify(line)}`, () => assert.equal(decode(`${line}\r\n`), 'malformed'))

  it('is refused when its end does not come within the longest line', () => {
    const line = (length: number): string => `${'PROXY UNKNOWN '.padEnd(length - 2, 'x')}\r\n`
    assert.equal(accepted(line(107)).length, 107)
    assert.equal(decode(line(107).slice(0, 106)), null)
    assert.equal(decode(line(108).slice(0, 107)), 'oversized')
    assert.equal(decode(line(108)), 'oversized')
    assert.equal(decode('PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n'.padEnd(107, 'x')), 'oversized')
  })

  it('is missed with the first byte that is another one', () => {
    for (const bytes of ['G', 'p', '\x16\x03\x01', 'PR0', 'PRI * HTTP/2.0', 'PROXY\t', 'PROXYTCP', '\0', ' PROXY '])
      assert.equal(decode(bytes), 'missing')
  })
})

describe('a header of version 2', () => {
  it('names both ends of the connection', () => {
    assert.deepEqual(accepted(tcp4('203.0.113.7', 51234, '192.0.2.1', 443)), {
      version: 2,
      length: 28,
      connection: ends('203.0.113.7', 51234, '192.0.2.1', 443),
    })
    const [from, to] = [ip6('2001:db8:0:0:0:0:0:1'), ip6('0:0:0:0:0:ffff:c000:201')]
    assert.deepEqual(
      accepted(binary(0x21, 0x21, Buffer.concat([from, to, port(1), port(2)]))).connection,
      ends('2001:db8::1', 1, '192.0.2.1', 2),
    )
  })

  it('is skipped whole where the proxy speaks for itself, whatever is in it', () => {
    for (const [family, rest] of [
      [0x00, ''],
      [0x11, 'twelve bytes'],
      [0xff, 'xx'],
    ] as const)
      assert.equal(accepted(binary(0x20, family, Buffer.from(rest))).connection, null)
  })

  it('says nothing of the client where it has no IP address', () => {
    assert.equal(accepted(binary(0x21, 0x00)).connection, null)
    assert.equal(accepted(binary(0x21, 0x31, Buffer.alloc(216, '/run/x\0'))).connection, null)
  })

  it('may name a client that came by datagrams', () => {
    const header = tcp4('203.0.113.7', 51234, '192.0.2.1', 443)
    header[13] = 0x12
    assert.equal(accepted(header).connection?.sourceAddress, '203.0.113.7')
  })

  it('may have TLVs, of any type, as long as they fill it exactly', () => {
    const tlvs = [tlv(0x02, 'shop.example'), tlv(0x04, ''), tlv(0xea, Buffer.alloc(9_000)), tlv(0x20, '\x01\0\0\0\0')]
    assert.equal(accepted(tcp4('203.0.113.7', 1, '192.0.2.1', 443, ...tlvs)).connection?.sourcePort, 1)
    for (const cut of [1, 2, 3, 10]) {
      const header = tcp4('203.0.113.7', 1, '192.0.2.1', 443, tlv(0x02, 'shop.example').subarray(0, cut))
      assert.equal(decode(header), 'malformed', `${cut}`)
    }
  })

  it('is compared with its checksum where it has one', () => {
    const plain = tcp4('203.0.113.7', 51234, '192.0.2.1', 443, tlv(0x01, 'h2'))
    accepted(withChecksum(plain))
    assert.equal(decode(withChecksum(plain, 1)), 'checksum')
    const forged = withChecksum(plain)
    forged[16]! ^= 1
    assert.equal(decode(forged), 'checksum')
    assert.equal(decode(tcp4('1.2.3.4', 1, '1.2.3.4', 1, tlv(3, 'abc'))), 'malformed')
    assert.equal(decode(withChecksum(withChecksum(plain))), 'malformed')
    // Check value of the polynomial's definition.
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  })

  it('is refused with another version, command, family or protocol', () => {
    for (const command of [0x00, 0x10, 0x11, 0x22, 0x2f, 0x31, 0xff])
      assert.equal(decode(binary(command, 0x11)), 'malformed')
    for (const family of [0x13, 0x1f, 0x41, 0xf1, 0x03])
      assert.equal(decode(binary(0x21, family, Buffer.alloc(300))), 'malformed')
  })

  it('is refused when it is too short for its addresses, before the rest has come', () => {
    for (const [family, size] of [
      [0x11, 11],
      [0x21, 35],
      [0x31, 215],
    ] as const)
      assert.equal(decode(binary(0x21, family, Buffer.alloc(size)).subarray(0, 16)), 'malformed')
  })

  it('is refused when it says that it is too long, before the rest has come', () => {
    const header = binary(0x21, 0x11)
    header.writeUInt16BE(16 * 1024 - 15, 14)
    assert.equal(decode(header), 'oversized')
    header.writeUInt16BE(16 * 1024 - 16, 14)
    assert.equal(decode(header), null)
    const local = binary(0x20, 0x00)
    local.writeUInt16BE(65_535, 14)
    assert.equal(decode(local), 'oversized')
  })

  it('is missed with the first byte that is another one', () => {
    for (let at = 0; at < SIGNATURE.length; at++)
      assert.equal(decode(`${SIGNATURE.slice(0, at)}${at === 0 ? 'x' : '\xff'}`), 'missing', `${at}`)
  })
})
