import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  elementsFromRight,
  forwardedFromRight,
  nodeAddress,
  reportedHost,
  reportedPort,
  reportedScheme,
  writeForwarded,
} from '../../src/exchange/forwarding-lists.ts'
import { normalizeHost } from '../../src/pattern/host.ts'
import { addressList, type Element, forwarded, garbage } from './forwarding-oracle.ts'

const SCHEMES: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }

/** What is to be read out of elements as they were meant, the last one first. */
function meant(elements: readonly Element[]) {
  return [...elements].reverse().map(({ node, proto, host }) => {
    const authority = host === undefined ? undefined : normalizeHost(host)
    return {
      address: node?.address,
      proto: proto === undefined ? undefined : SCHEMES[proto.toLowerCase()],
      host: authority === undefined ? undefined : { text: host, ...authority },
    }
  })
}

describe('a list of addresses', () => {
  it('is what the proxies wrote, however blanks and empty elements stand in it', () => {
    fc.assert(
      fc.property(addressList, ([nodes, text]) => {
        const expected = nodes.map(({ address }) => address).reverse()
        assert.deepEqual(elementsFromRight(text).map(nodeAddress), expected)
      }),
      { numRuns: 1_000 },
    )
  })

  it('is read the same behind whatever a client wrote before', () => {
    fc.assert(
      fc.property(garbage, addressList, (before, [nodes, text]) => {
        const read = elementsFromRight(`${before}, ${text}`).map(nodeAddress)
        assert.deepEqual(read.slice(0, nodes.length), nodes.map(({ address }) => address).reverse())
      }),
      { numRuns: 1_000 },
    )
  })

  it('is not read without end, and empty elements take no place', () => {
    assert.equal(elementsFromRight('10.0.0.1,'.repeat(1_000)).length, 64)
    assert.deepEqual(elementsFromRight(`a${','.repeat(60_000)}`), ['a'])
    assert.deepEqual(elementsFromRight(''), [])
    assert.deepEqual(elementsFromRight(',,'), [])
    // Only blanks of the field grammar are cut, so that nothing else is part of an address in one place and not in
    // another.
    assert.deepEqual(elementsFromRight('\xa01.2.3.4'), ['\xa01.2.3.4'])
  })
})

describe('a node', () => {
  for (const [text, address] of [
    ['203.0.113.9', '203.0.113.9'],
    ['203.0.113.9:80', '203.0.113.9'],
    ['203.0.113.9:_port', '203.0.113.9'],
    ['203.0.113.9:x', undefined],
    ['203.0.113.9:', undefined],
    ['203.0.113.9:123456', undefined],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['[::ffff:203.0.113.9]:443', '203.0.113.9'],
    ['[2001:db8::1]443', undefined],
    ['[203.0.113.9]', undefined],
    ['[fe80::1%eth0]', undefined],
    ['0x7f.1', undefined],
    ['unknown', undefined],
    ['_hidden', undefined],
    ['', undefined],
  ] as const)
    it(`${JSON.stringify(text)} is ${address ?? 'no address'}`, () => assert.equal(nodeAddress(text), address))
})

describe('Forwarded', () => {
  it('is parsed in every notation that the grammar allows', () => {
    fc.assert(
      fc.property(forwarded, ([elements, text]) => assert.deepEqual(forwardedFromRight(text), meant(elements))),
      { numRuns: 2_000 },
    )
  })

  it('is read the same behind whatever a client wrote before', () => {
    fc.assert(
      fc.property(garbage, forwarded, (before, [elements, text]) => {
        const read = forwardedFromRight(`${before}, ${text}`)
        assert.deepEqual(read.slice(0, elements.length), meant(elements))
      }),
      { numRuns: 2_000 },
    )
  })

  const nothing = { address: undefined, proto: undefined, host: undefined }
  for (const [what, text] of [
    ['a quote that is never closed', 'for="203.0.113.9'],
    ['one that is never opened', 'for=203.0.113.9"'],
    ['text behind a quoted value', 'for="203.0.113.9"x'],
    ['a parameter that stands twice', 'for=203.0.113.9;for=203.0.113.9'],
    ['a parameter without a value', 'for'],
    ['an empty value', 'for=;proto=https'],
    ['blanks around an equals sign', 'for = 203.0.113.9'],
    ['a byte beyond ASCII outside of quotes', 'for=203.0.113.9;x=\xe9'],
    ['another parameter that is broken', 'for=203.0.113.9;proto=https;x="'],
  ] as const)
    it(`yields nothing for an element with ${what}`, () => assert.deepEqual(forwardedFromRight(text), [nothing]))

  it('may stand without quotes where the grammar wants them and there is one meaning', () => {
    const [element] = forwardedFromRight('for=[2001:db8::1]:80;host=shop.test:8443')
    assert.equal(element!.address, '2001:db8::1')
    assert.deepEqual(element!.host, { text: 'shop.test:8443', host: 'shop.test', port: 8443 })
  })

  it('is read in time that grows with its length alone', () => {
    for (const text of [
      '"\\'.repeat(30_000),
      '\\'.repeat(60_000),
      `for="${'\\"'.repeat(30_000)}`,
      ';'.repeat(60_000),
    ]) {
      const start = process.cpuUsage().user
      forwardedFromRight(`${text}, for=203.0.113.9`)
      assert.ok(process.cpuUsage().user - start < 500_000, JSON.stringify(text.slice(0, 8)))
    }
  })

  it('is written in a way that is read again', () => {
    for (const [address, proto, host] of [
      ['203.0.113.9', 'https', 'shop.test'],
      ['2001:db8::1', 'http', '[2001:db8::2]:8080'],
      ['203.0.113.9', null, ''],
    ] as const) {
      const [element] = forwardedFromRight(writeForwarded(address, proto, host))
      assert.deepEqual(
        [element!.address, element!.proto, element!.host?.text],
        [address, proto ?? undefined, host || undefined],
      )
    }
    assert.equal(writeForwarded('2001:db8::1', 'https', 'a.test:1'), 'for="[2001:db8::1]";proto=https;host="a.test:1"')
  })
})

describe('what proxies report', () => {
  it('is a scheme in any case, of a tunnel too', () => {
    const read = ['http', 'HTTPS', 'ws', 'Wss', 'h2', '', 'https ', 'http,https'].map(reportedScheme)
    assert.deepEqual(read, ['http', 'https', 'http', 'https', undefined, undefined, undefined, undefined])
  })

  it('is a host where it could be a Host', () => {
    assert.deepEqual(reportedHost('A_b.test.:8443'), { text: 'A_b.test.:8443', host: 'a_b.test', port: 8443 })
    for (const text of ['', 'a b', 'a,b', 'a@b', 'a/b', 'a:0', 'a:x', '::1', `${'a'.repeat(64)}.test`])
      assert.equal(reportedHost(text), undefined, text)
  })

  it('is a port between 1 and 65535 without leading zeros', () => {
    const read = ['443', '65535', '65536', '080', '0', '', '+1', '1e3', ' 1'].map(reportedPort)
    assert.deepEqual(read, [443, 65_535, 0, 0, 0, 0, 0, 0, 0])
  })
})
