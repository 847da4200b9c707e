/**
 * RFC 9111 §4.4: an unsafe request makes what is stored of its URI invalid, whichever rule takes it: by another
 * network, another field, another method, through another Route, another namespace or another listener.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { closedPort } from './backends.ts'
import { type Answer, type Asked, cacheOrigin } from './cache/origin.ts'
import { backend, route, startGateway, suiteScope } from './harness.ts'
import { RawClient, type RequestOptions } from './raw-client.ts'

/** Of clients that `sourceCIDRs` tell from others. */
const OFFICE = '127.0.0.7'

/** More than are remembered of a namespace. */
const FLOOD = 6_000

interface From {
  readonly address?: string
  readonly internal?: boolean
}

describe('an unsafe request through another rule than that of the cache', () => {
  const scope = suiteScope()
  const asked = new Map<string, number>()
  let http = 0
  let internal = 0
  let pages = 0

  const answer = ({ method, target, fields }: Asked): Answer => {
    if (method === 'POST') return { status: 204 }
    const url = `${fields.get('host')?.replace(/:\d+$/, '')}${target}`
    const count = 1 + (asked.get(url) ?? 0)
    asked.set(url, count)
    return { fields: ['cache-control: max-age=600'], body: `${url} ${count}` }
  }

  before(async () => {
    const origin = await cacheOrigin(scope, answer)
    const refs = { backendRefs: [{ name: 'up' }] }
    const cached = { ...refs, policies: { cache: {} } }
    const cachedRule = (...matches: object[]) => ({ name: 'cached', matches, ...cached })
    const plainRule = (...matches: object[]) => ({ name: 'plain', matches, ...refs })
    const everything = { path: { value: '/' } }
    const pair = (name: string, cachedMatch: object, plainMatch: object) =>
      route(name, [`${name}.test`], [cachedRule(cachedMatch), plainRule(plainMatch)])
    const delegates = [{ namespaces: { from: 'Names', names: ['guest'] }, pathPrefixes: ['/guest'] }]
    const manifests = [
      backend('up', [origin.port]),
      backend('guest/up', [origin.port]),
      pair('network', everything, { sourceCIDRs: [`${OFFICE}/32`] }),
      pair('only-network', { sourceCIDRs: [`${OFFICE}/32`] }, everything),
      pair('field', { headers: [{ name: 'x-api', value: '2' }] }, everything),
      pair('method', { method: 'GET' }, everything),
      pair('pattern', { path: { type: 'RegularExpression', value: '/p/[0-9]+' }, method: 'GET' }, everything),
      pair('exact', { path: { type: 'Exact', value: '/p/exact' }, method: 'GET' }, everything),
      pair('wider', everything, { path: { value: '/p' }, method: 'POST' }),
      route('routes-a', ['routes.test'], [cachedRule({ headers: [{ name: 'x-api', value: '2' }] })]),
      route('routes-b', ['routes.test'], [plainRule(everything)]),
      route('listener-a', ['listener.test'], [cachedRule(everything)], { listeners: ['http'] }),
      route('listener-b', ['listener.test'], [plainRule(everything)], { listeners: ['internal'] }),
      route('both', ['both.test'], [cachedRule({ method: 'GET' })], { listeners: ['http'] }),
      route('both-b', ['both.test'], [plainRule(everything)]),
      route('owner', ['owned.test'], [cachedRule({ method: 'GET' })], { delegates }),
      route('guest/guest', ['owned.test'], [plainRule({ path: { value: '/guest' }, method: 'POST' })]),
      route('flooded', ['flooded.test'], [cachedRule({ method: 'GET' })], { delegates }),
      route(
        'guest/flooding',
        ['flooded.test'],
        [
          plainRule(
            { path: { value: '/guest/below' }, method: 'POST' },
            { path: { type: 'Exact', value: '/guest/one' }, method: 'POST' },
            { path: { type: 'RegularExpression', value: '/guest/x/[0-9]+.*' }, method: 'POST' },
          ),
        ],
      ),
      route('wild', ['*.wild.test'], [cachedRule({ method: 'GET' })], {
        delegates: [{ namespaces: { from: 'Names', names: ['guest'] }, pathPrefixes: ['/'] }],
      }),
      route('guest/wild', ['a.wild.test'], [plainRule({ method: 'POST' })]),
    ]
    http = await closedPort()
    internal = await closedPort()
    await startGateway(
      scope,
      { 'all.yaml': manifests.join('') },
      {
        workers: 2,
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: http },
            { name: 'internal', address: '127.0.0.1', port: internal },
          ],
        },
      },
    )
  })

  async function send(options: RequestOptions, { address, internal: inside = false }: From = {}) {
    const client = await RawClient.connect(inside ? internal : http, '127.0.0.1', address)
    try {
      return await client.request(options)
    } finally {
      client[Symbol.dispose]()
    }
  }

  async function gets(options: RequestOptions, count: number, from?: From): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const response = await send(options, from)
      assert.equal(response.status, 200)
      assert.equal(response.text, `${options.host}${options.path} ${count}`)
    }
  }

  const CASES: readonly {
    readonly what: string
    readonly host: string
    readonly path?: string
    /** Of the GET. */
    readonly headers?: Readonly<Record<string, string>>
    readonly getFrom?: From
    readonly postFrom?: From
  }[] = [
    { what: 'its client is of a network with a rule of its own', host: 'network.test', postFrom: { address: OFFICE } },
    { what: 'the cache is for one network', host: 'only-network.test', getFrom: { address: OFFICE } },
    { what: 'the cache is for requests with a field', host: 'field.test', headers: { 'x-api': '2' } },
    { what: 'the cache is for GET', host: 'method.test' },
    { what: 'the cache is for an expression', host: 'pattern.test' },
    { what: 'the cache is for one path', host: 'exact.test', path: '/p/exact' },
    { what: 'the cache is for more paths', host: 'wider.test' },
    { what: 'another Route has the cache, by a field', host: 'routes.test', headers: { 'x-api': '2' } },
    { what: 'another listener has the cache, by another Route', host: 'listener.test', postFrom: { internal: true } },
    { what: 'one listener has the cache besides what all have', host: 'both.test', postFrom: { internal: true } },
    { what: 'another namespace has the cache', host: 'owned.test', path: '/guest/a' },
    { what: 'the wildcard of another namespace has the cache', host: 'a.wild.test' },
  ]

  for (const { what, host, path: given, headers, getFrom, postFrom } of CASES)
    it(`RFC 9111 §4.4: it invalidates where ${what}`, async () => {
      const path = given ?? `/p/${++pages}`
      const beside = `/p/beside-${++pages}`
      const get = { host, path, ...(headers && { headers }) }
      const other = { ...get, path: host === 'pattern.test' ? '/p/1000' : beside }
      await gets(get, 1, getFrom)
      if (given !== '/p/exact') await gets(other, 1, getFrom)
      assert.equal((await send({ method: 'POST', host, path, body: 'x' }, postFrom)).status, 204)
      await gets(get, 2, getFrom)
      if (given !== '/p/exact') await gets(other, 1, getFrom)
      // Safe ones do not.
      await send({ method: 'OPTIONS', host, path }, postFrom)
      await gets(get, 2, getFrom)
    })

  for (const [what, target] of [
    ['a prefix', (i: number) => `/guest/below/${i}?q=${i}`],
    ['a path', (i: number) => `/guest/one?q=${i}`],
    ['an expression', (i: number) => `/guest/x/${i}`],
  ] as const)
    it(`leaves its owner what a delegate does not serve, however many URLs it changes: ${what}`, async () => {
      const host = 'flooded.test'
      const page = (path: string) => ({ host, path: `${path}?case=${encodeURIComponent(what)}` })
      const kept = ['/', '/guest', '/guest/other', '/guest/belowish', '/guest/one/more', '/guest/y'].map(page)
      for (const each of kept) await gets(each, 1)
      const changed = { host, path: target(FLOOD) }
      await gets(changed, 1)
      const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(http)))
      try {
        const posts = clients.map(async (client, own) => {
          for (let i = own; i < FLOOD; i += clients.length)
            assert.equal((await client.request({ method: 'POST', host, path: target(i), body: 'x' })).status, 204)
        })
        await Promise.all(posts)
      } finally {
        for (const client of clients) client[Symbol.dispose]()
      }
      for (const each of kept) await gets(each, 1)
      // Whatever was invalidated, what is changed now is not served from before.
      const { text } = await send(changed)
      const count = Number(text.split(' ')[1])
      await gets(changed, count)
      assert.equal((await send({ method: 'POST', host, path: changed.path, body: 'x' })).status, 204)
      await gets(changed, count + 1)
    })
})
