/**
 * Lists other than that of the listeners, in settings and manifests, that are written in another order or lose and gain
 * members under load.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { echoBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway } from './harness.ts'
import type { RawClient } from './raw-client.ts'

const HOST = 'a.test'
const CLIENT = '203.0.113.9'
/** Requests between two changes: fewer than the smaller share needs for one of its own. */
const TURN = 4

async function told(client: RawClient): Promise<Record<string, string>> {
  const answer = await client.request({ host: HOST, headers: { 'x-forwarded-for': CLIENT } })
  assert.equal(answer.status, 200, answer.text)
  return answer.json().headers as Record<string, string>
}

async function settingsChanged(gateway: Gateway, members: Readonly<Record<string, unknown>>): Promise<void> {
  const changes = (): number => gateway.processLog.filter((line) => line.includes('new settings are in force')).length
  const before = changes()
  await gateway.configure(members)
  await eventually(() => assert.ok(changes() > before))
}

describe('trusted proxies', () => {
  it('are a set: an open connection follows what is in it, and not its order', async (t) => {
    const echo = await echoBackend(t)
    const manifests = {
      'a.yaml': backend('echo', [echo.port]) + route('a', [HOST], [{ name: 'all', backendRefs: [{ name: 'echo' }] }]),
    }
    const trusting = (...trustedCIDRs: string[]) => ({ clientAddress: { header: 'X-Forwarded-For', trustedCIDRs } })
    const gateway = await startGateway(t, manifests, { workers: 2, settings: trusting('127.0.0.0/8', '10.0.0.0/8') })
    using client = await gateway.connect()
    const first = async (): Promise<string> => (await told(client))['x-forwarded-for']!.split(',')[0]!
    assert.equal(await first(), CLIENT)
    for (const [cidrs, trusted] of [
      [['10.0.0.0/8', '127.0.0.0/8'], true],
      [['10.0.0.0/8'], false],
      [['192.0.2.0/24', '10.0.0.0/8'], false],
      [['192.0.2.0/24', '127.0.0.0/8', '10.0.0.0/8'], true],
    ] as const) {
      await settingsChanged(gateway, trusting(...cidrs))
      await eventually(async () => assert.equal(await first(), trusted ? CLIENT : '127.0.0.1'))
    }
  })
})

describe('ranges that are never dialled', () => {
  it('close also what is connected already, in whatever place they come', async (t) => {
    const echo = await echoBackend(t)
    const manifests = {
      'a.yaml': backend('echo', [echo.port]) + route('a', [HOST], [{ name: 'all', backendRefs: [{ name: 'echo' }] }]),
    }
    const denying = (...denyCIDRs: string[]) => ({ upstreams: { denyCIDRs } })
    const gateway = await startGateway(t, manifests, { workers: 2, settings: denying('192.0.2.0/24') })
    using client = await gateway.connect()
    const ask = async (): Promise<number> => (await client.request({ host: HOST })).status
    for (const [ranges, status] of [
      [['198.51.100.0/24', '192.0.2.0/24'], 200],
      [['127.0.0.1/32', '192.0.2.0/24'], 503],
      [['192.0.2.0/24', '127.0.0.1/32'], 503],
      [['192.0.2.0/24'], 200],
    ] as const) {
      await settingsChanged(gateway, denying(...ranges))
      await eventually(async () => assert.equal(await ask(), status))
      for (let i = 0; i < 20; i++) assert.equal(await ask(), status)
    }
  })
})

describe('the ingress class', () => {
  it('renamed, takes its Routes along by name, and costs those of no class nothing', async (t) => {
    const saying = (name: string, ingressClassName?: string): string =>
      route(name, [`${name}.test`], [{ name: 'all', respond: { statusCode: 200, body: name } }], {
        ...(ingressClassName && { ingressClassName }),
      })
    const gateway = await startGateway(
      t,
      { 'all.yaml': saying('none') + saying('old', 'old') + saying('new', 'new') },
      {
        settings: { ingressClass: { name: 'old' } },
      },
    )
    using client = await gateway.connect()
    const served = async (): Promise<string[]> => {
      const names: string[] = []
      for (const name of ['none', 'old', 'new'])
        if ((await client.request({ host: `${name}.test` })).status === 200) names.push(name)
      assert.ok(names.includes('none'), 'a Route of no class is served all the time')
      return names
    }
    assert.deepEqual(await served(), ['none', 'old'])
    for (const name of ['new', 'old', 'new']) {
      await settingsChanged(gateway, { ingressClass: { name } })
      await eventually(async () => assert.deepEqual(await served(), ['none', name]))
    }
  })
})

describe('the backendRefs of a rule', () => {
  it('keep their shares by name while they are written in another order again and again', async (t) => {
    const names = ['main', 'canary', 'third']
    const backends = await Promise.all(names.map((name) => echoBackend(t, name)))
    const weights = new Map([
      ['main', 90],
      ['canary', 10],
      ['third', 0],
    ])
    const version = (number: number): string => {
      const refs = names.map((_, i) => names[(i + number) % names.length]!)
      const backendRefs = refs.map((name) => ({ name, weight: weights.get(name)! }))
      const policies = { responseHeaders: { set: [{ name: 'x-version', value: String(number) }] } }
      return route('a', [HOST], [{ name: 'all', backendRefs, policies }])
    }
    const rest = names.map((name, i) => backend(name, [backends[i]!.port])).join('')
    const gateway = await startGateway(t, { 'backends.yaml': rest, 'a.yaml': version(0) })
    using client = await gateway.connect()
    let sent = 0
    const ask = async (): Promise<string> => {
      const answer = await client.request({ host: HOST })
      assert.equal(answer.status, 200, answer.text)
      sent++
      return answer.header('x-version')!
    }
    for (let number = 1; number <= 40; number++) {
      await gateway.write('a.yaml', version(number))
      await eventually(async () => assert.equal(await ask(), String(number)))
      for (let i = 0; i < TURN; i++) assert.equal(await ask(), String(number))
    }
    // Those that looked for the new version are of the same rotation: over all together the shares are exact.
    const received = backends.map(({ received }) => received.length)
    const all = received.reduce((sum, count) => sum + count, 0)
    assert.ok(all >= sent)
    assert.ok(Math.abs(received[1]! - all / 10) <= 1.5, `canary got ${received[1]} of ${all}`)
    assert.equal(received[2], 0)
  })
})
