/** Keys of providers from manifests to traffic: fetched before the first request, rotated under load, gone, hostile. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { before, describe, it } from 'node:test'
import { decodeJwt } from 'jose'
import { OAuth2Server } from 'oauth2-mock-server'
import { COOL_DOWN } from '../../src/control/key-sets/key-sets.ts'
import { echoBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

describe('keys of a provider', () => {
  const scope = suiteScope()
  const provider = new OAuth2Server()
  let issuer: string
  /** In front of it: counts requests, and answers in its place when a test says so. */
  let front: Server
  let frontUrl: string
  let asked = 0
  let instead: ((path: string) => { status: number; body: string; location?: string }) | undefined
  let gateway: Gateway

  before(async () => {
    await provider.issuer.keys.generate('RS256', { kid: 'first' })
    await provider.start(0, '127.0.0.1')
    scope.after(() => provider.stop())
    issuer = provider.issuer.url!
    front = createServer(async (incoming, outgoing) => {
      // What fails is tried again all the time.
      if (incoming.url !== '/redirect') asked++
      const given = instead?.(incoming.url!)
      if (given !== undefined) {
        outgoing.writeHead(given.status, given.location === undefined ? {} : { location: given.location })
        return outgoing.end(given.body)
      }
      const response = await fetch(issuer + incoming.url)
      const text = await response.text()
      outgoing.writeHead(response.status, { 'cache-control': 'max-age=3600' })
      // Its own addresses would lead past this server.
      outgoing.end(text.replace(`"jwks_uri":"${issuer}`, `"jwks_uri":"${frontUrl}`))
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    frontUrl = `http://127.0.0.1:${(front.address() as AddressInfo).port}`
    scope.after(() => {
      front.closeAllConnections()
      front.close()
    })
    const echo = await echoBackend(scope)
    const jwt = (jwksURI: string, other = issuer) => ({
      policies: { auth: { jwt: { issuer: other, audiences: ['shop'], keys: { jwksURI } } } },
    })
    const rules = [{ name: 'all', backendRefs: [{ name: 'echo' }] }]
    gateway = await startGateway(
      scope,
      {
        'routes.yaml':
          backend('echo', [echo.port]) +
          route('shop', ['shop.example'], rules, jwt(`${frontUrl}/jwks`)) +
          route('again', ['again.example'], rules, jwt(`${frontUrl}/jwks`)) +
          route('metadata', ['metadata.example'], rules, jwt(`${frontUrl}/.well-known/openid-configuration`)) +
          route(
            'other',
            ['other.example'],
            rules,
            jwt(`${frontUrl}/.well-known/openid-configuration`, 'https://other.example'),
          ) +
          route('redirected', ['redirected.example'], rules, jwt(`${frontUrl}/redirect`)),
      },
      { workers: 2 },
    )
  })

  const tokenOf = (kid?: string): Promise<string> =>
    provider.issuer.buildToken({
      ...(kid === undefined ? {} : { kid }),
      scopesOrTransform: (_, payload) => {
        payload.aud = 'shop'
      },
    })

  const ask = async (host: string, token: string): Promise<number> =>
    (await request(gateway.port, { host, headers: { authorization: `Bearer ${token}` } })).status

  const condition = async (name: string): Promise<string> => {
    const { text } = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    const { items } = JSON.parse(text) as {
      items: { key: string; conditions: { type: string; reason: string; message: string }[] }[]
    }
    const found = items
      .find(({ key }) => key.endsWith(`default/${name}`))
      ?.conditions.find(({ type }) => type === 'ResolvedRefs')
    return `${found?.reason}: ${found?.message}`
  }

  it('are fetched once for all Routes, before anybody asks', async () => {
    await eventually(async () => assert.match(await condition('metadata'), /^ResolvedRefs: /))
    await eventually(async () => assert.match(await condition('again'), /^ResolvedRefs: /))
    const before = asked
    const token = await tokenOf()
    for (const host of ['shop.example', 'again.example', 'metadata.example']) assert.equal(await ask(host, token), 200)
    assert.equal(asked, before)
  })

  it('of another issuer, and behind a redirect, let nothing pass, and the conditions say why', async () => {
    await eventually(async () => assert.match(await condition('other'), /^KeyInvalid: .* of the issuer "http:/))
    instead = (path) => (path === '/redirect' ? { status: 302, body: '', location: `${frontUrl}/jwks` } : undefined!)
    await eventually(async () => assert.match(await condition('redirected'), /^KeysUnavailable: .* redirects/))
    instead = undefined
    const token = await tokenOf()
    assert.equal(decodeJwt(token).iss, issuer)
    for (const host of ['other.example', 'redirected.example']) assert.equal(await ask(host, token), 503)
  })

  it('are rotated under load without a wrong answer', async () => {
    let wrong = 0
    let good = 0
    for (const kid of ['second', 'third', 'fourth']) {
      await provider.issuer.keys.generate('ES256', { kid })
      // The first tokens of a new key come before anybody has seen it.
      const tokens = await Promise.all(Array.from({ length: 20 }, () => tokenOf(kid)))
      const hosts = ['shop.example', 'again.example', 'metadata.example']
      const statuses = await Promise.all(tokens.flatMap((token) => hosts.map((host) => ask(host, token))))
      for (const status of statuses) status === 200 ? good++ : wrong++
    }
    assert.deepEqual([good, wrong], [180, 0])
  })

  it('are asked for once however many keys are made up, and what is good passes meanwhile', async () => {
    const before = asked
    const start = performance.now()
    const good = await tokenOf('second')
    const head = (kid: string): string => Buffer.from(JSON.stringify({ alg: 'RS256', kid })).toString('base64url')
    const rest = (await tokenOf()).split('.').slice(1).join('.')
    for (let i = 0; i < 20; i++) {
      const statuses = await Promise.all(
        Array.from({ length: 20 }, (_, j) => ask('shop.example', `${head(`x${i}-${j}`)}.${rest}`)),
      )
      assert.deepEqual([...new Set(statuses)], [401])
      assert.equal(await ask('shop.example', good), 200)
    }
    // Two in each pause, of which there is one unless the machine is slow.
    const pauses = 1 + Math.floor((performance.now() - start) / COOL_DOWN)
    assert.ok(asked - before <= 2 * pauses, `${asked - before} in ${pauses} pauses`)
  })

  it('go on while the provider is down, and are void when it shows a private one', async () => {
    const good = await tokenOf('second')
    instead = () => ({ status: 503, body: 'busy' })
    assert.equal(await ask('metadata.example', good), 200)
    await provider.issuer.keys.generate('ES256', { kid: 'fifth' })
    assert.equal(await ask('metadata.example', await tokenOf('fifth')), 503)
    const shown = JSON.stringify({ keys: provider.issuer.keys.toJSON(true) })
    instead = (path) =>
      path === '/jwks'
        ? { status: 200, body: shown }
        : { status: 200, body: JSON.stringify({ issuer, jwks_uri: `${frontUrl}/jwks` }) }
    await eventually(async () => assert.match(await condition('metadata'), /^KeysUnavailable: .* private/))
    await eventually(async () => assert.equal(await ask('metadata.example', good), 503))
    assert.ok(!gateway.processLog.join('\n').includes(JSON.parse(shown).keys[0].d))
  })
})
