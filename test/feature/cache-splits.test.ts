/**
 * A cache beside a split (canary): what is stored of one Backend is given to nobody whom the split leads to another
 * one. Over real sockets; each body names the Backend, the path and how often that Backend was asked.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { closedPort } from './backends.ts'
import { type Answer, type Asked, cacheOrigin, type Origin } from './cache/origin.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import type { RawClient, RawResponse } from './raw-client.ts'

const TOKEN = 'token-of-the-feature-test'
const HOST = 'shop.example'
const BACKENDS = ['stable', 'canary', 'backup'] as const
type Name = (typeof BACKENDS)[number]
/** Nobody listens there. */
const DEAD = 'dead'

interface Ref {
  readonly name: Name | typeof DEAD
  readonly weight?: number
  readonly priority?: number
}

const EVEN: readonly Ref[] = [{ name: 'stable' }, { name: 'canary' }]

describe('a cache beside a split', () => {
  const scope = suiteScope()
  const origins = new Map<Name, Origin>()
  /** Requests that a Backend got, by its name and the path. */
  const asked = new Map<string, number>()
  const down = new Set<Name>()
  let gateway: Gateway
  /** One connection, and so one worker, for requests in a row. */
  let client: RawClient
  let deadPort = 0
  let edits = 0
  let pages = 0

  const answer =
    (name: Name) =>
    ({ method, target, fields }: Asked): Answer => {
      if (down.has(name)) return { status: 503 }
      const count = 1 + (asked.get(`${name} ${target}`) ?? 0)
      asked.set(`${name} ${target}`, count)
      if (method === 'POST') return { status: 204 }
      const etag = `etag: "${name}"`
      if (fields.get('if-none-match') === `"${name}"` && !target.includes('new')) return { status: 304 }
      const lifetime = target.startsWith('/swr') ? 'max-age=0, stale-while-revalidate=600' : 'max-age=600'
      return { fields: [`cache-control: ${lifetime}`, etag, 'surrogate-key: all'], body: `${name} ${target} ${count}` }
    }

  const rules = (refs: readonly Ref[]) => [
    { name: 'turns', backendRefs: refs, policies: { cache: { tags: { header: 'surrogate-key' } } } },
    {
      ...{ name: 'users', matches: [{ path: { value: '/users' } }], backendRefs: refs },
      splitAffinity: { by: ['header:x-user'], cookie: { name: 'part' } },
      policies: { cache: {} },
    },
    {
      ...{ name: 'plain', matches: [{ path: { value: '/plain' } }], backendRefs: refs },
      splitAffinity: { by: ['header:x-user'], cookie: { name: 'part' } },
    },
    {
      ...{ name: 'edited', matches: [{ path: { value: '/edited' } }], backendRefs: refs },
      splitAffinity: { by: ['header:x-user'] },
      policies: { requestHeaders: { set: [{ name: 'x-user', value: '%{header:x-name}' }] }, cache: {} },
    },
    { name: 'post', matches: [{ method: 'POST' }], backendRefs: [{ name: 'stable' }] },
  ]
  const manifests = (refs: readonly Ref[], existing: readonly Name[] = BACKENDS) =>
    existing.map((name) => backend(name, [origins.get(name)!.port])).join('') +
    backend(DEAD, [deadPort]) +
    route('shop', [HOST], rules(refs))
  const beside = (edit: number) =>
    route('edit', ['edit.example'], [{ name: 'edit', respond: { statusCode: 200, body: `edit ${edit}` } }])

  before(async () => {
    deadPort = await closedPort()
    for (const name of BACKENDS) origins.set(name, await cacheOrigin(scope, answer(name)))
    const folder = await mkdtemp(join(tmpdir(), 'headgate-splits-'))
    scope.after(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), TOKEN, { mode: 0o600 })
    gateway = await startGateway(
      scope,
      { 'a.yaml': manifests(EVEN), 'b.yaml': beside(0) },
      { workers: 2, settings: { admin: { tokenFile: join(folder, 'token') } } },
    )
    client = await gateway.connect()
    scope.after(() => void client.socket.destroy())
  })

  async function splitsInto(refs: readonly Ref[], existing?: readonly Name[]): Promise<void> {
    await gateway.write('a.yaml', manifests(refs, existing))
    await gateway.write('b.yaml', beside(++edits))
    // Of the worker that all other requests go to.
    await eventually(async () => {
      assert.equal((await client.request({ host: 'edit.example' })).text, `edit ${edits}`)
    })
  }

  const page = (kind = 'page'): string => `/${kind}/${++pages}`
  const get = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<RawResponse> =>
    client.request({ host: HOST, path, headers })
  const timesOf = (name: Name, path: string): number => asked.get(`${name} ${path}`) ?? 0
  const admin = (path: string, body: object): Promise<Response> =>
    fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/${path}`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` } },
      body: JSON.stringify(body),
    })
  const nameOf = ({ text }: RawResponse): string => text.split(' ', 1)[0]!

  /** GET so often. @returns the Backends of which some came: turns go on through edits, so that their number may differ */
  async function partsOf(path: string, requests: number): Promise<readonly string[]> {
    return Object.keys(await shares(path, requests)).sort()
  }

  /** GET so often. @returns how many came of each Backend */
  async function shares(path: string, requests: number): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (let i = 0; i < requests; i++) {
      const response = await get(path)
      assert.equal(response.status, 200)
      assert.equal(response.text.split(' ')[1], path)
      found[nameOf(response)] = (found[nameOf(response)] ?? 0) + 1
    }
    return found
  }

  it('gives each Backend its share of the requests, hits included, and asks each once', async () => {
    const path = page()
    assert.deepEqual(await shares(path, 40), { stable: 20, canary: 20 })
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })

  it('keeps a user in the part in which splitAffinity has it without a cache', async () => {
    const path = page('users')
    const seen = new Set<string>()
    for (let user = 0; user < 24; user++) {
      const headers = { 'x-user': `user-${user}` }
      const plain = nameOf(await get('/plain', headers))
      seen.add(plain)
      for (let i = 0; i < 2; i++) assert.equal(nameOf(await get(path, headers)), plain)
    }
    assert.deepEqual([...seen].sort(), ['canary', 'stable'])
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })

  it('gives a new user the cookie of its part with a hit, and the part with the cookie', async () => {
    const path = page('users')
    const seen = new Set<string>()
    for (let i = 0; i < 24; i++) {
      const first = await get(path)
      const cookie = first.header('set-cookie')
      assert.match(cookie ?? 'none', /^part=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)
      const again = await get(path, { cookie: cookie!.split(';', 1)[0]! })
      assert.equal(nameOf(again), nameOf(first))
      assert.equal(again.header('set-cookie'), undefined)
      seen.add(nameOf(first))
    }
    assert.deepEqual([...seen].sort(), ['canary', 'stable'])
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })

  it('fetches anew behind a stale response from the Backend that it is of', async () => {
    const path = page('swr')
    for (let i = 0; i < 40; i++) {
      const { text, status } = await get(path)
      assert.equal(status, 200)
      assert.match(text, new RegExp(`^(stable|canary) ${path} `))
    }
    // A Backend that validated the other one's response would have sent its own instead of a 304.
    await eventually(() => {
      assert.ok(timesOf('stable', path) > 1)
      assert.ok(timesOf('canary', path) > 1)
    })
    for (let i = 0; i < 8; i++) assert.match((await get(path)).text, / 1$/)
  })

  it('loses the responses of all Backends by one unsafe request, or one purge', async () => {
    const path = page()
    await shares(path, 4)
    assert.equal((await client.request({ method: 'POST', host: HOST, path, body: 'x' })).status, 204)
    assert.deepEqual(await shares(path, 4), { stable: 2, canary: 2 })
    // One of its requests was the POST.
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [3, 2])
    for (const body of [{ urls: [`http://${HOST}${path}`] }, { tags: ['all'] }, { route: 'shop' }]) {
      const before = [timesOf('stable', path), timesOf('canary', path)]
      const response = await admin('cache/namespaces/default/purges', body)
      assert.equal(response.status, 200, await response.text())
      await shares(path, 4)
      assert.deepEqual(
        [timesOf('stable', path), timesOf('canary', path)],
        before.map((times) => times + 1),
        JSON.stringify(body),
      )
    }
  })

  it('keeps what it has of a Backend through weights, order, and Backends that come and go', async () => {
    const path = page()
    await splitsInto([{ name: 'stable' }])
    assert.deepEqual(await shares(path, 4), { stable: 4 })
    await splitsInto([
      { name: 'stable', weight: 1 },
      { name: 'canary', weight: 0 },
    ])
    assert.deepEqual(await shares(path, 4), { stable: 4 })
    await splitsInto([
      { name: 'canary', weight: 1 },
      { name: 'stable', weight: 3 },
    ])
    assert.deepEqual(await partsOf(path, 16), ['canary', 'stable'])
    await splitsInto([{ name: 'canary' }])
    assert.deepEqual(await shares(path, 4), { canary: 4 })
    await splitsInto([
      { name: 'backup', weight: 1 },
      { name: 'stable', weight: 1 },
      { name: 'canary', weight: 2 },
    ])
    assert.deepEqual(await partsOf(path, 24), ['backup', 'canary', 'stable'])
    assert.deepEqual(
      BACKENDS.map((name) => timesOf(name, path)),
      [1, 1, 1],
    )
    await splitsInto(EVEN)
  })

  it('has one response of a Backend that two references name', async () => {
    const path = page()
    await splitsInto([
      { name: 'stable', weight: 1 },
      { name: 'canary', weight: 1 },
      { name: 'stable', weight: 2 },
    ])
    assert.deepEqual(await partsOf(path, 16), ['canary', 'stable'])
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
    await splitsInto(EVEN)
  })

  it('is explained for the user that a request names, else for what most requests get', async () => {
    const explained = async (path: string, user?: string, name = 'x-user'): Promise<string | undefined> => {
      const headers = user === undefined ? [] : [{ name, value: user }]
      const response = await admin('explain', { url: `http://${HOST}${path}`, headers })
      const { cache } = (await response.json()) as { cache: { key: string; verdict: string } }
      return `${/backend default\/(\w+)/.exec(cache.key)?.[1]} ${cache.verdict}`
    }
    /** The last byte goes out before the response is stored, and another worker may be asked in between. */
    const stored = async (path: string, headers: Readonly<Record<string, string>>): Promise<Name> => {
      for (let i = 0; i < 1_000; i++) {
        const response = await get(path, headers)
        if (/^headgate;hit;ttl=\d+$/.test(response.header('cache-status') ?? '')) return nameOf(response) as Name
      }
      assert.fail('it is not stored')
    }
    const path = page('users')
    for (let user = 0; user < 8; user++) {
      const name = await stored(path, { 'x-user': `user-${user}` })
      assert.equal(await explained(path, `user-${user}`), `${name} hit`)
    }
    // By the user that a filter before the cache makes of the request.
    const edited = page('edited')
    for (let user = 0; user < 8; user++) {
      const name = await stored(edited, { 'x-name': `user-${user}` })
      assert.equal(await explained(edited, `user-${user}`, 'x-name'), `${name} hit`)
    }
    await splitsInto([
      { name: 'stable', weight: 1 },
      { name: 'canary', weight: 2 },
    ])
    const turns = page()
    assert.equal(await explained(turns), 'canary miss')
    await shares(turns, 6)
    assert.equal(await explained(turns), 'canary hit')
    // It takes nobody's turn.
    const before = await shares(turns, 3)
    for (let i = 0; i < 2; i++) await explained(turns)
    assert.deepEqual([before, await shares(turns, 3)], [before, before])
    await splitsInto(EVEN)
  })

  it('splits requests that come again in the same bytes', async () => {
    const path = page()
    await splitsInto([{ name: 'stable' }])
    await shares(path, 40)
    await splitsInto(EVEN)
    assert.deepEqual(await shares(path, 40), { stable: 20, canary: 20 })
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })

  it('goes by the parts of the first priority, for which another one stands in', async () => {
    const path = page()
    const refs: readonly Ref[] = [...EVEN, { name: 'backup', priority: 1 }]
    await splitsInto(refs)
    assert.deepEqual(await shares(path, 8), { stable: 4, canary: 4 })
    assert.deepEqual(
      BACKENDS.map((name) => timesOf(name, path)),
      [1, 1, 0],
    )
    await splitsInto(EVEN)
    assert.deepEqual(await shares(path, 8), { stable: 4, canary: 4 })
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })

  it('stores what stands in for a Backend that fails in its place, and for nobody else', async () => {
    const path = page()
    await splitsInto([{ name: 'stable' }, { name: DEAD }, { name: 'backup', priority: 1 }])
    const found = await shares(path, 20)
    assert.deepEqual(found, { stable: 10, backup: 10 })
    assert.deepEqual([timesOf('stable', path), timesOf('backup', path)], [1, 1])
    // It is that of the part, and not of the Backend that has stood in.
    await splitsInto([{ name: 'backup' }])
    await shares(path, 2)
    assert.equal(timesOf('backup', path), 2)
    await splitsInto(EVEN)
    assert.deepEqual(await partsOf(path, 8), ['canary', 'stable'])
    assert.equal(timesOf('stable', path), 1)
  })

  it('serves nothing of a Backend that is gone, and the same as before when it is back', async () => {
    const path = page()
    await shares(path, 4)
    await splitsInto(EVEN, ['stable', 'backup'])
    // An object that is gone from the folder may be about to come again: it goes a moment later.
    await eventually(async () => {
      const statuses = new Set<string>()
      for (let i = 0; i < 4; i++) {
        const response = await get(path)
        statuses.add(response.status === 200 ? nameOf(response) : String(response.status))
      }
      assert.deepEqual([...statuses].sort(), ['500', 'stable'])
    })
    await splitsInto(EVEN)
    assert.deepEqual(await partsOf(path, 8), ['canary', 'stable'])
    assert.deepEqual([timesOf('stable', path), timesOf('canary', path)], [1, 1])
  })
})
