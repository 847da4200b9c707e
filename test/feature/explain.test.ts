/** `headgate explain` against a running gateway: what it says of a request is what becomes of it, and no secret shows. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { digestOf } from '../../src/auth/api-keys.ts'
import { runCommand } from '../../src/cli/commands.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import type { ExplainAnswer } from '../../src/exchange/explain.ts'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, secret, startGateway, suiteScope } from './harness.ts'

const HOST = 'shop.example'
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const SECRETS = ['key-nobody-may-see', 'cookie-nobody-may-see', 'token-nobody-may-see', 'query-nobody-may-see']

describe('headgate explain', () => {
  const scope = suiteScope()
  const asked: string[] = []
  let gateway: Gateway
  let folder = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-explain-'))
    scope.after(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), 'token-of-the-feature-test', { mode: 0o600 })
    const origin = await httpBackend(scope, (request, response) => {
      asked.push(`${request.method} ${request.url}`)
      const path = request.url ?? ''
      const lifetime = path.includes('stale')
        ? 'max-age=0'
        : path.includes('never')
          ? 'no-store'
          : 'public, max-age=600'
      response
        .writeHead(200, {
          'cache-control': lifetime,
          etag: '"1"',
          'surrogate-key': 'one two',
          ...(path.includes('vary') && { vary: 'accept-language, cookie' }),
        })
        .end('a page')
    })
    const to = { backendRefs: [{ name: 'origin' }] }
    const cache = { tags: { header: 'surrogate-key' }, bypass: ['cookie:preview'] }
    const at = (value: string, type = 'PathPrefix') => [{ path: { type, value } }]
    const rules = [
      { name: 'pages', matches: at('/'), ...to, policies: { cache: { ...cache, staleWhileRevalidate: '1h' } } },
      {
        name: 'beta',
        matches: [{ ...at('/beta')[0], headers: [{ name: 'x-beta', value: '1' }] }],
        ...to,
      },
      { name: 'post', matches: [{ ...at('/beta', 'Exact')[0], method: 'POST' }], ...to },
      {
        name: 'short',
        matches: at('/short'),
        ...to,
        policies: {
          rewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/long' } },
          requestHeaders: { remove: ['cookie'] },
          cache: { ...cache, key: { query: { include: ['q'] } } },
        },
      },
      { name: 'files', matches: at('/files'), ...to, policies: { cache: { ...cache, store: 'File' } } },
      {
        name: 'keys',
        matches: at('/keys'),
        ...to,
        policies: {
          auth: { apiKey: { secretName: 'clients', from: [{ header: 'x-special' }, { query: 'k' }] } },
          cache,
        },
      },
      {
        name: 'mine',
        matches: at('/mine'),
        ...to,
        policies: {
          auth: { apiKey: { secretName: 'clients', from: [{ header: 'x-special' }] } },
          cache: { key: { by: ['consumer'] } },
        },
      },
      { name: 'by', matches: at('/by'), ...to, policies: { cache: { key: { by: ['cookie:sid', 'header:x-token'] } } } },
      { name: 'near', matches: at('/near'), ...to, policies: { access: { allow: ['10.0.0.0/8'] }, cache } },
      { name: 'ping', matches: at('/ping', 'Exact'), respond: { statusCode: 200, body: 'pong' } },
    ]
    const settings = {
      admin: { tokenFile: join(folder, 'token') },
      stateDirectory: join(folder, 'state'),
      cache: { debugCIDRs: ['127.0.0.0/8'] },
    }
    const secure = route(
      'secure',
      ['secure.example'],
      [
        { name: 'a', ...to },
        { name: 'b', matches: at('/b'), http: 'Closed', ...to },
      ],
      { tls: {} },
    )
    const clients = secret('clients', 'headgate.dev/api-keys', { alice: `sha256:${digestOf(SECRETS[0]!)}` })
    gateway = await startGateway(
      scope,
      {
        'a.yaml': backend('origin', [origin.port]) + clients + route('web', [HOST], rules) + secure,
      },
      { settings, workers: 2 },
    )
  })

  async function headgate(...argv: string[]): Promise<string> {
    const command = parseCommand([
      ...argv,
      '--admin',
      `127.0.0.1:${gateway.adminPort}`,
      '--token-file',
      join(folder, 'token'),
    ])
    assert.ok(command.name !== 'run')
    let text = ''
    const code = await runCommand(command, { out: (more) => (text += more), err: (more) => (text += more) })
    assert.equal(code, 0, text)
    return text
  }

  async function explain(path: string, headers: Readonly<Record<string, string>> = {}, ...more: string[]) {
    const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
    const url = `http://${HOST}${path}`
    return JSON.parse(await headgate('explain', url, ...fields, ...more, '-o', 'json')) as ExplainAnswer
  }

  /** In Cache-Status, for clients that are trusted. */
  async function happens(path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') {
    // A host with the port of the listener would have another key than the one without.
    const response = await gateway.request({ path, method, host: HOST, headers: { connection: 'close', ...headers } })
    // A refusal has no Cache-Status.
    if (response.status === 504) return 'refused OnlyIfCached'
    return /detail="?([^";,]+)/.exec(response.header('cache-status') ?? '')?.[1]
  }

  type Case = readonly [path: string, headers?: Readonly<Record<string, string>>, method?: string]
  const KEY = { 'x-special': SECRETS[0]! }
  const CASES: readonly Case[] = [
    ['/a?q=1'],
    ['/a?q=1', { 'cache-control': 'no-cache' }],
    ['/a?q=1', { 'cache-control': 'no-store' }],
    ['/a?q=1', { 'cache-control': 'only-if-cached' }],
    ['/b', { 'cache-control': 'only-if-cached' }],
    ['/a', { cookie: 'preview=1' }],
    ['/a', {}, 'DELETE'],
    ['/a', {}, 'HEAD'],
    ['/c', { range: 'bytes=0-1' }],
    ['/c/1', { range: 'bytes=0-0,3-4' }],
    ['/c/2', { range: 'bytes=0-1' }, 'HEAD'],
    ['/a', { 'if-match': '"1"' }],
    ['/stale'],
    ['/never'],
    ['/vary', { 'accept-language': 'fr' }],
    ['/vary', { 'accept-language': 'de' }],
    ['/short/a?q=1&x=2', { cookie: 'a=1' }],
    ['/files/a'],
    ['/keys/a', KEY],
    [`/keys/b?k=${SECRETS[0]}`],
    ['/by', { cookie: 'sid=1', 'x-token': 't' }],
    ['/by', { cookie: 'sid=2', 'x-token': 't' }],
  ]

  it('says of each request what becomes of it, before it is made and again', async () => {
    for (const round of [1, 2])
      for (const [path, headers, method = 'GET'] of CASES) {
        const about = `${round}. ${method} ${path} ${JSON.stringify(headers)}`
        const known = asked.length
        const { cache } = await explain(path, headers, '-X', method)
        // Later something stale is fetched anew in the background.
        if (round === 1) assert.equal(asked.length, known, `${about}: the origin was asked`)
        const happened = await happens(path, headers, method)
        assert.equal(cache?.result, happened, about)
        assert.ok(cache!.why !== '', about)
      }
  })

  it('says which rule won and why others lost, with the filters in their order', async () => {
    const rulesOf = async (...argv: Parameters<typeof explain>) => {
      const { match, lost } = await explain(...argv)
      return [match?.rule, ...lost.map(({ rule, why }) => `${rule}: ${why}`)]
    }
    const less = 'it matches, too, and is less specific'
    assert.deepEqual(await rulesOf('/beta'), [
      'pages',
      'post: its method is POST',
      'beta: the header x-beta is missing',
    ])
    assert.deepEqual(await rulesOf('/beta', { 'x-beta': '2' }), [
      'pages',
      'post: its method is POST',
      'beta: the header x-beta has another value',
    ])
    assert.deepEqual(await rulesOf('/beta', { 'x-beta': '1' }, '-X', 'POST'), [
      'post',
      `beta: ${less}`,
      `pages: ${less}`,
    ])
    const { filters } = await explain('/short/a?q=1&x=2')
    assert.deepEqual(
      filters.map(({ filter }) => filter),
      ['timeouts', 'request-id', 'request-headers', 'rewrite', 'cache'],
    )
  })

  it('says why a request comes to no cache', async () => {
    const near = await explain('/near')
    assert.equal(near.cache, undefined)
    assert.deepEqual([near.filters.at(-1)?.filter, near.filters.at(-1)?.status], ['access', 403])
    assert.equal((await explain('/near', {}, '--client', '10.1.2.3')).cache?.verdict, 'miss')
    assert.equal((await explain('/ping')).filters.at(-1)?.status, 200)
    const nobody = await explain('/a', { host: 'nobody.example' })
    assert.deepEqual([nobody.refused?.reason, nobody.refused?.status], ['HostNotFound', 404])
    assert.equal((await explain('/%2e%2e%2fa')).refused?.reason, 'BadPath')
    for (const path of ['/a', '/b']) {
      const { refused } = await explain(path, { host: 'secure.example' })
      const { status } = await gateway.request({ path, host: 'secure.example', headers: { connection: 'close' } })
      assert.deepEqual([refused?.status, status], path === '/a' ? [308, 308] : [403, 403])
    }
    const mine = await explain('/mine', KEY)
    assert.equal(mine.cache?.verdict, 'unknown')
    assert.match(mine.cache.why, /consumer of the credential/)
  })

  it('says what is stored, where, and by which tags', async () => {
    for (const path of ['/files/b', '/d']) {
      await happens(path)
      const answer = await explain(path)
      const { cache } = answer
      assert.ok(cache?.stored !== undefined, JSON.stringify(answer))
      assert.deepEqual([cache.stored.tagNames, cache.stored.lifetime, cache.stored.status], [['one', 'two'], 600, 200])
      assert.ok(cache.stored.left > 590 && cache.stored.left <= 600)
      assert.match(cache.keyDigest ?? '', /^[0-9a-f]{32}$/)
    }
    await eventually(async () =>
      assert.deepEqual((await explain('/files/b')).cache?.stores, [
        { store: 'Memory', state: 'found' },
        { store: 'File', state: 'found' },
      ]),
    )
    await happens('/vary/x', { 'accept-language': 'fr' })
    assert.deepEqual((await explain('/vary/x')).cache?.vary, ['accept-language', 'cookie'])
  })

  it('says the status that the client gets of what is stored', async () => {
    await happens('/e')
    const cases: readonly (readonly [number, Readonly<Record<string, string>>, string?])[] = [
      [200, {}],
      [304, { 'if-none-match': 'W/"1"' }],
      [200, { 'if-none-match': '"2"' }],
      [304, { 'if-none-match': '"1"', range: 'bytes=0-1' }, 'HEAD'],
      [206, { range: 'bytes=0-1' }],
      [206, { range: 'bytes=0-1', 'if-range': '"1"' }],
      [200, { range: 'bytes=0-1', 'if-range': '"2"' }],
      [200, { range: 'bytes=0-1' }, 'HEAD'],
      [416, { range: 'bytes=6-' }],
    ]
    for (const [status, headers, method = 'GET'] of cases) {
      const { filters } = await explain('/e', headers, '-X', method)
      const response = await gateway.request({ path: '/e', method, host: HOST, headers })
      const about = `${method} ${JSON.stringify(headers)}`
      assert.deepEqual([filters.at(-1)?.status, response.status], [status, status], about)
    }
  })

  it('shows no credential, cookie or key, whoever sends it and wherever it stands', async () => {
    const [key, cookie, token, query] = SECRETS as [string, string, string, string]
    const sent = { 'x-special': key, cookie: `sid=${cookie}; x=${cookie}`, 'x-token': token, authorization: token }
    const paths = ['/a', '/by', '/vary/s', '/short/s', '/keys/s', '/mine/s', '/near', '/ping', '/%2e%2e%2fa']
    for (const path of paths) {
      const target = `${path}?access_token=${query}&apiKey=${query}&k=${key}&q=1`
      await happens(target, sent)
      for (const output of ['json', 'text']) {
        const fields = Object.entries(sent).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
        const text = await headgate('explain', `http://${HOST}${target}`, ...fields, '-o', output)
        // A parameter that nothing says to be a key is shown where no rule takes it for one.
        for (const one of path === '/keys/s' ? SECRETS : [cookie, token, query])
          assert.ok(!text.includes(one), `${path} shows ${one}: ${text}`)
        assert.ok(text.includes('(hidden)'))
      }
    }
    const url = `http://${HOST}/by?access_token=${query}&apiKey=${query}&k=${key}&q=1`
    for (const one of [cookie, token, query]) assert.ok(!(await headgate('cache', 'show', url)).includes(one))
  })

  it('needs the token, and a request that could be made', async () => {
    const post = async (body: unknown, authorization?: string) => {
      const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/explain`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) },
        body: JSON.stringify(body),
      })
      const { reason, detail } = (await response.json()) as { reason?: string; detail?: string }
      said = detail ?? ''
      return [response.status, reason]
    }
    let said = ''
    const url = `http://${HOST}/a`
    const bearer = 'Bearer token-of-the-feature-test'
    assert.deepEqual(await post({ url }), [401, 'TokenMissing'])
    assert.deepEqual(await post({ url }, 'Bearer another-token'), [401, 'TokenWrong'])
    assert.deepEqual(await post({ url }, bearer), [200, undefined])
    const refused = [
      { url: '/a' },
      { url: 'ftp://a/' },
      { url: `http://a:b@${HOST}/` },
      { url: `https://${HOST}/` },
      { url, listener: 'other' },
      { url, client: 'x' },
      { url, headers: [...'ab'].map((value) => ({ name: 'host', value })) },
    ]
    for (const body of refused)
      assert.deepEqual(await post(body, bearer), [422, 'InvalidExplain'], JSON.stringify(body))
    await post({ url: `${HOST}/a` }, bearer)
    assert.equal(said, `"${HOST}/a" is no http(s) URL: write it whole, such as https://shop.example/a`)
    const line = { name: 'x-a', value: 'a\r\nx-b: c' }
    for (const body of [
      { url, headers: [line] },
      { url, method: 'G ET' },
      { url, more: 1 },
    ])
      assert.equal((await post(body, bearer))[0], 400, JSON.stringify(body))
    const get = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/explain`)
    assert.equal(get.status, 404)
  })

  it('is a command', async () => {
    const admin = ['--admin', `127.0.0.1:${gateway.adminPort}`]
    const env = { ...process.env, HEADGATE_ADMIN_TOKEN: 'token-of-the-feature-test', NO_COLOR: '1' }
    const argv = [MAIN, 'cache', 'explain', `http://${HOST}/beta`, ...admin]
    const { stdout } = await promisify(execFile)(process.execPath, argv, { env })
    assert.match(stdout, /^rule +default\/web, rule pages: \/\* on shop\.example$/m)
    assert.match(stdout, /^cache +(miss|hit) /m)
  })
})
