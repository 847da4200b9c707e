/**
 * No request without a valid credential ever reaches a protected Backend, however its path, method, host, fields and
 * credential are spelt, over HTTP/1.1 and HTTP/2. Beside the protected rules are an open one and one that responds, to
 * which a request may be led instead.
 */
import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import type { Policies } from '../../src/api/policies.ts'
import { digestOf, parseApiKeys, writeApiKeys } from '../../src/auth/api-keys.ts'
import { checkPassword } from '../../src/auth/check-password.ts'
import { parseUsers, type Users, writeUsers } from '../../src/auth/htpasswd.ts'
import { AUDIENCE, ED, ISSUER, now, pemOf, RSA, rawToken, tokenOf } from '../auth/tokens.ts'
import { prefix, type route } from '../compile/world.ts'
import { type EchoBackend, echoBackend, httpBackend } from '../feature/backends.ts'
import type { Scope } from '../feature/harness.ts'
import { headers } from '../http/raw-frames.ts'
import { RawH2 } from '../lib/raw-h2.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'

const HOST = 'shop.example.com'
const KEYS = 'Secret default/keys public.pem headgate.dev/jwt-key'
const CLIENTS = 'Secret default/clients * headgate.dev/api-keys'
const USERS = 'Secret default/users htpasswd headgate.dev/htpasswd'
/** Of `alice:secret`. */
const GOOD_WORDS = 'YWxpY2U6c2VjcmV0'
const HTPASSWD = 'alice:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/'
const GOOD_KEY = 'a-good-key-of-somebody'

/** No methods that anybody has registered, and none of HTTP/1.1 in the case of the others. */
const OTHER_METHODS = ['get', 'Post', 'PRI', 'TRACK', 'DEBUG', 'X', "!#$%&'*+-.^_`|~"]

const RUNS = 350
const SEED = 12

const jwt = {
  issuer: ISSUER,
  audiences: [AUDIENCE],
  keys: { publicKeySecretName: 'keys' },
  from: [
    { header: 'authorization', scheme: 'Bearer' },
    { header: 'x-token' },
    { cookie: 'session' },
    { query: 'access_token' },
  ],
  claimsToHeaders: [{ claim: 'sub', header: 'x-user' }],
}
const apiKey = { secretName: 'clients', from: [{ header: 'x-api-key' }, { query: 'key' }] }
const to = (name: string) => [{ name, weight: 1, priority: 0 }]

const policies = (auth: object): Policies => ({ auth }) as Policies

const SHOP: Parameters<typeof route>[1] = {
  hostnames: [HOST],
  policies: policies({ jwt }),
  rules: {
    open: { matches: [prefix('/open')], policies: policies({ anonymous: {} }), backendRefs: to('open') },
    answer: {
      matches: [prefix('/answer')],
      policies: policies({ anonymous: {} }),
      respond: { statusCode: 200, body: 'answer' },
    },
    keys: { matches: [prefix('/keys')], policies: policies({ apiKey }), backendRefs: to('up') },
    either: {
      matches: [prefix('/either')],
      policies: policies({ anyOf: [{ jwt }, { apiKey: { ...apiKey, from: [{ header: 'x-api-key' }] } }] }),
      backendRefs: to('up'),
    },
    words: {
      matches: [prefix('/words')],
      policies: policies({ basic: { secretName: 'users' } }),
      backendRefs: to('up'),
    },
    asked: {
      matches: [prefix('/asked')],
      policies: policies({ external: { backendRef: { name: 'authz' }, requestHeaders: ['x-ticket'] } }),
      backendRefs: to('up'),
    },
    certified: {
      matches: [prefix('/certified')],
      policies: policies({ clientCertificate: {} }),
      backendRefs: to('up'),
    },
    all: { backendRefs: to('up') },
  },
}

/** What looks like a credential and is none; of the good one, spellings that make it another text. */
async function forgeries(): Promise<readonly string[]> {
  const good = await tokenOf()
  const [head = '', claims = '', signature = ''] = good.split('.')
  const stated = JSON.stringify({ iss: ISSUER, aud: AUDIENCE, sub: 'root', exp: now() + 300 })
  return [
    '',
    'x',
    'undefined',
    rawToken('{"alg":"none"}', stated, ''),
    rawToken('{"alg":"None"}', stated),
    rawToken('{"alg":"HS256"}', stated),
    `${head}.${Buffer.from(stated).toString('base64url')}.${signature}`,
    `${head}.${claims}.`,
    `${head}.${claims}`,
    `${head}.${claims}.${signature}.${signature}`,
    `${head}.${claims}.${signature}=`,
    `"${good}"`,
    `${good},${good}`,
    `${good}%00`,
    `Bearer ${good}`,
    await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA' } }),
    await tokenOf({ claims: { exp: now() - 60 } }),
    await tokenOf({ claims: { aud: 'else' } }),
    await tokenOf({ claims: { iss: 'https://else.example/' } }),
    await tokenOf({ claims: { nbf: now() + 600 } }),
    rawToken('{"alg":"RS256","crit":["exp"]}', stated),
    GOOD_KEY.toUpperCase(),
    Buffer.from('alice:Secret').toString('base64'),
    Buffer.from('secret:alice').toString('base64'),
    Buffer.from('alice:').toString('base64'),
    `${GOOD_WORDS}=`,
    HTPASSWD,
    digestOf(GOOD_KEY),
    `sha256:${digestOf(GOOD_KEY)}`,
  ]
}

/** A service that lets pass whoever has the ticket. */
async function authorization(scope: Scope): Promise<number> {
  const { port } = await httpBackend(scope, ({ headers: { 'x-ticket': ticket } }, response) => {
    response.writeHead(ticket === GOOD_KEY ? 200 : 401).end()
  })
  return port
}

interface Spelling {
  readonly method: string
  readonly target: string
  readonly host: string
  readonly fields: readonly (readonly [string, string])[]
}

function spellings(forged: readonly string[]): fc.Arbitrary<Spelling> {
  const segment = fc.constantFrom(
    ...[
      '',
      '.',
      '..',
      'open',
      'OPEN',
      'openx',
      'answer',
      'keys',
      'either',
      'words',
      'asked',
      'certified',
      'a',
      '%6fpen',
      '%6Fpen',
      'ope%6e',
      '%2e%2e',
    ],
    ...[
      '%2E',
      '..;',
      '..;x=1',
      ';',
      'open;x',
      '%2f',
      '%5c',
      '\\',
      '%00',
      '%252e%252e',
      '%252f',
      'open%20',
      'open.',
      '*',
    ],
  )
  const credential = fc.constantFrom(...forged)
  const name = fc.constantFrom(
    ...['access_token', 'access%5ftoken', 'access%5Ftoken', 'ACCESS_TOKEN', 'access_token[]', 'key', '%6bey', 'q'],
  )
  const pair = fc.tuple(name, credential).map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
  const query = fc.array(pair, { maxLength: 3 }).map((pairs) => (pairs.length === 0 ? '' : `?${pairs.join('&')}`))
  const path = fc.array(segment, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`)
  const form = fc.constantFrom('', '', '', `http://${HOST}`, `HTTP://${HOST.toUpperCase()}`, `http://u:p@${HOST}`)
  const fieldName = fc.constantFrom(
    ...['authorization', 'Authorization', 'proxy-authorization', 'x-token', 'X_Token', 'x_api_key', 'X-API-Key'],
    ...[
      'cookie',
      'x-user',
      'X_User',
      'x_ticket',
      'client-cert',
      'x-client-cert-subject',
      'x-original-url',
      'x-rewrite-url',
      'x-http-method-override',
      'connection',
    ],
    ...['x-forwarded-host', 'x-forwarded-prefix', 'x-forwarded-user', 'x-consumer', 'upgrade', 'expect'],
  )
  const value = fc.oneof(
    credential.map((one) => `Bearer ${one}`),
    credential.map((one) => `bearer  ${one}`),
    credential.map((one) => `Basic ${one}`),
    credential.map((one) => `session=${one}`),
    credential.map((one) => `a=b; session=${one}; session=`),
    // A good token with its scheme in front is no token, and a good value of the field.
    credential.filter((one) => !one.startsWith('Bearer ')),
    fc.constantFrom(
      '/open',
      'authorization, x-token, cookie',
      'x-user',
      'root',
      'websocket',
      'upgrade',
      '100-continue',
    ),
  )
  return fc.record({
    method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS'), fc.constantFrom(...METHODS, ...OTHER_METHODS)),
    target: fc.oneof(
      { weight: 12, arbitrary: fc.tuple(form, path, query).map((parts) => parts.join('')) },
      { weight: 1, arbitrary: fc.constantFrom('*', HOST, `${HOST}:443`, `//${HOST}/keys`, '?', '#', '/keys#/open') },
    ),
    host: fc.constantFrom(
      HOST,
      HOST,
      HOST,
      `${HOST}:80`,
      `${HOST}:8443`,
      `${HOST}.`,
      HOST.toUpperCase(),
      'else.example',
    ),
    fields: fc.array(fc.tuple(fieldName, value), { maxLength: 4 }),
  })
}

describe('a protected Backend', () => {
  const ends: (() => void | Promise<void>)[] = []
  const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) }
  let gateway: InProcess
  let secret: EchoBackend
  let open: EchoBackend
  let forged: readonly string[]

  before(async () => {
    secret = await echoBackend(scope, 'secret')
    open = await echoBackend(scope, 'open')
    gateway = await inProcess(scope, {
      upstreams: [secret.port],
      backends: {
        'default/open': { upstreams: [open.port] },
        'default/authz': { upstreams: [await authorization(scope)] },
      },
      rules: { none: { respond: { statusCode: 404 } } },
      routes: { 'default/shop': SHOP },
    })
    const clients = parseApiKeys([['somebody', `sha256:${digestOf(GOOD_KEY)}`]])
    assert.ok(clients instanceof Map)
    gateway.plane.contents.apply([
      { id: KEYS, bytes: Buffer.from(pemOf(RSA.publicKey)) },
      { id: USERS, bytes: Buffer.from(writeUsers(parseUsers(HTPASSWD) as Users)) },
      { id: CLIENTS, bytes: Buffer.from(writeApiKeys(clients)) },
    ])
    gateway.asked = (message) => {
      if (message.type !== 'check-password') return
      const { hash, password, decoy } = message.question
      const result = checkPassword(hash, password) && !decoy ? 'right' : 'wrong'
      gateway.plane.messages.accept({ type: 'password-checked', id: message.id, answer: { result } })
    }
    forged = await forgeries()
  })

  after(async () => {
    for (const end of ends.reverse()) await end()
  })

  async function ask({ method, target, host, fields }: Spelling): Promise<number> {
    using client = await gateway.connect()
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    client.send(`${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${lines}\r\n`)
    for (;;) {
      const { status } = await client.response(method)
      if (status >= 200) return status
    }
  }

  /** On a connection of its own, since what is malformed may end it. */
  async function askH2({ method, target, host, fields }: Spelling): Promise<number> {
    const closers: (() => void)[] = []
    const client = await RawH2.connect({ after: (end) => void closers.push(end) }, gateway.port)
    client.send(
      headers(1, [
        [':method', method],
        [':scheme', 'http'],
        [':authority', host],
        [':path', target],
        ...fields.map(([name, value]) => [name.toLowerCase(), value] as const),
      ]),
    )
    const end = () => client.lines.find((line) => /^(head|reset) 1 |^goaway /.test(line))
    await until(() => end() !== undefined || client.closed, 'a response')
    for (const close of closers) close()
    return Number(/^head 1 (\d+)/.exec(end() ?? '')?.[1] ?? 0)
  }

  it('is reached with a valid credential, from each place of each rule', async () => {
    const token = await tokenOf()
    const plain = { method: 'GET', target: '/', host: HOST, fields: [] }
    const good: readonly Partial<Spelling>[] = [
      { fields: [['authorization', `bearer ${token}`]] },
      { fields: [['x-token', token]] },
      { fields: [['cookie', `a=b; session=${token}`]] },
      { target: `/?access%5ftoken=${token}` },
      { target: '/keys', fields: [['x-api-key', GOOD_KEY]] },
      { target: `/keys?key=${GOOD_KEY}` },
      { target: '/either', fields: [['x-api-key', GOOD_KEY]] },
      { target: '/either', fields: [['x-token', token]] },
      { target: '/words', fields: [['authorization', `Basic ${GOOD_WORDS}`]] },
      { target: '/asked', fields: [['x-ticket', GOOD_KEY]] },
    ]
    for (const spelling of good)
      for (const status of [await ask({ ...plain, ...spelling }), await askH2({ ...plain, ...spelling })])
        assert.equal(status, 200, JSON.stringify(spelling))
    assert.equal(secret.received.length, 2 * good.length)
    assert.ok(!JSON.stringify(secret.received).includes(token))
    // The ticket is the service's, and goes on.
    const seen = JSON.stringify(secret.received.filter(({ url }) => url !== '/asked'))
    assert.ok(!seen.includes(GOOD_KEY))
    assert.ok(!seen.includes(GOOD_WORDS))
  })

  it('hears from no client who it is, on a rule that does not say so itself', async () => {
    const names = ['x-user', 'X-User', 'x_user', 'X_USER']
    const key = ['x-api-key', GOOD_KEY] as const
    const before = secret.received.length
    for (const name of names) {
      const spelling = { method: 'GET', target: '/keys', host: HOST, fields: [key, [name, 'root'] as const] }
      assert.equal(await ask(spelling), 200, name)
      assert.equal(await askH2(spelling), 200, name)
    }
    const seen = secret.received.slice(before)
    assert.equal(seen.length, 2 * names.length)
    assert.ok(!JSON.stringify(seen).includes('root'))
  })

  it('wants one for every method there is', async () => {
    const token = await tokenOf()
    const passed: string[] = []
    for (const method of [...METHODS, ...OTHER_METHODS]) {
      const plain: Spelling = { method, target: '/', host: HOST, fields: [] }
      const preflight: readonly (readonly [string, string])[] = [
        ['origin', 'https://evil.example'],
        ['access-control-request-method', 'DELETE'],
        ['access-control-request-headers', 'authorization'],
      ]
      const before = secret.received.length
      for (const fields of [[], preflight, [['authorization', `Bearer ${forged[7]}`]] as const])
        for (const status of [await ask({ ...plain, fields }), await askH2({ ...plain, fields })])
          assert.ok(status >= 400 || status === 0, `${method}: ${status}`)
      assert.equal(secret.received.length, before, method)
      const good = { ...plain, fields: [['authorization', `Bearer ${token}`]] as const }
      if ((await ask(good)) === 200 && (await askH2(good)) === 200) passed.push(method)
    }
    assert.deepEqual(
      METHODS.filter((method) => !passed.includes(method)),
      ['CONNECT'],
    )
  })

  it('is not reached without one, whatever the spelling of path, method, host or field', async () => {
    const before = secret.received.length
    const statuses = new Map<number, number>()
    await fc.assert(
      fc.asyncProperty(spellings(forged), fc.boolean(), async (spelling, h2) => {
        const status = await (h2 ? askH2(spelling) : ask(spelling))
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        assert.equal(secret.received.length, before, JSON.stringify(spelling))
      }),
      { numRuns: RUNS, seed: SEED },
    )
    assert.ok((statuses.get(401) ?? 0) > RUNS / 8, JSON.stringify([...statuses]))
    assert.ok((statuses.get(200) ?? 0) > 0, 'some come to the rules that are open')
    for (const { url } of open.received) assert.match(url, /^\/open(\/|\?|$)/)
    assert.deepEqual(gateway.errors, [])
  })
})
