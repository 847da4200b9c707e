import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { suite, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { LastGoodConfigMaps } from '../../../src/control/last-good/last-good-configmap.ts'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import type { LastGoodChange } from '../../../src/thread/retained-state.ts'
import { settle, VirtualTime } from '../../lib/virtual-time.ts'
import { FakeApi, type Line, type Stored, unreachable } from '../status/fake-api.ts'

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

async function flushed(time: VirtualTime, one: LastGoodConfigMaps): Promise<void> {
  let done = false
  void one.flushed().then(() => {
    done = true
  })
  // Compressing is real work, which virtual time does not wait for.
  while (!done) await time.pass(time.pending > 0 ? 50 : 0)
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
    assert.deepEqual(
      maps().map(([path]) => path),
      [`${COLLECTION}/headgate-last-good`],
    )
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

  test('what is well again, or deleted, is deleted by the leader of that time', async () => {
    const { leaders, store, maps, names } = world()
    const one = store()
    one.keep([kept('one'), kept('two'), kept('three')])
    await one.flushed()
    one.keep([gone('one')])
    await one.flushed()
    assert.deepEqual(await names(store()), ['Route a/three', 'Route a/two'])
    const two = store('two')
    await two.read()
    two.keep([gone('two')])
    leaders.clear()
    leaders.add('two')
    two.lead()
    await two.flushed()
    assert.deepEqual(await names(store()), ['Route a/three'])
    two.keep([gone('three')])
    await two.flushed()
    assert.equal(maps().length, 0)
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

  test('a large object is cut into ConfigMaps below the limit of the API, and put together again', async () => {
    const { store, maps } = world()
    const one = store()
    const noise = randomBytes(1_200_000).toString('base64')
    one.keep([kept('small'), kept('other'), kept('large', { noise })])
    await one.flushed()
    assert.deepEqual([maps().length, maps()[1]?.[0]], [2, `${COLLECTION}/headgate-last-good-1`])
    for (const [, object] of maps()) assert.ok(JSON.stringify(object).length < 1_048_576)
    const records = await store('two').read()
    assert.equal(records.length, 3)
    assert.deepEqual(records.find(({ key }) => key === 'a/large')?.object, kept('large', { noise }).object)
    one.keep([kept('large')])
    await one.flushed()
    assert.equal(maps().length, 1)
    assert.equal((await store('two').read()).length, 3)
  })

  test('what is too large by itself is reported and not kept', async () => {
    const { store, names, warnings } = world()
    const one = store()
    one.keep([kept('huge', { noise: 'x'.repeat(5_000_000) }), kept('small')])
    await one.flushed()
    assert.deepEqual(await names(store('two')), ['Route a/small'])
    assert.match(warnings.join(), /Route a\/huge is not kept: there is too much of it/)
  })

  test('a kept hostname finds room when broken Routes of another namespace have filled all there is', async () => {
    const { time, store, names } = world()
    const one = store()
    const sizes = [500_000, 40_000, 3_000, 300].flatMap((bytes) => Array.from({ length: 100 }, () => bytes))
    one.keep(sizes.map((bytes, i) => kept(`r${i}`, { noise: randomBytes(bytes).toString('base64') })))
    await Promise.all([one.flushed(), time.pass(60_000)])
    const hold = {
      namespace: 'shop',
      key: 'shop/a',
      created: 5,
      until: 3_600_000,
      noise: randomBytes(500).toString('hex'),
    }
    one.keep([{ kind: 'Hostname', key: 'shop.test', object: hold }])
    await Promise.all([one.flushed(), time.pass(60_000)])
    assert.ok((await names(store('two'))).includes('Hostname shop.test'))
  })

  test('thousands of foreign records delay no start and do not fill the log', async () => {
    const { api, store, warnings } = world()
    const bomb = gzipSync(Buffer.alloc(4 * 1_024 * 1_024)).toString('base64')
    const hex = (bytes: number) => randomBytes(bytes).toString('hex')
    for (const [name, content, count] of [
      ['headgate-last-good', bomb, 150],
      ['headgate-last-good-1', 'AA==', 9_000],
    ] as const)
      api.put(`${COLLECTION}/${name}`, {
        binaryData: Object.fromEntries(Array.from({ length: count }, () => [`${hex(16)}.${hex(32)}.0.1`, content])),
      })
    assert.deepEqual(await store().read(), [])
    assert.equal(warnings.length, 9)
    assert.match(
      warnings.at(-1) ?? '',
      /more than 64 .* cannot be used: .* who may write ConfigMaps of namespace gateway\?/,
    )
  })

  const of = (namespace: string, name: string, bytes: number): LastGoodChange => {
    const { kind, object } = kept(name, { noise: randomBytes(bytes).toString('base64') })
    return { kind, key: `${namespace}/${name}`, object } as LastGoodChange
  }

  test('a namespace with more than fits does not keep another from having its own back', async () => {
    const { time, store, warnings, names } = world()
    const one = store()
    const noisy = Array.from({ length: 12 }, (_, i) => of('noisy', `r${i}`, 600_000))
    one.keep(noisy)
    await flushed(time, one)
    const before = (await names(store('two'))).length
    assert.ok(before < 12)
    one.keep([of('calm', 'shop', 500_000), of('calm', 'web', 1_000)])
    await flushed(time, one)
    const after = await names(store('two'))
    assert.ok(after.includes('Route calm/shop') && after.includes('Route calm/web'), after.join())
    assert.ok(after.length >= before, 'no more made room than had to')
    assert.ok(warnings.length <= 8, `${warnings.length} lines`)
    one.keep([{ kind: 'Route', key: 'calm/shop', object: undefined }])
    await flushed(time, one)
    assert.equal((await names(store('two'))).filter((name) => name.includes('noisy')).length, before, 'and has it back')
  })

  test('nor by hostnames that are kept for it, of which there may be thousands', async () => {
    const { time, store, names } = world()
    const hold = (namespace: string, i: number): LastGoodChange => ({
      kind: 'Hostname',
      key: `h${i}.${namespace}.test`,
      object: {
        namespace,
        key: `${namespace}/r`,
        created: 1,
        until: undefined,
        noise: randomBytes(3_000).toString('hex'),
      } as never,
    })
    const one = store()
    one.keep(Array.from({ length: 12 }, (_, i) => of('noisy', `r${i}`, 600_000)))
    one.keep(Array.from({ length: 400 }, (_, i) => hold('noisy', i)))
    await flushed(time, one)
    one.keep([hold('calm', 1)])
    await flushed(time, one)
    assert.ok((await names(store('two'))).includes('Hostname h1.calm.test'))
  })

  test('what is too much together is reported and not kept; there are never more ConfigMaps than roles can name', async () => {
    const { store, maps, names, warnings } = world()
    const one = store()
    one.keep(Array.from({ length: 5 }, (_, i) => kept(`r${i}`, { noise: randomBytes(1_500_000).toString('base64') })))
    await one.flushed()
    assert.ok(maps().length <= 8)
    assert.equal((await names(store('two'))).length, 3)
    assert.equal(warnings.length, 2)
  })

  test('thousands that break at once are a few writes, and each write has its time', async () => {
    const { time, api, store, names } = world()
    const one = store()
    for (let i = 0; i < 2_000; i += 100) one.keep(Array.from({ length: 100 }, (_, j) => kept(`r${i + j}`)))
    await flushed(time, one)
    assert.equal((await names(store('two'))).length, 2_000)
    assert.ok(api.countOf('create', 'update') <= 16, String(api.countOf('create', 'update')))
  })

  test('what is damaged, half-written or forged is passed over with a message, and cleared away by the leader', async () => {
    const { api, store, maps, names, warnings } = world()
    const one = store()
    one.keep(['cut', 'forged', 'bomb', 'other', 'good'].map((name) => kept(name)))
    await one.flushed()
    const [path, object] = maps()[0]!
    const data = object.binaryData as Record<string, string>
    const memberOf = (name: string) => {
      const identity = createHash('sha256').update(`Route a/${name}`).digest('hex').slice(0, 32)
      return Object.keys(data).find((member) => member.startsWith(identity))!
    }
    const forged = gzipSync(JSON.stringify({ kind: 'Secret', key: 'a/forged', object: {} })).toString('base64')
    const edited: Record<string, string> = {
      ...data,
      [memberOf('cut')]: 'AAAA',
      [memberOf('forged')]: forged,
      [memberOf('bomb')]: gzipSync(Buffer.alloc(64 * 1_048_576)).toString('base64'),
      stranger: 'AAAA',
    }
    edited[memberOf('other').replace('.0.1', '.0.2')] = data[memberOf('other')]!
    delete edited[memberOf('other')]
    api.put(path, { ...object, binaryData: edited, data: { note: 'by hand' } } as Stored)
    const next = store()
    assert.deepEqual(await names(next), ['Route a/good'])
    assert.equal(warnings.length, 4)
    for (const warning of warnings) assert.match(warning, /^ignoring a last good version/)
    next.lead()
    await next.flushed()
    const now = api.objects.get(path)
    assert.deepEqual([Object.keys(now?.binaryData as object), now?.data], [[memberOf('good')], undefined])
  })

  test('two that write at once come to the same in the end', async () => {
    const { time, leaders, store, names, maps } = world()
    leaders.add('two')
    const [one, two] = [store('one'), store('two')]
    for (const each of [one, two]) each.keep([kept('a'), kept('b')])
    one.keep([kept('c')])
    two.keep([kept('c')])
    for (let i = 0; i < 50; i++) await time.pass(200)
    await Promise.all([one.flushed(), two.flushed()])
    assert.deepEqual(await names(store('x')), ['Route a/a', 'Route a/b', 'Route a/c'])
    assert.equal(maps().length, 1)
  })

  test('they end with the object that owns them', async () => {
    const time = new VirtualTime()
    const api = new FakeApi()
    const owner = { apiVersion: 'v1', kind: 'Service', name: 'headgate', uid: 'u' }
    const one = new LastGoodConfigMaps({
      client: api.client(),
      namespace: 'gateway',
      installation: 'headgate',
      time: time.keeper(),
      random: () => 0.5,
      leading: () => true,
      owner: () => owner,
      warn: assert.fail,
    })
    one.keep([kept('one')])
    await one.flushed()
    assert.deepEqual(api.objects.get(`${COLLECTION}/headgate-last-good`)?.metadata.ownerReferences, [owner])
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

  test('an outage is reported once, and everything is written when it is over', async () => {
    let away = true
    const line = {
      there: () => {
        if (away) throw unreachable()
      },
    }
    const { time, store, names, warnings } = world(line)
    const one = store()
    one.keep([kept('one'), kept('two')])
    for (let i = 0; i < 20; i++) await time.pass(5_000)
    assert.equal(warnings.length, 1)
    away = false
    await time.pass(60_000)
    await settle()
    await one.flushed()
    assert.equal((await names(store())).length, 2)
    assert.equal(time.pending, 0)
  })

  test('reading waits for an API server that is not there, and not for one that refuses or only fails', async () => {
    let away = true
    const line = {
      there: () => {
        if (away) throw unreachable()
      },
    }
    const { time, api, store, warnings } = world(line)
    let records: unknown
    void store()
      .read()
      .then((read) => {
        records = read
      })
    await time.pass(120_000)
    assert.deepEqual([records, warnings.length], [undefined, 1])
    away = false
    await time.pass(6_000)
    assert.deepEqual(records, [])
    for (const status of [403, 500]) {
      api.refuse = () => {
        throw new ApiError(status, 'No', 'no')
      }
      const refused = store().read()
      await time.pass(60_000)
      assert.deepEqual(await refused, [])
      assert.match(warnings.at(-1) ?? '', /objects that are invalid now are not served/)
    }
    assert.equal(time.pending, 0)
  })

  test('what is noted while it writes is written too', async () => {
    const { store, names } = world({ there: () => settle() })
    const one = store()
    one.keep([kept('one')])
    await settle()
    one.keep([kept('two')])
    one.keep([kept('three')])
    await one.flushed()
    assert.equal((await names(store())).length, 3)
  })

  test('a stop ends the waiting', async () => {
    const { time, api, store } = world()
    const one = store()
    for (let i = 0; i < 9; i++) {
      one.keep([kept(`r${i}`)])
      while (api.countOf('create', 'update') < Math.min(i + 1, 8) || (i === 8 && time.pending === 0)) await settle()
    }
    one.stop()
    await one.flushed()
    assert.deepEqual([api.countOf('create', 'update'), time.pending], [8, 0])
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
