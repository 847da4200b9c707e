import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { closedPort, type EchoBackend, echoBackend, onHead, rawBackend } from './backends.ts'
import { backend, type Gateway, manifest, route, startGateway, suiteScope } from './harness.ts'

const to = (name: string, refs: readonly object[], policies: object = {}): object => ({
  name,
  matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
  backendRefs: refs,
  policies,
})

describe('balancing, from manifests to traffic', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echoes: EchoBackend[]
  let resets = 0
  let shadow: EchoBackend
  before(async () => {
    echoes = await Promise.all(['one', 'two', 'three'].map((name) => echoBackend(scope, name)))
    const ports = echoes.map((echo) => echo.port)
    const dead = await closedPort()
    // Takes a request and resets, each time.
    const resetting = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        resets++
        socket.resetAndDestroy()
      }),
    )
    // Closes each connection after its first answer without saying so: the next use of it finds it dead.
    const forgetful = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        socket.end()
      }),
    )
    // Fails at once, which is faster than any answer.
    const failing = await rawBackend(scope, (socket) =>
      onHead(socket, () => socket.write('HTTP/1.1 500 No\r\nx-backend: failing\r\ncontent-length: 0\r\n\r\n')),
    )
    const silent = await rawBackend(scope, (socket) => onHead(socket, () => {}))
    shadow = await echoBackend(scope, 'shadow')
    const weighted = ports.map((port, index) => ({ address: '127.0.0.1', port, weight: [3, 1, 1][index] }))
    gateway = await startGateway(scope, {
      'backends.yaml':
        backend('round', ports, { loadBalancing: { algorithm: 'RoundRobin' } }) +
        manifest('Backend', 'weighted', {
          endpoints: weighted,
          loadBalancing: { algorithm: 'WeightedRoundRobin' },
        }) +
        backend('least', ports, { loadBalancing: { algorithm: 'LeastRequest' } }) +
        backend('random', ports, { loadBalancing: { algorithm: 'Random' } }) +
        backend('hashed', ports, {
          loadBalancing: { algorithm: 'ConsistentHash', hashOn: ['header:x-user', 'cookie:uid', 'query:u'] },
        }) +
        backend('quick', [...ports, failing.port], { loadBalancing: { algorithm: 'PeakEWMA' } }) +
        backend('sticky', ports, { sessionAffinity: { cookie: { name: 'hg', ttl: '1h' } } }) +
        backend('sticky-header', ports, { sessionAffinity: { header: { name: 'X-Session' } } }) +
        backend('sticky-dead', [dead, ports[0]!, ports[1]!], { sessionAffinity: { cookie: { name: 'hg' } } }) +
        backend('slow-and-quick', [silent.port, ports[0]!], { loadBalancing: { algorithm: 'RoundRobin' } }) +
        backend('shadow', [shadow.port]) +
        backend('one', [ports[0]!]) +
        backend('two', [ports[1]!]) +
        backend('half-dead', [dead, ports[0]!], { loadBalancing: { algorithm: 'RoundRobin' } }) +
        backend('unchecked', [dead, ports[0]!], {
          loadBalancing: { algorithm: 'RoundRobin' },
          healthCheck: { passive: { consecutiveFailures: 0 } },
        }) +
        backend('dead', [dead]) +
        backend('resetting', [resetting.port]) +
        backend('forgetful', [forgetful.port]) +
        backend('elsewhere/private', [ports[0]!]) +
        backend('elsewhere/public', [ports[0]!], { allowedNamespaces: { from: 'All' } }) +
        manifest('Backend', 'named', { endpoints: [{ address: 'localhost', port: ports[0] }] }),
      'route.yaml': route(
        'balance',
        ['balance.test'],
        [
          ...[
            'round',
            'weighted',
            'least',
            'random',
            'hashed',
            'sticky',
            'sticky-header',
            'sticky-dead',
            'quick',
            'half-dead',
            'dead',
            'resetting',
            'forgetful',
            'named',
          ].map((name) => to(name, [{ name }])),
          to('split', [
            { name: 'one', weight: 90 },
            { name: 'two', weight: 10 },
          ]),
          to('zero', [
            { name: 'one', weight: 0 },
            { name: 'two', weight: 1 },
          ]),
          to('missing', [{ name: 'no-such-backend' }]),
          to('part-missing', [
            { name: 'one', weight: 1 },
            { name: 'no-such-backend', weight: 1 },
          ]),
          to('private', [{ name: 'private', namespace: 'elsewhere' }]),
          to('public', [{ name: 'public', namespace: 'elsewhere' }]),
          to('no-retry', [{ name: 'half-dead' }], { retry: { attempts: 0 } }),
          to('hedged', [{ name: 'slow-and-quick' }], { hedge: { after: '50ms', maxPercent: 100 } }),
          to('timed-out', [{ name: 'slow-and-quick' }], {
            timeouts: { responseHead: '300ms' },
            retry: { attempts: 4, reasons: ['ResponseHeadTimeout'] },
          }),
          to('mirrored', [{ name: 'one' }], { mirror: { backendRef: { name: 'shadow' } } }),
          to('unchecked', [{ name: 'unchecked' }], { retry: { attempts: 0 } }),
        ],
      ),
    })
  })
  const served = async (path: string, times: number): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {}
    using client = await gateway.connect()
    for (let i = 0; i < times; i++) {
      const answer = await client.request({ host: 'balance.test', path })
      const name = answer.header('x-backend') ?? `${answer.status} ${answer.json().reason}`
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  }

  it('RoundRobin gives each endpoint the same', async () => {
    assert.deepEqual(await served('/round', 30), { one: 10, two: 10, three: 10 })
  })

  it('WeightedRoundRobin gives exact shares', async () => {
    assert.deepEqual(await served('/weighted', 50), { one: 30, two: 10, three: 10 })
  })

  for (const algorithm of ['least', 'random'])
    it(`${algorithm} reaches every endpoint`, async () => {
      assert.deepEqual(Object.keys(await served(`/${algorithm}`, 60)).sort(), ['one', 'three', 'two'])
    })

  it('ConsistentHash keeps each key on one endpoint, by the first selector that is present', async () => {
    using client = await gateway.connect()
    const endpointOf = async (path: string, headers: Record<string, string>) => {
      const answer = await client.request({ host: 'balance.test', path, headers })
      return answer.header('x-backend')!
    }
    const found = new Set<string>()
    for (let user = 0; user < 20; user++) {
      const expected = await endpointOf('/hashed', { 'x-user': `u${user}` })
      found.add(expected)
      assert.equal(await endpointOf('/hashed', { 'x-user': `u${user}`, cookie: 'uid=other' }), expected)
      assert.equal(await endpointOf('/hashed', { cookie: `a=b; uid=u${user}` }), expected)
      assert.equal(await endpointOf(`/hashed?u=u${user}`, {}), expected)
    }
    assert.equal(found.size, 3)
  })

  it('PeakEWMA is not attracted by an endpoint that fails at once', async () => {
    const counts = await served('/quick', 200)
    assert.ok((counts.failing ?? 0) < 10, JSON.stringify(counts))
  })

  it('sessionAffinity by a cookie keeps a client on its endpoint, and shows no address', async () => {
    using client = await gateway.connect()
    const found = new Set<string | undefined>()
    for (let i = 0; i < 12; i++) {
      const first = await client.request({ host: 'balance.test', path: '/sticky' })
      const cookie = first.header('set-cookie')!
      assert.match(cookie, /^hg=[\w-]{24}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax$/)
      found.add(first.header('x-backend'))
      const headers = { cookie: `a=b; ${cookie.split(';')[0]}` }
      for (let j = 0; j < 5; j++) {
        const again = await client.request({ host: 'balance.test', path: '/sticky', headers })
        assert.equal(again.header('x-backend'), first.header('x-backend'))
        assert.equal(again.header('set-cookie'), undefined)
      }
      // The cookie of one Backend is nobody's at another.
      const other = await client.request({ host: 'balance.test', path: '/sticky-dead', headers })
      assert.match(other.header('set-cookie')!, /^hg=/)
    }
    assert.equal(found.size, 3)
  })

  it('sessionAffinity by a header does the same', async () => {
    using client = await gateway.connect()
    const first = await client.request({ host: 'balance.test', path: '/sticky-header' })
    const token = first.header('x-session')!
    for (let i = 0; i < 10; i++) {
      const headers = { 'x-session': token }
      const again = await client.request({ host: 'balance.test', path: '/sticky-header', headers })
      assert.equal(again.header('x-backend'), first.header('x-backend'))
    }
  })

  it('forged and huge cookies of a session are replaced', async () => {
    for (const value of ['x', 'A'.repeat(24), 'y'.repeat(8_000)]) {
      const headers = { cookie: `hg=${value}` }
      const answer = await gateway.request({ host: 'balance.test', path: '/sticky', headers })
      assert.equal(answer.status, 200)
      assert.match(answer.header('set-cookie')!, /^hg=[\w-]{24};/)
    }
  })

  it('a weighted split is exact, and spread evenly', async () => {
    assert.deepEqual(await served('/split', 100), { one: 90, two: 10 })
    assert.deepEqual(await served('/split', 10), { one: 9, two: 1 })
  })

  it('weight 0 gets nothing', async () => {
    assert.deepEqual(await served('/zero', 20), { two: 20 })
  })

  it('a Backend that does not exist is 500 for its share, with the reason', async () => {
    assert.deepEqual(await served('/missing', 2), { '500 BackendNotFound': 2 })
    assert.deepEqual(await served('/part-missing', 10), { one: 5, '500 BackendNotFound': 5 })
  })

  it('a Backend of another namespace must allow it', async () => {
    assert.deepEqual(await served('/private', 1), { '500 BackendNotFound': 1 })
    assert.deepEqual(await served('/public', 1), { one: 1 })
  })

  it('an endpoint that cannot be connected costs a second try, no request', async () => {
    assert.deepEqual(await served('/half-dead', 20), { one: 20 })
    const line = await gateway.logged((entry) => entry.rule === 'half-dead' && entry.attempts === 2)
    assert.equal(line.status, 200)
  })

  it('and is ejected after five, so that it costs nothing without a second try either', async () => {
    assert.deepEqual(await served('/no-retry', 10), { one: 10 })
  })

  it('without a retry and without passive checks the dead endpoint shows', async () => {
    const counts = await served('/unchecked', 20)
    assert.ok((counts['502 ConnectFailure'] ?? 0) > 5, JSON.stringify(counts))
  })

  it('a Backend with no endpoint that can be connected is 502', async () => {
    assert.deepEqual(await served('/dead', 1), { '502 ConnectFailure': 1 })
  })

  it('repeats a GET that may have been processed, and never a POST', async () => {
    resets = 0
    const get = await gateway.request({ host: 'balance.test', path: '/resetting' })
    assert.deepEqual([get.status, get.json().reason, resets], [502, 'ResetBeforeResponse', 2])
    resets = 0
    const post = await gateway.request({ host: 'balance.test', path: '/resetting', method: 'POST', body: 'x' })
    assert.deepEqual([post.status, post.json().reason, resets], [502, 'ResetBeforeResponse', 1])
  })

  it('never loses a request to a kept connection that the upstream has closed', async () => {
    using client = await gateway.connect()
    for (let i = 0; i < 20; i++)
      assert.equal((await client.request({ host: 'balance.test', path: '/forgetful' })).text, 'ok')
  })

  it('an endpoint that hangs costs no GET more than the time of a hedge, or of an attempt', async () => {
    assert.deepEqual(await served('/hedged', 4), { one: 4 })
    assert.deepEqual(await served('/timed-out', 3), { one: 3 })
  })

  it('a mirror gets a copy of each request, with its body', async () => {
    const answer = await gateway.request({ host: 'balance.test', path: '/mirrored', method: 'POST', body: 'an order' })
    assert.equal(answer.header('x-backend'), 'one')
    while (shadow.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(
      shadow.received.map(({ url, body }) => [url, body]),
      [['/mirrored', 'an order']],
    )
  })

  it('resolves a DNS name', async () => {
    assert.deepEqual(await served('/named', 3), { one: 3 })
  })

  it('keeps connections to its upstreams', async () => {
    const opened = echoes[1]!.connections
    await served('/zero', 50)
    assert.ok(echoes[1]!.connections - opened <= 1, `${echoes[1]!.connections - opened} new connections`)
  })
})
