/** Services register themselves: PUT, heartbeats and DELETE in; traffic, statuses and a restart out. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend } from './backends.ts'
import { backend, eventually, type Gateway, manifest, route, startGateway, suiteScope } from './harness.ts'
import { type RawResponse, request } from './raw-client.ts'

const TOKEN = 'token-of-the-feature-test'

const MANIFESTS = {
  'a.yaml':
    manifest('Backend', 'api', {
      registration: { lease: '1m' },
      loadBalancing: { algorithm: 'RoundRobin' },
      sessionAffinity: { header: { name: 'x-session' } },
    }) +
    backend('fixed', [9]) +
    route('all', [], [{ name: 'api', backendRefs: [{ name: 'api' }] }]),
}

describe('registered endpoints', () => {
  const scope = suiteScope()
  const all: EchoBackend[] = []
  let gateway: Gateway
  let start: () => Promise<Gateway>

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-registration-'))
    scope.after(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), TOKEN, { mode: 0o600 })
    const admin = { tokenFile: join(folder, 'token') }
    const settings = { admin, stateDirectory: join(folder, 'state') }
    start = () => startGateway(scope, MANIFESTS, { settings, workers: 2 })
    for (const name of ['a', 'b', 'c']) all.push(await echoBackend(scope, name))
    gateway = await start()
  })

  async function call(method: string, path: string, body?: object): Promise<RawResponse> {
    return await request(gateway.adminPort, {
      ...{ method, path: `/api/v1/backends/default/${path}`, host: 'localhost' },
      headers: { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
  }
  const put = (id: string, body: object = {}) => {
    const { port } = all[['a', 'b', 'c'].indexOf(id[0]!)]!
    return call('PUT', `api/endpoints/${id}`, { address: '127.0.0.1', port, ...body })
  }
  /** Names of those that respond to a few requests; no other response is accepted. */
  async function responding(): Promise<string> {
    const names = new Set<string>()
    for (let i = 0; i < 12; i++) {
      const response = await gateway.request()
      assert.equal(response.status, 200, response.text)
      names.add(String(response.json().name))
    }
    return [...names].sort().join()
  }

  it('serve from their PUT on, and no request fails while they come, go and lose their lease', async () => {
    assert.equal((await gateway.request()).json().reason, 'NoEndpoint')
    assert.equal((await put('a')).status, 201)
    await eventually(async () => assert.equal(await responding(), 'a'))
    assert.equal((await put('b', { lease: '1s', zone: 'z' })).status, 201)
    await eventually(async () => assert.equal(await responding(), 'a,b'))
    const view = (await request(gateway.adminPort, { path: '/api/v1/backends', host: 'localhost' })).json()
    const row = (view.items as { id: string; endpoints: object[] }[]).find(({ id }) => id === 'default/api')
    assert.equal(row?.endpoints.length, 2)
    // No heartbeat comes.
    await eventually(async () => assert.equal(await responding(), 'a'))
    const expiry = /default\/api: b .*no heartbeat came within 1s/
    await eventually(() => assert.match(gateway.processLog.join('\n'), expiry))
    await put('c')
    await eventually(async () => assert.equal(await responding(), 'a,c'))
    assert.equal((await call('DELETE', 'api/endpoints/a')).status, 200)
    await eventually(async () => assert.equal(await responding(), 'c'))
    // Nothing else is left: one that drains is better than none.
    await call('DELETE', 'api/endpoints/c')
    assert.ok(['a', 'c', 'a,c'].includes(await responding()))
  })

  it('are there after a restart, without a new registration', async () => {
    for (const id of ['a', 'b']) assert.ok((await put(id)).status < 300)
    await call('DELETE', 'api/endpoints/c?drain=0s')
    await eventually(async () => assert.equal(await responding(), 'a,b'))
    const first = await gateway.request()
    const session = { 'x-session': first.header('x-session')! }
    gateway.process.kill('SIGKILL')
    await gateway.stop()
    gateway = await start()
    await eventually(async () => assert.equal(await responding(), 'a,b'))
    // Their clients come back to them, too.
    for (let i = 0; i < 5; i++) {
      const again = await gateway.request({ headers: session })
      assert.deepEqual([again.header('x-backend'), again.header('x-session')], [first.header('x-backend'), undefined])
    }
    const { items } = (await call('GET', 'api/endpoints')).json() as { items: { id: string; remaining: string }[] }
    assert.deepEqual(items.map(({ id }) => id).sort(), ['a', 'b'])
    assert.ok(items.every(({ remaining }) => remaining !== '1m'))
  })

  it('only lead where the dial guard allows it, and only into Backends that ask for them', async () => {
    for (const [address, port] of [
      ['169.254.169.254', 80],
      ['::ffff:169.254.169.254', 80],
      ['fe80::1', 80],
      ['0.0.0.0', 80],
      ['::', 80],
      ['64:ff9b::a9fe:a9fe', 80],
      ['127.0.0.1', gateway.port],
      ['127.0.0.1', gateway.adminPort],
      ['127.0.0.1', gateway.signalsPort],
    ] as const) {
      const refused = await put('a-x', { address, port })
      assert.deepEqual([refused.status, refused.json().reason], [422, 'AddressRefused'], `${address} ${port}`)
    }
    const fixed = await call('PUT', 'fixed/endpoints/a', { address: '10.0.0.7', port: 80 })
    assert.equal(fixed.json().reason, 'RegistrationNotEnabled')
    assert.equal(
      (await call('PUT', 'none/endpoints/a', { address: '10.0.0.7', port: 80 })).json().reason,
      'BackendNotFound',
    )
    assert.equal(await responding(), 'a,b')
  })

  it('stay while their Backend is edited, broken or gone for a moment', async () => {
    await gateway.write('a.yaml', MANIFESTS['a.yaml'].replace('RoundRobin', 'LeastRequest'))
    await eventually(async () => assert.equal(await responding(), 'a,b'))
    await gateway.write(
      'a.yaml',
      MANIFESTS['a.yaml'].replace('"registration":{"lease":"1m"}', '"endpoints":[{"address":"127.0.0.1","port":1}]'),
    )
    await eventually(async () => assert.equal((await gateway.request()).status, 502))
    await gateway.write('a.yaml', MANIFESTS['a.yaml'])
    await eventually(async () => assert.equal(await responding(), 'a,b'))
  })
})
