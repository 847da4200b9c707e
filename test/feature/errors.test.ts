import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { closedPort, type EchoBackend, echoBackend, onHead, type RawBackend, rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const prefix = (value: string): object[] => [{ path: { type: 'PathPrefix', value } }]
const rule = (name: string, to: string, policies?: object): object => ({
  name,
  matches: prefix(`/${name}`),
  backendRefs: [{ name: to }],
  ...(policies === undefined ? {} : { policies }),
})
const page = (codes: string[], body: string, more: object = {}): object => ({
  codes,
  contentType: 'text/html',
  body,
  ...more,
})
const configMap = (name: string, data: object, namespace = 'default'): string =>
  `${JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data })}\n---\n`
const fromMap = (key: string, configMapName = 'pages'): object => ({
  errors: [{ codes: ['502'], contentType: 'text/html', bodyRef: { configMapName, key } }],
})

describe('errors, from manifests to traffic', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  let endless: RawBackend
  before(async () => {
    echo = await echoBackend(scope)
    endless = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        socket.write('HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\netag: "1"\r\n\r\n5\r\nhello\r\n')
      }),
    )
    const pages = [page(['500-599'], '<h1>Later</h1>', { source: 'Any' }), page(['413'], 'too long')]
    gateway = await startGateway(
      scope,
      {
        'all.yaml':
          backend('echo', [echo.port]) +
          backend('gone', [await closedPort()]) +
          backend('endless', [endless.port]) +
          route(
            'pages',
            ['pages.test'],
            [
              rule('gone', 'gone'),
              rule('missing', 'nobody'),
              rule('echo', 'echo', { limits: { maxRequestBytes: '1Ki' } }),
              rule('endless', 'endless'),
              rule('own', 'echo', { errors: [page(['500'], 'own')] }),
              rule('none', 'gone', { errors: [] }),
              rule('backend', 'echo', { errors: [page(['503'], 'backend', { source: 'Backend' })] }),
              { name: 'written', matches: prefix('/written'), respond: { statusCode: 503, body: 'mine' } },
            ],
            {
              policies: { errors: pages, responseHeaders: { set: [{ name: 'x-seen', value: 'yes' }] } },
            },
          ) +
          route(
            'settings',
            ['settings.test'],
            [rule('gone', 'gone'), rule('own', 'gone', { errors: [page(['502'], 'own')] })],
          ),
      },
      {
        settings: {
          policies: {
            defaults: { errors: [page(['502'], 'default')] },
          },
        },
      },
    )
  })
  const get = (path: string, more: object = {}, host = 'pages.test') => gateway.request({ host, path, ...more })

  it('shows the page for a refusal of the gateway, which is logged with its reason', async () => {
    const response = await get('/gone', { headers: { accept: 'application/json' } })
    assert.deepEqual([response.status, response.text], [502, '<h1>Later</h1>'])
    assert.deepEqual(
      ['content-type', 'content-length', 'cache-control', 'x-seen'].map((name) => response.header(name)),
      ['text/html', '14', 'no-store', 'yes'],
    )
    const line = await gateway.logged(({ path, status }) => path === '/gone' && status === 502)
    assert.equal(line.reason, 'ConnectFailure')
    assert.equal((await get('/missing')).text, '<h1>Later</h1>')
  })

  it('answers HEAD with the length of the page and without it', async () => {
    const client = await gateway.connect()
    const response = await client.request({ method: 'HEAD', host: 'pages.test', path: '/gone' })
    assert.deepEqual([response.status, response.text, response.header('content-length')], [502, '', '14'])
    assert.equal((await client.request({ host: 'pages.test', path: '/gone' })).text, '<h1>Later</h1>')
    client.end()
  })

  it('shows the page for a response of a backend where it is asked for, with the headers of the backend', async () => {
    const client = await gateway.connect()
    for (let i = 0; i < 2; i++) {
      const headers = { 'x-answer-status': '503' }
      const response = await client.request({ host: 'pages.test', path: '/echo', headers })
      assert.deepEqual([response.status, response.text], [503, '<h1>Later</h1>'])
      assert.equal(response.header('x-backend'), 'echo')
      assert.equal(response.header('content-type'), 'text/html')
    }
    client.end()
    const line = await gateway.logged(({ path, status }) => path === '/echo' && status === 503)
    assert.equal(line.reason, undefined)
  })

  it('leaves responses alone that no entry names', async () => {
    for (const status of ['200', '204', '304', '404'])
      assert.doesNotMatch((await get('/echo', { headers: { 'x-answer-status': status } })).text, /Later/)
    assert.match((await get('/own', { headers: { 'x-answer-status': '500' } })).text, /"name":"echo"/)
    assert.equal((await get('/written')).text, 'mine')
  })

  it('does not wait for the rest of the body that it replaces', async () => {
    const response = await get('/endless')
    assert.deepEqual([response.status, response.text], [500, '<h1>Later</h1>'])
    assert.equal(response.header('etag'), undefined)
    await eventually(() => assert.equal(endless.sockets.size, 0))
  })

  it('shows the page for a body that is too long', async () => {
    const response = await get('/echo', { method: 'POST', body: 'x'.repeat(2_000) })
    assert.deepEqual([response.status, response.text], [413, 'too long'])
  })

  it('is replaced by a rule, switched off by an empty list, and is for backends alone where it says so', async () => {
    assert.equal((await get('/none')).json().reason, 'ConnectFailure')
    assert.equal((await get('/backend', { headers: { 'x-answer-status': '503' } })).text, 'backend')
  })

  it('may be a default of the settings', async () => {
    assert.equal((await get('/gone', {}, 'settings.test')).text, 'default')
    assert.equal((await get('/own', {}, 'settings.test')).text, 'own')
  })
})

describe('errors from a ConfigMap', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('gone', [await closedPort()]) +
        backend('team/gone', [await closedPort()]) +
        route(
          'maps',
          ['maps.test'],
          [
            rule('first', 'gone', fromMap('first.html')),
            rule('nokey', 'gone', fromMap('second.html')),
            rule('nomap', 'gone', fromMap('first.html', 'nobody')),
          ],
        ) +
        // The same text means another object in another namespace.
        route('team/maps', ['team.test'], [rule('first', 'gone', fromMap('first.html'))]) +
        // What the owner of a hostname enforces is the owner's page, also on the rules of others.
        route('owner', ['owned.test'], [], {
          delegates: [{ namespaces: { from: 'All' }, pathPrefixes: ['/first'] }],
          policies: { enforced: fromMap('first.html') },
        }) +
        route('team/guest', ['owned.test'], [rule('first', 'gone', { errors: [page(['502'], 'of the guest')] })]),
      'pages.yaml': configMap('pages', { 'first.html': 'first' }),
    })
  })
  const get = (path: string, host = 'maps.test') => gateway.request({ host, path })
  const generation = async (): Promise<string> => {
    const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
    const [, number] = /^headgate_generation (\d+)$/m.exec(text) ?? []
    return number ?? assert.fail('no generation in the metrics')
  }

  it('shows its page, and the response as it is where the key or the ConfigMap is missing', async () => {
    assert.equal((await get('/first')).text, 'first')
    assert.equal((await get('/nokey')).json().reason, 'ConnectFailure')
    assert.equal((await get('/nomap')).json().reason, 'ConnectFailure')
    assert.equal((await get('/first', 'team.test')).json().reason, 'ConnectFailure')
  })

  it('shows the page of the owner who enforces it, on the rules of others', async () => {
    assert.equal((await get('/first', 'owned.test')).text, 'first')
  })

  it('shows what was changed, without a rebuild of the tables', async () => {
    const before = await generation()
    await gateway.write('pages.yaml', configMap('pages', { 'first.html': 'changed', 'second.html': 'new' }))
    await eventually(async () => assert.equal((await get('/first')).text, 'changed'), 1_000)
    assert.equal((await get('/nokey')).text, 'new')
    assert.equal(await generation(), before)
    await gateway.write('pages.yaml', configMap('pages', {}))
    await eventually(async () => assert.equal((await get('/first')).json().reason, 'ConnectFailure'), 1_000)
    assert.equal((await get('/first', 'team.test')).json().reason, 'ConnectFailure')
  })
})
