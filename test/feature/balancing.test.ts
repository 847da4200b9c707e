import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { showBackends } from '../../src/cli/backends.ts'
import { closedPort, type EchoBackend, echoBackend, onHead, rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, manifest, route, startGateway, suiteScope } from './harness.ts'

const to = (name: string, refs: readonly object[], policies: object = {}): object => ({
  name,
  matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
  backendRefs: refs,
  policies,
})

type Condition = 'ready' | 'terminating' | 'gone'

/** A Service with a slice for each pod, since each has a port of its own; in two zones, with hints that swap them. */
function pods(ports: readonly number[], conditions: readonly Condition[]): string {
  const slices = ports.map((port, i) => {
    const [zone, hint] = i === 0 ? ['b', 'a'] : ['a', 'b']
    const ready = conditions[i] === 'ready'
    const serving = conditions[i] !== 'gone'
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `pods-${i}`, namespace: 'default', labels: { 'kubernetes.io/service-name': 'pods' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port }],
      endpoints: [
        {
          addresses: ['127.0.0.1'],
          conditions: { ready, serving, terminating: !ready },
          zone,
          hints: { forZones: [{ name: hint }] },
        },
      ],
    }
  })
  const metadata = { name: 'pods', namespace: 'default' }
  const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'http', port: 80 }] } }
  return [service, ...slices].map((object) => `${JSON.stringify(object)}\n---\n`).join('')
}

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
    const zoned = ports.map((port, index) => ({ address: '127.0.0.1', port, zone: 'abc'[index] }))
    gateway = await startGateway(
      scope,
      {
        'pods.yaml': pods(ports, ['ready', 'ready', 'terminating']),
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
          manifest('Backend', 'near', { endpoints: zoned, loadBalancing: { zoneAware: true } }) +
          manifest('Backend', 'near-dead', {
            endpoints: [{ ...zoned[0], port: dead }, zoned[1], zoned[2]],
            loadBalancing: { zoneAware: true },
          }) +
          manifest('Backend', 'pods', {
            service: { name: 'pods', port: 'http' },
            loadBalancing: { algorithm: 'RoundRobin' },
          }) +
          manifest('Backend', 'hinted', {
            service: { name: 'pods', port: 'http' },
            loadBalancing: { algorithm: 'RoundRobin', zoneAware: true },
          }) +
          backend('part', ports, { loadBalancing: { algorithm: 'RoundRobin', subsetSize: 1 } }) +
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
          backend('probed', [ports[0]!, failing.port], {
            loadBalancing: { algorithm: 'RoundRobin' },
            healthCheck: {
              active: { path: '/healthz', interval: '100ms', unhealthyAfter: 1 },
              passive: { consecutiveFailures: 0, successRate: { belowMeanPercent: 0 } },
            },
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
              'probed',
              'resetting',
              'forgetful',
              'named',
              'near',
              'near-dead',
              'pods',
              'hinted',
              'part',
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
            to('priority', [{ name: 'dead' }, { name: 'two', priority: 1 }, { name: 'one', priority: 15 }], {
              retry: { attempts: 1, backoff: '1ms' },
            }),
            to('no-priority', [
              { name: 'two', weight: 0 },
              { name: 'one', weight: 0, priority: 1 },
            ]),
            {
              ...to('users', [
                { name: 'one', weight: 1 },
                { name: 'two', weight: 1 },
              ]),
              splitAffinity: { by: ['header:x-user'], cookie: { name: 'part' } },
            },
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
      },
      { settings: { topology: { zone: 'a', replica: { number: 2, of: 3 } } } },
    )
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

  it('zoneAware keeps requests in the zone of the gateway, and leaves it where nothing there is well', async () => {
    assert.deepEqual(await served('/near', 30), { one: 30 })
    const counts = await served('/near-dead', 60)
    assert.deepEqual(Object.keys(counts).sort(), ['three', 'two'])
  })

  it('a pod that terminates and still serves gets requests only when nothing else is left, and hints count', async () => {
    const become = async (conditions: readonly Condition[], expected: Readonly<Record<string, number>>) => {
      await gateway.write(
        'pods.yaml',
        pods(
          echoes.map(({ port }) => port),
          conditions,
        ),
      )
      await eventually(async () => assert.deepEqual(await served('/pods', 6), expected))
    }
    assert.deepEqual(await served('/pods', 6), { one: 3, two: 3 })
    assert.deepEqual(await served('/hinted', 6), { one: 6 })
    await become(['terminating', 'terminating', 'terminating'], { one: 2, two: 2, three: 2 })
    await become(['gone', 'gone', 'terminating'], { three: 6 })
    await become(['gone', 'gone', 'gone'], { '503 NoEndpoint': 6 })
    await become(['gone', 'gone', 'ready'], { three: 6 })
  })

  it('subsetSize gives each of three replicas a third of the endpoints', async () => {
    assert.deepEqual(Object.values(await served('/part', 30)), [30])
  })

  it('the admin API says where the replica stands, and what it sends to which endpoint', async () => {
    const answer = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/version`)
    const { zone, replica, replicas } = (await answer.json()) as Record<string, unknown>
    assert.deepEqual({ zone, replica, replicas }, { zone: 'a', replica: 2, replicas: 3 })
    const list = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/backends`)
    const { items: backends } = (await list.json()) as {
      readonly items: readonly {
        readonly id: string
        readonly endpoints: readonly { taken: boolean; share?: number; reason: string; zone?: string }[]
      }[]
    }
    const near = backends
      .find(({ id }) => id === 'default/near')!
      .endpoints.toSorted((one, other) => one.zone!.localeCompare(other.zone!))
    assert.deepEqual(
      near.map((one) => [one.zone, one.taken, one.share]),
      [
        ['a', true, 1],
        ['b', false, 0],
        ['c', false, 0],
      ],
    )
    assert.match(near[1]!.reason, /left to other replicas/)
    assert.equal(backends.find(({ id }) => id === 'default/round')!.endpoints[0]!.share, undefined)
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

  it('priority: the next one takes what the first cannot, also within one request', async () => {
    assert.deepEqual(await served('/priority', 20), { two: 20 })
    const post = await gateway.request({ host: 'balance.test', path: '/priority', method: 'POST', body: 'order' })
    assert.deepEqual([post.status, post.header('x-backend')], [200, 'two'])
    // From the fifth failure in a row on no request goes to the dead endpoint first.
    const last = await gateway.logged((line) => line.rule === 'priority' && line.method === 'POST')
    assert.deepEqual([last.attempts, last.backend], [1, 'default/two'])
    assert.deepEqual(await served('/no-priority', 2), { '503 NoEndpoint': 2 })
  })

  it('splitAffinity keeps a user in one part, by a header or by a cookie of its own', async () => {
    using client = await gateway.connect()
    const found = new Set<string | undefined>()
    for (let i = 0; i < 16; i++) {
      const ask = (headers: Record<string, string>) => client.request({ host: 'balance.test', path: '/users', headers })
      const user = { 'x-user': `u${i}` }
      const part = (await ask(user)).header('x-backend')
      found.add(part)
      assert.equal((await ask(user)).header('x-backend'), part)
      const first = await ask({})
      const cookie = /^part=[0-9a-z]{20}/.exec(first.header('set-cookie')!)![0]
      const again = await ask({ cookie })
      assert.deepEqual([again.header('x-backend'), again.header('set-cookie')], [first.header('x-backend'), undefined])
    }
    assert.equal(found.size, 2)
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

  it('probes keep requests from an endpoint that fails them, and headgate backends says why', async () => {
    await eventually(async () => assert.deepEqual(await served('/probed', 6), { one: 6 }))
    let out = ''
    const io = { out: (text: string) => void (out += text), err: assert.fail }
    const command = { name: 'backends', names: ['default/probed'], out: true, output: 'text' } as const
    assert.equal(await showBackends({ ...command, admin: { port: gateway.adminPort } }, io), 0)
    const [, line] = out.split('\n')
    assert.match(
      line!,
      /^default\/probed {2}1 of 2 .* unhealthy .* failed, \d+s ago {2}not taken for \d+s: probes fail: status 500/,
    )
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
