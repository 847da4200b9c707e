import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { LastGoodConfigMaps } from '../../../src/control/cluster/last-good-configmap.ts'
import type { LastGoodChange } from '../../../src/control/resource-cache.ts'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { FakeApi, type Line, type Stored, unreachable } from './fake-api.ts'
import { settle, VirtualTime } from './virtual-time.ts'

const COLLECTION = '/api/v1/namespaces/gateway/configmaps'

function kept(name: string, more: object = {}, kind: 'Route' | 'Backend' = 'Route'): LastGoodChange {
  const object = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind,
    metadata: { name, namespace: 'a' },
    spec: { rules: [], ...more },
  }
  return { kind, key: `a/${name}`, object: object as never }
}

const gone = (name: string): LastGoodChange => ({ ...kept(name), object: undefined })

function world(line: Line = {}) {
  const time = new VirtualTime()
  const api = new FakeApi()
  const warnings: string[] = []
  const leaders = new Set<string>(['one'])
  const store = (replica = 'one', installation = 'headgate') =>
    new LastGoodConfigMaps({
      client: api.client(line),
      namespace: 'gateway',
      installation,
      time: time.keeper(),
      random: () => 0.5,
      leading: () => leaders.has(replica),
      warn: (message) => warnings.push(message),
    })
  const maps = () => [...api.objects].filter(([path]) => path.startsWith(COLLECTION))
  const names = async (from: LastGoodConfigMaps) => (await from.read()).map(({ kind, key }) => `${kind} ${key}`).sort()
  return { time, api, warnings, leaders, store, maps, names }
}

suite('last good versions in ConfigMaps', () => {
  test('what the leader keeps, a new replica reads', async () => {
    const { store, names, warnings, maps } = world()
    const one = store()
    one.keep([kept('one'), kept('one', {}, 'Backend'), kept(`long-${'x'.repeat(240)}`)])
    await one.flushed()
    assert.deepEqual(await names(store('two')), ['Backend a/one', `Route a/long-${'x'.repeat(240)}`, 'Route a/one'])
    const [record] = (await store('two').read()).filter(({ kind, key }) => kind === 'Route' && key === 'a/one')
    assert.deepEqual(record?.object, kept('one').object)
    assert.deepEqual(warnings, [])
    for (const [path, { metadata }] of maps()) {
      assert.ok(metadata.name.length <= 253, path)
      assert.equal(metadata.labels?.['headgate.dev/last-good'], 'headgate')
    }
  })

  test('who does not lead writes nothing, and knows it all when it does', async () => {
    const { api, leaders, store, names, maps } = world()
    const two = store('two')
    two.keep([kept('one')])
    await two.flushed()
    assert.equal(api.calls.length, 0)
    leaders.clear()
    leaders.add('two')
    two.lead()
    await two.flushed()
    assert.equal(maps().length, 1)
    assert.deepEqual(await names(store('three')), ['Route a/one'])
  })

  test('what is well again, or deleted, is deleted, by whoever leads then', async () => {
    const { leaders, store, maps, names } = world()
    const one = store()
    one.keep([kept('one'), kept('two'), kept('three')])
    await one.flushed()
    one.keep([gone('one')])
    await one.flushed()
    assert.equal(maps().length, 2)
    const two = store('two')
    await two.read()
    two.keep([gone('two')])
    leaders.clear()
    leaders.add('two')
    two.lead()
    await two.flushed()
    assert.deepEqual(await names(store()), ['Route a/three'])
  })

  test('a restart that finds everything as it was writes nothing', async () => {
    const { api, store } = world()
    const one = store()
    one.keep([kept('one'), kept('two')])
    await one.flushed()
    api.calls.length = 0
    const next = store()
    next.keep(await next.read().then((records) => records as LastGoodChange[]))
    next.lead()
    await next.flushed()
    assert.equal(api.countOf('apply', 'delete', 'create', 'update'), 0)
  })

  test('a large object is cut into ConfigMaps below the limit of the API, and fewer when it shrinks', async () => {
    const { store, maps } = world()
    const one = store()
    const noise = randomBytes(1_200_000).toString('base64')
    one.keep([kept('large', { noise })])
    await one.flushed()
    assert.ok(maps().length >= 3, String(maps().length))
    for (const [, object] of maps()) {
      const { record = '' } = object.binaryData as Record<string, string>
      assert.ok(Buffer.from(record, 'base64').length <= 1_048_576 && JSON.stringify(object).length < 1_048_576)
    }
    const [record] = await store('two').read()
    assert.deepEqual(record?.object, kept('large', { noise }).object)
    one.keep([kept('large')])
    await one.flushed()
    assert.equal(maps().length, 1)
    assert.equal((await store('two').read()).length, 1)
  })

  test('what is too large altogether is told and not kept', async () => {
    const { store, maps, warnings } = world()
    const one = store()
    one.keep([kept('huge', { noise: 'x'.repeat(5_000_000) }), kept('small')])
    await one.flushed()
    assert.equal(maps().length, 1)
    assert.match(warnings.join(), /Route a\/huge is not kept: there is too much of it/)
  })

  test('when thousands break at once, so many are kept and the rest is told', async () => {
    const { time, store, maps, warnings } = world()
    const one = store()
    let done = false
    one.keep(Array.from({ length: 2_010 }, (_, i) => kept(`r${i}`)))
    void one.flushed().then(() => {
      done = true
    })
    // Compressing is real work, which virtual time does not wait for.
    while (!done) await time.pass(time.pending > 0 ? 50 : 0)
    assert.ok(time.now >= 95_000, `2,000 writes within ${time.now} ms`)
    assert.deepEqual([maps().length, warnings.length], [2_000, 10])
  })

  test('what is damaged, half-written or forged is passed over with a message, and what is foreign without one', async () => {
    const { api, store, maps, names, warnings } = world()
    const one = store()
    const noise = randomBytes(1_200_000).toString('base64')
    one.keep([kept('cut'), kept('large', { noise }), kept('forged'), kept('bomb'), kept('good')])
    await one.flushed()
    const of = (name: string) =>
      maps().find(
        ([, { metadata }]) =>
          metadata.annotations !== undefined && JSON.stringify(metadata.annotations).includes(`a/${name}"`),
      )!
    const edit = (name: string, data: string) => {
      const [path, object] = of(name)
      api.objects.set(path, { ...object, binaryData: { record: data } } as Stored)
    }
    edit('cut', 'AAAA')
    api.objects.delete(of('large')[0])
    edit('forged', gzipSync(JSON.stringify({ kind: 'Secret', key: 'a/forged', object: {} })).toString('base64'))
    edit('bomb', gzipSync(Buffer.alloc(64 * 1_048_576)).toString('base64'))
    api.put(`${COLLECTION}/stranger`, { metadata: { labels: { 'headgate.dev/last-good': 'headgate' } } })
    assert.deepEqual(await names(store('two')), ['Route a/good'])
    assert.equal(warnings.length, 4)
    for (const warning of warnings) assert.match(warning, /^ignoring headgate-last-good-/)
    assert.ok(api.objects.has(`${COLLECTION}/stranger`))
  })

  test('what is damaged is cleared away by the leader', async () => {
    const { api, store, maps } = world()
    const one = store()
    one.keep([kept('one')])
    await one.flushed()
    const [path, object] = maps()[0]!
    api.objects.set(path, { ...object, binaryData: {} } as Stored)
    const next = store()
    await next.read()
    next.lead()
    await next.flushed()
    assert.equal(maps().length, 0)
  })

  test('installations in one namespace do not see each other', async () => {
    const { leaders, store, names, maps } = world()
    leaders.add('other')
    const [one, other] = [store('one', 'blue'), store('other', 'green')]
    one.keep([kept('one')])
    other.keep([kept('one')])
    await one.flushed()
    await other.flushed()
    assert.equal(maps().length, 2)
    one.keep([gone('one')])
    await one.flushed()
    assert.deepEqual([await names(store('x', 'blue')), await names(store('x', 'green'))], [[], ['Route a/one']])
  })

  test('an outage is told once, and everything is written when it is over', async () => {
    let away = true
    const line = {
      there: () => {
        if (away) throw unreachable()
      },
    }
    const { time, store, maps, warnings } = world(line)
    const one = store()
    assert.deepEqual(await one.read(), [])
    one.keep([kept('one'), kept('two')])
    for (let i = 0; i < 20; i++) await time.pass(5_000)
    assert.equal(warnings.length, 2)
    assert.match(warnings[0] ?? '', /objects that are invalid now are not served/)
    away = false
    await time.pass(60_000)
    await settle()
    await one.flushed()
    assert.equal(maps().length, 2)
    assert.equal(time.pending, 0)
  })

  test('one that is refused does not hold up the others', async () => {
    const { api, store, maps, warnings } = world()
    api.refuse = ({ body }) => {
      if (JSON.stringify(body ?? '').includes('a/bad')) throw new ApiError(422, 'Invalid', 'no')
    }
    const one = store()
    one.keep([kept('bad'), kept('good')])
    await one.flushed()
    assert.equal(maps().length, 1)
    assert.match(warnings.join(), /Route a\/bad is refused \(no\)/)
  })

  test('what is noted while it writes is written too', async () => {
    const { store, maps } = world({ there: () => settle() })
    const one = store()
    one.keep([kept('one')])
    await settle()
    one.keep([kept('two')])
    one.keep([kept('three')])
    await one.flushed()
    assert.equal(maps().length, 3)
  })

  test('a stop ends the waiting', async () => {
    const { time, api, store } = world()
    const one = store()
    one.keep(Array.from({ length: 100 }, (_, i) => kept(`r${i}`)))
    while (api.countOf('apply') < 50 || time.pending === 0) await settle()
    one.stop()
    await one.flushed()
    assert.deepEqual([api.countOf('apply'), time.pending], [50, 0])
  })

  test('after a stop nothing is written', async () => {
    const { time, api, store } = world()
    const one = store()
    one.stop()
    one.keep([kept('one')])
    await time.pass(60_000)
    assert.deepEqual([api.calls.length, time.pending], [0, 0])
  })
})
