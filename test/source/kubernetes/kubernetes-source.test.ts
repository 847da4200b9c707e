import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Interest, SourceEvent } from '../../../src/source/source.ts'
import { interestIn, type Manifest, route } from '../../suite/source.ts'
import type { Asked, FakeApiOptions } from './fake-api.ts'
import { eventually, NOTHING, open, type World } from './world.ts'

const backend = (name: string, namespace = 'shop'): Manifest => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Backend',
  metadata: { name, namespace },
  spec: { service: { name, port: 80 } },
})
const service = (name: string, namespace = 'shop'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { ports: [{ port: 80 }] },
})
const slice = (name: string, of: string, address = '10.0.0.1', namespace = 'shop'): Manifest => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, namespace, labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4',
  endpoints: [{ addresses: [address] }],
  ports: [{ port: 80 }],
})
const secret = (name: string, namespace = 'shop', value = 'QQ=='): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  type: 'kubernetes.io/tls',
  data: { 'tls.crt': value },
})

type Options = Parameters<typeof open>[0]

function inCluster(run: (world: World) => Promise<void>, options: Options = {}, api: FakeApiOptions = {}) {
  return async () => {
    const world = await open(options, api)
    try {
      await run(world)
      assert.deepEqual(world.failures, [])
    } finally {
      await world.close()
    }
  }
}

const watched = (asked: Iterable<Asked>) =>
  [...asked]
    .map(({ collection, namespace, query }) => {
      const selector = query.get('fieldSelector') ?? query.get('labelSelector')
      return [collection, namespace, selector?.replace(/^.*=/, '=')].filter((part) => part !== undefined).join(' ')
    })
    .sort()

const keysOf = (world: World) => [...world.heard.objects.keys()].sort()

const services = (...names: string[]): Interest => interestIn({ services: names.map((name) => `shop/${name}`) })
const secrets = (...names: string[]): Interest => interestIn({ secrets: names.map((name) => `shop/${name}`) })

describe('what a source watches in a cluster', () => {
  it(
    'is Routes and Backends, and nothing else until something refers to it',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const one of [route('r'), backend('b'), service('v'), slice('e', 'v'), secret('s')]) api.put(one)
      source.start(heard)
      await heard.untilSynced()
      await eventually(() => api.openWatches.length === 2, 'two watches')
      assert.deepEqual(keysOf(world), ['Backend shop/b', 'Route shop/r'])
      assert.deepEqual(watched(api.asked.filter(({ verb }) => verb === 'list')), ['backends', 'routes'])
    }),
  )

  it(
    'is the Services that are used, with their EndpointSlices, one by one',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const name of ['a', 'b', 'unused'])
        for (const one of [service(name), slice(`${name}-1`, name), slice(`${name}-2`, name)]) api.put(one)
      source.start(heard)
      await heard.untilSynced()
      source.interest(services('a', 'b', 'missing'))
      await heard.untilHas('EndpointSlice shop/b-2')
      await eventually(() => api.openWatches.length === 8, 'eight watches')
      assert.deepEqual(watched(api.openWatches), [
        'backends',
        'endpointslices shop =a',
        'endpointslices shop =b',
        'endpointslices shop =missing',
        'routes',
        'services shop =a',
        'services shop =b',
        'services shop =missing',
      ])
      assert.deepEqual(
        keysOf(world).filter((key) => key.includes('unused')),
        [],
      )
      api.put(slice('late', 'missing'))
      await heard.untilHas('EndpointSlice shop/late')
      source.interest(services('b'))
      await heard.untilGone('EndpointSlice shop/a-1')
      await eventually(() => api.openWatches.length === 4, 'four watches')
      assert.deepEqual(keysOf(world), ['EndpointSlice shop/b-1', 'EndpointSlice shop/b-2', 'Service shop/b'])
    }),
  )

  it(
    'is what was needed when it synced, before it says so',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const one of [route('r'), backend('a'), service('a'), slice('a-1', 'a')]) api.put(one)
      const changed = heard.changed.bind(heard)
      heard.changed = (events: SourceEvent[]) => {
        changed(events)
        // As the control thread does: what objects refer to is known when they are.
        if (events.some(({ kind }) => kind === 'Backend')) source.interest(services('a'))
      }
      source.start(heard)
      await heard.untilSynced()
      const keys = ['Backend shop/a', 'EndpointSlice shop/a-1', 'Route shop/r', 'Service shop/a']
      assert.deepEqual(keysOf(world), keys)
      assert.equal(heard.events.length, 4)
    }),
  )

  it(
    'is Namespaces where labels count, and no longer when they do not',
    inCluster(async (world) => {
      const { api, source, heard } = world
      const namespace = (name: string): Manifest => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
      api.put(namespace('shop'))
      source.interest(interestIn({ namespaces: true }))
      source.start(heard)
      await heard.untilSynced()
      assert.deepEqual(keysOf(world), ['Namespace /shop'])
      api.put(namespace('other'))
      await heard.untilHas('Namespace /other')
      source.interest(NOTHING)
      await heard.untilGone('Namespace /other')
      await eventually(() => api.openWatches.length === 2, 'two watches')
    }),
  )

  it(
    'is in some namespaces only, where it is told so, whatever refers beyond them',
    inCluster(
      async (world) => {
        const { api, source, heard } = world
        for (const namespace of ['shop', 'blog', 'other']) {
          api.put(route('r', 'hello', namespace))
          api.put(secret('s', namespace))
        }
        source.interest(interestIn({ secrets: ['shop/s', 'other/s', 'nonsense', '/s', 'shop/'] }))
        source.start(heard)
        await heard.untilSynced()
        assert.deepEqual(keysOf(world), ['Route blog/r', 'Route shop/r', 'Secret shop/s'])
        await eventually(() => api.openWatches.length === 5, 'five watches')
        assert.deepEqual(watched(api.openWatches), [
          'backends blog',
          'backends shop',
          'routes blog',
          'routes shop',
          'secrets shop =s',
        ])
      },
      { namespaces: ['shop', 'blog', 'shop'] },
    ),
  )
})

describe('many objects of a kind in a namespace', () => {
  const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `s${i + from}`)

  it(
    'are watched together from the fiftieth on, without those that nothing refers to',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const name of names(60)) api.put(secret(name))
      source.start(heard)
      await heard.untilSynced()
      source.interest(secrets(...names(49)))
      await heard.until(() => heard.objects.size === 49, '49 objects')
      await eventually(() => api.openWatches.length === 51, '49 watches and two')
      source.interest(secrets(...names(50)))
      await eventually(() => api.openWatches.length === 3, 'one watch and two')
      await heard.until(() => heard.objects.size === 50, '50 objects')
      assert.deepEqual(watched(api.openWatches), ['backends', 'routes', 'secrets shop'])
      assert.equal(heard.events.length, 50, 'nothing was told twice, nothing taken back')
      assert.ok(heard.events.every(({ type }) => type === 'upsert'))
      // Now it is this watch that tells, and only of those.
      api.put(secret('s7', 'shop', 'Qg=='))
      api.put(secret('s55', 'shop', 'Qg=='))
      api.remove(secret('s8'))
      await heard.untilGone('Secret shop/s8')
      assert.equal(heard.events.length, 52)
      assert.ok(!keysOf(world).includes('Secret shop/s55'))
    }),
  )

  it(
    'newcomers come one by one until they are many as well; who leaves is gone',
    inCluster(
      async (world) => {
        const { api, source, heard } = world
        for (const name of names(20)) api.put(secret(name))
        source.interest(secrets(...names(5)))
        source.start(heard)
        await heard.untilSynced()
        await eventually(() => api.openWatches.length === 3, 'one watch for five')
        assert.equal(heard.objects.size, 5)
        source.interest(secrets(...names(7)))
        await heard.until(() => heard.objects.size === 7, 'seven')
        await eventually(() => api.openWatches.length === 5, 'two more')
        source.interest(secrets(...names(8, 1)))
        await heard.untilGone('Secret shop/s0')
        await heard.until(() => heard.objects.size === 8, 'eight')
        source.interest(secrets(...names(12, 1)))
        await heard.until(() => heard.objects.size === 12, 'twelve')
        await eventually(() => api.openWatches.length === 3, 'one watch for all')
        source.interest(NOTHING)
        await heard.until(() => heard.objects.size === 0, 'none')
        await eventually(() => api.openWatches.length === 2, 'no watch')
        const upserts = heard.events.filter(({ type }) => type === 'upsert').length
        assert.deepEqual([upserts, heard.events.length - upserts], [13, 13])
      },
      { singles: 5 },
    ),
  )

  it(
    'go on one by one where our role grants single objects only',
    inCluster(
      async (world) => {
        const { api, source, heard } = world
        api.denied = ({ collection, query }) => collection === 'secrets' && !query.has('fieldSelector')
        for (const name of names(8)) api.put(secret(name))
        source.interest(secrets(...names(8)))
        source.start(heard)
        await heard.untilSynced()
        assert.equal(heard.objects.size, 8)
        await heard.untilWell()
        await eventually(() => api.openWatches.length === 10, 'eight watches and two')
      },
      { singles: 5 },
    ),
  )

  it(
    'of EndpointSlices: one that changes its Service is never lost, however it is watched',
    inCluster(
      async (world) => {
        const { api, source, heard } = world
        for (const name of ['a', 'b', 'c', 'd']) api.put(service(name))
        for (const used of [
          ['a', 'b'],
          ['a', 'b', 'c', 'd'],
        ]) {
          source.interest(services(...used))
          if (heard.syncedAfter === null) source.start(heard)
          api.put(slice('moves', 'a', '10.0.0.1'))
          await heard.untilHas('EndpointSlice shop/moves')
          await eventually(() => api.openWatches.length === (used.length === 2 ? 6 : 4), 'watches')
          for (let i = 0; i < 10; i++) {
            const address = `10.0.1.${i}`
            api.put(slice('moves', i % 2 === 0 ? 'b' : 'a', address))
            const seen = () => JSON.stringify(heard.objects.get('EndpointSlice shop/moves') ?? '').includes(address)
            await heard.until(seen, address)
          }
          api.put(slice('moves', 'unused'))
          await heard.untilGone('EndpointSlice shop/moves')
        }
      },
      { services: 4 },
    ),
  )
})

describe('a namespace that names ever new Services', () => {
  it(
    'neither has all of them read all the time nor keeps another from having one read at once',
    inCluster(
      async ({ api, source, heard }) => {
        const named = new Set<string>()
        const name = (...more: string[]) => {
          for (const one of more) named.add(one)
          source.interest(interestIn({ services: new Set(named) }))
        }
        source.start(heard)
        name(...Array.from({ length: 5 }, (_, i) => `noisy/first-${i}`))
        await heard.untilSynced()
        for (let wave = 0; wave < 20; wave++) {
          name(...Array.from({ length: 10 }, (_, i) => `noisy/new-${wave}-${i}`))
          if (wave === 10) {
            api.put(service('shop', 'calm'))
            api.put(slice('shop-1', 'shop', '10.0.0.1', 'calm'))
            name('calm/shop')
            await heard.untilHas('EndpointSlice calm/shop-1')
          }
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        const whole = api.asked.filter(({ verb, query, collection }) => {
          return verb === 'list' && collection === 'services' && !query.has('fieldSelector')
        })
        assert.ok(whole.length <= 2, `${whole.length} lists of all Services in a fifth of a second`)
        const ofNoisy = watched(api.openWatches).filter((text) => text.startsWith('services noisy'))
        assert.ok(ofNoisy.length <= 5, `${ofNoisy.length} watches of its own`)
        assert.equal(source.hasRead?.('Service', 'noisy/new-19-9', 'new-19-9'), false, 'it is not said to be not there')
        // And in the end all of them are read.
        api.put(service('new-19-9', 'noisy'))
        await heard.until(() => heard.objects.has('Service noisy/new-19-9'), 'the last of them')
      },
      { services: 5 },
    ),
  )
})

describe('Services of a whole cluster', () => {
  const places = Array.from({ length: 30 }, (_, i) => `team-${i}`)
  const fill = ({ api }: World) => {
    for (const place of places) {
      api.put(backend('a', place))
      api.put(service('a', place))
      api.put(service('unused', place))
      api.put(slice('a-1', 'a', '10.0.0.1', place))
      api.put(slice('unused-1', 'unused', '10.0.0.2', place))
    }
  }
  /** As control does it: every batch that comes says what it refers to. */
  const referring = ({ source, heard }: World) => {
    const named = new Set<string>()
    const changed = heard.changed.bind(heard)
    heard.changed = (events: SourceEvent[]) => {
      changed(events)
      for (const { kind, key } of events) if (kind === 'Backend') named.add(key)
      source.interest(interestIn({ services: named }))
    }
  }

  /** A cluster that holds all of these, and somebody who refers to them. */
  const inFullCluster = (work: (world: World) => Promise<void>) =>
    inCluster(async (world) => {
      fill(world)
      referring(world)
      await work(world)
    })

  it(
    'are read by one watch a kind where there are many, from the start on, without those that nothing refers to',
    inFullCluster(async (world) => {
      const { api, source, heard } = world
      source.start(heard)
      await heard.untilSynced()
      assert.deepEqual(
        keysOf(world).filter((key) => key.includes('unused')),
        [],
      )
      assert.equal(heard.objects.size, 90)
      await eventually(() => api.openWatches.length === 4, 'four watches')
      assert.deepEqual(watched(api.openWatches), ['backends', 'endpointslices', 'routes', 'services'])
      assert.equal(api.asked.filter(({ verb }) => verb === 'list').length, 4, 'and none of them alone')
      api.put(slice('unused-1', 'a', '10.0.0.3', 'team-7'))
      await heard.untilHas('EndpointSlice team-7/unused-1')
    }),
  )

  it(
    'are not taken for gone before they were read',
    inFullCluster(async (world) => {
      const { api, source, heard } = world
      let held: { writeHead(status: number): { end(): void } } | undefined
      api.intercept = ({ verb, collection }, response) => {
        if (verb !== 'list' || collection !== 'endpointslices') return false
        held = response
        return true
      }
      assert.equal(source.hasRead('Service', 'team-1/a', 'a'), false, 'nothing was asked for yet')
      source.start(heard)
      await heard.untilHas('Service team-1/a')
      await eventually(() => held !== undefined && source.hasRead('Service', 'team-1/a', 'a'), 'Services are known')
      assert.equal(source.hasRead('EndpointSlice', 'team-1/a-1', 'a'), false)
      assert.equal(source.hasRead('EndpointSlice', 'team-1/unused-1', 'unused'), true, 'nobody asks for it')
      api.intercept = undefined
      held!.writeHead(503).end()
      await heard.untilSynced()
      assert.equal(source.hasRead('EndpointSlice', 'team-1/a-1', 'a'), true)
    }),
  )

  it(
    'are read one by one where our role does not reach further',
    inFullCluster(async (world) => {
      const { api, source, heard } = world
      api.denied = ({ collection, namespace }) =>
        (collection === 'services' || collection === 'endpointslices') && namespace === undefined
      source.start(heard)
      await heard.untilSynced()
      assert.equal(heard.objects.size, 90)
      await heard.untilWell()
    }),
  )
})

describe('a source whose cluster is not well', () => {
  it(
    'says at once that the API server is not there, syncs when it is, and says that all is well',
    inCluster(async ({ api, source, heard }) => {
      api.put(route('a'))
      await api.kill()
      source.start(heard)
      const problem = await heard.problem('ClusterUnavailable')
      assert.match(
        problem.message,
        /^The API server at http:\/\/127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED .*; not everything was read yet, and it is tried again\.$/,
      )
      assert.equal(heard.problemList.length, 1, 'once for all kinds')
      await api.restart()
      await heard.untilSynced()
      await heard.untilWell()
      assert.ok(heard.objects.has('Route shop/a'))
    }),
  )

  it(
    'keeps everything while the API server is away, and catches up with what it missed',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const one of [route('stays'), route('goes'), service('v'), slice('e', 'v')]) api.put(one)
      source.interest(services('v'))
      source.start(heard)
      await heard.untilSynced()
      await eventually(() => api.openWatches.length === 4, 'four watches')
      const before = heard.calls.length
      await api.kill()
      const problem = await heard.problem('ClusterUnavailable')
      assert.match(problem.message, /what was read keeps serving/)
      assert.equal(heard.calls.length, before)
      api.remove(route('goes'))
      api.put(route('comes'))
      api.put(slice('e', 'v', '10.0.0.9'))
      api.compact()
      await api.restart()
      await heard.untilHas('Route shop/comes')
      await heard.untilGone('Route shop/goes')
      await heard.untilWell()
      const address = () => JSON.stringify(heard.objects.get('EndpointSlice shop/e'))
      await heard.until(() => address().includes('10.0.0.9'), 'the endpoint')
      const told = heard.calls
        .slice(before)
        .flat()
        .map(({ type, key }) => `${type} ${key}`)
      assert.deepEqual(told.sort(), ['delete shop/goes', 'upsert shop/comes', 'upsert shop/e'])
    }),
  )

  it(
    'says nothing of a hiccup',
    inCluster(
      async ({ api, source, heard }) => {
        source.start(heard)
        await heard.untilSynced()
        await eventually(() => api.openWatches.length === 2, 'two watches')
        const { length } = api.asked
        await api.kill()
        await api.restart()
        await eventually(() => api.openWatches.length === 2 && api.asked.length >= length + 2, 'two watches again')
        api.put(route('a'))
        await heard.untilHas('Route shop/a')
        assert.equal(heard.problemCalls, 0)
      },
      { pacing: { backOff: { first: 300, most: 600 } } },
    ),
  )

  it(
    'tells of a server that lists well but whose watches always break',
    inCluster(async ({ api, source, heard }) => {
      source.start(heard)
      await heard.untilSynced()
      api.intercept = ({ verb, collection }, response) => {
        if (verb !== 'watch' || collection !== 'routes') return false
        const object = { kind: 'Status', code: 500, reason: 'InternalError', message: 'no watch today' }
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`)
        return true
      }
      api.endWatches()
      const problem = await heard.problem('ClusterUnavailable')
      assert.match(problem.message, /cannot tell about routes\.headgate\.dev: no watch today \(500 InternalError\)/)
      api.intercept = undefined
      await heard.untilWell()
    }),
  )

  it(
    'says nothing of having to list anew, and one thing of what many watches meet with',
    inCluster(async ({ api, source, heard }) => {
      const names = Array.from({ length: 10 }, (_, i) => `s${i}`)
      source.interest(secrets(...names))
      source.start(heard)
      await heard.untilSynced()
      await eventually(() => api.openWatches.length === 12, 'twelve watches')
      await api.kill()
      api.elsewhere()
      api.compact()
      const seen = new Set<string>()
      const problems = heard.problems.bind(heard)
      heard.problems = (list) => {
        for (const { message } of list) seen.add(message.replace(/connect ECONN.*;|other side.*;|read ECONN.*;/, '…;'))
        problems(list)
      }
      await api.restart()
      await eventually(() => api.openWatches.length === 12, 'twelve watches again')
      await heard.untilWell()
      assert.deepEqual(
        [...seen].filter((message) => !message.includes('cannot be reached')),
        [],
      )
      api.intercept = ({ collection }, response) => {
        if (collection !== 'secrets') return false
        response.writeHead(500, { 'content-type': 'text/plain' }).end('etcd is away')
        return true
      }
      api.endWatches()
      await heard.problem('ClusterUnavailable')
      assert.equal(heard.problemList.length, 1)
      await heard.until(() => heard.problemList[0]?.message.includes(' and others') === true, 'the others')
      assert.match(
        heard.problemList[0]!.message,
        /cannot tell about secrets in namespace shop and others: etcd is away \(500 Status500\)/,
      )
      api.intercept = undefined
      await heard.untilWell()
    }),
  )

  it(
    'names the CRD that is missing, waits for it, and again when it was removed and comes back',
    inCluster(async ({ api, source, heard }) => {
      api.unserve('routes')
      api.put(backend('b'))
      source.start(heard)
      const problem = await heard.problem('KindMissing')
      assert.equal(
        problem.message,
        'The API server does not serve routes.headgate.dev in version headgate.dev/v1alpha1: apply the CRDs that come with this version. It is looked for until it is there.',
      )
      await heard.untilHas('Backend shop/b')
      assert.equal(heard.syncedAfter, null)
      api.serve('routes')
      await heard.untilSynced()
      await heard.untilWell()
      api.put(route('a'))
      await heard.untilHas('Route shop/a')
      await eventually(() => api.openWatches.length === 2, 'two watches')
      api.unserve('routes')
      await heard.problem('KindMissing')
      await heard.untilGone('Route shop/a')
      api.serve('routes')
      api.put(route('a', 'anew'))
      await heard.untilHas('Route shop/a')
      await heard.untilWell()
    }),
  )

  it(
    'serves the rest where our role lacks a kind, and says which verb on what',
    inCluster(async ({ api, source, heard }) => {
      api.denied = ({ collection }) => collection === 'secrets'
      for (const one of [route('r'), secret('s'), service('v')]) api.put(one)
      source.interest(interestIn({ services: ['shop/v'], secrets: ['shop/s'] }))
      source.start(heard)
      await heard.untilSynced()
      const problem = await heard.problem('Forbidden')
      assert.match(
        problem.message,
        /^Not allowed to list secrets in namespace shop: a ClusterRole, or a Role in namespace shop, must grant get, list and watch on it\. The rest is served\. \(secrets is forbidden: User "system:serviceaccount:headgate:headgate" cannot list/,
      )
      assert.deepEqual([...heard.objects.keys()].sort(), ['Route shop/r', 'Service shop/v'])
      api.denied = () => false
      await heard.untilHas('Secret shop/s')
      await heard.untilWell()
    }),
  )

  it(
    'names the verb watch where a list is allowed',
    inCluster(async ({ api, source, heard }) => {
      api.denied = ({ collection, verb }) => collection === 'backends' && verb === 'watch'
      source.start(heard)
      await heard.untilSynced()
      const problem = await heard.problem('Forbidden')
      assert.match(problem.message, /^Not allowed to watch backends\.headgate\.dev: a ClusterRole must grant/)
    }),
  )

  it(
    'does not say that it is synced as long as no Route may be read: every request would get 404',
    inCluster(async ({ api, source, heard }) => {
      api.denied = ({ collection }) => collection === 'routes'
      api.put(route('r'))
      source.start(heard)
      await heard.problem('Forbidden')
      await eventually(() => api.openWatches.length === 1, 'the other watch')
      assert.equal(heard.syncedAfter, null)
      api.denied = () => false
      await heard.untilSynced()
      assert.equal(heard.objects.size, 1)
    }),
  )

  it(
    'serves the namespaces that it may read',
    inCluster(
      async ({ api, source, heard }) => {
        api.denied = ({ namespace }) => namespace === 'closed'
        api.put(route('r'))
        source.start(heard)
        await heard.untilSynced()
        assert.equal(heard.objects.size, 1)
        assert.equal(heard.problemList.length, 2)
      },
      { namespaces: ['closed', 'shop'] },
    ),
  )

  it(
    'says that our credentials are not accepted',
    inCluster(async ({ api, source, heard }) => {
      api.tokens = new Set(['another'])
      source.start(heard)
      const problem = await heard.problem('ClusterUnavailable')
      assert.match(problem.message, /does not accept our credentials \(Unauthorized\); they are read again/)
    }),
  )
})

describe('a source and its receiver', () => {
  it('is started once', async () => {
    const { source, heard, close } = await open()
    source.start(heard)
    assert.throws(() => source.start(heard), TypeError)
    await close()
  })

  it('goes on when the receiver throws, and says so', async () => {
    const { api, source, heard, failures, close } = await open()
    const changed = heard.changed.bind(heard)
    heard.changed = (events: SourceEvent[]) => {
      if (events.some(({ key }) => key === 'shop/bad')) throw new Error('cannot')
      changed(events)
    }
    source.start(heard)
    await heard.untilSynced()
    api.put(route('bad'))
    await eventually(() => failures.length === 1, 'a failure')
    api.put(route('good'))
    await heard.untilHas('Route shop/good')
    await close()
  })

  it(
    'tells an object that was replaced as gone and new, never as two events of one call',
    inCluster(async ({ api, source, heard }) => {
      api.put(route('a'))
      source.start(heard)
      await heard.untilSynced()
      await eventually(() => api.openWatches.length === 2, 'two watches')
      const before = heard.calls.length
      api.remove(route('a'))
      api.put(route('a', 'anew'))
      await heard.until(() => heard.calls.length === before + 2, 'two calls')
      assert.deepEqual(
        heard.calls.slice(before).map((events) => events.map(({ type, key }) => `${type} ${key}`)),
        [['delete shop/a'], ['upsert shop/a']],
      )
    }),
  )

  it(
    'has endpoints before everything else, in the midst of a large list and a slow receiver',
    inCluster(async ({ api, source, heard }) => {
      for (const one of [service('v'), slice('e', 'v', '10.0.0.1')]) api.put(one)
      source.interest(services('v'))
      source.start(heard)
      await heard.untilSynced()
      await eventually(() => api.openWatches.length === 4, 'four watches')
      const changed = heard.changed.bind(heard)
      let longest = 0
      heard.changed = (events: SourceEvent[]) => {
        longest = Math.max(longest, events.length)
        changed(events)
        const end = performance.now() + events.length * 0.1
        while (performance.now() < end);
      }
      for (let i = 0; i < 3_000; i++) api.put(route(`r${i}`))
      // Behind all of these.
      const began = performance.now()
      let routesBefore = 0
      await heard.until(() => heard.objects.size > 200, 'a part of the Routes')
      api.put(slice('e', 'v', '10.0.0.2'))
      const put = performance.now()
      await heard.until(
        () => JSON.stringify(heard.objects.get('EndpointSlice shop/e')).includes('10.0.0.2'),
        'the endpoint',
      )
      const took = performance.now() - put
      routesBefore = heard.objects.size
      await heard.until(() => heard.objects.size >= 3_002, 'all Routes')
      const all = performance.now() - began
      assert.ok(routesBefore < 3_000, `${routesBefore} Routes came first`)
      assert.ok(took < all / 3, `${took} ms of ${all}`)
      assert.ok(longest <= 40)
    }),
  )
})
