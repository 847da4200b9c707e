import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { digestOf } from '../../src/auth/api-keys.ts'
import { echoBackend, onHead, rawBackend } from '../feature/backends.ts'
import { backend, eventually, manifest, route, secret } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { start } from './gateway-process.ts'
import { traffic } from './traffic.ts'

/** Documented is one second; a busy test machine gets more. */
const REPLACED_WITHIN = 6_000

const KEY = 'a-key-of-thirty-two-characters-00'

const rules = [{ name: 'all', backendRefs: [{ name: 'echo' }] }]

describe('a worker that dies', () => {
  for (const how of ['throw', 'exit', 'hang'] as const)
    it(`by ${how} costs only what was in flight on it, and is replaced`, async (t) => {
      const echo = await echoBackend(t)
      const manifests = { 'a.yaml': backend('echo', [echo.port]) + route('all', ['a.example'], rules) }
      const gateway = await start(t, manifests, { workers: 2 })
      const clients = traffic(gateway.port, 'a.example')
      await clients.more(50)
      assert.deepEqual(clients.failures, [])

      const broken = performance.now()
      gateway.fault({ thread: 0, how })
      const line = await gateway.logged(/^worker 0 /)
      const noticed = performance.now() - broken
      assert.match(
        line.message,
        {
          throw: /failed: thrown by the test; restarting it now/,
          exit: /exited with code 7/,
          hang: /stopped responding/,
        }[how],
      )
      assert.ok(noticed < REPLACED_WITHIN, `noticed only after ${noticed} ms`)
      const over = performance.now()
      await clients.more(200)
      await clients.stop()
      const late = clients.failures.filter(({ at }) => at > over)
      assert.deepEqual(late, [], 'no request fails after the worker was terminated')
      assert.ok(how === 'hang' || clients.failures.length <= 8, `${clients.failures.length} failed`)
      t.diagnostic(`${how}: noticed after ${Math.round(noticed)} ms, ${clients.failures.length} requests failed`)

      // The replacement serves its share again.
      await eventually(async () => {
        const { text } = await gateway.signals('/metrics')
        assert.match(text, /headgate_worker_restarts_total\{worker="0"\} 1/)
        assert.match(text, /headgate_worker_generation\{worker="0"\} [1-9]/)
      })
    })

  it('is replaced by one that takes all later changes, also where rules and Backends went before', async (t) => {
    const echo = await echoBackend(t)
    const own = (name: string, version: string): string =>
      backend(name, [echo.port]) +
      route(
        name,
        [`${name}.example`],
        [
          {
            name: 'all',
            backendRefs: [{ name }],
            policies: { responseHeaders: { set: [{ name: 'x-version', value: `${name} ${version}` }] } },
          },
        ],
      )
    const gateway = await start(t, { 'a.yaml': own('one', '1') + own('two', '1') + own('three', '1') }, { workers: 1 })
    const shows = (name: string, version: string): Promise<void> =>
      eventually(async () => {
        const { header } = await request(gateway.port, { host: `${name}.example` })
        assert.equal(header('x-version'), `${name} ${version}`)
      })
    const change = (text: string): Promise<void> => writeFile(join(gateway.folder, 'a.yaml'), text)
    await shows('three', '1')
    // The first and the second of what the tables refer to are gone.
    await change(own('three', '2'))
    await shows('three', '2')
    gateway.fault({ thread: 0, how: 'exit' })
    await gateway.logged(/^worker 0 exited/)
    await shows('three', '2')
    await change(own('three', '3') + own('four', '3'))
    await shows('three', '3')
    await change(own('three', '4') + own('four', '4') + own('five', '4'))
    await shows('five', '4')
    await shows('three', '4')
    assert.deepEqual(
      gateway.log.filter(({ message }) => message.includes('cannot be used')),
      [],
    )
  })

  it('is replaced by one that accepts nothing before it has its tables', async (t) => {
    const echo = await echoBackend(t)
    // Each with a policy of its own, so that it takes more than a moment until they are linked.
    const routes = Array.from({ length: 300 }, (_, i) => {
      const policies = { requestHeaders: { set: [{ name: 'x-of', value: `route ${i}` }] } }
      return route(`r${i}`, [`h${i}.example`], [{ ...rules[0], policies }])
    })
    // All connections are those of the one worker.
    const manifests = { 'a.yaml': backend('echo', [echo.port]) + routes.join('') }
    const gateway = await start(t, manifests, { workers: 1 })
    const statuses: number[] = []
    let over = false
    const ask = async (): Promise<void> => {
      while (!over) {
        const answer = await request(gateway.port, { host: 'h1.example' }).catch(() => undefined)
        if (answer !== undefined) statuses.push(answer.status)
        await delay(1)
      }
    }
    const asking = Array.from({ length: 4 }, ask)
    try {
      await eventually(() => assert.ok(statuses.length > 0))
      gateway.fault({ thread: 0, how: 'throw' })
      await gateway.logged(/^worker 0 failed/)
      const before = statuses.length
      await eventually(() => assert.ok(statuses.length > before + 20))
    } finally {
      over = true
      await Promise.all(asking)
    }
    assert.deepEqual(new Set(statuses), new Set([200]))
  })

  it('has its shared counts reset, so that limits stay available', async (t) => {
    const echo = await echoBackend(t)
    const manifests = {
      'a.yaml':
        backend('echo', [echo.port], { limits: { maxConcurrentRequests: 4, maxConnections: 4 } }) +
        route('all', ['a.example'], rules),
    }
    const gateway = await start(t, manifests, { workers: 1 })
    for (let round = 0; round < 3; round++) {
      const clients = traffic(gateway.port, 'a.example')
      await clients.more(20)
      gateway.fault({ thread: 0, how: 'throw' })
      await gateway.logged(/^worker 0 failed/, round + 1)
      await clients.stop()
      await eventually(async () => {
        const answer = await request(gateway.port, { host: 'a.example' })
        assert.equal(answer.status, 200)
      })
    }
    const { text } = await gateway.signals('/metrics')
    assert.match(text, /headgate_backend_requests_active\{backend="default\/echo"\} 0/)
  })

  it('lets go of what it was fetching for the cache, so that it is fetched and stored by others', async (t) => {
    let answered = 0
    const origin = await rawBackend(t, (socket) => {
      onHead(socket, () => {
        answered++
        socket.write('HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 10\r\n\r\n01234')
        // The first response never ends.
        if (answered > 1) socket.write('56789')
      })
    })
    const cached = [{ name: 'all', backendRefs: [{ name: 'slow' }], policies: { cache: {} } }]
    const manifests = { 'a.yaml': backend('slow', [origin.port]) + route('all', ['a.example'], cached) }
    const gateway = await start(t, manifests, { workers: 1 })
    const options = { host: 'a.example', path: '/page' }
    const cut = request(gateway.port, options).then(
      () => false,
      () => true,
    )
    await eventually(() => assert.equal(answered, 1))
    gateway.fault({ thread: 0, how: 'throw' })
    await gateway.logged(/^worker 0 failed/)
    assert.equal(await cut, true)
    const { status, text, header } = await eventually(async () => {
      const again = await request(gateway.port, options)
      assert.match(again.header('cache-status') ?? '', /stored/)
      return again
    })
    assert.deepEqual([status, text], [200, '0123456789'])
    assert.equal(header('age') ?? '0', '0')
    assert.match((await request(gateway.port, options)).header('cache-status')!, /hit/)
  })

  it('repeatedly at its start is restarted with a growing delay, and /healthz reports the cause', async (t) => {
    const gateway = await start(t, {}, { workers: 1, ready: false, env: { HEADGATE_TEST_BROKEN_THREAD: '0' } })
    const line = await gateway.logged(/^worker 0 failed: broken by the test; restarting it in 400 ms/)
    assert.equal(line.level, 'error')
    await eventually(async () => {
      const health = await gateway.signals('/healthz')
      assert.equal(health.status, 503)
      assert.match(health.text, /worker 0 ended \d+ times right after its start: broken by the test/)
      assert.equal((await gateway.signals('/readyz')).status, 503)
    })
  })
})

describe('a control thread that repeatedly ends right at its start', () => {
  it('leaves the workers serving, and /readyz reports it', async (t) => {
    const echo = await echoBackend(t)
    const manifests = { 'a.yaml': backend('echo', [echo.port]) + route('all', ['a.example'], rules) }
    const place = await mkdtemp(join(tmpdir(), 'headgate-threads-'))
    t.after(() => rm(place, { recursive: true }))
    const broken = join(place, 'broken')
    const env = { HEADGATE_TEST_BROKEN_THREAD: 'control', HEADGATE_TEST_BROKEN_WHILE: broken }
    const gateway = await start(t, manifests, { workers: 2, env })
    const clients = traffic(gateway.port, 'a.example')
    await writeFile(broken, '')
    gateway.fault({ thread: 'control', how: 'throw' })
    await eventually(async () => {
      assert.equal((await gateway.signals('/healthz')).status, 200)
      const { status, text } = await gateway.signals('/readyz')
      assert.equal(status, 200)
      assert.match(text, /control ended \d+ times right after its start: .*; configuration changes are not applied/)
    })
    await clients.more(50)
    await rm(broken)
    await eventually(async () => assert.equal((await gateway.signals('/readyz')).text, 'ok\n'))
    await clients.stop()
    assert.deepEqual(clients.failures, [])
  })
})

describe('an object that makes the control thread hang', () => {
  const labelled = (name: string, body: string, label = ''): string =>
    JSON.stringify({
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Route',
      metadata: { name, ...(label === '' ? {} : { labels: { [label]: 'yes' } }) },
      spec: {
        hostnames: [`${name}.example`],
        // Many rules, so that the served version is kept while this one is processed.
        rules: Array.from({ length: 64 }, (_, i) => ({
          name: `r${i}`,
          matches: Array.from({ length: 4 }, (_, m) => ({ path: { value: i + m === 0 ? '/' : `/${i}/${m}` } })),
          respond: { statusCode: 200, contentType: 'text/plain', body },
        })),
      },
    })
  const env = { HEADGATE_TEST_POISON: 'poison' }

  it('is quarantined: its last good version serves, other changes are applied, and problems and log name it', async (t) => {
    const gateway = await start(
      t,
      { 'a.yaml': labelled('a', 'one'), 'b.yaml': labelled('b', 'one') },
      { workers: 2, env },
    )
    const clients = traffic(gateway.port, 'a.example')
    const body = async (host: string): Promise<string> => (await request(gateway.port, { host })).text
    assert.equal(await body('a.example'), 'one')
    await gateway.write('a.yaml', labelled('a', 'two', 'poison'))
    const line = await gateway.logged(
      /^control ended while it worked on Route default\/a: this version is set aside until/,
    )
    assert.equal(line.level, 'error')
    assert.equal((await gateway.signals('/healthz')).status, 200)
    await gateway.write('b.yaml', labelled('b', 'two'))
    await eventually(async () => assert.equal(await body('b.example'), 'two'))
    assert.equal(await body('a.example'), 'one')
    await eventually(async () => {
      const { items } = JSON.parse(
        (await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })).text,
      )
      const found = items.find(({ reason }: { reason: string }) => reason === 'Quarantined')
      assert.equal(found?.object, 'Route default/a')
      assert.match(
        found.message,
        /the control thread ended while it worked on this version, so it is set aside until .*; its last good version serves on$/,
      )
    })
    // A harmless version is applied immediately.
    await gateway.write('a.yaml', labelled('a', 'three'))
    await eventually(async () => assert.equal(await body('a.example'), 'three'))
    await clients.stop()
    assert.deepEqual(clients.failures, [])
    assert.equal(gateway.log.filter(({ message }) => message.startsWith('control stopped responding')).length, 1)
  })

  it('is quarantined during a start, which continues with all other objects', async (t) => {
    const manifests = { 'a.yaml': labelled('a', 'one', 'poison'), 'b.yaml': labelled('b', 'one') }
    const gateway = await start(t, manifests, { workers: 1, env })
    assert.equal((await request(gateway.port, { host: 'b.example' })).text, 'one')
    assert.equal((await request(gateway.port, { host: 'a.example' })).status, 404)
    assert.equal(gateway.log.filter(({ message }) => message.startsWith('control stopped responding')).length, 1)
  })
})

describe('a control thread that dies', () => {
  for (const how of ['throw', 'hang'] as const)
    it(`by ${how} costs no request, and its replacement applies changes`, async (t) => {
      const echo = await echoBackend(t)
      const manifests = { 'a.yaml': backend('echo', [echo.port]) + route('all', ['a.example'], rules) }
      const gateway = await start(t, manifests, { workers: 2 })
      const clients = traffic(gateway.port, 'a.example')
      await clients.more(50)
      gateway.fault({ thread: 'control', how })
      await gateway.logged(/^control /)
      await gateway.write('b.yaml', route('new', ['b.example'], rules))
      await eventually(async () => {
        assert.equal((await request(gateway.port, { host: 'b.example' })).status, 200)
      })
      await clients.more(50)
      await clients.stop()
      assert.deepEqual(clients.failures, [], gateway.log.map((line) => line.message).join('\n'))
      await eventually(async () => {
        assert.match((await gateway.signals('/metrics')).text, /headgate_control_restarts_total 1/)
      })
    })

  it('has a Backend and a Secret that were removed meanwhile serve until the tables without them do', async (t) => {
    const echo = await echoBackend(t)
    const named = (name: string): string => {
      const auth = { apiKey: { secretName: name, from: [{ query: 'key' }] } }
      return (
        backend(name, [echo.port]) +
        secret(name, 'headgate.dev/api-keys', { ann: `sha256:${digestOf(KEY)}` }) +
        route('all', ['a.example'], [{ name: 'all', policies: { auth }, backendRefs: [{ name }] }])
      )
    }
    // Each with policies of its own, so that workers link for a while.
    const many = Array.from({ length: 1_000 }, (_, i) => ({
      ...{ name: `r${i}`, matches: [{ path: { value: `/${i}` } }], respond: { statusCode: 200 } },
      policies: { responseHeaders: { set: [{ name: 'x-rule', value: `${i}` }] } },
    }))
    const routes = Array.from({ length: 20 }, (_, i) =>
      route(`many${i}`, [`m${i}.example`], many.slice(i * 50, i * 50 + 50)),
    )
    const gateway = await start(t, { 'a.yaml': named('old'), 'many.yaml': routes.join('') }, { workers: 1 })
    const clients = traffic(gateway.port, 'a.example', `/?key=${KEY}`)
    await clients.more(50)
    gateway.fault({ thread: 'control', how: 'throw' })
    await gateway.logged(/^control failed/)
    await gateway.write('a.yaml', named('new'))
    await eventually(async () => {
      assert.match(
        (await gateway.signals('/metrics')).text,
        /headgate_backend_requests_active\{backend="default\/new"\}/,
      )
    })
    await clients.more(50)
    await clients.stop()
    assert.deepEqual(clients.failures, [])
  })

  it('does not delay the restart of a worker', async (t) => {
    const echo = await echoBackend(t)
    const manifests = { 'a.yaml': backend('echo', [echo.port]) + route('all', ['a.example'], rules) }
    const gateway = await start(t, manifests, { workers: 1 })
    gateway.fault({ thread: 'control', how: 'hang' })
    await delay(50)
    gateway.fault({ thread: 0, how: 'throw' })
    await gateway.logged(/^worker 0 failed/)
    await eventually(async () => {
      assert.equal((await request(gateway.port, { host: 'a.example' })).status, 200)
    })
    await gateway.logged(/^control stopped responding/)
    await eventually(async () => {
      assert.match((await gateway.signals('/metrics')).text, /headgate_control_restarts_total 1/)
    })
    assert.equal((await request(gateway.port, { host: 'a.example' })).status, 200)
  })

  it('hands the last good version of a broken manifest, and what has registered, to its replacement', async (t) => {
    const echo = await echoBackend(t)
    const place = await mkdtemp(join(tmpdir(), 'headgate-threads-'))
    t.after(() => rm(place, { recursive: true }))
    await writeFile(join(place, 'token'), 'token-of-threads', { mode: 0o600 })
    await writeFile(join(place, 'settings.json'), JSON.stringify({ admin: { tokenFile: join(place, 'token') } }))
    const good = backend('echo', [echo.port]) + route('all', ['a.example'], rules)
    const registered =
      manifest('Backend', 'registered', { registration: { lease: '1m' } }) +
      route('b', ['b.example'], [{ name: 'all', backendRefs: [{ name: 'registered' }] }])
    const flags = ['--settings', join(place, 'settings.json')]
    const gateway = await start(t, { 'a.yaml': good, 'b.yaml': registered }, { workers: 1, flags })
    const call = (method: string, body?: object) =>
      request(gateway.adminPort, {
        ...{ method, path: '/api/v1/backends/default/registered/endpoints/one', host: 'localhost' },
        headers: { authorization: 'Bearer token-of-threads', ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      })
    assert.equal((await call('PUT', { address: '127.0.0.1', port: echo.port })).status, 201)
    await eventually(async () => assert.equal((await request(gateway.port, { host: 'b.example' })).status, 200))
    await gateway.write('a.yaml', good.replace('"backendRefs"', '"backendRef"'))
    await gateway.logged(/backendRef/)
    gateway.fault({ thread: 'control', how: 'throw' })
    await gateway.logged(/^control failed/)
    const clients = [traffic(gateway.port, 'a.example'), traffic(gateway.port, 'b.example')]
    await gateway.logged(/backendRef/, 2)
    await eventually(async () => assert.equal((await call('GET')).json().state, 'ready'))
    for (const one of clients) {
      await one.more(50)
      await one.stop()
      assert.deepEqual(one.failures, [])
    }
  })
})
