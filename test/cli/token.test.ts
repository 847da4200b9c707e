import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { parseApiKeys } from '../../src/auth/api-keys.ts'
import { fitsClientSecret } from '../../src/auth/client-secret.ts'
import { OAuthClients, parseOAuthClients, writeOAuthClients } from '../../src/auth/oauth-clients.ts'
import { parseSigningKeys } from '../../src/auth/signing-keys.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { makeTokenSecrets } from '../../src/cli/token.ts'
import type { TokenCommand } from '../../src/cli/token-flags.ts'

const NOW = Date.parse('2026-11-29T12:00:00.500Z')

function token(args: readonly string[], input = '') {
  const command = parseCommand(['token', ...args])
  assert.equal(command.name, 'token', JSON.stringify(command))
  let out = ''
  let err = ''
  const io = {
    ...{ out: (text: string) => void (out += text), err: (text: string) => void (err += text) },
    in: () => input,
  }
  return { code: makeTokenSecrets(command as TokenCommand, io, NOW), out, err }
}

const usage = (...args: string[]): string => {
  const command = parseCommand(['token', ...args])
  assert.equal(command.name, 'usage', args.join(' '))
  return (command as { message: string }).message
}

suite('headgate token', () => {
  test('makes a key of each kind, whose name says when it begins to sign', () => {
    for (const algorithm of ['ES256', 'EdDSA', 'RS256']) {
      const { code, out, err } = token(['key', '--algorithm', algorithm, '--namespace', 'shop'])
      assert.equal(code, 0)
      const { type, metadata, stringData } = parse(out) as Record<string, Record<string, string>>
      assert.deepEqual([type, metadata], ['headgate.dev/signing-keys', { name: 'issuer-keys', namespace: 'shop' }])
      const keys = parseSigningKeys(Object.entries(stringData!))
      assert.ok(!('fault' in keys))
      assert.deepEqual([keys[0]!.algorithm, keys[0]!.from], [algorithm, Date.parse('2026-11-29T12:15:01Z')])
      assert.ok(err.includes(keys[0]!.id) && !err.includes('PRIVATE'))
    }
    const { out } = token(['key', '--starts-in', '0', '-o', 'entry'])
    assert.match(out, /^ {2}"20261129T120001Z\.pem": \|\n {4}-----BEGIN PRIVATE KEY-----\n/)
    assert.deepEqual(Object.keys(parse(`stringData:\n${out}`).stringData), ['20261129T120001Z.pem'])
  })

  test('makes a client whose secret is shown once, and is not in its Secret', () => {
    const args = ['--audience', 'orders,billing', '--scope', 'a b', '--refresh', '--introspect']
    const { code, out, err } = token(['client', 'billing', ...args, '--secret', 'mine'])
    assert.equal(code, 0)
    const { type, metadata, stringData } = parse(out) as Record<string, Record<string, string>>
    assert.deepEqual([type, metadata], ['headgate.dev/oauth-clients', { name: 'mine' }])
    const read = parseOAuthClients(Object.entries(stringData!))
    assert.ok(!('fault' in read))
    const client = new OAuthClients(writeOAuthClients(read)).get('billing')!
    assert.deepEqual(
      [client.audiences, client.scopes, client.grantTypes, client.introspects],
      [['orders', 'billing'], ['a', 'b'], ['client_credentials', 'refresh_token'], true],
    )
    const [, secret] = /once: (\S{43})\n$/.exec(err)!
    assert.ok(fitsClientSecret(secret!, client.secrets, NOW))
    assert.ok(!out.includes(secret!))
    assert.notEqual(token(['client', 'billing', '--audience', 'a']).err, err)
    assert.equal(token(['client', 'x', '--audience', 'a', '--scope', 'a"b']).code, 1)
  })

  test('hashes a secret from standard input, for API keys too, and none that can be guessed', () => {
    const { code, out, err } = token(['hash'], 'a secret of mine,without:spaces\n'.replaceAll(' ', '_'))
    assert.deepEqual([code, err], [0, ''])
    assert.match(out, /^sha256:[0-9a-f]{64}\n$/)
    assert.ok(!('fault' in parseApiKeys([['billing', out]])))
    for (const weak of ['', 'changeme\n', 'hunter2', 'correct horse battery staple']) {
      const refused = token(['hash'], weak)
      assert.deepEqual([refused.code, refused.out], [1, ''])
      assert.ok(weak === '' || !refused.err.includes(weak.trim()))
    }
    const made = token(['hash', '--random'])
    const [, secret] = /once: (\S{43})\n$/.exec(made.err)!
    assert.equal(token(['hash'], secret).out, made.out)
  })

  test('refuses what it does not know, with what to write instead', () => {
    assert.match(usage(), /headgate token key/)
    assert.match(usage('keys'), /headgate token key/)
    assert.match(usage('client'), /Name the client/)
    assert.match(usage('client', 'a/b', '--audience', 'x'), /Name the client/)
    assert.match(usage('client', 'a'), /--audience/)
    assert.match(usage('key', 'a'), /takes no "a"/)
    assert.match(usage('client', 'a', 'b', '--audience', 'x'), /takes no "b"/)
    assert.match(usage('key', '--audience', 'x'), /has no flag --audience/)
    assert.match(usage('hash', '-o', 'entry'), /has no flag --output/)
    assert.match(usage('key', '--algorithm', 'HS256'), /one of ES256, EdDSA, RS256/)
    assert.match(usage('key', '--starts-in', 'soon'), /a duration/)
  })
})
