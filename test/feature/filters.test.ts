import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend, type Received } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { RawClient, type RawResponse } from './raw-client.ts'

const prefix = (value: string): object[] => [{ path: { type: 'PathPrefix', value } }]

function forward(name: string, at: string, policies: object): object {
  return { name, matches: prefix(at), backendRefs: [{ name: 'echo' }], policies }
}
const rewritten = (path: object, hostname?: string): object => ({
  rewrite: { path, ...(hostname === undefined ? {} : { hostname }) },
})
const edits = (set: [string, string][], add: [string, string][] = [], remove: string[] = []): object => ({
  set: set.map(([name, value]) => ({ name, value })),
  add: add.map(([name, value]) => ({ name, value })),
  remove,
})

const REWRITES = [
  forward('prefix', '/api', rewritten({ type: 'ReplacePrefixMatch', replacePrefixMatch: '/' }, 'api.internal')),
  forward('deeper', '/old', rewritten({ type: 'ReplacePrefixMatch', replacePrefixMatch: '/new/place' })),
  forward('full', '/full', rewritten({ type: 'ReplaceFullPath', replaceFullPath: '/fixed' })),
  forward(
    'regex',
    '/v',
    rewritten({
      type: 'ReplaceRegex',
      replaceRegex: { pattern: '^/v/([a-z]+)/([0-9]+)', substitution: '/$2/$1' },
    }),
  ),
  forward('climb', '/climb', rewritten({ type: 'ReplaceRegex', replaceRegex: { pattern: '_', substitution: '/../' } })),
]

const HEADERS = [
  forward('request', '/request', {
    requestHeaders: edits(
      [
        ['x-env', 'prod'],
        ['x-path', '%{method} %{path}'],
        ['x-from', '%{client.ip}'],
        ['x-copy', '%{header:x-in}%%'],
        ['x-id', '%{request.id}'],
      ],
      [['x-tag', 'added']],
      ['x-debug'],
    ),
  }),
  forward('response', '/response', {
    responseHeaders: edits([['x-request', '%{request.id}']], [['x-backend', 'more']], ['server']),
  }),
]

const ANSWERS = [
  {
    name: 'moved',
    matches: prefix('/moved'),
    redirect: {
      scheme: 'https',
      hostname: 'new.test',
      port: 8443,
      path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/here' },
      statusCode: 308,
    },
  },
  { name: 'secure', matches: prefix('/secure'), redirect: { scheme: 'https', statusCode: 301 } },
  {
    name: 'tea',
    matches: prefix('/tea'),
    respond: { statusCode: 418, contentType: 'text/plain', body: 'short and stout' },
  },
  { name: 'empty', matches: prefix('/empty'), respond: { statusCode: 204 } },
]

describe('filters, from manifests to traffic', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  before(async () => {
    echo = await echoBackend(scope)
    const limits = [forward('small', '/small', { limits: { maxRequestBytes: '1Ki' } }), forward('free', '/free', {})]
    const merged = [
      forward('own', '/own', { responseHeaders: edits([['x-rule', 'yes']]) }),
      forward('inherits', '/inherits', {}),
      forward('attacks', '/attacks', { requestHeaders: edits([['x-enforced', 'replaced']]) }),
    ]
    gateway = await startGateway(
      scope,
      {
        'all.yaml':
          backend('echo', [echo.port]) +
          route('rewrite', ['rewrite.test'], REWRITES) +
          route('headers', ['headers.test'], HEADERS) +
          route('answers', ['answers.test'], ANSWERS) +
          route('limits', ['limits.test'], limits) +
          route('merged', ['merged.test'], merged, {
            policies: {
              responseHeaders: edits([['x-route', 'yes']]),
              enforced: { requestHeaders: edits([['x-enforced', 'kept']]) },
            },
          }),
      },
      { settings: { policies: { defaults: { responseHeaders: edits([['x-default', 'yes']]) } } } },
    )
  })
  const echoed = async (host: string, path: string, headers: Record<string, string> = {}): Promise<Received> => {
    const answer = await gateway.request({ host, path, headers })
    assert.equal(answer.status, 200, answer.text)
    return answer.json<Received>()
  }

  for (const [from, to] of [
    ['/api', '/'],
    ['/api/items?page=2', '/items?page=2'],
    ['/old', '/new/place'],
    ['/old/x/', '/new/place/x/'],
    ['/full/of/things?q', '/fixed?q'],
    ['/v/users/7/more', '/7/users/more'],
    ['/v/USERS/7', '/v/USERS/7'],
  ] as const)
    it(`rewrites ${from} to ${to}`, async () => {
      assert.equal((await echoed('rewrite.test', from)).url, to)
    })

  it('sends the Host that a rewrite states, and else the one of the client', async () => {
    assert.equal((await echoed('rewrite.test', '/api')).headers.host, 'api.internal')
    assert.equal((await echoed('rewrite.test', '/old')).headers.host, 'rewrite.test')
  })

  it('refuses a rewritten path that is no normal form', async () => {
    const answer = await gateway.request({ host: 'rewrite.test', path: '/climb/a_b' })
    assert.deepEqual([answer.status, answer.json().reason], [400, 'BadRewrite'])
  })

  it('sets, adds and removes request headers, with variables', async () => {
    const { headers } = await echoed('headers.test', '/request', {
      'x-env': 'from client',
      'x-debug': '1',
      'X-In': 'in',
      'x-tag': 'own',
    })
    assert.equal(headers['x-env'], 'prod')
    assert.equal(headers['x-path'], 'GET /request')
    assert.equal(headers['x-from'], '127.0.0.1')
    assert.equal(headers['x-copy'], 'in%')
    assert.equal(headers['x-tag'], 'own, added')
    assert.equal(headers['x-debug'], undefined)
    assert.equal(headers['x-id'], headers['x-request-id'])
  })

  it('sets, adds and removes response headers', async () => {
    const answer = await gateway.request({ host: 'headers.test', path: '/response' })
    assert.equal(answer.header('server'), undefined)
    assert.equal(answer.header('x-request'), answer.json<Received>().headers['x-request-id'])
    assert.deepEqual(
      answer.fields.filter(([name]) => name === 'x-backend').map(([, value]) => value),
      ['echo', 'more'],
    )
  })

  it('does not let a value from the client break out of its header', async () => {
    using client = await gateway.connect()
    client.send('GET /request HTTP/1.1\r\nhost: headers.test\r\nx-in: a\x7fb\r\n\r\n')
    assert.equal((await client.response()).status, 400)
  })

  it('redirects with the parts that are stated and keeps the rest', async () => {
    const moved = await gateway.request({ host: 'answers.test', path: '/moved/a?b=c' })
    assert.deepEqual([moved.status, moved.header('location')], [308, 'https://new.test:8443/here/a?b=c'])
    const secure = await gateway.request({ host: 'answers.test', path: '/secure/x?y' })
    assert.deepEqual([secure.status, secure.header('location')], [301, 'https://answers.test/secure/x?y'])
  })

  it('answers itself', async () => {
    const tea = await gateway.request({ host: 'answers.test', path: '/tea' })
    assert.deepEqual([tea.status, tea.text, tea.header('content-type')], [418, 'short and stout', 'text/plain'])
    assert.equal((await gateway.request({ host: 'answers.test', path: '/empty' })).status, 204)
  })

  it('answers itself also to a request with a body, and keeps the connection', async () => {
    using client = await gateway.connect()
    const options = { host: 'answers.test', path: '/tea', method: 'POST', body: 'x'.repeat(10_000) }
    for (let i = 0; i < 3; i++) assert.equal((await client.request(options)).status, 418)
  })

  it('refuses a body over the limit by its length, before anything is sent upstream', async () => {
    const before_ = echo.received.length
    const answer = await gateway.request({
      host: 'limits.test',
      path: '/small',
      method: 'POST',
      body: 'x'.repeat(1025),
    })
    assert.deepEqual([answer.status, answer.json().reason], [413, 'BodyTooLarge'])
    assert.equal(echo.received.length, before_)
    const fits = await gateway.request({ host: 'limits.test', path: '/small', method: 'POST', body: 'x'.repeat(1024) })
    assert.equal(fits.status, 200)
  })

  it('refuses a chunked body once it passes the limit', async () => {
    using client = await gateway.connect()
    client.send('POST /small HTTP/1.1\r\nhost: limits.test\r\ntransfer-encoding: chunked\r\n\r\n')
    client.send(`400\r\n${'x'.repeat(1024)}\r\n`).send('1\r\nx\r\n')
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.json().reason], [413, 'BodyTooLarge'])
    await client.closed()
  })

  it('merges settings, Route and rule key by key, the most specific whole', async () => {
    const has = (answer: RawResponse): string[] =>
      ['x-default', 'x-route', 'x-rule'].filter((name) => answer.header(name) === 'yes')
    assert.deepEqual(has(await gateway.request({ host: 'merged.test', path: '/own' })), ['x-rule'])
    assert.deepEqual(has(await gateway.request({ host: 'merged.test', path: '/inherits' })), ['x-route'])
    assert.deepEqual(has(await gateway.request({ host: 'limits.test', path: '/free' })), ['x-default'])
  })

  it('keeps an enforced policy against the rule', async () => {
    assert.equal((await echoed('merged.test', '/attacks')).headers['x-enforced'], 'kept')
  })

  it('makes a request id, in the log and upstream, and takes none from a stranger', async () => {
    const { headers } = await echoed('limits.test', '/free', { 'x-request-id': 'chosen-by-client' })
    const id = headers['x-request-id']!
    assert.ok(id.length >= 16 && id !== 'chosen-by-client', id)
    const line = await gateway.logged((entry) => entry.id === id)
    assert.deepEqual([line.route, line.rule, line.status], ['default/limits', 'free', 200])
  })

  it('serves one client after another on one connection under different rules', async () => {
    using client = await RawClient.connect(gateway.port)
    const statuses: number[] = []
    for (const [host, path] of [
      ['rewrite.test', '/api'],
      ['answers.test', '/tea'],
      ['answers.test', '/moved'],
      ['nobody.test', '/'],
      ['headers.test', '/request'],
    ] as const)
      statuses.push((await client.request({ host, path })).status)
    assert.deepEqual(statuses, [200, 418, 308, 404, 200])
  })
})
