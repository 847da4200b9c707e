/**
 * A tenant whose objects would cost more than everything else together: they are refused by name, and nobody else
 * notices.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { eventually, type Gateway, manifest, route, startGateway, suiteScope } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { type Traffic, traffic } from '../main/traffic.ts'
import { HOSTILE, hosts, rules } from './costly.ts'

/** The promise is a second; a machine that runs other things at the same time is given some more to keep it. */
const ACTS_WITHIN = 2_500

const respond = (body: string) => ({ respond: { statusCode: 200, contentType: 'text/plain', body } })

for (const tenancy of ['Shared', 'Strict'])
  describe(`a tenant with costly objects, ${tenancy}`, () => {
    const scope = suiteScope()
    let gateway: Gateway
    let clients: Traffic
    let edits = 0
    /** The slowest change before there was anything costly. */
    let before_ = 0

    const calm = (body: string): string => route('calm/shop', ['shop.test'], [{ name: 'all', ...respond(body) }])
    const all = { namespaces: { from: 'All' }, names: ['*'] }

    before(async () => {
      gateway = await startGateway(
        scope,
        { 'calm.yaml': calm('first') },
        { workers: 2, settings: { tenancy, hostnames: [all], limits: { namespaceCost: 500_000 } } },
      )
      clients = traffic(gateway.port, 'shop.test')
      scope.after(() => clients.stop())
      await clients.more(20)
      for (let round = 0; round < 3; round++) before_ = Math.max(before_, await changed())
    })

    /** @returns milliseconds until a change of another namespace acts */
    async function changed(): Promise<number> {
      const body = `edit ${++edits}`
      const begun = performance.now()
      await gateway.write('calm.yaml', calm(body))
      await eventually(async () => assert.equal((await gateway.request({ host: 'shop.test' })).text, body))
      return performance.now() - begun
    }

    /** Another namespace's change acts, no request fails, and the control thread is the one it was. */
    async function unmoved(): Promise<void> {
      const took = await changed()
      assert.ok(took < Math.max(ACTS_WITHIN, 10 * before_), `acts after ${took} ms, before the attack ${before_} ms`)
      await clients.more(20)
      assert.deepEqual(clients.failures, [])
      const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
      assert.match(text, /headgate_control_restarts_total 0\n/)
      assert.match(text, /headgate_worker_restarts_total\{worker="0"\} 0\n/)
    }

    async function problems(): Promise<readonly { object: string; reason: string; message: string }[]> {
      return JSON.parse((await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })).text).items
    }

    for (const [what, spec] of HOSTILE)
      it(`is refused by name: ${what}`, async () => {
        await gateway.write('evil.yaml', manifest('Route', 'evil/costly', spec()))
        await eventually(async () => {
          const found = (await problems()).find(({ object }) => object === 'Route evil/costly')
          assert.equal(found?.reason, 'TooCostly')
          assert.match(found.message, /units, and one object may cost 300000.*; nothing of it is served$/)
        })
        await eventually(() => {
          const told = gateway.processLog.some((line) => line.includes('Route evil/costly') && line.includes('costs'))
          assert.ok(told)
        })
        await unmoved()
      })

    it('has its last good version served on when an edit costs too much', async () => {
      const good = manifest('Route', 'evil/costly', {
        hostnames: ['evil.test'],
        rules: [{ name: 'a', ...respond('good') }],
      })
      await gateway.write('evil.yaml', good)
      await eventually(async () => assert.equal((await gateway.request({ host: 'evil.test' })).text, 'good'))
      await gateway.write('evil.yaml', manifest('Route', 'evil/costly', HOSTILE[0]![1]()))
      await eventually(async () =>
        assert.equal(
          (await problems()).some(({ reason }) => reason === 'TooCostly'),
          true,
        ),
      )
      assert.equal((await gateway.request({ host: 'evil.test' })).text, 'good')
      await unmoved()
    })

    it('may not have many that are each just cheap enough: the younger ones are not served, and say so', async () => {
      const large = (i: number): string =>
        manifest('Route', `evil/large-${i}`, {
          hostnames: hosts(32).map((host) => `${i}-${host}`),
          rules: rules(64, 16, (r, m) => ({ path: { value: `/${r}/${m}` } })),
        })
      await gateway.write('evil.yaml', Array.from({ length: 8 }, (_, i) => large(i)).join(''))
      await eventually(async () => {
        const beyond = (await problems()).filter(({ reason }) => reason === 'QuotaExceeded')
        // 131,584 units each: three fit.
        assert.deepEqual(
          beyond.map(({ object }) => object).sort(),
          [3, 4, 5, 6, 7].map((i) => `Route evil/large-${i}`),
        )
        assert.match(beyond[0]!.message, /cost more than 500000 units \(limits\.namespaceCost of the settings\)/)
      })
      assert.equal((await gateway.request({ host: '0-h0.test', path: '/1/1' })).status, 200)
      assert.equal((await gateway.request({ host: '3-h0.test', path: '/1/1' })).status, 404)
      await unmoved()
    })

    it('cannot make delegation cost more than it is worth, as owner and as guest', async () => {
      const delegates = Array.from({ length: 32 }, (_, d) => ({
        namespaces: { from: 'All' },
        pathPrefixes: Array.from({ length: 32 }, (_, i) => `/p${d}-${i}/xxxxx`),
      }))
      const owner = manifest('Route', 'evil/owner', { hostnames: hosts(64), delegates, rules: [] })
      const guests = [0, 1, 2].map((n) =>
        manifest('Route', `guest-${n}/guest`, {
          hostnames: hosts(64),
          rules: rules(64, 16, (r, m) =>
            n === 0
              ? { path: { value: `/x${r}/${m}` } }
              : { path: { type: 'RegularExpression', value: `/${r % 4}.*${m}` } },
          ),
        }),
      )
      await gateway.write('evil.yaml', owner + guests.join(''))
      await eventually(async () => {
        const found = await problems()
        assert.ok(
          found.some(({ object }) => object === 'Route guest-0/guest'),
          JSON.stringify(found).slice(0, 500),
        )
      })
      for (const { message } of await problems()) assert.ok(message.length < 5_000, `${message.length} characters`)
      await unmoved()
    })
  })
