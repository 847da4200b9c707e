/**
 * Requests that come back: a tenant's own program that sends everything to the gateway again, honest (it passes
 * CDN-Loop on) and hostile (it takes it away), against a client of another namespace that counts what fails. In a
 * folder and on an API server, Shared and Strict.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { Agent, createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { echoBackend } from '../feature/backends.ts'
import {
  backend,
  eventually,
  type Gateway,
  type GatewayOptions,
  manifest,
  route,
  type Scope,
  startGateway,
  suiteScope,
} from '../feature/harness.ts'
import { kubeconfigFile } from '../feature/kubeconfig.ts'
import { KEY } from '../lib/websocket-lines.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import type { Manifest } from '../suite/source.ts'

interface Proxy {
  readonly port: number
  /** Requests that it has got. */
  count: number
  /** Where it sends them. */
  gateway: number
  /** Host it asks for; as it came where it is undefined. */
  host: ((count: number) => string) | undefined
  /** As the last request had them. */
  headers: IncomingHttpHeaders
}

/** @param strips takes CDN-Loop, and all else that tells where a request has been, away */
async function proxyBack(scope: Scope, strips: boolean, address = '127.0.0.1'): Promise<Proxy> {
  const agent = new Agent({ keepAlive: false })
  const server = createServer((incoming, response) => {
    const proxy = self
    proxy.count++
    proxy.headers = incoming.headers
    const headers: Record<string, string> = { host: proxy.host?.(proxy.count) ?? incoming.headers.host! }
    if (!strips && incoming.headers['cdn-loop'] !== undefined)
      headers['cdn-loop'] = incoming.headers['cdn-loop'] as string
    const upgrade = incoming.headers.upgrade
    if (upgrade !== undefined) Object.assign(headers, { connection: 'upgrade', upgrade })
    const options = { agent, port: proxy.gateway, host: '127.0.0.1', path: incoming.url, method: incoming.method }
    const again = httpRequest({ ...options, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    again.on('error', () => response.destroy())
    response.on('close', () => again.destroy())
    incoming.pipe(again)
  })
  // An upgrade is answered like any other request: it goes on to the gateway.
  server.on('upgrade', (incoming, socket) => {
    self.count++
    const { host } = incoming.headers
    const loop = strips ? '' : `cdn-loop: ${String(incoming.headers['cdn-loop'])}\r\n`
    const again = httpRequest({
      agent,
      port: self.gateway,
      host: '127.0.0.1',
      path: incoming.url,
      headers: headersOf(),
    })
    function headersOf() {
      return {
        host: self.host?.(self.count) ?? host!,
        connection: 'upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': KEY,
        ...(loop !== '' && { 'cdn-loop': incoming.headers['cdn-loop'] as string }),
      }
    }
    again.on('response', (answer) => socket.end(`HTTP/1.1 ${answer.statusCode} x\r\ncontent-length: 0\r\n\r\n`))
    again.on('error', () => socket.destroy())
    again.end()
  })
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  scope.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const self: Proxy = { port, count: 0, gateway: 0, host: undefined, headers: {} }
  return self
}

/** An address of this machine that is none of loopback: in a cluster that is no place for a Backend. */
const OUTSIDE = Object.values(networkInterfaces())
  .flatMap((entries) => entries ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

interface World {
  readonly gateway: Gateway
  write(...documents: string[]): Promise<void>
  /** Of a Backend of the tenant. */
  readonly address: string
}

const to = (...names: string[]) => ({ from: 'Names', names })
const STRICT = {
  tenancy: 'Strict',
  hostnames: [
    { namespaces: to('tenant'), names: ['*.loop.example', 'loop.example'] },
    { namespaces: to('victim'), names: ['*.victim.example', 'victim.example'] },
  ],
}

interface Mode {
  readonly name: string
  readonly address: string | undefined
  start(scope: Scope, settings: object, options?: GatewayOptions, ports?: readonly number[]): Promise<World>
}

const folder = (name: string, tenancy: object): Mode => ({
  name,
  address: '127.0.0.1',
  async start(scope, settings, options = {}, ports = []) {
    const hosts = ports.map((port) => `127.0.0.1:${port}`)
    const externalTargets = [{ namespaces: to('tenant', 'victim'), hosts }]
    const upstreams = {
      ...(settings as { upstreams?: object }).upstreams,
      ...(hosts.length > 0 && { externalTargets }),
    }
    const gateway = await startGateway(scope, {}, { settings: { ...tenancy, ...settings, upstreams }, ...options })
    let count = 0
    const write = async (...documents: string[]) => await gateway.write(`${++count}.yaml`, documents.join(''))
    return { gateway, write, address: '127.0.0.1' }
  },
})

const cluster = (name: string, tenancy: object): Mode => ({
  name,
  address: OUTSIDE,
  async start(scope, settings, options = {}, ports = []) {
    const api = await new FakeApi().listen()
    scope.after(() => api.kill())
    // Another replica, on another node, and somebody else's pod.
    for (const [name, app, node, six] of [
      ['headgate-b', 'headgate', '172.18.0.4', 'fd00:18::4'],
      ['other', 'other', '172.18.0.5', 'fd00:18::5'],
    ])
      api.put({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'gateway', labels: { app } },
        status: { hostIP: node, hostIPs: [{ ip: node }, { ip: six }] },
      } as unknown as Manifest)
    api.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'headgate', namespace: 'gateway' },
      spec: {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.9',
        externalIPs: ['198.51.100.20'],
        healthCheckNodePort: 32_000,
        ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
      },
      status: { loadBalancer: { ingress: [{ ip: '198.51.100.21' }] } },
    } as unknown as Manifest)
    const hosts = [...ports.map((port) => `${OUTSIDE}:${port}`), ...FRONTS.map(([, authority]) => authority)]
    const externalTargets = [{ namespaces: to('tenant', 'victim'), hosts }]
    const upstreams = { ...(settings as { upstreams?: object }).upstreams, externalTargets }
    const gateway = await startGateway(
      scope,
      {},
      {
        source: ['--kubeconfig', await kubeconfigFile(scope, api)],
        settings: { ...tenancy, ...settings, upstreams },
        ...options,
      },
    )
    const write = (...documents: string[]) => {
      for (const text of documents
        .join('')
        .split('---\n')
        .filter((one) => one.trim() !== ''))
        api.put(JSON.parse(text) as Manifest)
      return Promise.resolve()
    }
    return { gateway, write, address: OUTSIDE! }
  },
})

/** Addresses in front of an installation, as a Backend and as `externalTargets` name them. */
const FRONTS: readonly (readonly [address: string, authority: string])[] = [
  ['10.96.0.9', '10.96.0.9:80'],
  ['198.51.100.20', '198.51.100.20:80'],
  ['198.51.100.21', '198.51.100.21:80'],
  ['::ffff:198.51.100.21', '[::ffff:198.51.100.21]:80'],
  ['64:ff9b::198.51.100.21', '[64:ff9b::198.51.100.21]:80'],
  ['172.18.0.2', '172.18.0.2:30080'],
  ['fd00:18::2', '[fd00:18::2]:30080'],
  ['172.18.0.2', '172.18.0.2:32000'],
  ['172.18.0.3', '172.18.0.3:81'],
  ['fd00:18::3', '[fd00:18::3]:81'],
  ['fd00:18::2', '[fd00:18::2]:6443'],
  ['fd00:18::2', '[fd00:18::2]:10250'],
  ['198.51.100.22', '198.51.100.22:443'],
  ['172.18.0.4', '172.18.0.4:81'],
  ['fd00:18::4', '[fd00:18::4]:81'],
]

const ENVIRONMENT = {
  HEADGATE_INSTALLATION: 'headgate',
  POD_NAMESPACE: 'gateway',
  HEADGATE_SERVICE: 'headgate',
  HEADGATE_ADDRESSES: '198.51.100.22',
  HEADGATE_HOST_PORTS: '81',
  HEADGATE_SELECTOR: 'app=headgate',
  HEADGATE_HOST_IPS: '172.18.0.3,fd00:18::3',
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
}
const ours = { ...process.env }
before(() => Object.assign(process.env, ENVIRONMENT))
after(() => {
  for (const name of Object.keys(ENVIRONMENT))
    if (ours[name] === undefined) delete process.env[name]
    else process.env[name] = ours[name]
})

const MODES = [
  folder('folder, Shared', {}),
  folder('folder, Strict', STRICT),
  cluster('cluster, Shared', {}),
  cluster('cluster, Strict', STRICT),
]

const tenantBackend = (address: string, port: number, spec: object = {}, name = 'back') =>
  manifest('Backend', `tenant/${name}`, { endpoints: [{ address, port }], ...spec })
const toBack = (name: string, hosts: readonly string[], to_ = 'back') =>
  route(`tenant/${name}`, hosts, [{ name: 'all', backendRefs: [{ name: to_ }], policies: { retry: { attempts: 0 } } }])
const openFiles = ({ process: { pid } }: Gateway): number => readdirSync(`/proc/${pid}/fd`).length

/** Asks again and again until told to stop; one after the other. */
function counting(scope: Scope, gateway: Gateway, host: string) {
  let stopped = false
  const result = { asked: 0, failed: [] as string[] }
  const run = (async () => {
    while (!stopped && result.asked < 100_000) {
      result.asked++
      const status = await gateway.request({ host }).then(
        (answer) => String(answer.status),
        (error: unknown) => String(error),
      )
      if (status !== '200') result.failed.push(status)
    }
  })()
  scope.after(() => {
    stopped = true
  })
  return {
    stop: async () => {
      stopped = true
      await run
      return result
    },
  }
}

for (const mode of MODES)
  describe(`requests that come back, ${mode.name}`, { skip: mode.address === undefined ? 'no address' : false }, () => {
    const scope = suiteScope()
    let world: World
    let passing: Proxy
    let hopping: Proxy
    before(async () => {
      passing = await proxyBack(scope, false, mode.address)
      hopping = await proxyBack(scope, false, mode.address)
      world = await mode.start(scope, { limits: { passes: 5 } }, {}, [passing.port, hopping.port])
      passing.gateway = hopping.gateway = world.gateway.port
    })

    it('end at the second pass through the same rule where the way back is not known', async () => {
      const { gateway, write, address } = world
      await write(tenantBackend(address, passing.port) + toBack('loop', ['loop.example']))
      const ask = async (more: object = {}) => {
        passing.count = 0
        return await gateway.request({ host: 'loop.example', ...more })
      }
      await eventually(async () => assert.equal((await ask()).status, 508))
      const answer = await ask()
      assert.deepEqual([answer.status, answer.json().reason, passing.count], [508, 'LoopDetected', 1])
      assert.match(String(passing.headers['cdn-loop']), /^headgate-[0-9a-f]{20};r=[0-9a-f]{12}$/)
      const line = await gateway.logged(({ reason }) => reason === 'LoopDetected')
      assert.equal(line.route, 'tenant/loop')
      for (const [what, more] of [
        ['POST', { method: 'POST', body: 'x'.repeat(100_000) }],
        ['HTTP/1.0', { version: '1.0' }],
        ['an upgrade', { headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': KEY } }],
        ['its own entries', { headers: { 'cdn-loop': 'a, b;c="d' } }],
        ['a Connection that names nothing of it', { headers: { connection: 'keep-alive, x' } }],
      ] as const) {
        assert.equal((await ask(more)).status, 508, what)
        assert.equal(passing.count, 1, what)
      }
      assert.equal((await ask({ headers: { connection: 'cdn-loop' } })).status, 400)
    })

    it('end after so many passes as the settings say, however many rules they go through', async () => {
      const { gateway, write, address } = world
      const hosts = Array.from({ length: 40 }, (_, i) => `h${i}.loop.example`)
      await write(
        tenantBackend(address, hopping.port, {}, 'hop') +
          hosts.map((host, i) => toBack(`loop-${i}`, [host], 'hop')).join(''),
      )
      hopping.host = (count) => `h${count % 40}.loop.example`
      await eventually(async () => assert.equal((await gateway.request({ host: 'h39.loop.example' })).status, 508))
      hopping.count = 0
      const answer = await gateway.request({ host: 'h0.loop.example' })
      assert.deepEqual([answer.status, hopping.count], [508, 5])
    })

    it('cannot be made to look new by a rule', async () => {
      const { gateway, write } = world
      const edits = [
        { remove: ['cdn-loop'] },
        { remove: ['cdn_loop'] },
        { set: [{ name: 'cdn-loop', value: 'x' }] },
        { add: [{ name: 'cdn-loop', value: 'x' }] },
      ]
      const rules = (requestHeaders: object) => [
        { name: 'all', respond: { statusCode: 200, body: 'served' }, policies: { requestHeaders } },
      ]
      await write(
        edits.map((edit, i) => route(`tenant/edit-${i}`, [`e${i}.loop.example`], rules(edit))).join('') +
          route('tenant/plain', ['plain.loop.example'], rules({ remove: ['x-ok'] })),
      )
      await eventually(async () => assert.equal((await gateway.request({ host: 'plain.loop.example' })).status, 200))
      for (const i of edits.keys())
        assert.equal((await gateway.request({ host: `e${i}.loop.example` })).status, 404, String(i))
    })

    // Some seconds of both CPUs; what the modes differ in, addresses and tenancy, has both values.
    const outermost = mode === MODES[0] || mode === MODES.at(-1)
    it('cost their namespace its share, and nobody else anything, where a program takes CDN-Loop away', {
      skip: outermost ? false : 'the first and the last mode do',
    }, async (t) => {
      const proxy = await proxyBack(t, true, mode.address)
      const echo = await echoBackend(t)
      const victim = mode.address === '127.0.0.1' ? '127.0.0.1' : mode.address!
      const forwardTo = mode.address === '127.0.0.1' ? echo.port : await relayed(t, mode.address!, echo.port)
      const { gateway, write, address } = await mode.start(t, {}, { openFiles: 700, workers: 2 }, [
        proxy.port,
        forwardTo,
      ])
      proxy.gateway = gateway.port
      const limits = { maxConnections: 1_000_000, maxPending: 1_000_000 }
      const victimRoute = (name: string, host: string) =>
        route(`victim/${name}`, [host], [{ name: 'all', backendRefs: [{ name: 'echo' }] }])
      await write(
        manifest('Backend', 'victim/echo', { endpoints: [{ address: victim, port: forwardTo }] }) +
          victimRoute('web', 'victim.example'),
      )
      await eventually(async () => assert.equal((await gateway.request({ host: 'victim.example' })).status, 200))
      // Many Backends, so that none of them is at a limit of its own.
      const names = Array.from({ length: 20 }, (_, i) => `back-${i}`)
      await write(
        names.map((name) => tenantBackend(address, proxy.port, { limits }, name)).join('') +
          names.map((name, i) => toBack(name, [`h${i}.loop.example`], name)).join(''),
      )
      proxy.host = (count) => `h${count % 20}.loop.example`
      // All of it is there when the last of it is; a rule that answers itself does not go round.
      await write(route('tenant/mark', ['mark.loop.example'], [{ name: 'm', respond: { statusCode: 200, body: 'm' } }]))
      await eventually(async () => assert.equal((await gateway.request({ host: 'mark.loop.example' })).status, 200))
      /** @returns after how many milliseconds another namespace's new Route acts */
      const acts = async (name: string): Promise<number> => {
        const since = performance.now()
        const host = `${name}.victim.example`
        await write(victimRoute(name, host))
        await eventually(async () => assert.equal((await gateway.request({ host })).status, 200))
        return performance.now() - since
      }
      const calm = await acts('calm')
      const idle = openFiles(gateway)
      const client = counting(t, gateway, 'victim.example')
      let most = 0
      const watch = setInterval(() => (most = Math.max(most, openFiles(gateway))), 20).unref()
      const loops = Array.from({ length: 5 }, async (_, i) => {
        const { status, text } = await gateway.request({ host: `h${i}.loop.example` })
        return { status, text }
      })
      await eventually(() => assert.ok(proxy.count > 100, String(proxy.count)))
      const took = await acts('new')
      const answers = await Promise.all(loops)
      clearInterval(watch)
      const { asked, failed } = await client.stop()
      assert.deepEqual(failed, [], `of ${asked}`)
      assert.ok(asked > 20, String(asked))
      // A machine that has other work is slow without loops, too.
      assert.ok(
        took < Math.max(2_500, 10 * calm),
        `another's change acted after ${took} ms, before it after ${calm} ms`,
      )
      for (const { status, text } of answers) assert.deepEqual([status, JSON.parse(text).reason], [503, 'Overloaded'])
      assert.ok(most < 700 - 64, `${most} files open, ${idle} before`)
      await eventually(() => assert.ok(openFiles(gateway) < idle + 80, 'all of it is given back'))
    })
  })

/** The same program at another address. */
async function relayed(scope: Scope, address: string, port: number): Promise<number> {
  const server = createServer((incoming, response) => {
    const on = httpRequest({
      port,
      host: '127.0.0.1',
      path: incoming.url,
      method: incoming.method,
      headers: incoming.headers,
    })
    on.on('response', (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    on.on('error', () => response.destroy())
    incoming.pipe(on)
  })
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  scope.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

for (const mode of MODES.slice(2))
  describe(`addresses in front of an installation, ${mode.name}`, () => {
    const scope = suiteScope()
    let world: World
    before(async () => {
      world = await mode.start(scope, {})
    })

    it('are not dialled, in any form or family, and the answer says why', async () => {
      await world.write(
        ...FRONTS.map(([address, authority], i) => {
          const port = Number(authority.slice(authority.lastIndexOf(':') + 1))
          return (
            tenantBackend(address, port, {}, `front-${i}`) + toBack(`front-${i}`, [`f${i}.loop.example`], `front-${i}`)
          )
        }),
      )
      await eventually(async () => {
        for (const [i, [, authority]] of FRONTS.entries()) {
          const answer = await world.gateway.request({ host: `f${i}.loop.example` })
          // This form does not even pass the door.
          const refused = authority.startsWith('[::ffff:') ? [500, 'BackendNotFound'] : [503, 'NoEndpoint']
          assert.deepEqual([answer.status, answer.json().reason], refused, authority)
        }
      })
      await eventually(() => {
        const said = world.gateway.processLog.join('\n')
        for (const [i, [address]] of FRONTS.entries())
          if (!address.startsWith('::ffff:'))
            assert.match(said, new RegExp(`tenant/front-${i}: .*(itself|node port|API server|kubelet)`))
      })
    })
  })

describe('a chain of two installations', () => {
  it('works though both have the same objects, and each knows its own passes', async (t) => {
    const echo = await echoBackend(t)
    const inner = await startGateway(t, {
      'a.yaml':
        backend('up', [echo.port]) + route('web', ['web.example'], [{ name: 'all', backendRefs: [{ name: 'up' }] }]),
    })
    const edge = await startGateway(t, {
      'a.yaml':
        backend('up', [inner.port]) + route('web', ['web.example'], [{ name: 'all', backendRefs: [{ name: 'up' }] }]),
    })
    const answer = await edge.request({ host: 'web.example' })
    assert.equal(answer.status, 200)
    const entries = String(echo.received[0]!.headers['cdn-loop']).split(', ')
    assert.equal(entries.length, 2)
    assert.equal(new Set(entries.map((entry) => entry.split(';')[0])).size, 2)
    assert.equal(
      new Set(entries.map((entry) => entry.split(';')[1])).size,
      2,
      'nobody can tell that they are the same rule',
    )
    // Whoever writes such an entry by hand keeps nobody out but himself.
    const forged = await edge.request({ host: 'web.example', headers: { 'cdn-loop': entries.join(', ') } })
    assert.deepEqual([forged.status, forged.json().reason], [508, 'LoopDetected'])
    assert.equal((await edge.request({ host: 'web.example' })).status, 200)
  })
})
