/** CORS as browsers ask for it (Fetch standard): preflights, responses, Vary, and origins that are none of the list. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../../src/message/fields.ts'
import { corsHeaders, PREFLIGHT, TRUSTED_PAGE } from '../../../src/policy/cors/headers.ts'
import { normalOrigin, OriginList } from '../../../src/policy/cors/origins.ts'
import { cors } from '../../../src/policy/cors/policy.ts'
import { corsPreflight } from '../../../src/policy/cors/preflight.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

type Value = Parameters<typeof cors.plan>[0]

const APP = 'https://app.example.com'
const planOf = (value: Value) => structuredClone(cors.plan(value, 'shop')!)

type Answer = Readonly<Record<string, string | number | boolean>>

function preflight(value: Value, headers: Readonly<Record<string, string>>, method = 'OPTIONS'): Answer | undefined {
  const filter = corsPreflight.create({ ...PLAIN, policies: { cors: planOf(value) } }, testDeps())!
  const x = new TestExchange({ method }, headers)
  const decision = filter.onRequest!(x) as { readonly response: { status: number; fields: Fields } } | undefined
  if (decision === undefined) return undefined
  assert.equal(x.get(PREFLIGHT), true)
  return { status: decision.response.status, ...plain(decision.response.fields) }
}

function answer(
  value: Value,
  request: Readonly<Record<string, string>>,
  upstream: Readonly<Record<string, string>> = {},
): Answer {
  const filter = corsHeaders(planOf(value))
  const x = new TestExchange({}, request)
  const head = { status: 200, fields: Fields.from(upstream), bodyLength: 0 }
  filter.onRequest!(x)
  filter.onResponse!(x, head, null)
  return { ...plain(head.fields), trusted: x.get(TRUSTED_PAGE) === true }
}

function plain(fields: Fields): Record<string, string> {
  const found: Record<string, string> = {}
  fields.forEach((name, value) => {
    found[name] = found[name] === undefined ? value : `${found[name]}, ${value}`
  })
  return found
}

const ask = (origin: string, more: Readonly<Record<string, string>> = {}) => ({
  origin,
  'access-control-request-method': 'PUT',
  ...more,
})

describe('a preflight', () => {
  const value = {
    allowOrigins: [APP, 'https://*.partner.example'],
    allowMethods: ['GET', 'PUT'],
    allowHeaders: ['X-A', 'content-type'],
    allowCredentials: true,
    maxAge: '10m',
  }
  const VARY = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'

  it('is told what a listed origin may do', () => {
    for (const origin of [APP, 'https://a.partner.example', 'https://a.b.partner.example'])
      assert.deepEqual(preflight(value, ask(origin)), {
        status: 204,
        vary: VARY,
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, PUT',
        'access-control-allow-headers': 'x-a, content-type',
        'access-control-max-age': '600',
      })
  })

  it('is told nothing for any other origin', () => {
    for (const origin of [
      ...['null', '*', '', 'https://evil.example', 'http://app.example.com', `${APP}:8443`, `${APP}.evil.example`],
      ...['https://partner.example', 'https://.partner.example', 'https://evilpartner.example', `${APP}/`, `${APP}#`],
      ...['https://a.partner.example.evil.example', 'https://app.example.com@evil.example', `${APP}, ${APP}`],
      ...['https://app.example.com\\.evil.example', 'https://appXexample.com', 'data:text/html,x'],
    ])
      assert.deepEqual(preflight(value, ask(origin)), { status: 204, vary: VARY }, origin)
  })

  it('takes a default port and case for what they are', () => {
    for (const origin of [`${APP}:443`, 'HTTPS://APP.EXAMPLE.COM'])
      assert.equal(preflight(value, ask(origin))?.['access-control-allow-origin'], origin)
    assert.ok(preflight({ allowOrigins: ['http://localhost:3000'] }, ask('http://localhost:3000')))
  })

  it('gets names in place of * where credentials make it a name', () => {
    const any = { allowOrigins: [APP], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true }
    const asked = { 'access-control-request-headers': 'x-a, x-b, b@d, content-type' }
    const told = preflight(any, ask(APP, asked))
    assert.equal(told?.['access-control-allow-methods'], 'PUT')
    assert.equal(told?.['access-control-allow-headers'], 'x-a, x-b, content-type')
    const open = preflight({ ...any, allowOrigins: ['*'], allowCredentials: false }, ask('https://x.example', asked))
    assert.equal(open?.['access-control-allow-origin'], '*')
    assert.equal(open?.['access-control-allow-methods'], '*')
    assert.equal(open?.['access-control-allow-headers'], '*')
    assert.equal(open?.['access-control-allow-credentials'], undefined)
  })

  it('allows the methods of plain requests where none are stated', () => {
    assert.equal(preflight({ allowOrigins: ['*'] }, ask(APP))?.['access-control-allow-methods'], 'GET, HEAD, POST')
  })

  it('is one only with OPTIONS, an origin and a method that is asked for', () => {
    assert.equal(preflight(value, ask(APP), 'GET'), undefined)
    assert.equal(preflight(value, { origin: APP }), undefined)
    assert.equal(preflight(value, { 'access-control-request-method': 'PUT' }), undefined)
  })
})

describe('a response with cors', () => {
  const value = { allowOrigins: [APP], exposeHeaders: ['x-b'], allowCredentials: true }

  it('says who may read it, whatever the upstream says, and always that it depends on the origin', () => {
    const upstream = {
      'access-control-allow-origin': '*',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'set-cookie',
      vary: 'accept-encoding',
    }
    assert.deepEqual(answer(value, { origin: APP }, upstream), {
      vary: 'accept-encoding, Origin',
      'access-control-allow-origin': APP,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x-b',
      trusted: true,
    })
    for (const request of [{}, { origin: 'https://evil.example' }, { origin: 'null' }])
      assert.deepEqual(answer(value, request as Record<string, string>, upstream), {
        vary: 'accept-encoding, Origin',
        trusted: false,
      })
  })

  it('adds no name to Vary twice', () => {
    assert.equal(answer(value, {}, { vary: 'accept, origin' }).vary, 'accept, origin')
    assert.equal(answer(value, {}, { vary: '*' }).vary, '*')
  })

  it('is the same for everybody with * alone, and trusts nobody with credentials', () => {
    assert.deepEqual(answer({ allowOrigins: ['*'] }, { origin: APP }), {
      'access-control-allow-origin': '*',
      trusted: false,
    })
    // The schema refuses * with credentials; were it not refused, it would reflect nothing.
    assert.deepEqual(answer({ allowOrigins: ['*'], allowCredentials: true }, { origin: 'https://evil.example' }), {
      vary: 'Origin',
      trusted: false,
    })
  })
})

describe('origins', () => {
  it('are written as browsers do', () => {
    assert.equal(normalOrigin('HTTPS://A.example:443'), 'https://a.example')
    assert.equal(normalOrigin('http://a.example:443'), 'http://a.example:443')
    assert.equal(normalOrigin('http://[::1]:3000'), 'http://[::1]:3000')
    for (const text of ['null', '*', 'a.example', 'https://', 'https://a/b', 'https://u@a', 'https://a b'])
      assert.equal(normalOrigin(text), undefined, text)
  })

  it('that are wrong are refused in the manifest', () => {
    const problems = (origin: string) => cors.check!({ allowOrigins: [origin] }, 'Route').length
    for (const origin of ['*', APP, 'https://*.a.example', 'http://localhost:3000'])
      assert.equal(problems(origin), 0, origin)
    for (const origin of ['null', 'https://a/b', 'a.example']) assert.equal(problems(origin), 1, origin)
    assert.equal(new OriginList(['https://*.a.example']).names('https://a.example'), false)
  })
})
