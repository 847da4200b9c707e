/** `auth.oidc` with a real provider: sign-in, refresh, sign-out from both sides, and what reaches the backend. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { chromium, type Page } from 'playwright-core'
import { TestAuthority } from '../lib/certificates.ts'
import { listenForProvider, type TestProvider } from '../lib/oidc-provider.ts'
import { PageClient, SCRIPT } from '../lib/page-client.ts'
import { closedPort, type EchoBackend, echoBackend, type Received } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const CLIENT = { clientID: 'shop', clientSecret: 'a secret that nobody guesses: & 100 % +' }

function secretOf(name: string, type: string, stringData: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default' },
    type,
    stringData,
  })
}

const secret = (issuer: string) => secretOf('shop-oidc', 'headgate.dev/oidc-client', { issuer, ...CLIENT })

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)

describe('auth by OpenID Connect', () => {
  const scope = suiteScope()
  let echo: EchoBackend
  let gateway: Gateway
  let provider: TestProvider
  let origin: string
  let secure: string
  /** Its first token is good for six seconds: by the last test it soon has to be refreshed, if not before. */
  const soon = new PageClient()

  before(async () => {
    echo = await echoBackend(scope)
    const listening = await listenForProvider()
    scope.after(listening.close)
    const rules = [
      {
        name: 'open',
        matches: [{ path: { value: '/open' } }],
        policies: { auth: { anonymous: {} } },
        backendRefs: [{ name: 'echo' }],
      },
      {
        name: 'all',
        policies: { requestHeaders: { set: [{ name: 'x-user', value: '%{claim:sub}' }] } },
        backendRefs: [{ name: 'echo' }],
      },
    ]
    const auth = { oidc: { secretName: 'shop-oidc', scopes: ['openid', 'profile'] } }
    const [http, https] = await Promise.all([closedPort(), closedPort()])
    const { cert, key } = new TestAuthority().server('shop.localhost')
    const certificate = { 'tls.crt': cert, 'tls.key': key }
    const hosts = ['localhost', 'shop.localhost']
    gateway = await startGateway(
      scope,
      {
        'routes.yaml': backend('echo', [echo.port]) + route('shop', hosts, rules, { policies: { auth } }),
        'client.yaml': secret(listening.issuer),
        'certificate.yaml': secretOf('tls', 'kubernetes.io/tls', certificate),
      },
      {
        workers: 2,
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: http },
            { name: 'https', address: '127.0.0.1', port: https, tls: {} },
          ],
          tls: { defaultCertificate: { secretName: 'tls', namespace: 'default' } },
        },
      },
    )
    origin = `http://localhost:${http}`
    secure = `https://shop.localhost:${https}`
    provider = listening.begin({ ...CLIENT, origins: [origin, secure], life: 6, claims: { tier: 'gold' } })
    assert.equal((await soon.open(origin)).status, 200)
    provider.life = 60
  })

  it('signs a browser in, and brings it back to the page that it wanted', async () => {
    const browser = new PageClient()
    const page = await browser.open(`${origin}/orders/7?tab=a&b=%2F`)
    assert.equal(page.status, 200, page.text)
    assert.equal(page.url, `${origin}/orders/7?tab=a&b=%2F`)
    const { headers } = JSON.parse(page.text) as Received
    assert.equal(headers['x-user'], 'alice')
    assert.equal(headers.cookie, undefined)
    const [first] = browser.way
    assert.equal(first!.status, 302)
    const asked = new URL(first!.headers.location!).searchParams
    assert.deepEqual([asked.get('response_type'), asked.get('code_challenge_method')], ['code', 'S256'])
    const set = browser.way.flatMap(({ headers, url }) => (url.startsWith(origin) ? (headers['set-cookie'] ?? []) : []))
    assert.equal(set.length, 3)
    for (const cookie of set)
      assert.match(
        cookie,
        /^__Host-hg(\.b-[-\w]{8})?=hgs1~[-\w~]+; Path=\/; HttpOnly; Secure; SameSite=Lax; Max-Age=\d+$/,
      )
  })

  const signedIn = async (path = '/'): Promise<PageClient> => {
    const browser = new PageClient()
    assert.equal((await browser.open(origin + path)).status, 200)
    return browser
  }
  /** What the browser has of the session. */
  const jar = (browser: PageClient) => browser.cookies.get('localhost')!
  const refreshes = () => provider.grants.filter((grant) => grant.startsWith('refresh_token'))

  const condition = async (): Promise<string> => {
    const { text } = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    const { items } = JSON.parse(text) as {
      items: { key: string; conditions: { type: string; reason: string; message: string }[] }[]
    }
    const { reason, message } =
      items.find(({ key }) => key.endsWith('default/shop'))?.conditions.find(({ type }) => type === 'ResolvedRefs') ??
      {}
    return `${reason}: ${message}`
  }

  it('signs in Chromium, tabs that are opened together too, and out again', {
    skip: CHROMIUM === undefined && 'Chromium is missing: apt-get install chromium',
  }, async (t) => {
    const browser = await chromium.launch({ executablePath: CHROMIUM!, args: ['--no-sandbox', '--disable-gpu'] })
    t.after(() => browser.close())
    const context = await browser.newContext({ ignoreHTTPSErrors: true })
    const tabs = await Promise.all(['/a?b=c', '/d', '/e'].map(async (path) => [path, await context.newPage()] as const))
    const goTo = async ([path, tab]: readonly [string, Page]): Promise<void> => {
      await tab.goto(secure + path)
      assert.equal(tab.url(), secure + path)
      const { headers } = JSON.parse(await tab.innerText('body')) as Received
      assert.deepEqual([headers['x-user'], headers.cookie], ['alice', undefined])
    }
    await goTo(tabs[0]!)
    // Signed in at the provider, and not here: all of them go there at once.
    await context.clearCookies({ name: /^__Host-hg/ })
    await Promise.all(tabs.map(goTo))
    const [, page] = tabs[0]!
    const cookies = (await context.cookies(secure)).filter(({ name }) => name === '__Host-hg')
    assert.deepEqual(
      cookies.map(({ httpOnly, secure: only, sameSite }) => [httpOnly, only, sameSite]),
      [[true, true, 'Lax']],
    )
    assert.equal(await page.evaluate('document.cookie'), '')
    const status = (path: string) => page.evaluate(`fetch('${path}').then(({ status }) => status)`)
    assert.equal(await status('/api'), 200)
    // Of this machine in clear, for development: the browser keeps the cookies there too.
    const dev = await context.newPage()
    await dev.goto(`${origin}/dev`)
    assert.equal(dev.url(), `${origin}/dev`)
    await page.goto(`${secure}/logout`)
    assert.match(await page.innerText('body'), /^You are signed out\./)
    assert.equal(await status('/api'), 401)
  })

  it('tells scripts 401 instead of a redirect, and what asks for no page', async () => {
    const browser = new PageClient()
    for (const headers of [
      SCRIPT,
      { accept: '*/*' },
      { accept: 'text/html', 'x-requested-with': 'XMLHttpRequest' },
      { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image', accept: 'text/html' },
      { 'sec-fetch-mode': 'websocket', accept: 'text/html' },
    ]) {
      const refused = await browser.ask(`${origin}/api`, { headers })
      assert.deepEqual([refused.status, refused.headers.location], [401, undefined])
      assert.match(refused.headers['www-authenticate']!, /^Session realm="localhost"$/)
      assert.equal(refused.headers['set-cookie'], undefined)
    }
    assert.equal((await browser.ask(`${origin}/form`, { method: 'POST', body: 'a=b' })).status, 401)
    assert.equal((await browser.ask(origin, { headers: { accept: 'text/html' } })).status, 302)
  })

  it('keeps cookies of sessions from every backend of the hostname, whatever the rule is', async () => {
    const browser = await signedIn()
    jar(browser).set('app', 'mine')
    for (const path of ['/open', '/']) {
      const { headers } = JSON.parse((await browser.ask(origin + path, { headers: SCRIPT })).text) as Received
      assert.equal(headers.cookie, 'app=mine')
    }
  })

  it('signs out here and at the provider, and a copy of the cookie is worth nothing then', async () => {
    const browser = await signedIn()
    const thief = new PageClient()
    thief.cookies.set('localhost', new Map(jar(browser)))
    assert.equal((await thief.ask(origin, { headers: SCRIPT })).status, 200)
    const elsewhere = { ...SCRIPT, 'sec-fetch-site': 'cross-site' }
    assert.equal((await browser.ask(`${origin}/logout`, { headers: elsewhere })).status, 403)
    const page = await browser.open(`${origin}/logout`)
    assert.deepEqual([page.status, page.text], [200, 'You are signed out.\n'])
    assert.match(browser.way.map(({ url }) => url).join('\n'), /\/session\/end\?.*id_token_hint=/)
    assert.equal(jar(browser).has('__Host-hg'), false)
    await eventually(async () => assert.equal((await thief.ask(origin, { headers: SCRIPT })).status, 401))
    assert.equal((await browser.ask(origin)).status, 302)
  })

  it('ends sessions that the provider says are over', async () => {
    const browser = await signedIn()
    assert.equal((await browser.ask(origin, { headers: SCRIPT })).status, 200)
    // At the provider itself, where another application may have begun it.
    const end = await browser.open(`${provider.issuer}/session/end`)
    assert.equal(end.status, 200)
    await eventually(async () => {
      for (let i = 0; i < 4; i++) assert.equal((await browser.ask(origin, { headers: SCRIPT })).status, 401)
    })
  })

  it('takes any number of tabs, and no way back that another browser began', async () => {
    const browser = new PageClient()
    const tabs = await Promise.all(['/1', '/2', '/3'].map((path) => browser.ask(origin + path)))
    const other = new PageClient()
    const [stolen] = await Promise.all([other.open(tabs[0]!.headers.location!)])
    assert.equal(stolen!.status, 400)
    assert.match(stolen!.text, /SignInFailed/)
    for (const [i, tab] of tabs.entries()) {
      const page = await browser.open(tab.headers.location!)
      assert.deepEqual([page.status, page.url], [200, `${origin}/${i + 1}`])
    }
  })

  it('answers 503 while the provider is down or lies, and the sessions that there are go on', async () => {
    const browser = await signedIn()
    const state = await new PageClient().ask(origin)
    for (const [intercept, detail] of [
      [() => ({ status: 500, body: 'down' }), /status 500/],
      [() => ({ status: 200, body: '<html>' }), /no ID token|status 200/],
      [() => ({ status: 400, body: '{"error":"invalid_client"}' }), /invalid_client/],
    ] as const) {
      provider.intercept = (path) => (path === '/token' ? intercept() : undefined)
      const page = await new PageClient().open(`${origin}/x`)
      assert.equal(page.status, 503, page.text)
      assert.ok(Number(page.headers['retry-after']) > 0)
      await gateway.logged((line) => line.reason === 'AuthUnavailable' && detail.test(String(line.detail)))
      assert.equal((await browser.ask(origin, { headers: SCRIPT })).status, 200)
    }
    provider.intercept = undefined
    assert.equal(state.status, 302)
    assert.equal((await new PageClient().open(origin)).status, 200)
  })

  it('says in a condition what is wrong with the Secret or its provider, and lets nobody in', async () => {
    const browser = await signedIn()
    for (const [issuer, status, why] of [
      ['http://id.example/', 503, /^KeyInvalid: .*issuer is not the https URL/],
      // What another provider says of itself.
      [`${provider.issuer}/`, 401, /^KeysUnavailable: .*metadata are of another issuer/],
    ] as const) {
      await gateway.write('client.yaml', secret(issuer))
      await eventually(async () => assert.match(await condition(), why))
      await eventually(async () => assert.equal((await browser.ask(origin, { headers: SCRIPT })).status, status))
      assert.equal((await new PageClient().ask(origin)).status, 503)
    }
    await gateway.write('client.yaml', secret(provider.issuer))
    await eventually(async () => assert.equal((await browser.ask(origin, { headers: SCRIPT })).status, 200))
    await eventually(async () => assert.match(await condition(), /^ResolvedRefs|^Resolved/))
    const logs = gateway.processLog.join('\n') + JSON.stringify(gateway.accessLog)
    for (const text of [CLIENT.clientSecret, jar(browser).get('__Host-hg')!.slice(10, 60)])
      assert.ok(!logs.includes(text))
  })

  it('refreshes a session once for all its requests, at any worker, and tells the browser', async () => {
    const before = refreshes().length
    const old = new Map(jar(soon))
    await eventually(async () => {
      await soon.ask(`${origin}/a`, { headers: SCRIPT })
      assert.equal(refreshes().length, before + 1)
    })
    const fresh = jar(soon).get('__Host-hg')
    assert.notEqual(fresh, old.get('__Host-hg'))
    // Those that still come with the cookie from before, each on a connection of its own.
    const late = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const tab = new PageClient()
        tab.cookies.set('localhost', new Map(old))
        return await tab.ask(`${origin}/b`, { headers: SCRIPT })
      }),
    )
    assert.deepEqual([...new Set(late.map(({ status }) => status))], [200])
    assert.ok(late.every(({ headers }) => headers['set-cookie']?.[0]?.startsWith('__Host-hg=') === true))
    assert.deepEqual(refreshes().slice(before), ['refresh_token'])
  })
})
