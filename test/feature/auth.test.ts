/** `auth` from manifests to traffic: Secrets that rotate, are missing, of another type or broken. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { digestOf } from '../../src/auth/api-keys.ts'
import { EC, ED, ISSUER, pemOf, RSA, tokenOf } from '../auth/tokens.ts'
import { type EchoBackend, echoBackend, type Received } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const HOST = 'shop.example'

function keys(stringData: object, type = 'headgate.dev/jwt-key', name = 'keys'): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default' },
    type,
    stringData,
  })
}

const auth = {
  jwt: {
    issuer: ISSUER,
    audiences: ['shop'],
    keys: { publicKeySecretName: 'keys' },
    claimsToHeaders: [{ claim: 'sub', header: 'x-user' }],
  },
}

describe('auth by tokens', () => {
  const scope = suiteScope()
  let echo: EchoBackend
  let gateway: Gateway

  before(async () => {
    echo = await echoBackend(scope)
    const rules = [
      {
        name: 'open',
        matches: [{ path: { value: '/open' } }],
        policies: { auth: { anonymous: {} } },
        backendRefs: [{ name: 'echo' }],
      },
      {
        name: 'keys',
        matches: [{ path: { value: '/keys' } }],
        policies: {
          auth: { apiKey: { secretName: 'clients', from: [{ header: 'x-api-key' }] } },
          authorization: [{ name: 'tier', claim: 'tier', in: ['gold'] }],
          requestHeaders: { set: [{ name: 'x-consumer', value: '%{consumer}' }] },
        },
        backendRefs: [{ name: 'echo' }],
      },
      {
        name: 'basic',
        matches: [{ path: { value: '/basic' } }],
        policies: { auth: { basic: { secretName: 'users' } } },
        backendRefs: [{ name: 'echo' }],
      },
      { name: 'all', backendRefs: [{ name: 'echo' }] },
    ]
    gateway = await startGateway(scope, {
      'routes.yaml': backend('echo', [echo.port]) + route('shop', [HOST], rules, { policies: { auth } }),
      'keys.yaml': keys({ 'public.pem': pemOf(RSA.publicKey) }),
    })
  })

  const ask = (token?: string, path = '/', headers: Readonly<Record<string, string>> = {}) =>
    request(gateway.port, {
      host: HOST,
      path,
      headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    })

  const condition = async (): Promise<string> => {
    const { text } = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    const { items } = JSON.parse(text) as {
      items: { key: string; conditions: { type: string; reason: string; message: string }[] }[]
    }
    const found = items
      .find(({ key }) => key.endsWith('default/shop'))
      ?.conditions.find(({ type }) => type === 'ResolvedRefs')
    return `${found?.reason}: ${found?.message}`
  }

  it('reach the backend with what they say, and nothing else does, however the path is spelt', async () => {
    const good = await ask(await tokenOf(), '/a?b', { 'x-user': 'root', x_user: 'root' })
    assert.equal(good.status, 200)
    const { headers } = good.json<Received>()
    assert.equal(headers['x-user'], 'alice')
    assert.equal(headers.x_user, undefined)
    assert.equal(headers.authorization, undefined)
    // The open rule leads to the same Backend, which cannot tell who has stated a header.
    const spoofed = await ask(undefined, '/open', {
      'x-user': 'root',
      x_user: 'root',
      'x-consumer': 'root',
      'x-own': 'a',
    })
    assert.equal(spoofed.status, 200)
    const open = spoofed.json<Received>().headers
    assert.deepEqual(
      [open['x-user'], open.x_user, open['x-consumer'], open['x-own']],
      [undefined, undefined, undefined, 'a'],
    )
    const before = echo.received.length
    for (const path of [
      '/',
      '//',
      '/open/..',
      '/open/../',
      '/OPEN',
      '/openx',
      '/./',
      '/%6Fpen/../x',
      '/?access_token=x',
      '/open%2f..%2f',
    ])
      assert.ok([400, 401].includes((await ask(undefined, path)).status), path)
    for (const method of ['HEAD', 'OPTIONS', 'POST', 'QUERY'])
      assert.equal((await request(gateway.port, { host: HOST, method })).status, 401, method)
    for (const host of [`${HOST}:80`, HOST.toUpperCase(), `${HOST}.`])
      assert.equal((await request(gateway.port, { host })).status, 401, host)
    assert.equal(echo.received.length, before)
    const refused = await gateway.logged((line) => line.reason === 'CredentialMissing')
    assert.equal(refused.status, 401)
  })

  it('are not joined by what a client says about itself in trailers', async () => {
    const client = await gateway.connect()
    const head = `POST / HTTP/1.1\r\nhost: ${HOST}\r\nauthorization: Bearer ${await tokenOf()}\r\ntransfer-encoding: chunked\r\n\r\n`
    client.send(`${head}1\r\na\r\n0\r\nx-sum: 1\r\nX-User: root\r\nx_user: root\r\n\r\n`)
    const { headers, trailers } = (await client.response()).json<Received>()
    assert.deepEqual([headers['x-user'], trailers], ['alice', { 'x-sum': '1' }])
  })

  it('never show in a log', async () => {
    const token = await tokenOf()
    await ask(token, `/x?access_token=${token}`)
    await ask(`${token}x`)
    const refused = await gateway.logged((line) => line.reason === 'CredentialInvalid')
    assert.match(String(refused.detail), /of the token$/)
    const all = JSON.stringify(gateway.accessLog) + gateway.processLog.join('\n')
    assert.ok(!all.includes(token.split('.')[2]!.slice(0, 40)))
  })

  it('show in no log, metric, answer of the admin API, or page of an error, whatever their kind', async () => {
    const token = await tokenOf()
    const secrets = ['a-key-that-nobody-may-see', 'a-password-that-nobody-may-see', token.split('.')[2]!.slice(0, 40)]
    const [key, password] = secrets as [string, string]
    const basic = Buffer.from(`alice:${password}`).toString('base64')
    const pages: string[] = []
    for (const headers of [
      { 'x-api-key': key },
      { 'x-api-key': key, 'X-Api-Key': `${key}2` },
      { authorization: `Basic ${basic}` },
      { authorization: `Bearer ${key}` },
      { authorization: `Bearer ${token}`, cookie: `session=${token}` },
      { authorization: `Bearer ${token}x` },
    ])
      for (const path of [`/keys?key=${key}`, `/basic?password=${password}`, `/?access_token=${token}`]) {
        const { status, text } = await request(gateway.port, { host: HOST, path, headers })
        if (status >= 400) pages.push(text)
      }
    assert.ok(pages.length > 10)
    for (const path of ['routes', 'backends', 'statuses', 'problems', 'config'])
      pages.push((await request(gateway.adminPort, { path: `/api/v1/${path}`, host: 'localhost' })).text)
    pages.push((await request(gateway.adminPort, { path: '/metrics', host: 'localhost' })).text)
    await gateway.logged((line) => line.path === '/' && line.query === true)
    const all = `${pages.join('\n')}${JSON.stringify(gateway.accessLog)}${gateway.processLog.join('\n')}`
    assert.match(all, /headgate_requests_total/)
    for (const secret of [...secrets, basic, digestOf(key), pemOf(RSA.publicKey).split('\n')[1]!])
      assert.ok(!all.includes(secret), `${secret} shows`)
  })

  it('are good as long as their key is: keys rotate without a request that fails', async () => {
    const [old, fresh] = [await tokenOf(), await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' } })]
    const state = async () => [(await ask(old)).status, (await ask(fresh)).status]
    assert.deepEqual(await state(), [200, 401])
    await gateway.write('keys.yaml', keys({ 'public.pem': pemOf(RSA.publicKey) + pemOf(EC.publicKey) }))
    await eventually(async () => assert.deepEqual(await state(), [200, 200]))
    await gateway.write('keys.yaml', keys({ 'public.pem': pemOf(EC.publicKey) }))
    await eventually(async () => assert.deepEqual(await state(), [401, 200]))
  })

  it('are refused with 503 while their keys are missing, of another type, weak or private, and the Route says why', async () => {
    const token = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' } })
    const known = 'a-string-secret-at-least-256-bits-long'
    const secret = ED.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    for (const [text, why] of [
      ['', /^SecretNotFound: .*no Secret default\/keys/],
      [
        keys({ 'public.pem': pemOf(EC.publicKey) }, 'Opaque'),
        /^SecretTypeNotAllowed: .*only one of type headgate.dev\/jwt-key/,
      ],
      [keys({ secret: 'x'.repeat(31) }), /^KeyInvalid: .*secret cannot be used: a shared key has 32/],
      [keys({ secret: known }), /^KeyInvalid: .*published/],
      [keys({ 'public.pem': secret }), /^KeyInvalid: .*private key, which must stay with the issuer/],
      [keys({ other: 'a' }), /^KeyInvalid: .*neither a key public.pem nor/],
    ] as const) {
      await (text === '' ? gateway.remove('keys.yaml') : gateway.write('keys.yaml', text))
      await eventually(async () => assert.match(await condition(), why))
      await eventually(async () => assert.equal((await ask(token)).status, 503))
      assert.equal((await ask(undefined, '/open')).status, 200)
      assert.equal((await ask()).status, 401)
      await gateway.write('keys.yaml', keys({ 'public.pem': pemOf(EC.publicKey) }))
      await eventually(async () => assert.equal((await ask(token)).status, 200))
    }
  })

  it('goes beside API keys, whose Secret has digests alone', async () => {
    const line = (key: string, more = '') => `sha256:${digestOf(key)} ${more}`
    const list = (data: object) => gateway.write('clients.yaml', keys(data, 'headgate.dev/api-keys', 'clients'))
    const ask = (key: string) =>
      request(gateway.port, { host: HOST, path: '/keys', headers: { 'x-api-key': key, 'x-consumer': 'root' } })
    assert.equal((await ask('one')).status, 503)
    await list({ billing: line('one', 'tier=gold'), shop: line('two') })
    await eventually(async () => assert.equal((await ask('one')).status, 200))
    const { headers } = (await ask('one')).json<Received>()
    assert.deepEqual([headers['x-consumer'], headers['x-api-key']], ['billing', undefined])
    const client = await gateway.connect()
    client.send(
      `POST /keys HTTP/1.1\r\nhost: ${HOST}\r\nx-api-key: one\r\ntransfer-encoding: chunked\r\n\r\n0\r\nX_Consumer: root\r\nx-api-key: two\r\n\r\n`,
    )
    assert.deepEqual((await client.response()).json<Received>().trailers, {})
    assert.equal((await ask('two')).status, 403)
    assert.equal((await ask('three')).status, 401)
    await list({ billing: 'one' })
    await eventually(async () => assert.equal((await ask('one')).status, 503))
    await eventually(async () => assert.match(await condition(), /^KeyInvalid: .*line 1 of billing does not begin/))
    assert.ok(!gateway.processLog.join().includes('sha256:one'))
  })

  it('goes beside passwords, whose hashes are computed elsewhere, and which act in the moment they are changed', async () => {
    const ask = (credentials: string) =>
      request(gateway.port, {
        host: HOST,
        path: '/basic',
        headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
      })
    const users = (htpasswd: string) =>
      gateway.write('users.yaml', keys({ htpasswd }, 'headgate.dev/htpasswd', 'users'))
    assert.equal((await ask('alice:secret')).status, 503)
    await users('alice:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/')
    await eventually(async () => assert.equal((await ask('alice:secret')).status, 200))
    assert.equal((await ask('alice:secret')).json<Received>().headers.authorization, undefined)
    const statuses = new Set<number>()
    for (let i = 0; !statuses.has(429); i++) {
      assert.ok(i < 100, 'guessing is not held off')
      statuses.add((await ask(`alice:guess ${i}`)).status)
    }
    assert.deepEqual([...statuses], [401, 429])
    // Who is known already is not held up by who guesses at the same address, and nobody else is let in.
    assert.equal((await ask('alice:secret')).status, 200)
    await users('alice:secret')
    await eventually(async () => assert.equal((await ask('alice:secret')).status, 503))
    await eventually(async () => assert.match(await condition(), /^KeyInvalid: .*line 1 has no hash of a known form/))
    const all = JSON.stringify(gateway.accessLog) + gateway.processLog.join('\n')
    assert.ok(!all.includes('alice:secret'))
    assert.ok(!all.includes('abcdefgh'))
    assert.ok(!all.includes(Buffer.from('alice:secret').toString('base64')))
  })
})
