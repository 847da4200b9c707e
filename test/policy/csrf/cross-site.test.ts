import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AMBIENT_CREDENTIAL } from '../../../src/policy/attribute.ts'
import { TRUSTED_PAGE } from '../../../src/policy/cors/headers.ts'
import { crossSite } from '../../../src/policy/csrf/filter.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

const filter = crossSite.create({ ...PLAIN, policies: { auth: {} } }, testDeps())!
const OWN = { scheme: 'https', host: 'shop.example.com', port: 443 } as const

interface Asked {
  readonly method?: string
  readonly ambient?: boolean
  readonly trusted?: boolean
}

function refused(
  headers: Readonly<Record<string, string>>,
  { method = 'POST', ambient = true, trusted = false }: Asked = {},
) {
  const x = new TestExchange({ method, origin: OWN }, headers)
  if (ambient) x.set(AMBIENT_CREDENTIAL, true)
  if (trusted) x.set(TRUSTED_PAGE, true)
  const decision = filter.onRequest!(x) as { readonly response: { status: number; reason?: string } } | undefined
  if (decision !== undefined)
    assert.deepEqual([decision.response.status, decision.response.reason], [403, 'CrossSiteRequest'])
  return decision !== undefined
}

describe('what changes something with a credential that browsers attach by themselves', () => {
  it('is for pages of the same origin, by Sec-Fetch-Site', () => {
    for (const site of ['same-origin', 'none']) assert.equal(refused({ 'sec-fetch-site': site }), false, site)
    for (const site of ['cross-site', 'same-site', '', 'Same-Origin', 'same-origin, none'])
      assert.equal(refused({ 'sec-fetch-site': site, origin: 'https://shop.example.com' }), true, site)
  })

  it('is for pages of the same origin, by Origin where that is all there is', () => {
    for (const origin of ['https://shop.example.com', 'https://shop.example.com:443', 'https://SHOP.example.com'])
      assert.equal(refused({ origin }), false, origin)
    for (const origin of [
      ...['null', '', 'https://evil.example', 'https://shop.example.com.evil.example', 'http://shop.example.com'],
      ...['https://shop.example.com:8443', 'https://a.shop.example.com', 'https://shop.example.com@evil.example'],
    ])
      assert.equal(refused({ origin }), true, origin)
  })

  it('passes without either, as no browser sends it', () => {
    assert.equal(refused({}), false)
  })

  it('passes where pages of the origin may use credentials, where it changes nothing, and with other credentials', () => {
    const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://app.example' }
    assert.equal(refused(foreign, { trusted: true }), false)
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'QUERY', 'TRACE']) assert.equal(refused(foreign, { method }), false)
    for (const method of ['PUT', 'PATCH', 'DELETE', 'PROPFIND', 'X', 'get'])
      assert.equal(refused(foreign, { method }), true)
    assert.equal(refused(foreign, { ambient: false }), false)
  })

  it('is looked at only where there is auth', () => {
    assert.equal(crossSite.create(PLAIN, testDeps()), undefined)
  })
})
