/**
 * Cache poisoning and deception: an attacker makes the store keep what others then get, or what others got. The origin
 * puts all that it could go by into its body, as careless origins do, and lets everything be stored for an hour. Each
 * trick is sent, and what a victim gets then is compared with what the victim gets from a rule without a cache.
 */
import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect } from 'node:http2'
import { before, describe, it } from 'node:test'
import { type Answer, type Asked, cacheOrigin, type Origin } from '../feature/cache/origin.ts'
import { type Gateway, manifest, startGateway, suiteScope } from '../feature/harness.ts'
import { RawClient, type RawResponse } from '../feature/raw-client.ts'

const FRESH = 'cache-control: max-age=3600'

/** Fields by which frameworks choose what they send, or build links; nobody says `Vary` for them. */
const REFLECTED = [
  ...['host', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-scheme', 'x-forwarded-port', 'x-forwarded-prefix'],
  ...['x-forwarded-server', 'x-forwarded-ssl', 'x-forwarded-path', 'x-host', 'x-original-host', 'x-original-url'],
  ...['x-rewrite-url', 'x-http-method-override', 'x-http-method', 'x-method-override', 'forwarded', 'front-end-https'],
]

/** The parameters as a careless framework reads them: `;` separates too, names are decoded, the last one counts. */
function carelessParameters(query: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const part of query.replaceAll('&amp;', '&').split(/[&;]/)) {
    const [name = '', value = ''] = part.split('=', 2)
    found[careless(name)] = careless(value)
  }
  return found
}

function careless(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' ')).trim()
  } catch {
    return text
  }
}

function reflect(asked: Asked): Answer {
  const { method, target, fields, body } = asked
  const [path = '', query = ''] = target.split('?', 2)
  const { q, page } = carelessParameters(query)
  const told: Record<string, unknown> = { method, path, body, q, page }
  // Of several cookies of one name the last one counts.
  const side = /.*\bside=([^;,]*)/.exec(fields.get('cookie') ?? '')?.[1]
  if (path.startsWith('/by/')) Object.assign(told, { side, tenant: fields.get('x-tenant') })
  if (!path.startsWith('/by-query')) told.query = query
  for (const name of REFLECTED) {
    const value = fields.get(name)
    // A host is the same in capitals (RFC 9110 §4.2.3).
    if (value !== undefined) told[name] = name.endsWith('host') ? value.toLowerCase() : value
  }
  return { fields: [FRESH, 'content-type: application/json'], body: JSON.stringify(told) }
}

/** A request as an attacker writes it: everything but the name of the rule. */
interface Trick {
  readonly method?: string
  /** Below the page. */
  readonly target?: string
  readonly host?: string
  /** Lines. */
  readonly fields?: readonly string[]
  readonly body?: string
}

const HOST = 'shop.test'

function bytes({ method = 'GET', host = HOST, fields = [], body }: Trick, target: string, plain: boolean): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`, `host: ${host}`, ...fields]
  if (plain) lines.push('x-plain: 1')
  if (body !== undefined) lines.push(`content-length: ${body.length}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`, 'latin1')
}

const HEADERS: readonly Trick[] = [
  ...REFLECTED.filter((name) => name !== 'host').map((name) => ({ fields: [`${name}: evil.example`] })),
  { fields: ['x-original-url: /admin'] },
  { fields: ['x-rewrite-url: /admin'] },
  { fields: ['X_Forwarded_Host: evil.example'] },
  { fields: ['x-forwarded-host: evil.example', 'x-forwarded-host: shop.test'] },
  { fields: ['x-forwarded-proto: https', 'x-forwarded-port: 443'] },
  { fields: ['forwarded: for=1.2.3.4;host=evil.example;proto=https'] },
  { fields: ['connection: x-forwarded-host', 'x-forwarded-host: evil.example'] },
  { fields: ['x-http-method-override: POST'] },
  { fields: ['x-http-method-override: DELETE'], body: 'x' },
]

const TARGETS: readonly string[] = [
  ...[
    '/me',
    '/me/',
    '//me',
    '/./me',
    '/x/../me',
    '/me/.',
    '/ME',
    '/me%20',
    '/me%2f',
    '/me%2Fx',
    '/me%5c',
    '/m%65',
    '/me;x',
  ],
  ...[
    '/me/x.css',
    '/me;x.css',
    '/me%3bx.css',
    '/me%00.css',
    '/me%0a.css',
    '/me%23x.css',
    '/me%3fx.css',
    '/me#x.css',
    '/me\\x.css',
  ],
  ...[
    '/me?',
    '/me?x',
    '/me?.css',
    '/me??',
    '/static/..%2fme',
    '/static/../me',
    '/static/%2e%2e/me',
    '/me%2e',
    '/me%252f',
    '/me%e2%80%8b',
  ],
  ...[
    '/me?q=1',
    '/me?q=2',
    '/me?q=1&q=2',
    '/me?q=2&q=1',
    '/me?q=1;q=2',
    '/me?q=1&amp;q=2',
    '/me?%71=2',
    '/me?q=1&%71=2',
    '/me?Q=2',
  ],
]

/** Below `/by-query`, whose key has `q` and `page` alone. */
const PARAMETERS: readonly string[] = [
  ...['q=1', 'q=2', 'q=1&utm_source=a', 'q=1&utm_source=a;q=2', 'utm_source=a;q=2&q=1', 'q=1&utm_source=a%3bq=2'],
  ...[
    'q=1&q=2',
    'q=2&q=1',
    'q=1;q=2',
    'q=1&amp;q=2',
    'q=1&%71=2',
    '%71=2',
    '%71=2&q=1',
    'q=1&q%00=2',
    'q=1&+q=2',
    'q=1&q+=2',
  ],
  ...[
    'q=1&%20q=2',
    'q=1&q%20=2',
    'q=1&page=2',
    'page=2&q=1',
    'q=1%26page=2',
    'q=1&x=y&page=3',
    'q=1&x=;page=3',
    'q',
    'q=',
    '',
    '&',
  ],
  ...[
    'q=%31',
    'q=1%',
    'q=%zz',
    'q=%f',
    'q==1',
    'q=1=2',
    '&q=1',
    'q=1&',
    'q=1&&page=2',
    'q=1&page',
    'q=1&x%3bq=2',
    'q=1#&q=2',
  ],
]

const COOKIES: readonly string[] = [
  ...[
    'side=a',
    'side=b',
    'side=a; side=b',
    'side=b; side=a',
    'x=1; side=a',
    'x="side=a; side=b"',
    'side="a"',
    'side = a',
    'xside=a',
  ],
  ...[
    'side=a;side=b',
    'side',
    'side=',
    ' side=a',
    'side=a;',
    'SIDE=a',
    'side=a\tb',
    'side=a, side=b',
    '$side=a; side=b',
  ],
]

describe('cache poisoning and deception', () => {
  const scope = suiteScope()
  let origin: Origin
  let gateway: Gateway
  let pages = 0

  before(async () => {
    origin = await cacheOrigin(scope, reflect)
    gateway = await startGateway(scope, { 'all.yaml': manifests(origin.port) }, { workers: 2 })
    scope.after(() => void kept?.socket.destroy())
  })

  /** A connection that nobody uses, as far as the last response has left it open. */
  let kept: RawClient | undefined

  /** Undefined where the connection ended without a response that can be read. */
  async function send(sent: Buffer, method = 'GET'): Promise<RawResponse | undefined> {
    const client = kept ?? (await RawClient.connect(gateway.port))
    kept = undefined
    try {
      const response = await client.send(sent).response(method)
      // Of those that were refused some close their connection.
      if (response.status === 200 && response.framing === 'length') kept = client
      return response
    } catch {
      return undefined
    } finally {
      if (kept === undefined) client.socket.destroy()
    }
  }

  const told = (response: RawResponse | undefined): string =>
    response === undefined ? 'nothing' : `${response.status} ${response.status === 200 ? response.text : ''}`

  /** What each of these gets from the rule with a cache, twice, is what it gets without one. */
  async function sameAsWithout(prefix: string, tricks: readonly Trick[]): Promise<void> {
    const base = `${prefix}/${++pages}`
    const wanted = new Map<Trick, string>()
    for (const trick of tricks)
      wanted.set(trick, told(await send(bytes(trick, `${base}${trick.target ?? '/me'}`, true), trick.method)))
    for (const round of ['first', 'second'])
      for (const trick of tricks) {
        const answer = await send(bytes(trick, `${base}${trick.target ?? '/me'}`, false), trick.method)
        assert.equal(told(answer), wanted.get(trick), `${round} time, ${JSON.stringify(trick)}`)
      }
  }

  it('fields that no key has: what one client sends is in nobody else’s page', async () => {
    for (const trick of HEADERS) {
      const target = `/${++pages}/me`
      await send(bytes(trick, target, false))
      await send(bytes(trick, target, false))
      const wanted = told(await send(bytes({}, target, true)))
      for (const round of ['first', 'second'])
        assert.equal(told(await send(bytes({}, target, false))), wanted, `${round} time, ${JSON.stringify(trick)}`)
    }
  })

  it('a plain page is a hit: the comparisons above and below are of a cache that works', async () => {
    const before = origin.strays.length
    await sameAsWithout('/hit', [{}])
    assert.equal(origin.strays.length, before + 2)
    await sameAsWithout('/by-query/hit', [{ target: '/me?q=1&utm_source=x' }])
    assert.equal(origin.strays.length, before + 4)
  })

  it('path confusion: a path that another one resembles is another page', async () => {
    await sameAsWithout(
      '',
      TARGETS.map((target) => ({ target })),
    )
    await sameAsWithout(
      '/encoded',
      TARGETS.map((target) => ({ target })),
    )
    await sameAsWithout(
      '/encoded',
      TARGETS.toReversed().map((target) => ({ target })),
    )
  })

  it('parameter cloaking: what the key leaves out does not reach the origin as something that counts', async () => {
    const tricks = PARAMETERS.map((query) => ({ target: `/me?${query}` }))
    for (const prefix of ['/by-query', '/by-query/bypass', '/by-query/exclude']) {
      await sameQ(prefix, tricks)
      await sameQ(prefix, tricks.toReversed())
    }
  })

  /** The origin may be sent fewer parameters than the client has sent; those of the key arrive as they were. */
  async function sameQ(prefix: string, tricks: readonly Trick[]): Promise<void> {
    const base = `${prefix}/${++pages}`
    for (const round of ['first', 'second'])
      for (const trick of tricks) {
        const target = `${base}${trick.target}`
        const fresh = await send(bytes({ ...trick, fields: ['cache-control: no-store'] }, target, false))
        const answer = await send(bytes(trick, target, false))
        assert.equal(told(answer), told(fresh), `${round} time, ${target}`)
      }
  }

  it('cookies and fields of the key: several of a name, quoted, in other cases', async () => {
    const tricks: Trick[] = [{}, ...COOKIES.map((cookie) => ({ fields: [`cookie: ${cookie}`] }))]
    tricks.push({ fields: ['cookie: side=a', 'cookie: side=b'] }, { fields: ['cookie: side=b', 'cookie: side=a'] })
    for (const fields of [['a'], ['b'], ['a', 'b'], ['b', 'a'], ['a, b'], ['']])
      tricks.push({ fields: fields.map((value) => `x-tenant: ${value}`) })
    tricks.push({ fields: ['X_Tenant: b'] }, { fields: ['x-tenant : a'] }, { fields: ['x-tenant: A'] })
    await sameAsWithout('/by', tricks)
    await sameAsWithout('/by', tricks.toReversed())
  })

  it('a GET with a body is not stored, nor answered by what is', async () => {
    const fat: Trick[] = [{ body: 'q=evil' }, { body: '' }, {}]
    await sameAsWithout('', fat)
    await sameAsWithout('', fat.toReversed())
    const chunked: Trick = { fields: ['transfer-encoding: chunked'] }
    const base = `/${++pages}/me`
    const sent = Buffer.concat([bytes(chunked, base, false), Buffer.from('6\r\nq=evil\r\n0\r\n\r\n')])
    assert.match(told(await send(sent)), /"body":"6\\r\\nq=evil/)
    assert.match(told(await send(bytes({}, base, false))), /"body":""/)
  })

  it('methods: HEAD, POST and such as nobody knows leave a GET what it is', async () => {
    const methods = ['HEAD', 'GET', 'POST', 'get', 'Get', 'OPTIONS', 'TRACE', 'FOO', 'PROPFIND'].map((method) => ({
      method,
    }))
    await sameAsWithout('', methods)
    await sameAsWithout('', methods.toReversed())
  })

  it('hosts: ports, capitals, absolute targets and such as do not belong to the page', async () => {
    const hosts = [
      'shop.test:8080',
      'SHOP.TEST',
      'shop.test.',
      'shop.test:',
      'shop.test:080',
      'evil.example',
      'shop.test@evil.example',
    ]
    const tricks: Trick[] = [{}, ...hosts.map((host) => ({ host }))]
    await sameAsWithout('', tricks)
    await sameAsWithout('', tricks.toReversed())
    const base = `/${++pages}/me`
    for (const [target, host] of [
      [`http://evil.example${base}`, HOST],
      [`http://${HOST}${base}`, 'evil.example'],
      [`https://${HOST}${base}`, HOST],
      [`http://${HOST}:8080${base}`, HOST],
      [`http://user@${HOST}${base}`, HOST],
    ] as const) {
      await send(bytes({ host }, target, false))
      assert.equal(told(await send(bytes({}, base, false))), told(await send(bytes({}, base, true))), target)
    }
  })

  it('HTTP/2: one store with HTTP/1.1; scheme, authority and Host that contradict each other poison nothing', async () => {
    const session = connect(`http://127.0.0.1:${gateway.port}`)
    session.on('error', () => {})
    scope.after(() => session.destroy())
    const tricks: Record<string, string | string[]>[] = [
      {},
      { ':scheme': 'https' },
      { ':authority': 'evil.example' },
      { ':authority': HOST, host: 'evil.example' },
      { ':authority': 'evil.example', host: HOST },
      { ':authority': `user@${HOST}` },
      { ':authority': `${HOST}:8080` },
      { ':path': 'http://evil.example/me' },
      { ':path': '*' },
      { ':method': 'get' },
      { 'x-forwarded-host': 'evil.example' },
      { te: 'trailers' },
    ]
    for (const trick of tricks) {
      const base = `/${++pages}/me`
      await overH2(session, { ':authority': HOST, ':scheme': 'http', ':path': base, ...trick })
      const victim = told(await send(bytes({}, base, false)))
      assert.equal(victim, told(await send(bytes({}, base, true))), JSON.stringify(trick))
      const other = await overH2(session, { ':authority': HOST, ':scheme': 'http', ':path': base })
      assert.equal(`200 ${other}`, victim)
    }
  })

  it('errors that an attacker can bring about are not kept for others', async () => {
    const statuses = [400, 403, 404, 405, 413, 414, 431, 500, 501, 502, 503]
    for (const status of statuses) {
      const path = `/error-${status}`
      const asked = origin.add(path, [{ status, fields: [], body: 'an error' }, { fields: [FRESH] }])
      await send(bytes({ fields: ['x-http-method-override: FOO'] }, path, false))
      const victim = await send(bytes({}, path, false))
      assert.equal(victim?.text, `${path} answer 2`, `${status}`)
      assert.equal(asked.length, 2)
    }
  })

  it('who is not trusted is told neither the key nor the reason', async () => {
    const path = `/${++pages}/me?q=secret-value`
    for (const times of [1, 2]) {
      const answer = await send(bytes({}, path, false))
      assert.doesNotMatch(answer?.header('cache-status') ?? '', /key|detail|secret-value/, `${times}`)
    }
  })
})

function overH2(session: ClientHttp2Session, headers: Record<string, string | string[]>): Promise<string> {
  return new Promise((resolve) => {
    try {
      const stream = session.request(headers)
      let text = ''
      stream.on('data', (part) => (text += String(part)))
      stream.on('error', () => resolve('refused'))
      stream.on('close', () => resolve(text))
      stream.end()
    } catch {
      resolve('refused')
    }
  })
}

/** Each path has its rule with a cache, and the same rule without one for who sends `x-plain`. */
function manifests(port: number): string {
  const caches: Readonly<Record<string, [cache: object, policies?: object]>> = {
    '/by-query/exclude': [{ key: { query: { exclude: ['utm_*', 'x'], others: 'Drop' } } }],
    '/by-query/bypass': [{ key: { query: { include: ['q', 'page'], others: 'Bypass' } } }],
    '/by-query': [{ key: { query: { include: ['q', 'page'], others: 'Drop' } } }],
    '/by': [{ key: { by: ['cookie:side', 'header:x-tenant'] } }],
    '/encoded': [{}, { pathEncoding: 'KeepEncodedSlash' }],
    '/': [{}],
  }
  const rules = Object.entries(caches).flatMap(([value, [cache, policies = {}]], at) => {
    const path = { type: 'PathPrefix', value }
    const rule = (name: string, match: object, own: object) => ({
      ...{ name: `${name}-${at}`, matches: [{ path, ...match }], backendRefs: [{ name: 'up' }] },
      policies: { retry: { attempts: 0 }, ...policies, ...own },
    })
    const plain = rule('plain', { headers: [{ name: 'x-plain', type: 'Present' }] }, {})
    return [plain, rule('cached', {}, { cache })]
  })
  const endpoints = [{ address: '127.0.0.1', port }]
  return manifest('Backend', 'up', { endpoints }) + manifest('Route', 'shop', { hostnames: [HOST], rules })
}
