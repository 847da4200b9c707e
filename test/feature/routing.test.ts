import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import type { RequestOptions } from './raw-client.ts'

/** A rule that answers with its own name. */
function named(name: string, match: object | readonly object[] = {}): object {
  const matches = Array.isArray(match) ? match : [match]
  return { name, matches, respond: { statusCode: 200, contentType: 'text/plain', body: name } }
}
const path = (type: string, value: string): object => ({ path: { type, value } })

const MANIFESTS = {
  'hosts.yaml':
    route('exact', ['a.example'], [named('exact')]) +
    route('wildcard', ['*.example'], [named('wildcard')]) +
    route('deep-wildcard', ['*.deep.example'], [named('deep')]) +
    route('partial', ['partial.example'], [named('only', path('PathPrefix', '/only'))]) +
    route('rest', [], [named('rest', path('PathPrefix', '/rest'))]),
  'paths.yaml': route(
    'paths',
    ['paths.test'],
    [
      named('prefix', path('PathPrefix', '/a')),
      named('longer', path('PathPrefix', '/a/b')),
      named('exact', path('Exact', '/a/b/c')),
      named('regex', path('RegularExpression', '/a/b/[0-9]+')),
      named('regex-long', path('RegularExpression', '/a/b/[0-9]+(/x)?')),
      named('slash', path('Exact', '/exact')),
    ],
  ),
  'predicates.yaml': route(
    'predicates',
    ['match.test'],
    [
      named('header', { headers: [{ name: 'x-beta', type: 'Exact', value: '1' }] }),
      named('two-headers', {
        headers: [
          { name: 'x-beta', type: 'Exact', value: '1' },
          { name: 'x-gamma', type: 'Present' },
        ],
      }),
      named('header-regex', { headers: [{ name: 'x-version', type: 'RegularExpression', value: 'v[0-9]+' }] }),
      named('header-absent', {
        path: { type: 'PathPrefix', value: '/absent' },
        headers: [{ name: 'x-no', type: 'Absent' }],
      }),
      named('query', { queryParams: [{ name: 'v', type: 'Exact', value: '2' }] }),
      named('cookie', { cookies: [{ name: 'canary', type: 'Exact', value: 'always' }] }),
      named('method', { method: 'DELETE' }),
      named('get', { path: { type: 'Exact', value: '/get' }, method: 'GET' }),
      named('inside', { path: { type: 'Exact', value: '/cidr' }, sourceCIDRs: ['127.0.0.0/8'] }),
      named('elsewhere', { path: { type: 'Exact', value: '/far' }, sourceCIDRs: ['10.0.0.0/8'] }),
      named('either', [path('Exact', '/one'), path('Exact', '/two')]),
      named('plain'),
    ],
  ),
  'tenants.yaml':
    route('a-owner/entrance', ['shared.test'], [named('home', path('Exact', '/'))], {
      delegates: [{ namespaces: { from: 'Names', names: ['b-team'] }, pathPrefixes: ['/cart'] }],
    }) +
    route(
      'b-team/cart',
      ['shared.test'],
      [named('cart', path('PathPrefix', '/cart')), named('grab', path('PathPrefix', '/grab'))],
    ) +
    route('c-thief/all', ['shared.test'], [named('stolen', path('PathPrefix', '/cart/deep'))]),
  'conflict.yaml':
    route('a-first', ['conflict.test'], [named('first', path('Exact', '/x'))]) +
    route('b-second', ['conflict.test'], [named('second', path('Exact', '/x')), named('own', path('Exact', '/y'))]),
}

describe('routing, from manifests to traffic', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  before(async () => {
    echo = await echoBackend(scope)
    gateway = await startGateway(scope, {
      ...MANIFESTS,
      'echo.yaml':
        backend('echo', [echo.port]) + route('echo', ['echo.test'], [{ name: 'all', backendRefs: [{ name: 'echo' }] }]),
    })
  })
  /** The name of the rule that answered, or the status and reason. */
  const asked = async (options: RequestOptions): Promise<string> => {
    const answer = await gateway.request(options)
    return answer.status === 200 ? answer.text : `${answer.status} ${answer.json().reason}`
  }

  for (const [host, expected] of [
    ['a.example', 'exact'],
    ['A.EXAMPLE', 'exact'],
    ['a.example:8080', 'exact'],
    ['a.example.', 'exact'],
    ['b.example', 'wildcard'],
    ['c.b.example', 'wildcard'],
    ['x.deep.example', 'deep'],
    ['x.y.deep.example', 'deep'],
    ['deep.example', 'wildcard'],
    ['example', '404 RouteNotFound'],
  ] as const)
    it(`host ${host} goes to ${expected}`, async () => {
      assert.equal(await asked({ host }), expected)
    })

  it('keeps a host that matched, even when no rule of it does', async () => {
    assert.equal(await asked({ host: 'partial.example', path: '/only/x' }), 'only')
    assert.equal(await asked({ host: 'partial.example', path: '/rest' }), '404 RouteNotFound')
  })

  it('gives hosts that nobody names to a Route without hostnames', async () => {
    assert.equal(await asked({ host: 'nobody.test', path: '/rest' }), 'rest')
  })

  for (const [target, expected] of [
    ['/a', 'prefix'],
    ['/a/', 'prefix'],
    ['/a/x', 'prefix'],
    ['/ab', '404 RouteNotFound'],
    ['/a/b', 'longer'],
    ['/a/b/c', 'exact'],
    ['/a/b/c/', 'longer'],
    ['/a/b/12', 'regex-long'],
    ['/a/b/12/x', 'regex-long'],
    ['/a/b/12/y', 'longer'],
    ['/a//b/./x/../c', 'exact'],
    ['/%61/b/c', 'exact'],
    ['/a/b/c?d=e', 'exact'],
    ['/exact', 'slash'],
    ['/exact/', '404 RouteNotFound'],
  ] as const)
    it(`path ${target} goes to ${expected}`, async () => {
      assert.equal(await asked({ host: 'paths.test', path: target }), expected)
    })

  for (const target of [
    '/a%2Fb',
    '/a%5Cb',
    '/a\\b',
    '/a%00',
    '/a/..;/b',
    '/%2e%2e%2fa',
    '/%252e%252e/a',
    '/a%252Fb',
    '/../a',
  ])
    it(`path ${target} is refused, or goes no further up than the root`, async () => {
      const answer = await gateway.request({ host: 'paths.test', path: target })
      if (target === '/../a') assert.ok([200, 400].includes(answer.status), String(answer.status))
      else assert.equal(answer.status, 400, answer.text)
    })

  for (const [what, options, expected] of [
    ['nothing special', {}, 'plain'],
    ['a header', { headers: { 'X-Beta': '1' } }, 'header'],
    ['more headers', { headers: { 'x-beta': '1', 'x-gamma': 'any' } }, 'two-headers'],
    ['another value', { headers: { 'x-beta': '2' } }, 'plain'],
    ['a header that fits an expression', { headers: { 'x-version': 'v12' } }, 'header-regex'],
    ['a header that fits only in part', { headers: { 'x-version': 'v12b' } }, 'plain'],
    ['an absent header', { path: '/absent' }, 'header-absent'],
    ['a header that had to be absent', { path: '/absent', headers: { 'x-no': '' } }, 'plain'],
    ['a query parameter', { path: '/?a=b&v=2' }, 'query'],
    ['an encoded query parameter', { path: '/?%76=%32' }, 'query'],
    ['a cookie', { headers: { cookie: 'a=b; canary=always' } }, 'cookie'],
    ['a method', { method: 'DELETE' }, 'method'],
    ['GET', { path: '/get' }, 'get'],
    ['POST where GET is asked', { path: '/get', method: 'POST' }, 'plain'],
    ["the client's network", { path: '/cidr' }, 'inside'],
    ['another network', { path: '/far' }, 'plain'],
    ['the second of two entries', { path: '/two' }, 'either'],
  ] as const)
    it(`a request with ${what} goes to ${expected}`, async () => {
      assert.equal(await asked({ host: 'match.test', ...options }), expected)
    })

  it('matches HEAD where GET is asked, and answers without a body', async () => {
    const answer = await gateway.request({ host: 'match.test', path: '/get', method: 'HEAD' })
    assert.deepEqual([answer.status, answer.body.length, answer.header('content-length')], [200, 0, '3'])
  })

  it('lets another namespace serve only below the paths delegated to it', async () => {
    const host = 'shared.test'
    assert.equal(await asked({ host }), 'home')
    assert.equal(await asked({ host, path: '/cart/1' }), 'cart')
    assert.equal(await asked({ host, path: '/grab' }), '404 RouteNotFound')
    assert.equal(await asked({ host, path: '/cart/deep' }), 'cart', 'a namespace without delegation takes nothing')
  })

  it('gives an identical match to the first Route, and lets the other serve the rest', async () => {
    assert.equal(await asked({ host: 'conflict.test', path: '/x' }), 'first')
    assert.equal(await asked({ host: 'conflict.test', path: '/y' }), 'own')
  })

  it('sends on exactly the normal form that was matched', async () => {
    const answer = await gateway.request({ host: 'echo.test', path: '/a//b/./c/../%7Euser/%c3%a9?x=%2F../y' })
    assert.equal(answer.json().url, '/a/b/~user/%C3%A9?x=%2F../y')
  })

  it('tells the reason of a refusal in the body, and the same in the log', async () => {
    const answer = await gateway.request({ host: 'unknown.host.test', path: '/q' })
    assert.equal(answer.status, 404)
    assert.equal(answer.header('content-type'), 'application/problem+json')
    const problem = answer.json()
    assert.deepEqual([problem.status, problem.reason], [404, 'RouteNotFound'])
    assert.ok(String(problem.type).length > 0 && String(problem.title).length > 0)
    const line = await gateway.logged((entry) => entry.id === problem.instance)
    assert.deepEqual(
      [line.status, line.reason, line.host, line.path],
      [404, 'RouteNotFound', 'unknown.host.test', '/q'],
    )
  })
})
