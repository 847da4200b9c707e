/**
 * Requests that wait while an edit renames their Route and removes their Backend, and the one that their authorization
 * service has: each goes on with what it was matched by. Over real sockets; every wait lasts until the test ends it.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { OAuth2Server } from 'oauth2-mock-server'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { holdings } from './wire.ts'

const HOST = 'shop.example'
const GENERATIONS = ['one', 'two', 'three'] as const
/** Beyond what any edit takes: of waits that nobody can end. */
const WAIT = '3s'
/** For control to withdraw what nobody needs. */
const SETTLED = 500

/** Servers that answer when they are told to. */
class Gate {
  /** Requests that have come, by what stands in their path. */
  readonly came: string[] = []
  readonly #held = new Map<string, (() => void)[]>()
  readonly #shut = new Set<string>()

  shut(name: string): void {
    this.#shut.add(name)
  }

  open(name: string): void {
    this.#shut.delete(name)
    for (const go of this.#held.get(name) ?? []) go()
    this.#held.delete(name)
  }

  pass(name: string, go: () => void): void {
    this.came.push(name)
    if (!this.#shut.has(name)) return go()
    const held = this.#held.get(name) ?? []
    held.push(go)
    this.#held.set(name, held)
  }

  arrived(name: string, times = 1): Promise<void> {
    return eventually(() => assert.equal(this.came.filter((one) => one === name).length, times, name))
  }
}

describe('requests that wait while their tables are replaced', () => {
  const scope = suiteScope()
  const gate = new Gate()
  const provider = new OAuth2Server()
  /** By generation. */
  const ports: number[][] = []
  let authPort = 0
  let keysURI = ''
  let gateway: Gateway
  let generation = 0
  /** How an origin answers a path, by how often it was asked. */
  const answers = new Map<string, (response: ServerResponse, times: number) => void>()

  const serve = (name: string) => (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url!
    gate.pass(`${name} ${path}`, () => {
      const times = gate.came.filter((one) => one.endsWith(` ${path}`)).length
      const answer = answers.get(path)
      if (answer !== undefined) answer(response, times)
      else response.setHeader('cache-control', 'no-store')
      if (!response.writableEnded) response.end(name)
    })
  }

  const manifests = (at: number): string => {
    const name = GENERATIONS[at]!
    const to = (more = '') => [{ name: `${name}${more}` }]
    const path = (value: string) => [{ path: { value } }]
    const external = { backendRef: { name: `auth-${name}` }, timeout: '60s' }
    const jwt = { issuer: provider.issuer.url, audiences: ['shop'], keys: { jwksURI: `${keysURI}/keys` } }
    return (
      backend(name, ports[at]!.slice(0, 1)) +
      backend(`${name}-pair`, ports[at]!, { loadBalancing: { algorithm: 'RoundRobin' } }) +
      backend(`${name}-narrow`, ports[at]!.slice(0, 1), {
        limits: { maxConnections: 1 },
        connection: { connectTimeout: '60s' },
      }) +
      backend(`auth-${name}`, [authPort]) +
      route(
        `shop-${name}`,
        [HOST],
        [
          { name: 'plain', backendRefs: to() },
          { name: 'external', matches: path('/external'), backendRefs: to(), policies: { auth: { external } } },
          {
            ...{ name: 'keys', matches: path('/keys'), backendRefs: to() },
            policies: { auth: { jwt } },
          },
          { name: 'cache', matches: path('/cache'), backendRefs: to(), policies: { cache: {} } },
          {
            ...{ name: 'split', matches: path('/split'), policies: { auth: { external } } },
            backendRefs: [{ name }, { name: `${name}-narrow`, priority: 1 }],
          },
          { name: 'queue', matches: path('/queue'), backendRefs: to('-narrow') },
          {
            ...{ name: 'retry', matches: path('/retry'), backendRefs: to() },
            policies: { retry: { attempts: 2, codes: [503], backoff: WAIT, budgetPercent: 100 } },
          },
          {
            ...{ name: 'hedge', matches: path('/hedge'), backendRefs: to('-pair') },
            policies: { hedge: { after: WAIT, maxPercent: 100 }, retry: { budgetPercent: 100 } },
          },
        ],
      )
    )
  }

  before(async () => {
    await provider.issuer.keys.generate('RS256', { kid: 'first' })
    await provider.start(0, '127.0.0.1')
    scope.after(() => provider.stop())
    for (const name of GENERATIONS) {
      const servers = [await httpBackend(scope, serve(name)), await httpBackend(scope, serve(name))]
      ports.push(servers.map(({ port }) => port))
    }
    const auth = await httpBackend(scope, ({ headers }, response) =>
      gate.pass(`auth ${headers['x-forwarded-uri']}`, () => response.end()),
    )
    authPort = auth.port
    const keys = await httpBackend(scope, (request, response) =>
      gate.pass(`keys ${request.url}`, async () => {
        const answer = await fetch(`${provider.issuer.url}/jwks`)
        response.end(await answer.text())
      }),
    )
    keysURI = `http://127.0.0.1:${keys.port}`
    gateway = await startGateway(scope, { 'all.yaml': manifests(0) })
  })

  /** Whatever the tables named is there under other names alone, and new requests go there. */
  const rename = async (): Promise<void> => {
    generation = (generation + 1) % GENERATIONS.length
    await gateway.write('all.yaml', manifests(generation))
    await eventually(async () =>
      assert.equal((await gateway.request({ host: HOST, path: '/' })).text, GENERATIONS[generation]),
    )
    await delay(SETTLED)
  }

  /** It may wait as long as the test has it wait. */
  const ask = async (path: string, headers = {}): Promise<string> => {
    const sent = get({ port: gateway.port, path, headers: { ...headers, host: HOST }, agent: false })
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    return `${answer.statusCode} ${await text(answer)}`
  }

  /** So many requests have been matched and are not answered. */
  const begun = (count: number): Promise<void> =>
    eventually(async () => assert.equal((await holdings(gateway)).exchanges, count))

  /** @param wait what the request waits for, by the name of the gate */
  const waits = async (path: string, wait: string, headers = {}): Promise<void> => {
    const before = GENERATIONS[generation]!
    gate.shut(wait)
    const times = 1 + gate.came.filter((one) => one === wait).length
    const answer = ask(path, headers)
    answer.catch(() => {})
    await gate.arrived(wait, times)
    await rename()
    gate.open(wait)
    assert.equal(await answer, `200 ${before}`)
  }

  it('for an authorization service', () => waits('/external/a', 'auth /external/a'))

  it('for an authorization service, in front of Backends with priorities', () => waits('/split/a', 'auth /split/a'))

  it('for keys of a provider that nobody has seen yet', async () => {
    await provider.issuer.keys.generate('ES256', { kid: 'second' })
    const token = await provider.issuer.buildToken({
      kid: 'second',
      scopesOrTransform: (_, payload) => {
        payload.aud = 'shop'
      },
    })
    await waits('/keys/a', 'keys /keys', { authorization: `Bearer ${token}` })
  })

  it("for another's fetch of the same thing, which is not stored", async () => {
    const before = GENERATIONS[generation]!
    const wait = `${before} /cache/a`
    gate.shut(wait)
    const first = ask('/cache/a')
    await gate.arrived(wait)
    const more = [ask('/cache/a'), ask('/cache/a'), ask('/cache/a')]
    for (const one of [first, ...more]) one.catch(() => {})
    await begun(4)
    await rename()
    assert.deepEqual(
      gate.came.filter((one) => one === wait),
      [wait],
    )
    gate.open(wait)
    for (const one of [first, ...more]) assert.equal(await one, `200 ${before}`)
  })

  it('for a connection', async () => {
    const before = GENERATIONS[generation]!
    const wait = `${before} /queue/a`
    gate.shut(wait)
    const first = ask('/queue/a')
    await gate.arrived(wait)
    const second = ask('/queue/b')
    for (const one of [first, second]) one.catch(() => {})
    await begun(2)
    await rename()
    gate.open(wait)
    for (const one of [first, second]) assert.equal(await one, `200 ${before}`)
  })

  it('for another attempt', async () => {
    const before = GENERATIONS[generation]!
    answers.set('/retry/a', (response, times) => {
      response.statusCode = times === 1 ? 503 : 200
    })
    const answer = ask('/retry/a')
    answer.catch(() => {})
    await gate.arrived(`${before} /retry/a`)
    await rename()
    assert.equal(await answer, `200 ${before}`)
    assert.equal(gate.came.filter((one) => one === `${before} /retry/a`).length, 2)
  })

  it('for a response that another endpoint gives sooner', async () => {
    const before = GENERATIONS[generation]!
    const wait = `${before} /hedge/a`
    gate.shut(wait)
    const answer = ask('/hedge/a')
    answer.catch(() => {})
    await gate.arrived(wait)
    await rename()
    await gate.arrived(wait, 2)
    gate.open(wait)
    assert.equal(await answer, `200 ${before}`)
  })
})
