import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort, echoBackend } from '../../feature/backends.ts'
import { backend, eventually, type Gateway, manifest, route, startGateway } from '../../feature/harness.ts'
import { request } from '../../feature/raw-client.ts'
import { traffic } from '../../main/traffic.ts'

const to = (name: string) => [{ name: 'all', backendRefs: [{ name }] }]

let gateway: Gateway
const ends: (() => void | Promise<void>)[] = []

before(async () => {
  gateway = await startGateway({ after: (end) => void ends.push(end) }, {})
})

after(async () => {
  for (const end of ends) await end()
})

/** The folder holds these manifests alone, and they act: `a.example` is served, or without any is not. */
async function begin(manifests: Readonly<Record<string, string>>): Promise<void> {
  for (const file of await readdir(gateway.folder)) await gateway.remove(file)
  const status = async () => (await request(gateway.port, { host: 'a.example' })).status
  await eventually(async () => assert.equal(await status(), 404))
  for (const [name, text] of Object.entries(manifests)) await gateway.write(name, text)
  if (Object.keys(manifests).length > 0) await eventually(async () => assert.equal(await status(), 200))
}

describe('a change of the manifests', () => {
  it('costs no request, however often all of them are rewritten', async (t) => {
    const echo = await echoBackend(t)
    await begin({
      'a.yaml': backend('echo', [echo.port]) + route('a', ['a.example'], to('echo')),
      'b.yaml': route('b', ['b.example'], to('echo')),
    })
    const clients = traffic(gateway.port, 'a.example')
    for (let round = 0; round < 8; round++) {
      const rules = [{ name: `rule-${round}`, backendRefs: [{ name: 'echo', weight: round + 1 }] }]
      await gateway.write('a.yaml', backend('echo', [echo.port]) + route('a', ['a.example'], rules))
      await gateway.write('b.yaml', route('b', [`b${round}.example`], to('echo')))
      await eventually(async () => {
        assert.equal((await request(gateway.port, { host: `b${round}.example` })).status, 200)
      })
    }
    await clients.stop()
    assert.deepEqual(clients.failures, [])
    assert.ok(clients.served > 20)
  })

  it('that moves a Route to another Backend and deletes the old one in the same moment costs none either', async (t) => {
    const one = await echoBackend(t, 'one')
    const two = await echoBackend(t, 'two')
    const with_ = (name: string, port: number) => backend(name, [port]) + route('a', ['a.example'], to(name))
    const gateway = await startGateway(t, { 'a.yaml': with_('one', one.port) }, { workers: 2 })
    const clients = traffic(gateway.port, 'a.example')
    for (let round = 0; round < 6; round++) {
      const odd = round % 2 === 0
      await gateway.write('a.yaml', odd ? with_('two', two.port) : with_('one', one.port))
      await eventually(async () => {
        const answer = await request(gateway.port, { host: 'a.example' })
        assert.equal(answer.header('x-backend'), odd ? 'two' : 'one')
      })
    }
    await clients.stop()
    assert.deepEqual(clients.failures, [])
  })

  it('of endpoints alone acts on the next request', async (t) => {
    const one = await echoBackend(t, 'one')
    const two = await echoBackend(t, 'two')
    await begin({
      'route.yaml': route('a', ['a.example'], to('api')),
      'backend.yaml': backend('api', [one.port]),
    })
    await gateway.write('backend.yaml', backend('api', [two.port]))
    await eventually(async () => {
      assert.equal((await request(gateway.port, { host: 'a.example' })).header('x-backend'), 'two')
    })
    for (let i = 0; i < 10; i++)
      assert.equal((await request(gateway.port, { host: 'a.example' })).header('x-backend'), 'two')
  })

  it('that breaks one object names file, line and field, and everything else serves on', async (t) => {
    const echo = await echoBackend(t)
    const good = route('a', ['a.example'], to('echo'))
    await begin({ 'a.yaml': good, 'b.yaml': backend('echo', [echo.port]) })
    const lines = gateway.processLog.length
    const said = () => gateway.processLog.slice(lines)
    await gateway.write('a.yaml', good.replace('"hostnames"', '"hostname"'))
    const line = await eventually(() => {
      const found = said().find((text) => text.includes('spec.hostname'))
      assert.ok(found !== undefined, gateway.processLog.join('\n'))
      return JSON.parse(found) as { level: string; message: string }
    })
    assert.equal(line.level, 'error')
    assert.match(line.message, /a\.yaml:1:\d+: Route default\/a: spec\.hostname.*its last good version serves on/)
    assert.equal((await request(gateway.port, { host: 'a.example' })).status, 200)
    await gateway.write('a.yaml', good)
    await eventually(() => assert.ok(said().some((text) => text.includes('every problem'))))
  })
})

describe('an endpoint', () => {
  it('may be a DNS name', async (t) => {
    const echo = await echoBackend(t)
    const endpoints = [{ address: 'localhost', port: echo.port }]
    await begin({
      'a.yaml': manifest('Backend', 'echo', { endpoints }) + route('a', ['a.example'], to('echo')),
    })
    await eventually(async () => {
      assert.equal((await request(gateway.port, { host: 'a.example' })).status, 200)
    })
  })

  it('that may not be dialled is left out, and the log has the cause', async () => {
    await begin({})
    const endpoints = [
      { address: '169.254.169.254', port: 80 },
      { address: '127.0.0.1', port: gateway.adminPort },
    ]
    const text = manifest('Backend', 'evil', { endpoints }) + route('a', ['a.example'], to('evil'))
    await gateway.write('a.yaml', text)
    await eventually(async () => {
      const answer = await request(gateway.port, { host: 'a.example' })
      assert.deepEqual([answer.status, answer.json().reason], [503, 'NoEndpoint'])
    })
    await eventually(() => {
      assert.ok(gateway.processLog.some((line) => line.includes('link-local')))
      assert.ok(gateway.processLog.some((line) => line.includes('a port of this gateway itself')))
    })
  })
})

describe('the settings file', () => {
  it('acts while everything runs: a listener comes, and what is broken changes nothing', async (t) => {
    const echo = await echoBackend(t)
    await begin({
      'a.yaml': backend('echo', [echo.port]) + route('a', ['a.example'], to('echo')),
    })
    const file = join(dirname(gateway.folder), 'settings.json')
    const second = await closedPort()
    const settings = {
      listeners: [
        { name: 'http', address: '127.0.0.1', port: gateway.port },
        { name: 'second', address: '127.0.0.1', port: second },
      ],
      admin: { address: `127.0.0.1:${gateway.adminPort}` },
      signals: { address: `127.0.0.1:${gateway.signalsPort}` },
    }
    await writeFile(file, JSON.stringify(settings))
    await eventually(async () => {
      assert.equal((await request(second, { host: 'a.example' })).status, 200)
    })
    await writeFile(file, JSON.stringify({ ...settings, listener: [] }))
    await eventually(() => assert.ok(gateway.processLog.some((line) => line.includes('stay in force'))))
    await delay(100)
    for (const port of [gateway.port, second]) assert.equal((await request(port, { host: 'a.example' })).status, 200)
  })
})
