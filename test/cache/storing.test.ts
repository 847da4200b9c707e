import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CacheFlag } from '../../src/cache/cache-numbers.ts'
import { judgeStoring, mayCollapse } from '../../src/cache/storing.ts'
import { DEFAULT_TARGETS } from '../../src/cache/targeted-fields.ts'
import type { CacheRules, StoreReason, StoreVerdict, StoringRequest } from '../../src/cache/verdicts.ts'
import { Fields } from '../../src/message/fields.ts'

const RECEIVED = Date.UTC(2026, 10, 29, 12)
const HOUR = 3_600_000
const STANDARD: CacheRules = { mode: 'Standard', targets: DEFAULT_TARGETS }

interface Case {
  readonly response?: Record<string, string>
  /** Lines of one name more. */
  readonly lines?: readonly [string, string][]
  readonly status?: number
  readonly request?: Record<string, string>
  readonly asked?: Partial<StoringRequest>
  readonly rules?: Partial<CacheRules>
  readonly sent?: number
}

function judge({
  response = {},
  lines = [],
  status = 200,
  request = {},
  asked = {},
  rules = {},
  sent,
}: Case): StoreVerdict {
  const fields = Fields.from(response)
  for (const [name, value] of lines) fields.add(name, value)
  return judgeStoring(
    {
      method: 'GET',
      fields: Fields.from(request),
      credentials: false,
      identityInKey: false,
      content: 'None',
      ...asked,
    },
    status,
    fields,
    { sent: sent ?? RECEIVED, received: RECEIVED },
    { ...STANDARD, ...rules },
  )
}

/** As a client sends them: parsed, not added by the gateway. */
const parsed = (name: string): Fields => {
  const fields = new Fields()
  fields.clear(Buffer.from(`${name}: /admin\r\n`))
  fields.push(0, name.length, name.length + 2, name.length + 8)
  return fields
}

const cc = (control: string, more: Record<string, string> = {}) => ({ 'cache-control': control, ...more })
const date = (time: number) => new Date(time).toUTCString()
const reasonOf = (one: Case): StoreReason => judge(one).reason
const TAG = { etag: '"v1"' }

/** Of a response that is stored. */
function lifetime(one: Case): number {
  const verdict = judge(one)
  assert.equal(verdict.reason, 'Stored')
  return verdict.numbers.lifetime
}

function flags(one: Case): number {
  const verdict = judge(one)
  assert.equal(verdict.reason, 'Stored')
  return verdict.numbers.flags
}

describe('what is stored', () => {
  it('RFC 9111 §3: stores responses to methods that are understood, GET and QUERY', () => {
    for (const method of ['GET', 'QUERY'])
      assert.equal(reasonOf({ response: cc('max-age=60'), asked: { method } }), 'Stored')
    for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'get', 'PROPFIND', ''])
      assert.equal(reasonOf({ response: cc('public, max-age=60'), asked: { method } }), 'Method')
  })

  it('RFC 10008 §2.7: stores a response to QUERY where all content is in the key', () => {
    const response = cc('max-age=60')
    assert.equal(reasonOf({ response, asked: { method: 'QUERY', content: 'InKey' } }), 'Stored')
    assert.equal(reasonOf({ response, asked: { method: 'QUERY', content: 'NotInKey' } }), 'RequestContent')
    // A GET whose content an origin might read (RFC 9110 §9.3.1).
    assert.equal(reasonOf({ response, asked: { content: 'NotInKey' } }), 'RequestContent')
  })

  it('RFC 9111 §3: stores no response that is not final', () => {
    for (const status of [0, 100, 101, 103, 199, 600, 999])
      assert.equal(reasonOf({ response: cc('public, max-age=60'), status }), 'Status')
  })

  it('RFC 9111 §3: stores a final response with an explicit lifetime, understood or not', () => {
    for (const status of [200, 201, 203, 204, 299, 300, 301, 302, 307, 308, 400, 403, 404, 410, 418, 500, 503, 599])
      assert.equal(lifetime({ response: cc('max-age=60'), status }), 60_000, String(status))
  })

  it('RFC 9111 §3: stores no 304 as it is', () => {
    assert.equal(reasonOf({ response: cc('public, max-age=60', TAG), status: 304 }), 'Status')
  })

  it('RFC 6585 §3: stores nothing that answers more than the key: 226, 401, 407, 408, 412, 416, 417, 421, 425, 428, 429 …', () => {
    for (const status of [226, 401, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511]) {
      const rules = { mode: 'Override', defaultTtl: HOUR, ttlByCode: new Map([[status, HOUR]]) } as const
      assert.equal(reasonOf({ response: cc('public, s-maxage=60'), status, rules }), 'Status')
    }
  })

  it('RFC 9111 §5.2.2.3: must-understand keeps a status that is not understood out', () => {
    assert.equal(reasonOf({ response: cc('must-understand, max-age=60'), status: 299 }), 'Status')
    assert.equal(reasonOf({ response: cc('must-understand, max-age=60'), status: 404 }), 'Stored')
  })

  it('RFC 9111 §5.2.2.3: must-understand makes no-store of no account where the status is understood', () => {
    assert.equal(lifetime({ response: cc('must-understand, no-store, max-age=60') }), 60_000)
    assert.equal(reasonOf({ response: cc('must-understand, no-store, max-age=60'), status: 299 }), 'Status')
    assert.equal(reasonOf({ response: cc('must-understand; no-store, max-age=60') }), 'NoStore')
  })

  it('RFC 9111 §5.2.2.9: public makes any status and any credential storable, and nothing else', () => {
    const response = { 'last-modified': date(RECEIVED - HOUR) }
    assert.equal(reasonOf({ response, status: 302 }), 'NoLifetime')
    assert.equal(reasonOf({ response: { ...response, ...cc('public') }, status: 302 }), 'Stored')
    assert.equal(reasonOf({ response: { ...response, ...cc('public') }, request: { authorization: 'x' } }), 'Stored')
    assert.equal(reasonOf({ response: { ...response, ...cc('public, no-store') } }), 'NoStore')
    assert.equal(reasonOf({ response: { ...response, ...cc('public, private') } }), 'Private')
  })

  it('RFC 9111 §5.2.2.5: no-store of the response is obeyed, whatever else it says', () => {
    for (const control of ['no-store', 'No-Store', 'public, max-age=60, no-store', 's-maxage=60, no-store=x'])
      assert.equal(reasonOf({ response: cc(control, TAG) }), 'NoStore')
    assert.equal(reasonOf({ response: cc('max-age=60'), lines: [['cache-control', 'NO-STORE']] }), 'NoStore')
    const rules = { mode: 'Override', defaultTtl: HOUR, ttlByCode: new Map([[200, HOUR]]) } as const
    assert.equal(reasonOf({ response: cc('no-store'), rules }), 'NoStore')
  })

  it('RFC 9111 §5.2.1.5: no-store of the request is obeyed', () => {
    assert.equal(reasonOf({ response: cc('max-age=60'), request: cc('No-Store') }), 'RequestNoStore')
    assert.equal(reasonOf({ response: cc('max-age=60'), request: cc('x="; no-store') }), 'RequestNoStore')
    assert.equal(reasonOf({ response: cc('max-age=60'), request: cc('no-cache') }), 'Stored')
  })

  it('RFC 9111 §5.2.2.7: private keeps the response out of a shared cache', () => {
    for (const control of [
      'private',
      'private, max-age=60',
      'public, private, s-maxage=60',
      'PRIVATE, max-age=60',
      'private="", max-age=1',
    ])
      assert.equal(reasonOf({ response: cc(control, TAG) }), 'Private')
    assert.equal(reasonOf({ response: cc('private, max-age=60'), asked: { identityInKey: true } }), 'Private')
  })

  it('RFC 9111 §5.2.2.7: fields named by private are not stored, the rest is', () => {
    assert.deepEqual(judge({ response: cc('private="X-User", max-age=60') }).excluded, ['x-user'])
  })

  it('RFC 9111 §5.2.2.4: fields named by no-cache are not stored, the rest is reused without validation', () => {
    const verdict = judge({ response: cc('no-cache="x-user", max-age=60') })
    assert.deepEqual([verdict.reason, verdict.excluded, verdict.numbers.flags], ['Stored', ['x-user'], 0])
  })

  it('RFC 9111 §5.2.2.4: no-cache is stored where it can be validated, and always validated', () => {
    assert.ok(flags({ response: cc('no-cache, max-age=60', TAG) }) & CacheFlag.AlwaysValidate)
    assert.ok(flags({ response: cc('no-cache', TAG) }) & CacheFlag.AlwaysValidate)
    assert.equal(reasonOf({ response: cc('no-cache, max-age=60, stale-while-revalidate=60') }), 'AlreadyStale')
  })

  it('RFC 9111 §3.5: stores what was asked for with a credential only where the response allows it', () => {
    const request = { authorization: 'Basic eDp5' }
    for (const control of [
      'max-age=60',
      'max-age=60, proxy-revalidate',
      'no-cache',
      'immutable, max-age=60',
      'max-age=60; public',
    ])
      assert.equal(reasonOf({ response: cc(control, TAG), request }), 'Credentials', control)
    for (const control of ['public, max-age=60', 's-maxage=60', 'must-revalidate, max-age=60', 's-maxage=0'])
      assert.ok(flags({ response: cc(control, TAG), request }) & CacheFlag.Credentials, control)
    assert.equal(reasonOf({ response: { expires: date(RECEIVED + HOUR) }, request }), 'Credentials')
  })

  it('RFC 9111 §3.5: counts every credential that the gateway took, though nothing of it was sent on', () => {
    assert.equal(reasonOf({ response: cc('max-age=60'), asked: { credentials: true } }), 'Credentials')
    assert.equal(reasonOf({ response: cc('public, max-age=60'), asked: { credentials: true } }), 'Stored')
    assert.equal(reasonOf({ response: cc('max-age=60'), asked: { credentials: true, identityInKey: true } }), 'Stored')
  })

  it('RFC 9111 §3.5: an operator makes nothing of a credential reusable', () => {
    const rules = { mode: 'Override', defaultTtl: HOUR, ttlByCode: new Map([[200, HOUR]]) } as const
    assert.equal(reasonOf({ response: {}, rules, asked: { credentials: true } }), 'Credentials')
  })

  it('RFC 9111 §7.3: stores no response that sets a cookie', () => {
    for (const name of ['set-cookie', 'set-cookie2'])
      assert.equal(reasonOf({ response: cc('public, s-maxage=60', { [name]: 'sid=1' }) }), 'SetCookie')
    assert.equal(reasonOf({ response: cc('no-cache="set-cookie", max-age=60', { 'set-cookie': 'a=b' }) }), 'SetCookie')
  })

  it('RFC 9111 §4.1: stores no response that varies with anything', () => {
    for (const vary of ['*', 'accept, *', '*,accept', ' , *\t', 'accept,*,x'])
      assert.equal(reasonOf({ response: cc('max-age=60', { vary }) }), 'VaryAny', vary)
    assert.equal(reasonOf({ response: cc('max-age=60', { vary: 'accept' }), lines: [['vary', '*']] }), 'VaryAny')
    assert.equal(reasonOf({ response: cc('max-age=60', { vary: 'accept, x*y' }) }), 'Stored')
  })

  it('RFC 9111 §3: stores nothing that neither states a lifetime nor allows an estimate', () => {
    for (const [response, status] of [
      [{}, 200],
      [TAG, 200],
      [{ 'last-modified': date(RECEIVED - HOUR) }, 302],
      [{ 'last-modified': date(RECEIVED - HOUR) }, 500],
      [cc('immutable', TAG), 200],
      [cc('stale-while-revalidate=60', TAG), 200],
      [cc('public'), 200],
      [{ pragma: 'public', warning: '110 - stale' }, 200],
    ] as const)
      assert.equal(reasonOf({ response, status }), 'NoLifetime', JSON.stringify(response))
  })

  it('RFC 9111 §3: stores without a lifetime what says that it may be stored and can be validated', () => {
    for (const control of ['public', 'must-revalidate', 'proxy-revalidate', 'no-cache'])
      assert.equal(lifetime({ response: cc(control, TAG), status: 404 }), 0)
    assert.equal(lifetime({ response: cc('public', TAG), status: 302 }), 0)
  })

  it('RFC 9111 §3: that it is to be validated makes no other status one that may be stored', () => {
    for (const control of ['must-revalidate', 'proxy-revalidate', 'no-cache', 'no-cache, must-revalidate'])
      for (const status of [201, 202, 302, 303, 307, 403, 500, 503, 299])
        assert.equal(reasonOf({ response: cc(control, TAG), status }), 'NoLifetime', `${status} ${control}`)
  })

  it('stores nothing that no request could ever get', () => {
    for (const control of ['max-age=0', 'max-age=5', 's-maxage=0, stale-while-revalidate=60', 'max-age=x'])
      assert.equal(reasonOf({ response: cc(control, { age: '5' }) }), 'AlreadyStale')
    assert.equal(reasonOf({ response: { expires: '0' } }), 'AlreadyStale')
    for (const more of [TAG, { 'last-modified': date(RECEIVED - HOUR) }, { etag: 'W/"x"' }])
      assert.equal(lifetime({ response: cc('max-age=0', more) }), 0)
    assert.equal(reasonOf({ response: cc('max-age=0', { etag: 'v1' }) }), 'AlreadyStale')
    assert.equal(lifetime({ response: cc('max-age=0, stale-while-revalidate=60') }), 0)
    assert.equal(lifetime({ response: cc('max-age=0, stale-if-error=60') }), 0)
  })
})

describe('fields of a request that steer an application', () => {
  const response = cc('max-age=60')
  const names = [
    ...['X-Original-URL', 'x-rewrite-url', 'X-HTTP-Method-Override', 'x-http-method', 'X-Method-Override', 'x-host'],
    ...['X-HTTP-Host-Override', 'x-host-override', 'x-proxy-host', 'X_HTTP_DestinationURL', 'x-now-route-matches'],
    ...['x-matched-path', 'x-invoke-path', 'x-invoke-query', 'x-middleware-subrequest'],
    ...['x_host', 'X_Http.Method', 'x-forwarded-prefix', 'X-Forwarded-Path', 'x-forwarded-server', 'x-original-host'],
    ...['X-Forwarded-User', 'Base-Url', 'http_url', 'Proxy-Host', 'Request-URI', 'X-Script-Name', 'X-Invoke-Status'],
    ...['X-Middleware-Prefetch', 'X-React-Router-SPA-Mode', 'x-react-router-prerender-data', 'X-Astro-Path'],
  ]

  it('RFC 9111 §7.1: what they led to is stored for nobody', () => {
    for (const name of names)
      assert.equal(reasonOf({ response, asked: { fields: parsed(name) } }), 'RequestFields', name)
    for (const name of ['x-forwarded-host', 'x-forwarded-proto', 'accept', 'x-hosts', 'xhost', 'host', 'proxy-hosts'])
      assert.equal(reasonOf({ response, asked: { fields: parsed(name) } }), 'Stored', name)
  })

  it('RFC 9111 §7.1: unless they are part of the key', () => {
    const fields = parsed('X-Host')
    assert.equal(reasonOf({ response, asked: { fields, keyedFields: new Set(['x-host']) } }), 'Stored')
    assert.equal(reasonOf({ response: cc('max-age=60', { vary: 'accept,\tX-HOST ' }), asked: { fields } }), 'Stored')
    assert.equal(reasonOf({ response: cc('max-age=60', { vary: 'x-hos, host' }), asked: { fields } }), 'RequestFields')
  })

  it('not those that the gateway took out or wrote itself', () => {
    const fields = parsed('x-host')
    fields.remove('x-host')
    fields.add('x-forwarded-prefix', '/shop')
    assert.equal(reasonOf({ response, asked: { fields } }), 'Stored')
  })
})

describe('what others may wait for', () => {
  const may = (asked: Partial<StoringRequest>, request: Record<string, string> = {}) =>
    mayCollapse({
      ...{ method: 'GET', fields: Fields.from(request), credentials: false, identityInKey: false, content: 'None' },
      ...asked,
    })

  it('RFC 9111 §4: requests whose responses are likely to be for all', () => {
    assert.equal(may({}), true)
    assert.equal(may({ method: 'QUERY', content: 'InKey' }), true)
    assert.equal(may({ credentials: true, identityInKey: true }), true)
  })

  it('not those whose responses are stored rarely or never', () => {
    assert.equal(may({ method: 'POST' }), false)
    assert.equal(may({ content: 'NotInKey' }), false)
    assert.equal(may({ credentials: true }), false)
    assert.equal(may({}, { authorization: 'x' }), false)
    assert.equal(may({}, cc('no-store')), false)
    const fields = parsed('X-Host')
    assert.deepEqual([may({ fields }), may({ fields, keyedFields: new Set(['x-host']) })], [false, true])
  })
})

describe('partial content', () => {
  const ranged = { range: 'bytes=0-4' }
  const partial = (range: string, more: Record<string, string> = TAG) =>
    reasonOf({ response: cc('max-age=60', { 'content-range': range, ...more }), status: 206, request: ranged })

  it('RFC 9111 §3.3: stores a single range of bytes, with or without a validator', () => {
    for (const range of ['bytes 0-4/10', 'bytes 5-9/10', 'bytes 0-0/*', 'Bytes 3-4/5'])
      assert.equal(partial(range), 'Stored')
    assert.equal(partial('bytes 0-4/10', {}), 'Stored')
    assert.equal(partial('bytes 0-4/10', { etag: 'W/"v1"' }), 'Stored')
    assert.ok(
      flags({ response: cc('max-age=60', { ...TAG, 'content-range': 'bytes 0-4/10' }), status: 206, request: ranged }) &
        CacheFlag.Partial,
    )
  })

  it('RFC 9111 §3.3: stores no range in units that are not understood, and none that contradicts itself', () => {
    for (const range of [
      'items 0-4/10',
      'bytes 4-0/10',
      'bytes 0-10/10',
      'bytes */10',
      'bytes 0-4',
      'bytes=0-4/10',
      'bytes 0-4/10, bytes 5-9/10',
    ])
      assert.equal(partial(range), 'Partial', range)
    assert.equal(partial('bytes 0-4/10', { ...TAG, 'content-type': 'multipart/byteranges; boundary=x' }), 'Partial')
    const response = cc('max-age=60', { ...TAG, 'content-range': 'bytes 0-4/10' })
    assert.equal(reasonOf({ response, status: 206, request: ranged, lines: [['etag', '"v2"']] }), 'Partial')
    assert.equal(
      reasonOf({ response, status: 206, request: ranged, lines: [['content-range', 'bytes 0-4/10']] }),
      'Partial',
    )
    assert.equal(reasonOf({ response: cc('max-age=60', TAG), status: 206, request: ranged }), 'Partial')
  })

  it('RFC 9110 §14.2: stores no range that nobody asked for, and no whole that says it is a range', () => {
    const response = cc('max-age=60', { ...TAG, 'content-range': 'bytes 0-4/10' })
    assert.equal(reasonOf({ response, status: 206 }), 'Partial')
    assert.equal(reasonOf({ response, status: 206, request: ranged, asked: { method: 'QUERY' } }), 'Partial')
    assert.equal(reasonOf({ response, status: 200, request: ranged }), 'Partial')
    assert.equal(reasonOf({ response: cc('max-age=60'), status: 200, request: ranged }), 'Stored')
  })
})

describe('how long it is fresh', () => {
  it('RFC 9111 §4.2.1: s-maxage before max-age before Expires', () => {
    const expires = date(RECEIVED + 3 * HOUR)
    assert.equal(lifetime({ response: cc('max-age=60, s-maxage=30', { expires }) }), 30_000)
    assert.equal(lifetime({ response: cc('s-maxage=300, max-age=0', { expires }) }), 300_000)
    assert.equal(lifetime({ response: cc('max-age=60', { expires }) }), 60_000)
    assert.equal(lifetime({ response: cc('public', { expires }) }), 3 * HOUR)
  })

  it('RFC 9111 §5.2.2.1: max-age is the lifetime, counted from its generation', () => {
    assert.equal(lifetime({ response: cc('max-age=60') }), 60_000)
    const { numbers } = judge({ response: cc('max-age=60', { age: '20' }) })
    assert.equal(numbers.born + numbers.lifetime, RECEIVED + 40_000)
  })

  it('RFC 9111 §5.3: Expires counts from the Date of the response, not from our clock', () => {
    const at = RECEIVED - 10 * HOUR
    assert.equal(lifetime({ response: { date: date(at), expires: date(at + 20 * HOUR) } }), 20 * HOUR)
    assert.equal(lifetime({ response: { date: date(at), expires: date(at - 1), ...TAG } }), 0)
  })

  it('RFC 9110 §6.6.1: without a Date that can be read the time of arrival is the Date', () => {
    for (const more of [{}, { date: 'yesterday' }, { date: '0' }])
      assert.equal(lifetime({ response: { expires: date(RECEIVED + HOUR), ...more } }), HOUR)
    const two: Case = {
      response: { ...TAG, expires: date(RECEIVED + HOUR), date: date(RECEIVED) },
      lines: [['date', date(0)]],
    }
    assert.equal(lifetime(two), HOUR)
    assert.equal(judge(two).numbers.date, RECEIVED)
  })

  it('RFC 9111 §4.2.3: of several Dates the oldest counts for its age', () => {
    const old: readonly [string, string][] = [['date', date(RECEIVED - 2 * HOUR)]]
    const born = (response: Record<string, string>, lines = old) =>
      judge({ response: cc('max-age=60', { ...TAG, ...response }), lines }).numbers.born
    assert.equal(born({ date: date(RECEIVED) }), RECEIVED - 2 * HOUR)
    assert.equal(born({ date: 'yesterday' }), RECEIVED - 2 * HOUR)
    assert.equal(born({ date: date(RECEIVED + HOUR) }, [['date', 'today']]), RECEIVED)
  })

  it('RFC 9111 §5.3: a broken Expires, 0 above all, has expired', () => {
    for (const expires of ['0', '-1', 'never', date(RECEIVED + HOUR).replace('GMT', 'UTC'), '', '9999999999'])
      assert.equal(lifetime({ response: { expires, ...TAG } }), 0, expires)
    assert.equal(
      lifetime({ response: { expires: date(RECEIVED + HOUR), ...TAG }, lines: [['expires', date(RECEIVED)]] }),
      0,
    )
    assert.equal(
      lifetime({ response: { expires: date(RECEIVED + HOUR) }, lines: [['expires', date(RECEIVED + HOUR)]] }),
      HOUR,
    )
    // Not an estimate instead (§4.2.2).
    assert.equal(lifetime({ response: { expires: '0', 'last-modified': date(0) } }), 0)
  })

  it('RFC 9111 §5.3: dates before 1970 and up to 9999', () => {
    assert.equal(lifetime({ response: { expires: 'Fri, 31 Dec 9999 23:59:59 GMT' } }), 2 ** 31 * 1000)
    assert.equal(lifetime({ response: { expires: 'Wed, 31 Dec 1969 23:59:59 GMT', ...TAG } }), 0)
    const old = { date: 'Mon, 01 Jan 1900 00:00:00 GMT', expires: 'Mon, 01 Jan 1900 01:00:00 GMT' }
    assert.equal(lifetime({ response: { ...old, ...TAG } }), HOUR)
    assert.equal(judge({ response: { ...old, ...TAG } }).numbers.born, RECEIVED - 2 ** 31 * 1000)
    assert.equal(reasonOf({ response: { expires: 'Sat, 01 Jan 10000 00:00:00 GMT' } }), 'AlreadyStale')
  })

  it('RFC 9213 §2.2: a targeted field makes Expires of no account, too', () => {
    assert.equal(lifetime({ response: { 'cdn-cache-control': 'max-age=5', expires: '0' } }), 5_000)
    assert.equal(reasonOf({ response: { 'cdn-cache-control': 'none', expires: date(RECEIVED + HOUR) } }), 'NoLifetime')
  })

  it('RFC 9111 §4.2.1: of contradictions the most restrictive counts', () => {
    assert.equal(lifetime({ response: cc('max-age=60, max-age=90', TAG) }), 0)
    assert.equal(lifetime({ response: cc('max-age=sixty', { ...TAG, expires: date(RECEIVED + HOUR) }) }), 0)
    const broken = cc('max-age=60; stale-while-revalidate=60', TAG)
    const { numbers } = judge({ response: broken, rules: { staleWhileRevalidate: HOUR, staleIfError: HOUR } })
    assert.deepEqual([numbers.lifetime, numbers.staleWhileRevalidate, numbers.staleIfError], [0, 0, 0])
    assert.ok(numbers.flags & CacheFlag.AlwaysValidate)
  })

  it('RFC 9111 §4.2.2: estimates a tenth of the time since the last change, a day at most', () => {
    const changed = (ago: number) => ({ 'last-modified': date(RECEIVED - ago) })
    assert.equal(lifetime({ response: changed(10 * HOUR) }), HOUR)
    assert.equal(lifetime({ response: changed(10_000 * HOUR) }), 24 * HOUR)
    assert.ok(flags({ response: changed(10 * HOUR) }) & CacheFlag.Heuristic)
    assert.equal(lifetime({ response: { ...changed(10 * HOUR), date: date(RECEIVED - 5 * HOUR), ...TAG } }), HOUR / 2)
    for (const more of [changed(-HOUR), changed(0), { 'last-modified': 'x' }])
      assert.equal(reasonOf({ response: more }), 'NoLifetime')
    // A Date far ahead makes no estimate longer.
    assert.equal(lifetime({ response: { ...changed(10 * HOUR), date: date(RECEIVED + 1_000 * HOUR) } }), HOUR)
  })

  it('RFC 9111 §4.2.2: estimates only of statuses that are heuristically cacheable, or of what is public', () => {
    const response = { 'last-modified': date(RECEIVED - 10 * HOUR) }
    for (const status of [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
      assert.equal(lifetime({ response, status }), HOUR)
    for (const status of [201, 202, 302, 303, 307, 400, 403, 500, 503, 299]) {
      assert.equal(reasonOf({ response, status }), 'NoLifetime')
      assert.equal(lifetime({ response: { ...response, ...cc('public') }, status }), HOUR)
    }
  })

  it('RFC 9111 §4.2.2: estimates nothing of what was asked for with a cookie, or by QUERY', () => {
    const response = { 'last-modified': date(RECEIVED - 10 * HOUR) }
    assert.equal(reasonOf({ response, request: { cookie: 'sid=1' } }), 'NoLifetime')
    assert.equal(reasonOf({ response, asked: { method: 'QUERY', content: 'InKey' } }), 'NoLifetime')
    assert.equal(lifetime({ response: { ...response, ...cc('max-age=60') }, request: { cookie: 'sid=1' } }), 60_000)
  })
})

describe('how old it is', () => {
  const born = (response: Record<string, string>, sent = RECEIVED) =>
    RECEIVED - judge({ response: cc('max-age=2147483648', response), sent }).numbers.born

  it('RFC 9111 §4.2.3: the greater of what Date and what Age say', () => {
    assert.equal(born({ date: date(RECEIVED - 7_000) }), 7_000)
    assert.equal(born({ age: '9', date: date(RECEIVED - 7_000) }), 9_000)
    assert.equal(born({ age: '5', date: date(RECEIVED - 7_000) }), 7_000)
    assert.equal(born({ date: date(RECEIVED + 7_000) }), 0)
  })

  it('RFC 9111 §4.2.3: Age counts from when the request was sent', () => {
    assert.equal(born({ age: '5' }, RECEIVED - 1_500), 6_500)
    assert.equal(born({}, RECEIVED - 1_500), 1_500)
    // A clock that was set back meanwhile makes nobody younger.
    assert.equal(born({ age: '5' }, RECEIVED + 60_000), 5_000)
  })

  it('RFC 9111 §5.1: of several Ages the first counts, what is none is ignored', () => {
    assert.equal(born({ age: '5, 9' }), 5_000)
    assert.equal(
      RECEIVED - judge({ response: cc('max-age=60', { age: '5' }), lines: [['age', '9']] }).numbers.born,
      5_000,
    )
    for (const age of ['-5', '5.5', 'x', '', '"5"', ', 5', '5 6', '5 x, 6']) assert.equal(born({ age }), 0, age)
  })

  it('RFC 9111 §1.2.2: an Age of 2^40 is 2^31', () => {
    assert.equal(reasonOf({ response: cc('max-age=60', { age: String(2 ** 40) }) }), 'AlreadyStale')
    assert.equal(
      RECEIVED - judge({ response: cc('max-age=60', { age: '9'.repeat(300), ...TAG }) }).numbers.born,
      2 ** 31 * 1000,
    )
  })

  it('compares whole seconds with Date, which has no others', () => {
    const verdict = judgeStoring(
      { method: 'GET', fields: new Fields(), credentials: false, identityInKey: false, content: 'None' },
      200,
      Fields.from(cc('max-age=1', { date: date(RECEIVED) })),
      { sent: RECEIVED + 990, received: RECEIVED + 999 },
      STANDARD,
    )
    assert.equal(verdict.numbers.received - verdict.numbers.born, 9)
  })
})

describe('what an operator states', () => {
  const neverStale = (control: string) =>
    (flags({ rules: { staleIfError: HOUR, staleWhileRevalidate: HOUR }, response: cc(control) }) &
      CacheFlag.NeverStale) !==
    0

  it('Override gives a lifetime to what says nothing, from its arrival on', () => {
    const rules = { mode: 'Override', defaultTtl: 10_000 } as const
    assert.equal(lifetime({ rules }), 10_000)
    assert.equal(lifetime({ rules, response: { age: '60', 'last-modified': date(0) } }), 70_000)
    assert.equal(lifetime({ rules, response: cc('max-age=60') }), 60_000)
    assert.equal(lifetime({ rules, response: { expires: '0', ...TAG } }), 0)
    for (const status of [302, 403, 500, 503]) assert.equal(reasonOf({ rules, status }), 'NoLifetime')
    assert.equal(reasonOf({ rules: { mode: 'Standard', defaultTtl: 10_000 } }), 'NoLifetime')
    assert.ok(flags({ rules }) & CacheFlag.Configured)
  })

  it('a lifetime by status counts in both modes, where the origin states none', () => {
    const rules = {
      ttlByCode: new Map([
        [404, 10_000],
        [503, 1_000],
      ]),
    }
    assert.equal(lifetime({ rules, status: 404 }), 10_000)
    assert.equal(lifetime({ rules, status: 503 }), 1_000)
    assert.equal(lifetime({ rules, status: 404, response: cc('max-age=60') }), 60_000)
    assert.equal(reasonOf({ rules, status: 404, response: cc('no-store') }), 'NoStore')
    assert.equal(lifetime({ rules: { ...rules, mode: 'Override', defaultTtl: 5_000 }, status: 404 }), 10_000)
    assert.ok(flags({ rules, status: 404, response: cc('no-cache', TAG) }) & CacheFlag.AlwaysValidate)
  })

  it('a lifetime of 0 says that it is not stored, not even to be served stale', () => {
    const rules = {
      staleWhileRevalidate: HOUR,
      ttlByCode: new Map([[404, 0]]),
      mode: 'Override',
      defaultTtl: 0,
    } as const
    assert.equal(reasonOf({ rules, status: 404, response: TAG }), 'NoLifetime')
    assert.equal(reasonOf({ rules, response: TAG }), 'NoLifetime')
    assert.equal(lifetime({ rules, response: cc('max-age=60') }), 60_000)
  })

  it('no lifetime is greater than maxTTL', () => {
    const rules = { maxTtl: 30_000, mode: 'Override', defaultTtl: HOUR } as const
    assert.equal(lifetime({ rules, response: cc('s-maxage=3600') }), 30_000)
    assert.equal(lifetime({ rules, response: cc('max-age=20') }), 20_000)
    assert.equal(lifetime({ rules, response: { age: '60' } }), 90_000)
    assert.equal(lifetime({ rules: { maxTtl: 30_000 }, response: { 'last-modified': date(0) } }), 30_000)
    assert.ok(flags({ rules, response: cc('s-maxage=3600') }) & CacheFlag.Capped)
    assert.ok(!(flags({ rules, response: cc('max-age=20') }) & CacheFlag.Capped))
    assert.ok(!(flags({ rules, response: cc('max-age=30') }) & CacheFlag.Capped))
  })

  it('RFC 5861 §3: windows for stale responses are the origin’s, or the operator’s where it says nothing', () => {
    const windows = (one: Case) => {
      const { numbers } = judge(one)
      return [numbers.staleWhileRevalidate, numbers.staleIfError]
    }
    const rules = { staleWhileRevalidate: 30_999, staleIfError: HOUR }
    assert.deepEqual(windows({ rules, response: cc('max-age=60') }), [30_000, HOUR])
    assert.deepEqual(windows({ rules, response: cc('max-age=60, stale-while-revalidate=5') }), [5_000, HOUR])
    assert.deepEqual(windows({ rules, response: cc('max-age=60, stale-if-error=0') }), [30_000, 0])
    assert.deepEqual(windows({ response: cc('max-age=60') }), [0, 0])
    // A stored error is no better than the error that comes.
    assert.deepEqual(windows({ rules, response: cc('max-age=60'), status: 500 }), [30_000, 0])
  })

  it('RFC 9111 §5.2.2.2: must-revalidate forbids stale reuse, whatever an operator or the response allows', () => {
    assert.ok(neverStale('must-revalidate, max-age=60, stale-while-revalidate=60'))
    assert.ok(!neverStale('max-age=60, stale-while-revalidate=60'))
  })

  it('RFC 9111 §5.2.2.8: proxy-revalidate forbids stale reuse, and allows nothing', () => {
    assert.ok(neverStale('proxy-revalidate, max-age=60, stale-if-error=60'))
    assert.equal(
      reasonOf({ response: cc('proxy-revalidate, max-age=60'), asked: { credentials: true } }),
      'Credentials',
    )
  })

  it('RFC 9111 §5.2.2.10: s-maxage forbids stale reuse, stale-while-revalidate beside it, too', () => {
    assert.ok(neverStale('s-maxage=60, stale-while-revalidate=60'))
  })
})

describe('validators', () => {
  it('RFC 9111 §4.3.1: an ETag or a date of the last change can be used to validate', () => {
    for (const more of [TAG, { etag: 'W/"x"' }, { etag: '""' }, { 'last-modified': date(0) }])
      assert.ok(flags({ response: cc('max-age=60', more) }) & CacheFlag.Validator)
    for (const more of [
      {},
      { etag: 'x' },
      { etag: '"x' },
      { etag: 'w/"x"' },
      { etag: '"a"b"' },
      { 'last-modified': 'x' },
    ])
      assert.ok(!(flags({ response: cc('max-age=60', more) }) & CacheFlag.Validator))
    // Of two nobody knows which is meant.
    assert.ok(!(flags({ response: cc('max-age=60', TAG), lines: [['etag', '"b"']] }) & CacheFlag.Validator))
  })

  it('RFC 9110 §8.8.2.2: the last change is strong one second or more before the Date', () => {
    const strong = (before: number) =>
      (flags({ response: cc('max-age=60', { date: date(RECEIVED), 'last-modified': date(RECEIVED - before) }) }) &
        CacheFlag.StrongLastModified) !==
      0
    assert.deepEqual([strong(0), strong(-1_000), strong(1_000), strong(60_000)], [false, false, true, true])
  })

  it('RFC 8246 §2: knows immutable', () => {
    assert.ok(flags({ response: cc('max-age=60, immutable') }) & CacheFlag.Immutable)
  })

  it('keeps all that is known of a response at once', () => {
    const { AlwaysValidate, Capped, Configured, Credentials, Immutable, NeverStale, Partial, Validator } = CacheFlag
    const response = cc('no-cache, immutable, must-revalidate', { ...TAG, 'content-range': 'bytes 0-4/10' })
    const rules = { ttlByCode: new Map([[206, HOUR]]), maxTtl: 1_000 }
    assert.equal(
      flags({ response, rules, status: 206, request: { range: 'bytes=0-4' }, asked: { credentials: true } }),
      AlwaysValidate | Capped | Configured | Credentials | Immutable | NeverStale | Partial | Validator,
    )
  })
})
