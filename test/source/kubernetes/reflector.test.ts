/** Requirements 1 to 5 of a reflector, each in a suite of its own. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Backoff, DEFAULT_BACKOFF } from '../../../src/source/kubernetes/backoff.ts'
import { route } from '../../suite/source.ts'
import { fail, send, statusOf } from './fake-api.ts'
import { observe } from './observed.ts'

const JSON_HEAD = { 'content-type': 'application/json' }
const namesOf = (count: number) => Array.from({ length: count }, (_, i) => `r${i}`)

describe('1. a reflector lists', () => {
  it(
    'from the cache first, without pagination',
    observe(async ({ api, told, reflector, asked }) => {
      for (const name of namesOf(5)) api.put(route(name))
      reflector.start()
      await told.untilSynced()
      const [first, ...more] = asked('list')
      assert.equal(first?.query.get('resourceVersion'), '0')
      assert.equal(first.query.get('limit'), null)
      assert.equal(more.length, 0)
      assert.equal(told.keys.length, 5)
    }),
  )

  it(
    'in pages of the most recent version when it lists again',
    observe(
      async ({ api, told, reflector, asked }) => {
        for (const name of namesOf(5)) api.put(route(name))
        reflector.start()
        await told.untilSynced()
        await told.until(() => asked('watch').length === 1, 'a watch')
        api.intercept = ({ verb }, response) => {
          if (verb !== 'watch') return false
          api.intercept = undefined
          fail(response, 410, 'Expired', 'too old resource version')
          return true
        }
        api.put(route('new'))
        api.endWatches()
        await told.untilHas('shop/new')
        await told.until(() => asked('watch').length === 3, 'a watch after the list')
        const pages = asked('list').slice(1)
        assert.deepEqual(
          pages.map(({ query }) => [query.get('resourceVersion'), query.get('limit'), query.has('continue')]),
          [
            [null, '2', false],
            [null, '2', true],
            [null, '2', true],
          ],
        )
      },
      { pacing: { pageSize: 2, minWatchDuration: 0 } },
    ),
  )

  it(
    'from the start when a page has expired, and without a limit when that is repeated',
    observe(
      async ({ api, told, reflector, asked }) => {
        for (const name of namesOf(5)) api.put(route(name))
        let expired = 0
        api.intercept = ({ query }) => {
          if (query.has('continue') && expired++ < 2) api.compact()
          return false
        }
        reflector.start()
        await told.untilSynced()
        assert.equal(told.keys.length, 5)
        assert.deepEqual(
          asked('list').map(({ query }) => `${query.get('limit') ?? 'all'}${query.has('continue') ? ' next' : ''}`),
          ['2', '2 next', '2', '2 next', 'all'],
        )
        assert.equal(told.calls.filter((call) => call === 'upsert shop/r0').length, 1)
      },
      { pacing: { pageSize: 2 }, consistent: true },
    ),
  )

  it(
    'correctly with any order of pages, and with an object on two pages',
    observe(
      async ({ api, told, reflector }) => {
        const item = (name: string) => ({
          ...route(name),
          metadata: { name, namespace: 'shop', uid: name, resourceVersion: '5' },
        })
        const pages = [[item('z'), item('a')], [item('a'), item('b')], []]
        api.intercept = ({ verb, query }, response) => {
          if (verb !== 'list') return false
          const page = Number(query.get('continue') ?? 0)
          const next = page < 2 ? String(page + 1) : ''
          // Members in an unusual order.
          send(response, 200, { items: pages[page], metadata: { continue: next, resourceVersion: String(9 - page) } })
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.deepEqual(told.calls, ['upsert shop/z', 'upsert shop/a', 'upsert shop/b', 'synced'])
        await told.until(() => api.openWatches.length === 1, 'a watch')
        assert.equal(api.openWatches[0]?.query.get('resourceVersion'), '9', 'that of the first page')
      },
      { consistent: true },
    ),
  )

  it(
    'with an error when the continue tokens repeat',
    observe(
      async ({ api, told, reflector }) => {
        api.intercept = (_, response) => {
          send(response, 200, { metadata: { resourceVersion: '7', continue: 'again' }, items: [] })
          return true
        }
        reflector.start()
        await told.until(() => told.failures.length > 0, 'trouble')
        assert.match(told.failures[0]!.error.message, /no end/)
      },
      { consistent: true },
    ),
  )
})

describe('2. a reflector watches', () => {
  for (const [random, seconds] of [
    [0, 290],
    [0.999_999, 580],
  ] as const)
    it(
      `with bookmarks, for a random 290 to 580 seconds (${seconds})`,
      observe(
        async ({ told, reflector, asked }) => {
          reflector.start()
          await told.until(() => asked('watch').length === 1, 'a watch')
          const { query } = asked('watch')[0]!
          assert.equal(query.get('allowWatchBookmarks'), 'true')
          assert.equal(query.get('timeoutSeconds'), String(seconds))
          assert.equal(query.has('sendInitialEvents'), false)
        },
        { random: () => random },
      ),
    )

  it(
    'from the version of the last event or bookmark',
    observe(async ({ api, told, reflector, asked }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      api.put(route('a'))
      await told.untilHas('shop/a')
      const version = told.objects.get('shop/a')!.resourceVersion
      api.endWatches()
      await told.until(() => api.openWatches.length === 1 && asked('watch').length === 2, 'the next watch')
      assert.equal(asked('watch')[1]!.query.get('resourceVersion'), version)
      api.elsewhere()
      api.bookmark()
      api.endWatches()
      await told.until(() => asked('watch').length === 3, 'the one after')
      assert.equal(asked('watch')[2]!.query.get('resourceVersion'), String(Number(version) + 1))
      assert.deepEqual(told.calls, ['synced', 'upsert shop/a'])
      assert.equal(asked('list').length, 1)
    }),
  )

  it(
    'one name or one label where a selection is given',
    observe(
      async ({ api, told, reflector, asked }) => {
        api.put(route('a'))
        api.put(route('b'))
        api.put(route('a', 'elsewhere', 'other'))
        reflector.start()
        await told.untilSynced()
        assert.deepEqual(told.keys, ['shop/a'])
        await told.until(() => api.openWatches.length === 1, 'a watch')
        for (const { query, namespace } of [...asked('list'), ...asked('watch')]) {
          assert.equal(query.get('fieldSelector'), 'metadata.name=a')
          assert.equal(namespace, 'shop')
        }
      },
      { namespace: 'shop', selection: { fieldSelector: 'metadata.name=a' } },
    ),
  )
})

describe('3. a reflector detects a dead watch', () => {
  for (const [what, drip] of [
    ['a watch that is silent past its timeout', undefined],
    ['a watch that trickles past its timeout without an event', ' '],
  ] as const)
    it(
      `${what} is aborted and resumed from its version`,
      observe(
        async ({ api, told, reflector, asked }) => {
          api.intercept = ({ verb }, response) => {
            if (verb !== 'watch') return false
            api.intercept = undefined
            response.writeHead(200, JSON_HEAD).flushHeaders()
            if (drip !== undefined) {
              const timer = setInterval(() => response.write(drip), 20)
              response.on('close', () => clearInterval(timer))
            }
            return true
          }
          reflector.start()
          await told.until(() => asked('watch').length === 2, 'another watch')
          assert.equal(told.failures[0]?.error.reason, 'TimedOut')
          const [first, second] = asked('watch')
          assert.equal(second!.query.get('resourceVersion'), first!.query.get('resourceVersion'))
          api.put(route('a'))
          await told.untilHas('shop/a')
          assert.equal(asked('list').length, 1)
        },
        { pacing: { watchSeconds: [1, 1], watchdog: 50 } },
      ),
    )
})

describe('4. a reflector handles errors', () => {
  for (const [how, expire] of [
    ['as a status', 'status'],
    ['as an ERROR event', 'event'],
  ] as const)
    it(
      `410 ${how}: lists again`,
      observe(async ({ api, told, reflector, asked }) => {
        api.put(route('stays'))
        api.put(route('goes'))
        reflector.start()
        await told.until(() => api.openWatches.length === 1, 'a watch')
        let expired = false
        api.intercept = ({ verb }, response) => {
          if (verb !== 'watch' || expired) return false
          expired = true
          if (expire === 'status') fail(response, 410, 'Expired', 'too old resource version: 1 (2)')
          else {
            const object = statusOf(410, 'Expired', 'too old resource version: 1 (2)')
            response.writeHead(200, JSON_HEAD).end(`${JSON.stringify({ type: 'ERROR', object })}\n`)
          }
          return true
        }
        await api.kill()
        api.remove(route('goes'))
        api.put(route('comes'))
        await api.restart()
        await told.untilHas('shop/comes')
        await told.until(() => !told.objects.has('shop/goes'), 'a deletion')
        assert.deepEqual(told.keys, ['shop/comes', 'shop/stays'])
        assert.equal(asked('list').length, 2)
        assert.equal(told.calls.filter((call) => call.endsWith('shop/stays')).length, 1)
      }),
    )

  it(
    'another ERROR event: resumes the watch, and lists when it is repeated',
    observe(async ({ api, told, reflector, asked }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      const error = `${JSON.stringify({ type: 'ERROR', object: statusOf(500, 'InternalError', 'etcd is tired') })}\n`
      api.send('routes', error)
      await told.until(() => api.openWatches.length === 1 && asked('watch').length === 2, 'another watch')
      assert.equal(asked('list').length, 1)
      assert.equal(told.failures[0]?.error.message, 'etcd is tired')
      api.send('routes', error)
      await told.until(() => asked('list').length === 2, 'another list')
      await told.until(() => told.failures.at(-1) === undefined, 'all is well again')
    }),
  )

  for (const status of [429, 503])
    it(
      `${status} with Retry-After: waits that long`,
      observe(async ({ api, told, reflector, asked }) => {
        const times: number[] = []
        api.intercept = ({ verb }, response) => {
          if (verb === 'list') times.push(performance.now())
          if (times.length > 1) return false
          fail(response, status, 'TooManyRequests', 'not now', { 'retry-after': '1' })
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.ok(times[1]! - times[0]! >= 990, `${times[1]! - times[0]!} ms`)
        assert.equal(asked('list').length, 2)
        assert.equal(told.failures[0]?.error.retryAfter, 1_000)
        assert.equal(told.failures.at(-1), undefined)
      }),
    )

  it(
    'a Retry-After of years is capped',
    observe(async ({ api, told, reflector }) => {
      api.intercept = (_, response) => {
        fail(response, 503, 'ServiceUnavailable', 'come back', { 'retry-after': '999999999' })
        return true
      }
      reflector.start()
      await told.until(() => told.failures.length > 0, 'trouble')
      assert.equal(told.failures[0]!.error.retryAfter, 60_000)
    }),
  )

  it(
    'overload at the watch does not cause a list',
    observe(async ({ api, told, reflector, asked }) => {
      let refused = 0
      api.intercept = ({ verb }, response) => {
        if (verb !== 'watch' || refused++ >= 4) return false
        fail(response, 429, 'TooManyRequests', 'not now')
        return true
      }
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      assert.equal(asked('list').length, 1)
      assert.equal(asked('watch').length, 5)
    }),
  )
})

describe('5. a reflector backs off', () => {
  it('exponentially from 0.8 to 30 seconds, with jitter', () => {
    const chance = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 1,
      maxLength: 20,
    })
    fc.assert(
      fc.property(chance, (draws) => {
        let i = 0
        const backOff = new Backoff(DEFAULT_BACKOFF, () => draws[i++ % draws.length]!)
        for (let n = 0; n < 20; n++) {
          const least = Math.min(800 * 2 ** n, 30_000)
          const pause = backOff.next()
          assert.ok(pause >= least && pause <= Math.min(least * 2, 30_000), `${pause} at ${n}`)
        }
        backOff.reset()
        assert.ok(backOff.next() <= 1_600)
      }),
    )
  })

  it(
    'before it lists again after 410; a healthy watch resets the backoff',
    observe(
      async ({ api, told, reflector }) => {
        const times: { verb: string; at: number }[] = []
        let broken = true
        api.intercept = ({ verb }, response) => {
          times.push({ verb, at: performance.now() })
          if (verb !== 'watch' || !broken) return false
          fail(response, 410, 'Expired', 'gone')
          return true
        }
        reflector.start()
        await told.until(() => times.filter(({ verb }) => verb === 'list').length === 4, 'four lists')
        broken = false
        const gaps = () => times.flatMap(({ verb, at }, i) => (verb === 'list' && i > 0 ? [at - times[i - 1]!.at] : []))
        const [first, second, third] = gaps()
        assert.ok(first! >= 39 && second! >= 79 && third! >= 159, gaps().join())
        await told.until(() => api.openWatches.length === 1, 'a watch')
        await new Promise((resolve) => setTimeout(resolve, 60))
        const before = performance.now()
        api.send('routes', `${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired', 'gone') })}\n`)
        await told.until(() => times.filter(({ verb }) => verb === 'list').length === 5, 'the fifth list')
        const last = performance.now() - before
        assert.ok(last >= 39 && last < 310, `${last}`)
      },
      { pacing: { backoff: { initial: 40, max: 1_000 }, maxPauseUnsynced: 1_000, healthyAfter: 50 }, random: () => 0 },
    ),
  )

  it(
    'briefly after any outage, also when the recovered server has lost all versions',
    observe(
      async ({ api, told, reflector }) => {
        api.put(route('a'))
        reflector.start()
        await told.until(() => api.openWatches.length === 1, 'a watch')
        await api.kill()
        await told.until(() => told.failures.length >= 10, 'ten attempts')
        api.put(route('b'))
        api.compact()
        await api.restart()
        const back = performance.now()
        await told.untilHas('shop/b')
        const took = performance.now() - back
        assert.ok(took < 1_000, `${took} ms; pauses would have grown to 10 s`)
      },
      { pacing: { backoff: { initial: 20, max: 60_000 }, maxPauseUnavailable: 40 }, random: () => 0 },
    ),
  )

  it(
    'not after a regular timeout of the watch',
    observe(
      async ({ api, told, reflector, asked }) => {
        reflector.start()
        await told.until(() => api.openWatches.length === 1, 'a watch')
        await new Promise((resolve) => setTimeout(resolve, 20))
        const ended = performance.now()
        api.endWatches()
        await told.until(() => asked('watch').length === 2, 'the next watch')
        assert.ok(performance.now() - ended < 1_000)
        assert.deepEqual(told.failures, [])
      },
      { pacing: { backoff: { initial: 5_000, max: 5_000 } } },
    ),
  )

  it(
    'when watches end regularly but too early',
    observe(
      async ({ api, told, reflector, asked }) => {
        api.intercept = ({ verb }, response) => {
          if (verb !== 'watch') return false
          response.writeHead(200, JSON_HEAD).end()
          return true
        }
        reflector.start()
        await told.until(() => asked('watch').length === 3, 'three watches')
        await new Promise((resolve) => setTimeout(resolve, 300))
        assert.ok(asked('watch').length <= 5, `${asked('watch').length} watches`)
      },
      { pacing: { backoff: { initial: 50, max: 500 }, minWatchDuration: 1_000 } },
    ),
  )
})
