import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { echoBackend } from './backends.ts'
import { backend, eventually, type Gateway, manifest, route, startGateway, suiteScope } from './harness.ts'

const saying = (host: string, body: string): string =>
  route(host.replace('.test', ''), [host], [{ name: 'all', respond: { statusCode: 200, body } }])

async function said(gateway: Gateway, host: string): Promise<string> {
  const answer = await gateway.request({ host })
  return answer.status === 200 ? answer.text : `${answer.status} ${answer.json().reason}`
}

describe('a folder that changes while it is served', () => {
  const scope = suiteScope()
  let shared: Gateway | undefined

  it('acts on files that change, appear and vanish', async (t) => {
    const gateway = await startGateway(t, { 'a.yaml': saying('a.test', 'one') })
    assert.equal(await said(gateway, 'a.test'), 'one')
    const began = performance.now()
    await gateway.write('a.yaml', saying('a.test', 'two'))
    await eventually(async () => assert.equal(await said(gateway, 'a.test'), 'two'))
    assert.ok(performance.now() - began < 2_000, 'without waiting for a poll')
    await writeFile(join(gateway.folder, 'a.yaml'), saying('a.test', 'in place'))
    await eventually(async () => assert.equal(await said(gateway, 'a.test'), 'in place'))
    await gateway.write('sub/folder/b.yaml', saying('b.test', 'new'))
    await eventually(async () => assert.equal(await said(gateway, 'b.test'), 'new'))
    await gateway.remove('a.yaml')
    await eventually(async () => assert.equal(await said(gateway, 'a.test'), '404 HostNotFound'))
    assert.equal(await said(gateway, 'b.test'), 'new')
  })

  for (const [what, broken, told] of [
    ['a syntax error', 'kind: Route\n  metadata: [', /./],
    ['an unknown field', manifest('Route', 'a', { hostnames: ['a.test'], rulez: [] }), /rulez/],
    ['a wrong type', manifest('Route', 'a', { hostnames: 'a.test', rules: [] }), /hostnames/],
    [
      'a field that is not built yet',
      route(
        'a',
        ['a.test'],
        [{ name: 'all', respond: { statusCode: 200 }, policies: { compression: { algorithms: ['gzip'] } } }],
      ),
      /NotImplemented|compression/,
    ],
    [
      'a regular expression that is none',
      route(
        'a',
        ['a.test'],
        [
          {
            name: 'all',
            matches: [{ path: { type: 'RegularExpression', value: '/(' } }],
            respond: { statusCode: 200 },
          },
        ],
      ),
      /./,
    ],
    ['binary bytes', '\0\u0001\u0002\ufffd', /./],
  ] as const)
    it(`serves the last good version of a file with ${what}, and says so`, async () => {
      shared ??= await startGateway(scope, {})
      const gateway = shared
      await gateway.write('a.yaml', saying('a.test', 'good'))
      await gateway.write('b.yaml', saying('b.test', 'other'))
      await eventually(async () => assert.equal(await said(gateway, 'a.test'), 'good'))
      await eventually(async () => assert.equal(await said(gateway, 'b.test'), 'other'))
      const lines = gateway.processLog.length
      await gateway.write('a.yaml', broken)
      await eventually(() => {
        const news = gateway.processLog.slice(lines).join('\n')
        assert.match(news, /a\.yaml|default\/a/)
        assert.match(news, told)
      })
      assert.equal(await said(gateway, 'a.test'), 'good')
      await gateway.write('b.yaml', saying('b.test', 'changed'))
      await eventually(async () => assert.equal(await said(gateway, 'b.test'), 'changed'))
      assert.equal(await said(gateway, 'a.test'), 'good')
      await gateway.write('a.yaml', saying('a.test', 'mended'))
      await eventually(async () => assert.equal(await said(gateway, 'a.test'), 'mended'))
    })

  it('closes a rule whose broken edit adds authentication, rather than serve it open', async (t) => {
    const gateway = await startGateway(t, { 'a.yaml': saying('a.test', 'open') })
    const guarded = {
      name: 'all',
      // What breaks it.
      matches: [{ path: { type: 'RegularExpression', value: '/(' } }],
      respond: { statusCode: 200, body: 'open' },
      policies: { auth: { basic: { secretName: 'x' } } },
    }
    await gateway.write('a.yaml', route('a', ['a.test'], [guarded]))
    await eventually(async () => assert.equal(await said(gateway, 'a.test'), '503 RuleClosed'))
  })

  it('starts with an empty folder, and with a broken file beside good ones', async (t) => {
    const empty = await startGateway(t, {})
    assert.equal(await said(empty, 'a.test'), '404 HostNotFound')
    await empty.write('a.yaml', saying('a.test', 'first'))
    await eventually(async () => assert.equal(await said(empty, 'a.test'), 'first'))
    const mixed = await startGateway(t, { 'bad.yaml': '{{{', 'good.yaml': saying('a.test', 'good') })
    assert.equal(await said(mixed, 'a.test'), 'good')
  })

  it('loses no request while everything is rewritten again and again', async (t) => {
    const echo = await echoBackend(t)
    const version = (number: number): string =>
      backend('echo', [echo.port]) +
      route(
        'load',
        ['load.test'],
        [
          {
            name: 'all',
            backendRefs: [{ name: 'echo' }],
            policies: { responseHeaders: { set: [{ name: 'x-version', value: String(number) }] } },
          },
        ],
      )
    const gateway = await startGateway(t, { 'load.yaml': version(0) }, { workers: 2 })
    const seen = new Set<string>()
    let running = true
    const asking = async (): Promise<number> => {
      let count = 0
      using client = await gateway.connect()
      while (running) {
        const answer = await client.request({ host: 'load.test', path: '/' })
        assert.equal(answer.status, 200, answer.text)
        seen.add(answer.header('x-version')!)
        count++
      }
      return count
    }
    const clients = Array.from({ length: 4 }, asking)
    for (let number = 1; number <= 15; number++) {
      await gateway.write('load.yaml', version(number))
      await eventually(() => assert.ok(seen.has(String(number)), `version ${number} is not served`))
    }
    running = false
    const counts = await Promise.all(clients)
    assert.ok(counts.every((count) => count > 15))
  })
})
