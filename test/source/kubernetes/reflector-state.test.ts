/** Requirements 6 to 11 of a reflector: its store and its calls. The first five are in reflector.test.ts. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ListSink, ListWatcher, WatchSink } from '../../../src/source/kubernetes/client.ts'
import { Reflector } from '../../../src/source/kubernetes/reflector.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { route } from '../../suite/source.ts'
import { observe, RecordingHandler } from './observed.ts'
import { QUICK } from './world.ts'

const JSON_HEAD = { 'content-type': 'application/json' }

const stored = (name: string, resourceVersion: string, uid = name) => ({
  ...route(name),
  metadata: { name, namespace: 'shop', uid, resourceVersion },
})
const event = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`

describe('6. a stopped reflector', () => {
  /** A client that ignores signals: everything arrives, late. */
  function lateClient() {
    const lists: { sink: ListSink; end: () => void }[] = []
    const watches: { sink: WatchSink; end: () => void }[] = []
    const client: ListWatcher = {
      list: (_path, _query, sink) =>
        new Promise((resolve) => {
          lists.push({ sink, end: () => resolve({ resourceVersion: '7', continue: '' }) })
        }),
      watch: (_path, _query, sink) =>
        new Promise((resolve) => {
          watches.push({ sink, end: resolve })
        }),
    }
    const told = new RecordingHandler()
    const reflector = new Reflector({
      kind: 'Route',
      client,
      handler: told,
      random: Math.random,
      time: systemTimers,
      pacing: QUICK,
    })
    return { lists, watches, told, reflector }
  }
  const item = (name: string) => Buffer.from(JSON.stringify(stored(name, '5')))

  it('delivers nothing of a list in flight', async () => {
    const { lists, told, reflector } = lateClient()
    reflector.start()
    const list = lists[0]!
    const stopped = reflector.stop()
    list.sink.item(item('a'))
    list.end()
    await stopped
    assert.deepEqual([told.calls, told.failures, told.handlerErrors], [[], [], []])
  })

  it('delivers nothing of an open watch', async () => {
    const { lists, watches, told, reflector } = lateClient()
    reflector.start()
    lists[0]!.end()
    await told.until(() => watches.length === 1, 'a watch')
    const { sink, end } = watches[0]!
    sink.line(Buffer.from(event('ADDED', stored('a', '8'))))
    const stopped = reflector.stop()
    sink.line(Buffer.from(event('ADDED', stored('b', '9'))))
    sink.opened?.()
    end()
    await stopped
    assert.deepEqual(told.calls, ['synced', 'upsert shop/a'])
  })

  it('ends its pause, and starts nothing afterwards', async () => {
    let lists = 0
    const client: ListWatcher = {
      list: () => {
        lists++
        return Promise.reject(new Error('no'))
      },
      watch: () => Promise.reject(new Error('no')),
    }
    const told = new RecordingHandler()
    const reflector = new Reflector({
      kind: 'Route',
      client,
      handler: told,
      random: Math.random,
      time: systemTimers,
    })
    reflector.start()
    await told.until(() => told.failures.length === 1, 'trouble')
    const before = performance.now()
    await reflector.stop()
    assert.ok(performance.now() - before < 500)
    assert.equal(lists, 1)
    assert.deepEqual(told.calls, [])
  })

  it(
    'leaves no open connection',
    observe(async ({ api, told, reflector }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      await reflector.stop()
      await told.until(() => api.openWatches.length === 0, 'the end of the watch')
    }),
  )
})

describe('7. a reflector reads watch events', () => {
  it(
    'with U+2028, U+2029 and U+0085, and with characters split across packets',
    observe(async ({ api, told, reflector }) => {
      const body = 'a\u2028b\u2029c\u0085d\u00e9 \u{1f6aa}'
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      const line = Buffer.from(event('ADDED', { ...stored('odd', '2000'), note: body }))
      assert.ok(line.includes(Buffer.from('\u2028')), 'not escaped')
      for (const byte of line) {
        api.send('routes', Buffer.from([byte]))
        if (byte > 0x7f) await new Promise((resolve) => setImmediate(resolve))
      }
      await told.untilHas('shop/odd')
      assert.equal(told.objects.get('shop/odd')?.raw.note, body)
    }),
  )

  it(
    'and drops a partial line when the connection breaks, without losing its event',
    observe(async ({ api, told, reflector, asked }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      const line = event('ADDED', stored('a', '2000'))
      api.send('routes', event('ADDED', stored('whole', '1999')) + line.slice(0, line.length / 2))
      await told.untilHas('shop/whole')
      api.intercept = ({ verb, query }, response) => {
        if (verb !== 'watch') return false
        assert.equal(query.get('resourceVersion'), '1999')
        response.writeHead(200, JSON_HEAD).write(line)
        return true
      }
      await api.kill()
      await api.restart()
      await told.untilHas('shop/a')
      assert.deepEqual(told.calls, ['synced', 'upsert shop/whole', 'upsert shop/a'])
      assert.equal(asked('list').length, 1)
    }),
  )

  for (const [what, garbage] of [
    ['that is not JSON', '{"type":"ADDED","object":{]}\n'],
    ['that is not an event', '[1]\n'],
    ['of unknown type', event('RENAMED', stored('x', '1'))],
    ['about an object without a name', event('ADDED', { metadata: { uid: 'x', resourceVersion: '1' } })],
    ['about a name that contains a slash', event('ADDED', stored('a/b', '1'))],
    ['about another kind', event('ADDED', { ...stored('a', '1'), kind: 'Backend' })],
    ['that is not UTF-8', Buffer.from([0x22, 0xff, 0x22, 0x0a])],
    ['that has no end', Buffer.alloc(17 * 1024 * 1024, 0x20)],
  ] as const)
    it(
      `and lists again after one ${what}`,
      observe(async ({ api, told, reflector, asked }) => {
        reflector.start()
        await told.until(() => api.openWatches.length === 1, 'a watch')
        api.put(route('before'))
        await told.untilHas('shop/before')
        api.send('routes', garbage)
        await told.until(() => asked('list').length === 2, 'another list')
        assert.equal(told.failures[0]?.error.reason, 'BadAnswer')
        api.put(route('after'))
        await told.untilHas('shop/after')
        assert.deepEqual(told.keys, ['shop/after', 'shop/before'])
        assert.doesNotMatch(told.failures[0]!.error.message, /RENAMED|a\/b|\]/)
      }),
    )

  for (const [what, body] of [
    ['that is cut off', '{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"'],
    ['with an item that is no object', '{"metadata":{"resourceVersion":"5"},"items":[5]}'],
    ['without a version', '{"metadata":{},"items":[]}'],
    ['without items', '{"metadata":{"resourceVersion":"5"}}'],
    ['that is not JSON', '{"metadata":{"resourceVersion":"5"},"items":[],}'],
    ['with items twice', '{"metadata":{"resourceVersion":"5"},"items":[],"items":[]}'],
    ['of nothing', ''],
  ] as const)
    it(
      `and rejects a list ${what}`,
      observe(async ({ api, told, reflector, asked }) => {
        api.put(route('real'))
        let lied = false
        api.intercept = ({ verb }, response) => {
          if (verb !== 'list' || lied) return false
          lied = true
          response.writeHead(200, JSON_HEAD).end(body)
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.deepEqual(told.calls, ['upsert shop/real', 'synced'])
        assert.equal(asked('list').length, 2)
        assert.match(told.failures[0]!.error.message, /^the list cannot be read/)
      }),
    )

  it(
    'of the requested namespace only',
    observe(
      async ({ api, told, reflector, asked }) => {
        api.put(route('real'))
        const foreign = { ...stored('a', '1'), metadata: { ...stored('a', '1').metadata, namespace: 'elsewhere' } }
        let lied = false
        api.intercept = ({ verb }, response) => {
          if (verb !== 'list' || lied) return false
          lied = true
          const list = { metadata: { resourceVersion: '5' }, items: [foreign] }
          response.writeHead(200, JSON_HEAD).end(JSON.stringify(list))
          return true
        }
        reflector.start()
        await told.untilSynced()
        await told.until(() => api.openWatches.length === 1, 'a watch')
        api.send('routes', event('ADDED', foreign))
        await told.until(() => asked('list').length === 3, 'another list')
        assert.deepEqual(told.keys, ['shop/real'])
        for (const { error } of told.failures.filter((trouble) => trouble !== undefined))
          assert.match(error.message, /from a namespace that was not requested/)
      },
      { namespace: 'shop' },
    ),
  )

  it(
    'of content type JSON only',
    observe(async ({ api, told, reflector }) => {
      let lied = false
      api.intercept = (_, response) => {
        if (lied) return false
        lied = true
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in, please</html>')
        return true
      }
      reflector.start()
      await told.untilSynced()
      assert.equal(told.failures[0]?.error.message, 'it answered with text/html, not JSON')
    }),
  )
})

describe('8. a reflector delivers', () => {
  it(
    'the difference when it lists again: new, changed and deleted objects',
    observe(async ({ api, told, reflector, asked }) => {
      for (const name of ['same', 'changes', 'goes']) api.put(route(name))
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      told.calls.length = 0
      await api.kill()
      api.put(route('changes', 'now'))
      api.remove(route('goes'))
      api.put(route('comes'))
      api.compact()
      await api.restart()
      await told.until(() => told.calls.length === 3, 'three calls')
      assert.deepEqual(told.calls, ['upsert shop/changes', 'upsert shop/comes', 'delete shop/goes'])
      assert.equal(asked('list').length, 2)
    }),
  )

  it(
    'delete and upsert for a recreated object, also when it missed the deletion',
    observe(async ({ api, told, reflector }) => {
      api.put(route('a'))
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      told.calls.length = 0
      await api.kill()
      api.remove(route('a'))
      api.put(route('a'))
      api.compact()
      await api.restart()
      await told.until(() => told.calls.length === 2, 'two calls')
      assert.deepEqual(told.calls, ['delete shop/a', 'upsert shop/a'])
    }),
  )

  it(
    'no deletion of an older object of the same name',
    observe(async ({ api, told, reflector }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      api.send('routes', event('ADDED', stored('a', '2000', 'new')) + event('DELETED', stored('a', '2001', 'old')))
      api.send('routes', event('ADDED', stored('b', '2002')))
      await told.untilHas('shop/b')
      assert.deepEqual(told.keys, ['shop/a', 'shop/b'])
    }),
  )

  it(
    'further objects although the handler throws for one',
    observe(async ({ api, told, reflector }) => {
      told.upsert = (object) => {
        if (object.key === 'shop/bad') throw new Error('this one')
        RecordingHandler.prototype.upsert.call(told, object)
      }
      told.synced = () => {
        RecordingHandler.prototype.synced.call(told)
        throw new Error('and this')
      }
      for (const name of ['a', 'bad', 'c']) api.put(route(name))
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      api.put(route('bad', 'again'))
      api.put(route('d'))
      await told.untilHas('shop/d')
      assert.deepEqual(told.keys, ['shop/a', 'shop/c', 'shop/d'])
      assert.deepEqual(
        told.handlerErrors.map((error) => (error as Error).message),
        ['this one', 'and this', 'this one'],
      )
      assert.deepEqual(told.failures, [], 'and the server is not to blame')
    }),
  )

  it(
    'synced once, after a complete list',
    observe(
      async ({ api, told, reflector }) => {
        for (let i = 0; i < 4; i++) api.put(route(`r${i}`))
        let broken = 0
        api.intercept = ({ query }, response) => {
          if (!query.has('continue') || broken++ >= 2) return false
          api.remove(route('r0'))
          response.destroy()
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.equal(told.calls.filter((call) => call === 'synced').length, 1)
        assert.equal(told.calls.at(-1), 'synced')
        assert.deepEqual(told.keys, ['shop/r1', 'shop/r2', 'shop/r3'])
      },
      { pacing: { pageSize: 2 }, consistent: true },
    ),
  )
})

describe('9. a reflector normalizes', () => {
  it(
    "objects from lists and watches alike, without managedFields and kubectl's copy",
    observe(async ({ api, told, reflector }) => {
      api.put(route('listed'))
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      api.put(route('watched'))
      await told.untilHas('shop/watched')
      for (const name of ['listed', 'watched']) {
        const { raw, uid, resourceVersion } = told.objects.get(`shop/${name}`)!
        assert.deepEqual(raw, {
          ...route(name),
          metadata: {
            name,
            namespace: 'shop',
            uid,
            resourceVersion,
            generation: 1,
            creationTimestamp: '2026-01-01T00:00:00Z',
            annotations: { note: 'kept' },
          },
        })
      }
    }),
  )

  it(
    'objects of built-in kinds, whose kind is absent in lists',
    observe(
      async ({ api, told, reflector }) => {
        api.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'shop' }, data: { a: 'b' } })
        reflector.start()
        await told.untilHas('shop/c')
        const { apiVersion, kind, data } = told.objects.get('shop/c')!.raw
        assert.deepEqual({ apiVersion, kind, data }, { apiVersion: 'v1', kind: 'ConfigMap', data: { a: 'b' } })
      },
      { kind: 'ConfigMap' },
    ),
  )
})

describe('10. a reflector compares versions for equality only', () => {
  it(
    'they may decrease or be no numbers; the same version is delivered once',
    observe(async ({ api, told, reflector, asked }) => {
      reflector.start()
      await told.until(() => api.openWatches.length === 1, 'a watch')
      for (const version of ['zz', 'aa', 'aa', '9', '10', '9', '9'])
        api.send('routes', event('MODIFIED', stored('a', version)))
      api.send('routes', event('ADDED', stored('end', 'b-1')))
      await told.untilHas('shop/end')
      assert.equal(told.calls.filter((call) => call === 'upsert shop/a').length, 5)
      assert.equal(told.objects.get('shop/a')?.resourceVersion, '9')
      api.endWatches()
      await told.until(() => asked('watch').length === 2, 'another watch')
      assert.equal(asked('watch')[1]!.query.get('resourceVersion'), 'b-1')
    }),
  )
})

describe('11. a reflector uses a watch-list', () => {
  it(
    'where it is enabled, without a list',
    observe(
      async ({ api, told, reflector, asked }) => {
        for (const name of ['a', 'b']) api.put(route(name))
        reflector.start()
        await told.untilSynced()
        assert.deepEqual(told.calls, ['upsert shop/a', 'upsert shop/b', 'synced'])
        const { query } = asked('watch')[0]!
        assert.equal(query.get('sendInitialEvents'), 'true')
        assert.equal(query.get('resourceVersionMatch'), 'NotOlderThan')
        api.put(route('c'))
        await told.untilHas('shop/c')
        assert.equal(asked('list').length, 0)
        assert.equal(asked('watch').length, 1, 'the same stream goes on')
      },
      { watchList: true },
    ),
  )

  it(
    'and falls back to a list when the initial events do not end',
    observe(
      async ({ api, told, reflector, asked }) => {
        api.put(route('a'))
        api.intercept = ({ query }, response) => {
          if (!query.has('sendInitialEvents')) return false
          // Like an old server that ignores the parameter: the watch begins now, without a final bookmark.
          response.writeHead(200, JSON_HEAD).flushHeaders()
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.deepEqual(told.keys, ['shop/a'])
        assert.equal(asked('list').length, 1)
        assert.equal(asked('list')[0]!.query.get('resourceVersion'), '0')
      },
      { watchList: true, pacing: { watchListTimeout: 50 } },
    ),
  )

  it(
    'and falls back to a list when the server rejects it',
    observe(
      async ({ api, told, reflector, asked }) => {
        api.intercept = ({ query }, response) => {
          if (!query.has('sendInitialEvents')) return false
          response.writeHead(422, JSON_HEAD).end('{}')
          return true
        }
        reflector.start()
        await told.untilSynced()
        assert.equal(asked('list').length, 1)
        await told.until(() => asked('watch').length === 2, 'an ordinary watch')
        assert.equal(asked('watch')[1]!.query.has('sendInitialEvents'), false)
      },
      { watchList: true },
    ),
  )
})
