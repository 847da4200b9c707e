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

describe('the watches of a Kubernetes source', () => {
  it(
    'cover Routes and Backends, and other kinds only once they are referenced',
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
    'cover referenced Services and their EndpointSlices, one watch each',
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
    'cover all references before the source reports its sync',
    inCluster(async (world) => {
      const { api, source, heard } = world
      for (const one of [route('r'), backend('a'), service('a'), slice('a-1', 'a')]) api.put(one)
      const changed = heard.changed.bind(heard)
      heard.changed = (events: SourceEvent[]) => {
        changed(events)
        // Like the control thread, which reports references as objects arrive.
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
    'cover Namespaces while label selectors need them',
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
    'cover the configured namespaces only, also for references into others',
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

describe('many referenced objects of a kind in a namespace', () => {
  const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `s${i + from}`)

  it(
    'share one watch from the fiftieth on; unreferenced objects are not delivered',
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
      // Now the common watch delivers, and only referenced objects.
      api.put(secret('s7', 'shop', 'Qg=='))
      api.put(secret('s55', 'shop', 'Qg=='))
      api.remove(secret('s8'))
      await heard.untilGone('Secret shop/s8')
      assert.equal(heard.events.length, 52)
      assert.ok(!keysOf(world).includes('Secret shop/s55'))
    }),
  )

  it(
    'later references get single watches until they are many; unreferenced objects are deleted',
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
      { maxSingleWatches: 5 },
    ),
  )

  it(
    'keep single watches where the role grants single objects only',
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
      { maxSingleWatches: 5 },
    ),
  )

  it(
    'an EndpointSlice that changes its Service is never lost, with either kind of watch',
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
      { maxServiceWatches: 4 },
    ),
  )
})

describe('a namespace with ever new references to Services', () => {
  it(
    'neither causes constant lists nor delays another namespace',
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
        assert.equal(
          source.hasSynced?.('Service', 'noisy/new-19-9', 'new-19-9'),
          false,
          'it is not said to be not there',
        )
        // Eventually all of them are read.
        api.put(service('new-19-9', 'noisy'))
        await heard.until(() => heard.objects.has('Service noisy/new-19-9'), 'the last of them')
      },
      { maxServiceWatches: 5 },
    ),
  )
})

describe('cluster-wide watches of Services', () => {
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
  /** Like control: reports the references of every batch. */
  const referring = ({ source, heard }: World) => {
    const named = new Set<string>()
    const changed = heard.changed.bind(heard)
    heard.changed = (events: SourceEvent[]) => {
      changed(events)
      for (const { kind, key } of events) if (kind === 'Backend') named.add(key)
      source.interest(interestIn({ services: named }))
    }
  }

  /** A cluster with all of these objects, and Routes that refer to them. */
  const inFullCluster = (work: (world: World) => Promise<void>) =>
    inCluster(async (world) => {
      fill(world)
      referring(world)
      await work(world)
    })

  it(
    'are used per kind from the start where many are referenced; unreferenced Services are not delivered',
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
    'do not report a Service as missing before it was read',
    inFullCluster(async (world) => {
      const { api, source, heard } = world
      let held: { writeHead(status: number): { end(): void } } | undefined
      api.intercept = ({ verb, collection }, response) => {
        if (verb !== 'list' || collection !== 'endpointslices') return false
        held = response
        return true
      }
      assert.equal(source.hasSynced('Service', 'team-1/a', 'a'), false, 'nothing was asked for yet')
      source.start(heard)
      await heard.untilHas('Service team-1/a')
      await eventually(() => held !== undefined && source.hasSynced('Service', 'team-1/a', 'a'), 'Services are known')
      assert.equal(source.hasSynced('EndpointSlice', 'team-1/a-1', 'a'), false)
      assert.equal(source.hasSynced('EndpointSlice', 'team-1/unused-1', 'unused'), true, 'nobody asks for it')
      api.intercept = undefined
      held!.writeHead(503).end()
      await heard.untilSynced()
      assert.equal(source.hasSynced('EndpointSlice', 'team-1/a-1', 'a'), true)
    }),
  )

  it(
    'give way to single watches where the role does not permit them',
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

describe('a source whose API server fails', () => {
  it(
    'reports an unreachable API server at once, syncs when it is available, and clears the problem',
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
    'keeps all objects while the API server is unavailable, and catches up afterwards',
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
    'does not report a single transient failure',
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
      { pacing: { backoff: { initial: 300, max: 600 } } },
    ),
  )

  it(
    'reports a server whose lists succeed but whose watches always break',
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
    'does not report a relist, and reports a failure of many watches once',
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
    'names a missing CRD and waits for it, also when it is removed and restored',
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
    'serves the other kinds where the role lacks one, and names verb and resource',
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
    'names the verb watch where list is permitted',
    inCluster(async ({ api, source, heard }) => {
      api.denied = ({ collection, verb }) => collection === 'backends' && verb === 'watch'
      source.start(heard)
      await heard.untilSynced()
      const problem = await heard.problem('Forbidden')
      assert.match(problem.message, /^Not allowed to watch backends\.headgate\.dev: a ClusterRole must grant/)
    }),
  )

  it(
    'does not report its sync while no Route can be read: every request would get 404',
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
    'serves the namespaces that the role permits',
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
    'reports rejected credentials',
    inCluster(async ({ api, source, heard }) => {
      api.tokens = new Set(['another'])
      source.start(heard)
      const problem = await heard.problem('ClusterUnavailable')
      assert.match(problem.message, /does not accept our credentials \(Unauthorized\); they are read again/)
    }),
  )
})

describe('a source and its handler', () => {
  it('can be started once only', async () => {
    const { source, heard, close } = await open()
    source.start(heard)
    assert.throws(() => source.start(heard), TypeError)
    await close()
  })

  it('continues when the handler throws, and reports it', async () => {
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
    'delivers a recreated object as delete and upsert in two calls',
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
    'delivers endpoints first, also during a large list with a slow handler',
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
      // Queued behind all of these.
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
