/** Sessions of browsers as somebody attacks them who has the source, cookies of his own and links to send. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { writePublicClient } from '../../src/auth/oidc-client.ts'
import { SignOuts, signOutId } from '../../src/auth/sign-outs.ts'
import { OwnedLru } from '../../src/cache/owned-lru.ts'
import { Fields } from '../../src/message/fields.ts'
import type { LocalResponse } from '../../src/message/local-response.ts'
import { AMBIENT_CREDENTIAL, CLAIMS } from '../../src/policy/attribute.ts'
import { LEASE } from '../../src/policy/auth/lease.ts'
import { SESSION_COOKIES, takeSessionCookies } from '../../src/policy/auth/oidc/session-cookies.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import type { Exchange } from '../../src/policy/exchange.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { CodeRedemption, IssuedTokens, SignInFailure, SignIns } from '../../src/policy/sign-ins.ts'
import { clientKey } from '../../src/policy/sign-ins.ts'
import { tokenOf } from '../auth/tokens.ts'
import { NO_SIGN_INS, PLAIN, pairs, TestExchange, testDeps } from './exchange.ts'

const ISSUER = 'https://id.example'
const CLIENT = { issuer: ISSUER, clientID: 'shop', sessionSecret: Buffer.alloc(32, 1).toString('base64') }
const START = 1_800_000_000_000
const LIFE = 600_000
const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
const SEED = randomBytes(32)

interface RigOptions {
  readonly value?: object
  readonly namespace?: string
  readonly route?: string
  readonly client?: object
  readonly seed?: Uint8Array
  readonly namesIssuer?: boolean
}

interface Answer {
  readonly x: TestExchange
  readonly status: number
  readonly reason: string | undefined
  readonly detail: string | undefined
  readonly location: string | undefined
  readonly cookies: readonly string[]
  readonly cache: string | undefined
  readonly body: string
}

/** A Route with its own policy, and a browser that keeps what it is told. */
class Rig {
  readonly filter: Filter
  readonly signOuts = new SignOuts()
  readonly useClient: (other: object) => void
  readonly redeemed: CodeRedemption[] = []
  readonly refreshed: string[] = []
  jar = new Map<string, string>()
  now = START
  host = 'shop.example.com'
  refreshToken: string | undefined = undefined
  claims: Readonly<Record<string, unknown>> = {}
  failure: SignInFailure | undefined = undefined
  issue: ((tokens: IssuedTokens) => IssuedTokens) | undefined = undefined

  constructor({ value = {}, namespace = 'shop', route = 'shop/shop', client = {}, ...more }: RigOptions = {}) {
    const { seed = SEED, namesIssuer = true } = more
    const tokens = async (claims: object): Promise<IssuedTokens | SignInFailure> => {
      if (this.failure !== undefined) return this.failure
      const times = { iat: this.now / 1_000, exp: (this.now + LIFE) / 1_000 }
      const idToken = await tokenOf({ claims: { iss: ISSUER, ...times, ...this.claims, ...claims } })
      const issued = { idToken, refreshToken: this.refreshToken, issued: this.now, expires: this.now + LIFE }
      return this.issue?.(issued) ?? issued
    }
    const endpoints = { authorization: `${ISSUER}/auth`, endSession: `${ISSUER}/end`, namesIssuer }
    const signIns: SignIns = {
      ...NO_SIGN_INS,
      random: randomBytes,
      seed,
      endpoints: () => endpoints,
      redeem: (_, redemption) => {
        this.redeemed.push(redemption)
        return tokens({ nonce: redemption.nonce })
      },
      refresh: (_, refresh) => {
        this.refreshed.push(refresh.refreshToken)
        return tokens({})
      },
      end: async (of, { id, began, until }) => {
        this.signOuts.add(of.namespace, clientKey(of), { id: signOutId('session', id), before: began, until })
        return null
      },
      isOver: (of, { ids, began }) => this.signOuts.isOver(clientKey(of), ids, began),
    }
    const clock = { wall: () => this.now, monotonic: () => this.now }
    const deps = { ...testDeps(), signIns, clock, memos: new OwnedLru<unknown>(1 << 20, clock) }
    const content = `Secret ${namespace}/oidc * headgate.dev/oidc-client`
    this.useClient = (other) =>
      void deps.contentsById.set(content, Buffer.from(writePublicClient({ ...CLIENT, ...other })))
    this.useClient(client)
    const plan = auth.plan({ oidc: { secretName: 'oidc', ...value } }, namespace, route)!
    assert.deepEqual(structuredClone(plan), plan)
    this.filter = auth.create(plan, deps, PLAIN)!
  }

  async ask(target: string, fields: Readonly<Record<string, string>> = NAVIGATION, more: Partial<Exchange> = {}) {
    const [path = '/', query] = target.split('?', 2)
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const request = Fields.from({ ...(cookie === '' ? {} : { cookie }), ...fields })
    const origin = { scheme: 'https' as const, host: this.host, port: 443 }
    const x = new TestExchange({ host: this.host, origin, path, query, request, ...more })
    takeSessionCookies(x, request)
    const decision = await this.filter.onRequest!(x)
    const response: LocalResponse | undefined = decision?.response
    const head = { status: response?.status ?? 200, fields: response?.fields ?? new Fields(), bodyLength: 0 }
    await this.filter.onResponse?.(x, head, response ?? null)
    for (const line of head.fields.all('set-cookie')) this.#keep(line)
    return {
      x,
      status: head.status,
      reason: response?.reason,
      detail: response?.detail,
      location: head.fields.get('location'),
      cookies: head.fields.all('set-cookie'),
      cache: head.fields.get('cache-control'),
      body: response?.body instanceof Uint8Array ? Buffer.from(response.body).toString() : '',
    } satisfies Answer
  }

  #keep(line: string): void {
    const [pair = ''] = line.split('; ')
    const equals = pair.indexOf('=')
    if (line.includes('; Max-Age=0')) this.jar.delete(pair.slice(0, equals))
    else this.jar.set(pair.slice(0, equals), pair.slice(equals + 1))
  }

  /** To the provider. @returns what it sends the browser back with */
  async begin(target = '/'): Promise<{ readonly state: string; readonly query: string }> {
    const { location } = await this.ask(target)
    const state = new URL(location!).searchParams.get('state')!
    return { state, query: `code=c&state=${state}&iss=${encodeURIComponent(ISSUER)}` }
  }

  async signIn(target = '/'): Promise<Answer> {
    const { query } = await this.begin(target)
    return await this.ask(`/oauth2/callback?${query}`)
  }

  /** Whether the browser is somebody. */
  async isSignedIn(): Promise<boolean> {
    return (await this.ask('/api', {})).status === 200
  }
}

describe('the way to the provider and back', () => {
  it('keeps the page, with PKCE, a nonce and one state for each', async () => {
    const rig = new Rig()
    const { location, status, cookies } = await rig.ask('/a/b?c=d%2Fe')
    assert.equal(status, 302)
    const asked = Object.fromEntries(new URL(location!).searchParams)
    assert.match(asked.code_challenge!, /^[-\w]{43}$/)
    assert.deepEqual(
      [asked.client_id, asked.redirect_uri, asked.scope, asked.code_challenge_method],
      ['shop', 'https://shop.example.com/oauth2/callback', 'openid email', 'S256'],
    )
    assert.equal(cookies.length, 1)
    const back = await rig.ask(`/oauth2/callback?code=c&state=${asked.state}&iss=${encodeURIComponent(ISSUER)}`)
    assert.deepEqual([back.status, back.location], [302, 'https://shop.example.com/a/b?c=d%2Fe'])
    const [redemption] = rig.redeemed
    assert.equal(redemption!.nonce, asked.nonce)
    assert.notEqual(redemption!.verifier, asked.code_challenge)
    const { x } = await rig.ask('/api', {})
    assert.equal(x.get(CLAIMS)!.sub, 'alice')
    assert.equal(x.get(AMBIENT_CREDENTIAL), true)
    assert.ok(!JSON.stringify([asked.state, ...rig.jar]).includes(redemption!.verifier))
  })

  it('never leads to another origin, whatever the target is', async () => {
    const rig = new Rig()
    const odd = ['//evil.example/', '/\\evil.example', '/%2F/evil.example', '/@evil.example', '/.evil.example', '/a//b']
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.constantFrom(...odd),
          fc.webPath().map((path) => `/${path}`),
        ),
        async (path) => {
          rig.jar.clear()
          rig.now += 120_000
          const { location } = await rig.signIn(path)
          assert.equal(new URL(location!).origin, 'https://shop.example.com')
        },
      ),
      { numRuns: 25 },
    )
  })

  it('is taken by nobody but the browser that went it, in time, and with all that belongs to it', async () => {
    const rig = new Rig()
    const { state, query } = await rig.begin('/')
    const own = new Map(rig.jar)
    const iss = `iss=${encodeURIComponent(ISSUER)}`
    const table: [string, string, RegExp, (() => void)?][] = [
      ['no state', `code=c&${iss}`, /^state is missing/],
      ['a made-up state', `code=c&state=abc&${iss}`, /^state is missing/],
      ['a state with one letter changed', `code=c&state=${state.slice(0, -9)}A${state.slice(-8)}&${iss}`, /^state is/],
      ['a state twice', `code=c&state=${state}&state=${state}&${iss}`, /^state is there twice/],
      ['a code twice', `${query}&code=d`, /^code is there twice/],
      ['no code', `state=${state}&${iss}`, /^code is missing/],
      ['a code without end', `code=${'c'.repeat(5_000)}&state=${state}&${iss}`, /^code is missing or too long/],
      ['no iss of a provider that names itself', `code=c&state=${state}`, /^iss is missing/],
      ['another iss', `code=c&state=${state}&iss=https%3A%2F%2Fevil.example`, /^iss is missing or names another/],
      ['another browser', query, /^state is of another browser/, () => rig.jar.clear()],
      ['another host', query, /^state is missing/, () => (rig.host = 'www.example.com')],
      ['too late', query, /^state is missing, too old/, () => (rig.now += 3_600_001)],
    ]
    for (const [name, given, detail, prepare] of table) {
      rig.jar = new Map(own)
      rig.host = 'shop.example.com'
      rig.now = START
      prepare?.()
      const refused = await rig.ask(`/oauth2/callback?${given}`)
      assert.deepEqual([refused.status, refused.reason], [400, 'SignInFailed'], name)
      assert.match(refused.detail!, detail, name)
      assert.doesNotMatch(refused.body, detail, name)
      assert.deepEqual(refused.cookies, [], name)
    }
    assert.equal(rig.redeemed.length, 0)
    rig.jar = new Map(own)
    rig.now = START
    const error = await rig.ask(`/oauth2/callback?error=access_denied%0Aevil&state=${state}&${iss}`)
    assert.deepEqual([error.status, error.reason], [403, 'SignInRefused'])
    assert.doesNotMatch(error.detail!, /\n/)
    assert.equal((await rig.ask(`/oauth2/callback?${query}`, {}, { method: 'POST' })).status, 400)
    assert.equal((await rig.ask(`/oauth2/callback?${query}`)).status, 302)
    // The back button: the code has been used.
    assert.equal((await rig.ask(`/oauth2/callback?${query}`)).location, 'https://shop.example.com/')
    assert.equal(rig.redeemed.length, 1)
  })

  it('is not gone for what browsers keep no cookies of, and ends where they keep none', async () => {
    const rig = new Rig()
    const clear = { origin: { scheme: 'http' as const, host: 'shop.example.com', port: 80 } }
    const refused = await rig.ask('/', NAVIGATION, clear)
    assert.deepEqual([refused.status, refused.reason, refused.cookies.length], [403, 'ClearTextClosed', 0])
    const home = { origin: { scheme: 'http' as const, host: 'localhost', port: 8_080 } }
    const { location } = await rig.ask('/', NAVIGATION, home)
    assert.equal(new URL(location!).searchParams.get('redirect_uri'), 'http://localhost:8080/oauth2/callback')
    const statuses: number[] = []
    for (let i = 0; i < 12; i++) {
      rig.jar.delete('__Host-hg')
      const begun = await rig.ask('/')
      statuses.push(begun.status)
      if (begun.location === undefined) break
      const state = new URL(begun.location).searchParams.get('state')
      await rig.ask(`/oauth2/callback?code=c&state=${state}&iss=${encodeURIComponent(ISSUER)}`)
    }
    assert.deepEqual([statuses.length, statuses.at(-1)], [9, 400])
    rig.now += 61_000
    rig.jar.delete('__Host-hg')
    assert.equal((await rig.ask('/')).status, 302)
  })

  it('costs a client no more calls of the provider than a minute has seconds', async () => {
    const rig = new Rig()
    const { query } = await rig.begin()
    rig.failure = { fault: 'refused', detail: 'invalid_grant' }
    const statuses: number[] = []
    for (let i = 0; i < 70; i++) statuses.push((await rig.ask(`/oauth2/callback?${query}`)).status)
    assert.equal(rig.redeemed.length, 60)
    assert.equal(statuses.filter((status) => status === 429).length, 10)
  })
})

describe('a session', () => {
  it('is none at another Route, namespace, client, issuer, host, cookie or installation', async () => {
    const rig = new Rig()
    await rig.signIn()
    assert.equal(await rig.isSignedIn(), true)
    const others: readonly [string, RigOptions, string?][] = [
      ['Route', { route: 'shop/other' }],
      ['namespace', { namespace: 'evil', route: 'shop/shop' }],
      ['client', { client: { clientID: 'other' } }],
      ['issuer', { client: { issuer: 'https://evil.example' } }],
      ['secret', { client: { sessionSecret: Buffer.alloc(32, 2).toString('base64') } }],
      ['seed', { seed: randomBytes(32) }],
      ['host', {}, 'www.example.com'],
    ]
    for (const [name, options, host = 'shop.example.com'] of others) {
      const other = new Rig(options)
      other.host = host
      other.jar = new Map(rig.jar)
      assert.equal(await other.isSignedIn(), false, name)
    }
    const renamed = new Rig({ value: { cookie: { name: '__Host-other' } } })
    renamed.jar.set('__Host-other', rig.jar.get('__Host-hg')!)
    assert.equal(await renamed.isSignedIn(), false)
    // Whether the two came from one replica or from two.
    const replica = new Rig()
    replica.jar = new Map(rig.jar)
    assert.equal(await replica.isSignedIn(), true)
  })

  it('is no state, and a state is no session', async () => {
    const rig = new Rig()
    const { state } = await rig.begin()
    const [browser] = [...rig.jar.values()]
    for (const text of [`hgs1~1~${state}`, browser!, `hgs1~1~${browser!.slice(5)}`]) {
      rig.jar.set('__Host-hg', text)
      assert.equal(await rig.isSignedIn(), false)
    }
    await rig.signIn()
    const session = rig.jar.get('__Host-hg')!.slice('hgs1~1~'.length)
    assert.equal((await rig.ask(`/oauth2/callback?code=c&state=${session}`)).status, 400)
  })

  it('ends what it has opened: with its token, with a sign-out, and with the client', async () => {
    const rig = new Rig()
    rig.refreshToken = 'one'
    await rig.signIn()
    const lease = (await rig.ask('/api', {})).x.get(LEASE)!
    assert.equal(lease.look(), LIFE)
    rig.now += LIFE - 1
    assert.equal(lease.look(), 1)
    rig.now += 1
    assert.equal(lease.look(), 'CredentialExpired')
    rig.now = START
    rig.jar.clear()
    await rig.signIn()
    const other = (await rig.ask('/api', {})).x.get(LEASE)!
    assert.equal(other.look(), LIFE)
    rig.useClient({ sessionSecret: Buffer.alloc(32, 9).toString('base64') })
    assert.equal(other.look(), 'CredentialInvalid')
    rig.useClient({})
    assert.equal(other.look(), LIFE)
    await rig.ask('/logout', { ...NAVIGATION, 'sec-fetch-site': 'none' })
    assert.equal(other.look(), 'CredentialInvalid')
  })

  it('is refused where its cookie is there twice, and is none with anything changed in it', async () => {
    const rig = new Rig()
    await rig.signIn()
    const value = rig.jar.get('__Host-hg')!
    rig.jar.set(' __Host-hg', 'hgs1~1~other')
    const twice = await rig.ask('/api', {})
    assert.deepEqual([twice.status, twice.reason], [400, 'CredentialAmbiguous'])
    rig.jar.delete(' __Host-hg')
    for (let i = 7; i < value.length; i += 41) {
      rig.jar.set('__Host-hg', `${value.slice(0, i)}${value[i] === 'A' ? 'B' : 'A'}${value.slice(i + 1)}`)
      assert.equal(await rig.isSignedIn(), false)
    }
  })

  it('is split where it is long, whole again in any order, and none with a piece of another', async () => {
    const rig = new Rig()
    rig.claims = { groups: Array.from({ length: 400 }, (_, i) => `group number ${i}`) }
    await rig.signIn()
    const names = [...rig.jar.keys()].filter((name) => !name.includes('.b-'))
    assert.ok(names.length >= 3, names.join())
    for (const [name, text] of rig.jar) assert.ok(name.length + text.length < 4_000)
    assert.equal(await rig.isSignedIn(), true)
    const own = new Map(rig.jar)
    rig.jar = new Map([...own].reverse())
    assert.equal(await rig.isSignedIn(), true)
    const other = new Rig()
    other.claims = rig.claims
    await other.signIn()
    rig.jar.set('__Host-hg.1', other.jar.get('__Host-hg.1')!)
    assert.equal(await rig.isSignedIn(), false)
    rig.jar = new Map(own)
    rig.jar.delete('__Host-hg.2')
    assert.equal(await rig.isSignedIn(), false)
    // A shorter one takes the rest of the cookies away.
    rig.jar = new Map(own)
    rig.claims = {}
    rig.jar.delete('__Host-hg')
    const { query } = await rig.begin()
    await rig.ask(`/oauth2/callback?${query}`)
    assert.deepEqual(
      [...rig.jar.keys()].filter((name) => !name.includes('.b-')),
      ['__Host-hg'],
    )
    rig.jar.clear()
    rig.claims = { groups: Array.from({ length: 2_000 }, (_, i) => `group number ${i}`) }
    const long = await rig.signIn()
    assert.deepEqual([long.status, long.reason], [400, 'SignInFailed'])
  })

  it('reaches nobody behind: whatever has its mark is taken out of the request', () => {
    for (const [cookie, left] of [
      ['__Host-hg=hgs1~1~abc', []],
      ['a=b; __Host-hg=hgs1~1~abc; c=d', [['cookie', 'a=b; c=d']]],
      ['a=b;__Host-hg = hgs1~x;c', [['cookie', 'a=b; c']]],
      ['a="hgs1~"; =hgs1~x', [['cookie', 'a="hgs1~"']]],
      ['a=xhgs1~', [['cookie', 'a=xhgs1~']]],
    ] as const) {
      const fields = Fields.from({ cookie })
      const x = new TestExchange()
      takeSessionCookies(x, fields)
      assert.deepEqual(pairs(fields), left, cookie)
      assert.ok(x.get(SESSION_COOKIES) !== undefined)
    }
  })

  it('is good as long as its token, and seven days with refreshes', async () => {
    const rig = new Rig()
    await rig.signIn()
    rig.now += LIFE - 1
    assert.equal(await rig.isSignedIn(), true)
    rig.now += 1
    assert.equal(await rig.isSignedIn(), false)
    assert.equal((await rig.ask('/')).status, 302)
    rig.refreshToken = 'one'
    await rig.signIn()
    const end = rig.now + 7 * 86_400_000
    let i = 0
    while (rig.now < end) {
      assert.equal(await rig.isSignedIn(), true)
      rig.refreshToken = `token ${i++}`
      rig.now += 3_600_000
    }
    assert.equal(await rig.isSignedIn(), false)
    assert.ok(rig.refreshed.length > 160)
  })

  it('shares one refresh among its requests, and lasts while the provider is silent, to the end of its token', async () => {
    const rig = new Rig()
    rig.refreshToken = 'one'
    await rig.signIn()
    const old = new Map(rig.jar)
    rig.refreshToken = 'two'
    rig.now += LIFE * 0.8
    const answers = await Promise.all(Array.from({ length: 50 }, () => rig.ask('/api', {})))
    assert.deepEqual(rig.refreshed, ['one'])
    assert.ok(
      answers.every(({ status, cookies, cache }) => status === 200 && cookies.length === 1 && cache === 'no-store'),
    )
    rig.jar = old
    assert.equal(await rig.isSignedIn(), true)
    assert.deepEqual(rig.refreshed, ['one'])
    rig.now += LIFE * 0.9
    rig.failure = { fault: 'unavailable', detail: 'it is down' }
    const kept = await rig.ask('/api', {})
    assert.deepEqual([kept.status, kept.cookies.length], [200, 0])
    assert.equal(rig.refreshed.length, 2)
    // It is not asked for each request.
    assert.equal(await rig.isSignedIn(), true)
    assert.equal(rig.refreshed.length, 2)
    rig.now += LIFE * 0.2
    const late = await rig.ask('/api', {})
    assert.deepEqual([late.status, late.reason], [503, 'AuthUnavailable'])
    rig.now += 6_000
    rig.failure = { fault: 'refused', detail: 'invalid_grant' }
    const over = await rig.ask('/api', {})
    assert.deepEqual([over.status, over.reason], [401, 'CredentialExpired'])
    assert.equal((await rig.ask('/')).status, 302)
  })

  it('ends with a sign-out for every copy, and by links of no other site', async () => {
    const rig = new Rig()
    await rig.signIn()
    const copy = new Map(rig.jar)
    const link = await rig.ask('/logout', { ...NAVIGATION, 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([link.status, link.cookies.length], [403, 0])
    // What looks like the way back from the provider is none while there is a session.
    const back = await rig.ask('/logout?state=signed-out', { ...NAVIGATION, 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([back.status, back.cookies.length], [403, 0])
    assert.equal(await rig.isSignedIn(), true)
    const out = await rig.ask('/logout', { ...NAVIGATION, 'sec-fetch-site': 'same-origin' })
    assert.equal(out.status, 303)
    const { searchParams } = new URL(out.location!)
    assert.equal(searchParams.get('post_logout_redirect_uri'), 'https://shop.example.com/logout')
    assert.ok(searchParams.get('id_token_hint')!.split('.').length === 3)
    rig.jar = copy
    assert.equal(await rig.isSignedIn(), false)
    rig.jar.clear()
    const end = await rig.ask('/logout?state=signed-out', { ...NAVIGATION, 'sec-fetch-site': 'cross-site' })
    assert.equal(end.body, 'You are signed out.\n')
    rig.now += 1_000
    await rig.signIn()
    assert.equal(await rig.isSignedIn(), true)
  })

  it('comes back to a page of the site where SameSite is Strict', async () => {
    const rig = new Rig({ value: { cookie: { sameSite: 'Strict' } } })
    const page = await rig.signIn('/a?b="><script>')
    assert.equal(page.status, 200)
    assert.match(page.body, /content="0;url=https:\/\/shop\.example\.com\/a\?b=&quot;>&lt;script>"/)
    assert.match(page.cookies.find((line) => line.startsWith('__Host-hg='))!, /SameSite=Strict/)
    assert.match(page.cookies.find((line) => line.startsWith('__Host-hg.b-'))!, /SameSite=Lax/)
  })
})
