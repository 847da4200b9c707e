import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DialGuard, ownPorts } from '../../src/control/dial-guard.ts'
import { NEVER_DIALLED } from '../../src/link/worker-settings.ts'
import { CidrSet } from '../../src/pattern/cidr.ts'

const guard = new DialGuard({ denyCIDRs: ['10.9.0.0/16'], loopback: true, ownPorts: new Set([8080, 9901]) }, [
  '192.0.2.7',
  'fe80::1%eth0',
])

describe('the dial guard', () => {
  for (const [address, why] of [
    ['169.254.169.254', /link-local/],
    ['::ffff:169.254.169.254', /link-local/],
    ['64:ff9b::a9fe:a9fe', /link-local/],
    ['fe80::1', /link-local/],
    ['0.0.0.0', /unspecified/],
    ['::', /unspecified/],
    ['224.0.0.1', /multicast/],
    ['255.255.255.255', /multicast/],
    ['10.9.1.1', /denyCIDRs/],
    ['::ffff:10.9.1.1', /denyCIDRs/],
    ['64:ff9b::a09:101', /denyCIDRs/],
    ['2002:a09:101::1', /denyCIDRs/],
    ['::10.9.1.1', /denyCIDRs/],
    ['not.an.address', /not an address/],
  ] as const)
    it(`refuses ${address}, and says why`, () => assert.match(guard.refuses(address, 80) ?? '', why))

  it('refuses our own ports at our own addresses, in every form that leads there', () => {
    for (const address of [
      '127.0.0.1',
      '127.8.8.8',
      '::1',
      '192.0.2.7',
      '::ffff:192.0.2.7',
      '64:ff9b::c000:207',
      '2002:c000:207::1',
    ]) {
      assert.match(guard.refuses(address, 9901) ?? '', /port of this gateway/, address)
      assert.equal(guard.refuses(address, 9903), undefined, address)
    }
  })

  it('lets a backend on this machine through without a cluster, and not in one', () => {
    assert.equal(guard.refuses('127.0.0.1', 3000), undefined)
    const inCluster = new DialGuard({ denyCIDRs: [], loopback: false, ownPorts: new Set() }, [])
    for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1'])
      assert.match(inCluster.refuses(address, 3000) ?? '', /loopback/)
  })

  it('refuses our own ports by every address of this machine, and elsewhere only there', () => {
    for (const address of ['127.0.0.1', '127.0.0.2', '::1', '192.0.2.7', '::ffff:192.0.2.7'])
      assert.match(guard.refuses(address, 9901) ?? '', /gateway itself/)
    assert.equal(guard.refuses('192.0.2.8', 9901), undefined)
    assert.equal(guard.refuses('192.0.2.7', 9999), undefined)
  })

  it('knows the ports of the settings as its own', () => {
    const settings = {
      listeners: [{ name: 'http', port: 8080 }],
      admin: { address: '127.0.0.1:9901' },
      signals: { address: ':9902' },
    }
    assert.deepEqual([...ownPorts(settings as never)].sort(), [8080, 9901, 9902])
  })

  it('and the list for workers refuse the same places', () => {
    const set = new CidrSet(NEVER_DIALLED)
    for (const address of ['169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'fe80::1', 'ff02::1'])
      assert.ok(set.has(address), address)
    for (const address of ['127.0.0.1', '::1', '10.0.0.1', '2001:db8::1']) assert.ok(!set.has(address), address)
  })
})
