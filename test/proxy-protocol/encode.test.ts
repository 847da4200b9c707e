import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeProxyHeader } from '../../src/proxy-protocol/encode.ts'
import { readProxyHeader } from './oracle.ts'

const ends = (sourceAddress: string, destinationAddress: string, sourcePort = 51234, destinationPort = 443) => ({
  sourceAddress,
  sourcePort,
  destinationAddress,
  destinationPort,
})

describe('a PROXY header that is written', () => {
  it('is a line in version 1', () => {
    assert.equal(
      encodeProxyHeader(1, ends('203.0.113.7', '192.0.2.1')).toString('latin1'),
      'PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n',
    )
    assert.equal(
      encodeProxyHeader(1, ends('2001:db8::1', '::1')).toString('latin1'),
      'PROXY TCP6 2001:db8::1 ::1 51234 443\r\n',
    )
  })

  it('has one family for both ends', () => {
    assert.equal(
      encodeProxyHeader(1, ends('203.0.113.7', '2001:db8::2')).toString('latin1'),
      'PROXY TCP6 ::ffff:cb00:7107 2001:db8::2 51234 443\r\n',
    )
    const header = encodeProxyHeader(2, ends('203.0.113.7', '2001:db8::2'))
    assert.equal(header[13], 0x21)
    assert.deepEqual(readProxyHeader(header), {
      length: header.length,
      connection: ['203.0.113.7', 51234, '2001:db8::2', 443],
    })
  })

  it('names nobody where there is no client, or none with an address', () => {
    for (const connection of [null, ends('unknown', '192.0.2.1'), ends('203.0.113.7', '')]) {
      assert.equal(encodeProxyHeader(1, connection).toString('latin1'), 'PROXY UNKNOWN\r\n')
      assert.deepEqual(readProxyHeader(encodeProxyHeader(2, connection)), { length: 16, connection: null })
    }
  })

  it('is read as what it was, in both versions', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6())
    const port = fc.nat({ max: 65_535 })
    fc.assert(
      fc.property(address, address, port, port, fc.constantFrom(1 as const, 2 as const), (from, to, a, b, version) => {
        const read = readProxyHeader(encodeProxyHeader(version, ends(from, to, a, b)))
        assert.ok(typeof read === 'object' && read.connection !== null)
        const expected = readProxyHeader(Buffer.from(`PROXY TCP6 ${v6(from)} ${v6(to)} ${a} ${b}\r\n`))
        assert.ok(typeof expected === 'object')
        assert.deepEqual(read.connection, expected.connection)
      }),
      { numRuns: 500 },
    )
  })
})

function v6(address: string): string {
  return address.includes(':') ? address : `::ffff:${address}`
}
