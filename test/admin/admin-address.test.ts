import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { adminAddress, isLoopback, isOwnAuthority } from '../../src/admin/admin-address.ts'

suite('admin address', () => {
  test('loopback addresses of both families are accepted', () => {
    assert.deepEqual(adminAddress('127.0.0.1:9901'), { host: '127.0.0.1', port: 9901 })
    assert.deepEqual(adminAddress('127.9.9.9:0'), { host: '127.9.9.9', port: 0 })
    assert.deepEqual(adminAddress('[::1]:9901'), { host: '::1', port: 9901 })
  })

  test('a reachable address is rejected with the remedy', () => {
    for (const address of ['0.0.0.0:9901', '10.0.0.1:9901', '[::]:9901', '[fe80::1]:9901'])
      assert.throws(() => adminAddress(address), {
        name: 'TypeError',
        message: /not implemented yet.*127\.0\.0\.1/,
      })
  })

  test('other texts are rejected', () => {
    for (const address of [
      '',
      ':9901',
      'localhost:9901',
      '127.0.0.1',
      '127.0.0.1:99999',
      '::1:9901',
      '127.1:80',
      '127.0.0.01:80',
    ])
      assert.throws(
        () => adminAddress(address),
        { name: 'TypeError', message: /is not an IP address and port/ },
        address,
      )
  })

  test('only names of this machine are accepted as Host', () => {
    for (const host of ['localhost', 'LocalHost:9901', '127.0.0.1:9901', '127.8.8.8', '[::1]:9901', '[::1]'])
      assert.equal(isOwnAuthority(host), true, host)
    for (const host of [
      ...[undefined, '', 'evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', '[::2]'],
      ...[
        'localhost:9901:1',
        '::1',
        '[::1',
        'localhost:',
        '0.0.0.0',
        'user@localhost',
        '127.1',
        '2130706433',
        '[::ffff:10.0.0.1]',
      ],
    ])
      assert.equal(isOwnAuthority(host), false, String(host))
  })

  test('loopback addresses are distinguished from similar texts', () => {
    assert.equal(isLoopback('127.255.255.255'), true)
    for (const host of ['128.0.0.1', '0127.0.0.1', 'localhost', '::', '::2'])
      assert.equal(isLoopback(host), false, host)
  })
})
