import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Admission } from '../../../src/limit/limiter.ts'
import type { RemoteLimiters } from '../../../src/limit/remote-limiter.ts'
import { TableLimiters } from '../../../src/limit/table-limiters.ts'
import { Fields } from '../../../src/message/fields.ts'
import { CLAIMS, CONSUMER, DRY_RUN } from '../../../src/policy/attribute.ts'
import type { Filter } from '../../../src/policy/filter.ts'
import { rateLimits, rateLimitsAfterAuth } from '../../../src/policy/rate-limits/policy.ts'
import { LimitTable } from '../../../src/shared-memory/limit-table.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

type Value = Parameters<typeof rateLimits.plan>[0]
type Given = Partial<TestExchange> & { readonly fields?: Readonly<Record<string, string>> }

const limit = (more: Partial<Value[number]> = {}): Value[number] => ({
  name: 'a',
  requests: 2,
  per: '1m',
  by: ['client.ip'],
  ...more,
})

/** Filters of several policies over one table, at a time that a test moves. */
class Rig {
  now = 0
  readonly asked: string[] = []
  /** What Redis says of a key; undefined: nothing. */
  redis: (key: string) => Admission | undefined = () => undefined
  readonly #table = new LimitTable(LimitTable.allocate(1_024, [3, 4], 0))

  filters(value: Value, origin = 'shop/web', namespace = 'shop'): readonly Filter[] {
    const plan = structuredClone(rateLimits.plan(value, namespace, origin)!)
    const remoteLimiters: RemoteLimiters = {
      open: ({ owner, name }) => ({
        take: async (key) => {
          this.asked.push(`${owner} ${name} ${key}`)
          const admission = this.redis(key)
          if (admission === undefined) throw new Error('away')
          return admission
        },
        giveBack: (key) => void this.asked.push(`back ${owner} ${name} ${key}`),
      }),
    }
    const limiters = new TableLimiters(this.#table, { monotonic: () => this.now })
    const services = { ...testDeps(), limiters, remoteLimiters }
    const set = { ...PLAIN, policies: { rateLimits: plan } }
    return [rateLimits.create(plan, services, PLAIN), rateLimitsAfterAuth.create(set, services)].filter(
      (filter) => filter !== undefined,
    )
  }

  /** What the client gets. */
  async send(filters: readonly Filter[], { fields, ...given }: Given = {}, claims?: object, consumer?: string) {
    const x = new TestExchange(given, fields)
    if (claims !== undefined) x.set(CLAIMS, claims as Record<string, unknown>)
    if (consumer !== undefined) x.set(CONSUMER, consumer)
    const dryRun = (): string | undefined => x.get(DRY_RUN)
    for (const filter of filters) {
      const decision = await filter.onRequest!(x)
      if (decision !== undefined) return { ...decision.response, dryRun }
    }
    const head = { status: 200, fields: new Fields(), bodyLength: 0 }
    for (const filter of filters) filter.onResponse!(x, head, null)
    return { ...head, detail: undefined, reason: undefined, dryRun }
  }

  async statuses(filters: readonly Filter[], times: number, ...more: readonly [Given?, object?, string?]) {
    const statuses: number[] = []
    for (let i = 0; i < times; i++) statuses.push((await this.send(filters, ...more)).status)
    return statuses
  }
}

describe('rate limits', () => {
  it('answer 429 with what a client needs to know, and nothing else', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ name: 'per-client', burst: 2 })])
    const first = await rig.send(filters)
    assert.equal(first.fields.get('ratelimit-policy'), '"per-client";q=2;w=60')
    assert.equal(first.fields.get('ratelimit'), '"per-client";r=1;t=30')
    await rig.send(filters)
    const refused = await rig.send(filters)
    assert.deepEqual(
      [refused.status, refused.reason, refused.detail],
      [429, 'RateLimited', 'rateLimits per-client is reached'],
    )
    assert.equal(refused.fields.get('retry-after'), '30')
    assert.equal(refused.fields.get('ratelimit'), '"per-client";r=0;t=60')
    rig.now += 30_000
    assert.deepEqual(await rig.statuses(filters, 2), [200, 429])
    assert.deepEqual(await rig.statuses(filters, 1, { clientAddress: '203.0.113.10' }), [200])
  })

  it('say of a limit that allowed a request what it still allows, where another one refused', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ name: 'wide', requests: 10 }), limit({ name: 'narrow', requests: 1 })])
    await rig.send(filters)
    for (let i = 0; i < 3; i++) {
      const refused = await rig.send(filters)
      assert.equal(refused.status, 429)
      assert.match(refused.fields.get('ratelimit')!, /^"wide";r=9;t=\d+, "narrow";r=0;t=60$/)
    }
  })

  it('count together what is stated in one place, over edits, and nothing else', async () => {
    const rig = new Rig()
    const route = rig.filters([limit()])
    await rig.send(route)
    // Another rule of the Route, and another worker, make filters of their own.
    assert.deepEqual(await rig.statuses(rig.filters([limit()]), 2), [200, 429])
    // Reordered and at another rate it is still the limit of this name.
    const edited = rig.filters([limit({ name: 'b', requests: 100 }), limit({ requests: 3, burst: 2 })])
    assert.deepEqual(await rig.statuses(edited, 1), [429])
    for (const other of [
      rig.filters([limit()], 'shop/web api'),
      rig.filters([limit()], 'shop/other'),
      rig.filters([limit()], 'shop/web', 'team'),
      rig.filters([limit({ name: 'c' })]),
      rig.filters([limit({ by: ['client.ip', 'host'] })]),
    ])
      assert.deepEqual(await rig.statuses(other, 1), [200])
  })

  it('tell keys apart by all of the grammar', async () => {
    const cases: readonly (readonly [string, Given, Given, object?, object?])[] = [
      ['header:x-key', { fields: { 'x-key': 'a' } }, { fields: { 'x-key': 'b' } }],
      ['cookie:sid', { fields: { cookie: 'sid=a' } }, { fields: { cookie: 'sid=b' } }],
      ['query:q', { query: 'q=a' }, { query: 'q=b' }],
      ['client.ip/24', { clientAddress: '10.0.0.1' }, { clientAddress: '10.0.1.1' }],
      ['client.ip/64', { clientAddress: '2001:db8::1' }, { clientAddress: '2001:db8:0:1::1' }],
      ['claim:org.id', {}, {}, { org: { id: 1 } }, { org: { id: 2 } }],
      ['route', { route: 'shop/a' }, { route: 'shop/b' }],
      ['path', { path: '/a' }, { path: '/b' }],
      ['method', { method: 'GET' }, { method: 'POST' }],
      ['host', { host: 'a.test' }, { host: 'b.test' }],
    ]
    for (const [selector, one, other, ofOne, ofOther] of cases) {
      const rig = new Rig()
      const filters = rig.filters([limit({ requests: 1, by: [selector] })])
      assert.deepEqual(await rig.statuses(filters, 2, one, ofOne), [200, 429], selector)
      assert.deepEqual(await rig.statuses(filters, 2, other, ofOther), [200, 429], selector)
    }
    const rig = new Rig()
    const network = rig.filters([limit({ by: ['client.ip/64'] })])
    await rig.send(network, { clientAddress: '2001:db8::1' })
    await rig.send(network, { clientAddress: '2001:db8::2' })
    assert.deepEqual(await rig.statuses(network, 1, { clientAddress: '2001:db8::ffff:3' }), [429])
  })

  it('let no value pass for two', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ requests: 1, by: ['header:a', 'header:b'] })])
    const long = 'x'.repeat(10_000)
    for (const [a, b] of [
      ['1', '2'],
      ['1 1 2', '3'],
      ['12', ''],
      [long, '1'],
      [`${long}y`, '1'],
    ] as const)
      assert.deepEqual(await rig.statuses(filters, 1, { fields: { a, b: `${b}.` } }), [200], `${a} ${b}`)
  })

  it('do what is stated where a key is missing', async () => {
    const by = ['header:x-key']
    const client = new Rig()
    const byClient = client.filters([limit({ by })])
    const near = { clientAddress: '2001:db8::1' }
    assert.deepEqual(await client.statuses(byClient, 2, near), [200, 200])
    assert.deepEqual(await client.statuses(byClient, 1, { clientAddress: '2001:db8::2' }), [429])
    assert.deepEqual(await client.statuses(byClient, 1, { fields: { 'x-key': '2001:db8::/64' } }), [200])
    const skip = new Rig()
    assert.deepEqual(await skip.statuses(skip.filters([limit({ by, missing: 'Skip' })]), 5), [200, 200, 200, 200, 200])
    const deny = new Rig()
    const refused = await deny.send(deny.filters([limit({ by, missing: 'Deny' })]))
    assert.deepEqual([refused.status, refused.fields.has('retry-after')], [429, false])
    assert.equal(refused.detail, 'rateLimits a has no value for its key')
  })

  it('hold for those whose claim says so', async () => {
    const rig = new Rig()
    const filters = rig.filters([
      limit({ name: 'gold', requests: 3, by: ['claim:sub'], when: { claim: 'org.tier', in: ['gold', '7'] } }),
      limit({ name: 'all', requests: 5, stage: 'AfterAuth' }),
    ])
    const gold = { sub: 'a', org: { tier: ['silver', 'gold'] } }
    assert.deepEqual(await rig.statuses(filters, 4, {}, gold), [200, 200, 200, 429])
    assert.deepEqual(await rig.statuses(filters, 1, {}, { sub: 'b', org: { tier: 7 } }), [200])
    // What was refused has not been counted by the limit of all: that is one more.
    assert.deepEqual(await rig.statuses(filters, 2, {}, { sub: 'c', org: { tier: 'lead' } }), [200, 429])
    assert.deepEqual(await rig.statuses(filters, 1), [429])
  })

  it('stand before auth, and behind it where they need it', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ name: 'b', by: ['consumer'] }), limit()])
    assert.deepEqual(
      filters.map(({ name }) => name),
      ['rateLimits', 'rateLimits-after-auth'],
    )
    const both = await rig.send(filters, {}, undefined, 'ann')
    assert.deepEqual(both.fields.all('ratelimit-policy'), ['"a";q=2;w=60', '"b";q=2;w=60'])
    assert.deepEqual(
      rig.filters([limit({ stage: 'AfterAuth' })]).map(({ name }) => name),
      ['rateLimits-after-auth'],
    )
  })

  it('only log what they would deny, with dryRun', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ requests: 1, dryRun: true }), limit({ name: 'b', requests: 3 })])
    assert.equal((await rig.send(filters)).dryRun(), undefined)
    const passed = await rig.send(filters)
    assert.deepEqual([passed.status, passed.dryRun()], [200, 'rateLimits a'])
    assert.equal(passed.fields.get('ratelimit-policy'), '"b";q=3;w=60', 'what holds for nobody is told to nobody')
  })

  it('count a quota', async () => {
    const rig = new Rig()
    const filters = rig.filters([{ name: 'monthly', quota: 2, per: '30d', by: ['client.ip'] }])
    const first = await rig.send(filters)
    assert.equal(first.fields.get('ratelimit-policy'), '"monthly";q=2;w=2592000')
    rig.now += 86_400_000
    await rig.send(filters)
    const refused = await rig.send(filters)
    assert.equal(refused.fields.get('retry-after'), String(29 * 86_400))
    rig.now += 29 * 86_400_000
    assert.deepEqual(await rig.statuses(filters, 3), [200, 200, 429])
  })
})

describe('rate limits over all replicas', () => {
  const cluster = (more: Partial<Value[number]> = {}): Value[number] => limit({ scope: 'Cluster', ...more })
  const yes: Admission = { allowed: true, retryAfter: 0, remaining: 8, resetAfter: 1_500 }
  const no: Admission = { allowed: false, retryAfter: 2_500, remaining: 0, resetAfter: 9_000 }

  it('say what Redis says, which knows of all', async () => {
    const rig = new Rig()
    const filters = rig.filters([cluster()])
    rig.redis = () => yes
    const passed = await rig.send(filters)
    assert.equal(passed.fields.get('ratelimit'), '"a";r=8;t=2')
    rig.redis = () => no
    const refused = await rig.send(filters)
    assert.deepEqual([refused.status, refused.fields.get('retry-after')], [429, '3'])
    assert.deepEqual(rig.asked, Array(2).fill('shop shop/web\na\nclient.ip 203.0.113.9'))
  })

  it('ask no more for a key that was refused than once a second, until it may come again', async () => {
    const rig = new Rig()
    const filters = rig.filters([cluster()])
    rig.redis = () => no
    for (let i = 0; i < 100; i++) assert.equal((await rig.send(filters)).status, 429)
    assert.equal(rig.asked.length, 2)
    const held = await rig.send(filters)
    assert.deepEqual([held.fields.get('retry-after'), held.fields.get('ratelimit')], ['3', '"a";r=0;t=3'])
    // The limit was raised meanwhile.
    rig.now += 1_000
    rig.redis = () => yes
    assert.deepEqual(await rig.statuses(filters, 3), [200, 200, 200])
    assert.equal(rig.asked.length, 5)
  })

  it('hold by the count of this replica while Redis is away, or deny, as stated', async () => {
    const rig = new Rig()
    const allow = rig.filters([cluster()])
    rig.redis = () => yes
    await rig.send(allow)
    rig.redis = () => undefined
    assert.deepEqual(await rig.statuses(allow, 3), [200, 429, 429])
    const deny = rig.filters([cluster({ name: 'b', onStoreError: 'Deny' })])
    const refused = await rig.send(deny)
    assert.deepEqual(
      [refused.status, refused.reason, refused.fields.get('retry-after')],
      [503, 'RateLimitUnavailable', '1'],
    )
    assert.match(refused.detail ?? '', /rateLimits b cannot be counted/)
    rig.redis = () => yes
    assert.deepEqual(await rig.statuses(deny, 1), [200])
  })

  it('ask for all at once, and take back what others have allowed where one refuses', async () => {
    const rig = new Rig()
    const local = limit({ name: 'local', requests: 1 })
    const filters = rig.filters([local, cluster({ name: 'b' }), cluster({ name: 'c', by: ['host'] })])
    rig.redis = (key) => (key.startsWith('shop.example.com') ? no : yes)
    assert.deepEqual(await rig.statuses(filters, 1), [429])
    assert.deepEqual(rig.asked, [
      'shop shop/web\nb\nclient.ip 203.0.113.9',
      'shop shop/web\nc\nhost shop.example.com',
      'back shop shop/web\nb\nclient.ip 203.0.113.9',
    ])
    rig.redis = () => yes
    assert.deepEqual(await rig.statuses(filters, 1, { host: 'other.test' }), [200], 'the local one was taken back')
  })
})

describe('what the schema cannot check of rate limits', () => {
  it('names the place and what to do', () => {
    const problems = (more: Partial<Value[number]>) =>
      rateLimits.check!([limit(more)], 'Route').map(({ path, message }) => `${path.join('.')} ${message}`)
    assert.deepEqual(problems({}), [])
    assert.deepEqual(problems({ per: '0s' }), ['0.per is no time; write 1s or more'])
    assert.match(problems({ per: '400d' })[0]!, /^0.per is more than 366d/)
    assert.match(problems({ by: ['consumer'], stage: 'BeforeAuth' })[0]!, /^0.by.0 is known behind auth only/)
    assert.match(problems({ requests: 5_000_000, per: '1s' })[0]!, /^0.requests is more than 1000000 a second/)
    assert.match(problems({ requests: 1, per: '1d', burst: 1_000 })[0]!, /^0.burst takes more than 366d/)
    assert.match(problems({ by: ['client.ip/129'] })[0]!, /^0.by.0 has a prefix length that is none/)
    assert.match(problems({ by: ['header:a(b'] })[0]!, /^0.by.0 is no name of a header/)
  })
})

describe('a client that wants past a limit', () => {
  type Attempt = readonly [given: Given, claims?: object]
  const many = (make: (i: number) => Given): Attempt[] => Array.from({ length: 50 }, (_, i) => [make(i)])
  const attacks: readonly (readonly [string, Partial<Value[number]>, readonly Attempt[]])[] = [
    [
      'other addresses of its network',
      { by: ['client.ip/64'] },
      many((i) => ({ clientAddress: `2001:db8::${i + 1}` })),
    ],
    [
      'no key, from other addresses of its network',
      { by: ['header:x-key'] },
      many((i) => ({ clientAddress: `2001:db8::${i + 1}` })),
    ],
    ['an empty key', { by: ['header:x-key'] }, many(() => ({ fields: { 'x-key': '' } }))],
    ['an empty cookie', { by: ['cookie:sid'] }, many(() => ({ fields: { cookie: 'sid=' } }))],
    ['more cookies behind the first', { by: ['cookie:sid'] }, many((i) => ({ fields: { cookie: `sid=a; sid=${i}` } }))],
    ['more parameters behind the first', { by: ['query:k'] }, many((i) => ({ query: `k=a&k=${i}` }))],
    [
      'its parameter in other spellings',
      { by: ['query:k'] },
      many((i) => ({ query: i % 2 === 0 ? 'k=ab' : 'k=%61b' })),
    ],
    [
      'fields that the key does not name',
      { by: ['header:x-key'] },
      many((i) => ({ fields: { 'x-key': 'a', x_key: `${i}` } })),
    ],
    ['a query where only the path counts', { by: ['path'] }, many((i) => ({ query: `${i}` }))],
    [
      'claims of prototypes',
      { by: ['claim:constructor.name'] },
      Array.from({ length: 50 }, (): Attempt => [{}, { sub: 'a' }]),
    ],
    [
      'a claim that is an object',
      { by: ['claim:sub'] },
      Array.from({ length: 50 }, (_, i): Attempt => [{}, { sub: { id: i } }]),
    ],
    ['a key as long as a head', { by: ['header:x-key'] }, many(() => ({ fields: { 'x-key': 'k'.repeat(60_000) } }))],
  ]
  for (const [name, more, attempts] of attacks)
    it(`by ${name} gets no more than others`, async () => {
      const rig = new Rig()
      const filters = rig.filters([limit(more)])
      let passed = 0
      for (const [given, claims] of attempts) if ((await rig.send(filters, given, claims)).status === 200) passed++
      assert.equal(passed, 2)
    })

  it('by passing for another one holds off nobody but those with that very key', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit({ by: ['query:k'] })])
    // What stands for a client without a key, and what another limit or another list of selectors begins with.
    for (const value of ['203.0.113.9', 'client', 'client%0A203.0.113.9', 'query:k%0A', 'held', 'again'])
      await rig.statuses(filters, 5, { clientAddress: '198.51.100.1', query: `k=${value}` })
    assert.deepEqual(await rig.statuses(filters, 2), [200, 200])
  })

  it('by asking again and again is held off no longer than it said', async () => {
    const rig = new Rig()
    const filters = rig.filters([limit()])
    await rig.statuses(filters, 1_000)
    rig.now += 30_000
    assert.deepEqual(await rig.statuses(filters, 2), [200, 429])
  })

  it('by a flood of other keys in its namespace takes nothing from another namespace', async () => {
    const rig = new Rig()
    const mine = rig.filters([limit()], 'team/web', 'team')
    const flood = rig.filters([limit({ by: ['header:x-key'] })])
    await rig.statuses(mine, 2)
    for (let i = 0; i < 5_000; i++) await rig.send(flood, { fields: { 'x-key': `${i}` } })
    assert.deepEqual(await rig.statuses(mine, 1), [429])
  })
})
