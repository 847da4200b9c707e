import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { NameResolver } from '../../src/control/dns.ts'

interface Heard {
  readonly changed: string[]
  readonly health: [name: string, failure: string | undefined, kept: readonly string[]][]
}

/** A resolver over a zone that the test writes; asks every few milliseconds. */
function resolver(t: TestContext, zone: Map<string, readonly string[] | Error>) {
  const heard: Heard = { changed: [], health: [] }
  const waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = []
  const look = (): void => {
    for (const one of waiting) if (one.holds()) one.resolve()
  }
  let atOnce = 0
  let most = 0
  const names = new NameResolver(
    {
      changed(name) {
        heard.changed.push(name)
        look()
      },
      health(name, failure, kept) {
        heard.health.push([name, failure, kept])
        look()
      },
    },
    () => 0.5,
    async (name) => {
      most = Math.max(most, ++atOnce)
      await new Promise((resolve) => setImmediate(resolve))
      atOnce--
      const answer = zone.get(name) ?? new Error('ENOTFOUND')
      if (answer instanceof Error) throw answer
      return answer
    },
    5,
  )
  t.after(() => names.stop())
  const until = (holds: () => boolean): Promise<void> =>
    holds() ? Promise.resolve() : new Promise((resolve) => waiting.push({ holds, resolve }))
  return { names, heard, until, most: () => most }
}

// Its timers do not keep a process alive; a test that waits for them must.
const alive = (t: TestContext): void => {
  const timer = setInterval(() => {}, 1_000)
  t.after(() => clearInterval(timer))
}

describe('a DNS name', () => {
  it('has no address until it is known, then those it has, each once, and they follow the zone', async (t) => {
    alive(t)
    const zone = new Map<string, readonly string[] | Error>([['api.test', ['10.0.0.2', '10.0.0.1', '10.0.0.2']]])
    const { names, heard, until } = resolver(t, zone)
    assert.deepEqual(names.addresses('api.test'), [])
    await until(() => heard.changed.length === 1)
    assert.deepEqual(names.addresses('api.test'), ['10.0.0.1', '10.0.0.2'])
    zone.set('api.test', ['10.0.0.3'])
    await until(() => heard.changed.length === 2)
    assert.deepEqual(names.addresses('api.test'), ['10.0.0.3'])
    assert.deepEqual(heard.health, [])
  })

  it('keeps its addresses when it cannot be resolved any more, and this is said once each way', async (t) => {
    alive(t)
    const zone = new Map<string, readonly string[] | Error>([['api.test', ['10.0.0.1']]])
    const { names, heard, until } = resolver(t, zone)
    names.addresses('api.test')
    await until(() => heard.changed.length === 1)
    zone.set('api.test', new Error('SERVFAIL'))
    await until(() => heard.health.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.deepEqual(heard.health, [['api.test', 'SERVFAIL', ['10.0.0.1']]])
    assert.deepEqual(names.addresses('api.test'), ['10.0.0.1'])
    zone.set('api.test', ['10.0.0.1'])
    await until(() => heard.health.length === 2)
    assert.deepEqual(heard.health[1], ['api.test', undefined, ['10.0.0.1']])
    assert.equal(heard.changed.length, 1, 'the same addresses are no change')
  })

  it('that has an empty answer counts as one that cannot be resolved', async (t) => {
    alive(t)
    const { names, heard, until } = resolver(t, new Map([['api.test', []]]))
    names.addresses('api.test')
    await until(() => heard.health.length === 1)
    assert.match(heard.health[0]![1]!, /no address/)
  })

  it('is not asked for any more once nobody wants it', async (t) => {
    alive(t)
    const zone = new Map([['api.test', ['10.0.0.1']]])
    const { names, heard, until } = resolver(t, zone)
    names.addresses('api.test')
    await until(() => heard.changed.length === 1)
    names.forget('api.test')
    zone.set('api.test', ['10.0.0.9'])
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.equal(heard.changed.length, 1)
    assert.deepEqual(names.addresses('api.test'), [], 'and it begins anew when somebody does')
    await until(() => heard.changed.length === 2)
  })

  it('among a hundred does not occupy the whole pool of threads', async (t) => {
    alive(t)
    const all = Array.from({ length: 100 }, (_, i) => `n${i}.test`)
    const { names, heard, until, most } = resolver(t, new Map(all.map((name) => [name, ['10.0.0.1']])))
    for (const name of all) names.addresses(name)
    await until(() => heard.changed.length === 100)
    assert.ok(most() <= 4, `${most()} at once`)
  })

  it('of the machine itself is known by the system', async (t) => {
    alive(t)
    const known = await new Promise<readonly string[]>((resolve) => {
      const names = new NameResolver(
        {
          changed: (name) => resolve(names.addresses(name)),
          health: (_, failure) => assert.equal(failure, undefined),
        },
        Math.random,
      )
      t.after(() => names.stop())
      names.addresses('localhost')
    })
    assert.ok(known.includes('127.0.0.1') || known.includes('::1'))
  })
})
