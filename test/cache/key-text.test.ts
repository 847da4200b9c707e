import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { KeyPart, KeyWriter, keyPrefix, writeIdentity, writeSelector, writeTarget } from '../../src/cache/key.ts'
import { describeKey } from '../../src/cache/key-text.ts'
import { writeVariant } from '../../src/cache/vary.ts'
import { Fields } from '../../src/message/fields.ts'

const TARGET = {
  method: 'GET',
  origin: { scheme: 'https', host: 'shop.example', port: 443 },
  originalPath: '/a',
  path: '/a',
  query: 'q=1',
  upstreamHost: undefined,
} as const

suite('keys in words', () => {
  const describe = (selectors: Readonly<Record<string, string>>, varied: Readonly<Record<string, string>> = {}) => {
    const writer = new KeyWriter()
    writeTarget(
      writer,
      keyPrefix({ namespace: 'shop', route: 'shop/r', rule: 'all', policy: 'p', version: '', backend: 'shop/up' }),
      TARGET,
    )
    for (const [name, value] of Object.entries(selectors)) writeSelector(writer, name, [value])
    writeIdentity(writer, [undefined, 'SECRET'])
    const request = new Fields()
    for (const [name, value] of Object.entries(varied)) request.add(name, value)
    writeVariant(writer, Object.keys(varied), request)
    return describeKey(writer.copy())
  }

  test('say what is no secret', () => {
    const text = describe({ 'header:x-lang': 'de', 'client.ip': '192.0.2.1' }, { 'x-theme': 'dark' })
    for (const word of [
      'GET https://shop.example/a?q=1',
      'header:x-lang="de"',
      'client.ip="192.0.2.1"',
      'x-theme="dark"',
    ])
      assert.ok(text.includes(word), text)
  })

  test('say how a proxy names port and host, where that is another way than in the URL', () => {
    const writer = new KeyWriter()
    const target = { ...TARGET, origin: { ...TARGET.origin, connectedPort: 8443 } }
    const scope = { namespace: 'shop', route: 'shop/r', rule: 'all', policy: 'p', version: '', backend: 'shop/up' }
    writeTarget(writer, keyPrefix(scope), target)
    writer.text(KeyPart.ReportedAuthority, 'shop.example.')
    const text = describeKey(writer.copy())
    assert.match(text, /; connected port 8443; reported host shop\.example\.$/)
  })

  test("say nobody's name, cookie or credential", () => {
    for (const name of [
      ...['consumer', 'claim:sub', 'cookie:side', 'header:authorization', 'header:x-api-key', 'header:x_api_key'],
      ...['header:x-user', 'header:x-user-id', 'query:token', 'header:apikey', 'header:x-jwt', 'header:x-password'],
    ])
      assert.ok(!describe({ [name]: 'SECRET' }).includes('SECRET'), name)
    for (const name of ['cookie', 'authorization', 'x-session-id', 'x-auth-user'])
      assert.ok(!describe({}, { [name]: 'SECRET' }).includes('SECRET'), name)
  })
})
