/** The room of sign-ins with a provider in memory: what is asked of it how often, and what of it is believed. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import type { OidcClient } from '../../../src/auth/oidc-client.ts'
import { SignOuts, signOutId } from '../../../src/auth/sign-outs.ts'
import { SignIns } from '../../../src/control/sign-in/sign-ins.ts'
import { ProviderError, type ProviderRequest } from '../../../src/policy/provider-client.ts'
import type { IssuedTokens, SignInFailure, SignInQuestion } from '../../../src/policy/sign-ins.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { RSA, tokenOf } from '../../auth/tokens.ts'

const ISSUER = 'https://id.example/realms/shop'
const of = { namespace: 'shop', secret: 'oidc' }
const CLIENT: OidcClient = { issuer: ISSUER, clientID: 'shop & co', clientSecret: 'a b%', sessionSecret: '' }
const LOGOUT = { 'http://schemas.openid.net/event/backchannel-logout': {} }

const METADATA = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/auth`,
  token_endpoint: `${ISSUER}/token`,
  jwks_uri: `${ISSUER}/keys`,
  end_session_endpoint: `${ISSUER}/logout`,
  revocation_endpoint: `${ISSUER}/revoke`,
}

class Rig {
  readonly calls: ProviderRequest[] = []
  readonly sent: ToWorker[] = []
  readonly room: SignIns
  metadata: unknown = METADATA
  keys: readonly { readonly id: string; readonly key: KeyObject }[] = [{ id: 'one', key: RSA.publicKey }]
  token: { readonly status: number; readonly body: unknown } = { status: 500, body: {} }
  down: string | undefined
  now = 0
  client: OidcClient | undefined = CLIENT

  constructor() {
    this.room = new SignIns({
      http: { request: (request) => this.#answer(request) },
      time: { monotonic: () => this.now, wall: () => Date.now() },
      clientOf: () => this.client,
      send: (message) => void this.sent.push(message),
    })
    this.room.start()
  }

  async #answer(request: ProviderRequest) {
    this.calls.push(request)
    await Promise.resolve()
    if (this.down !== undefined) throw new ProviderError('connect', this.down)
    const { status, body } = this.#responseTo(request.url)
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return { status, headers: {}, body: Buffer.from(text) }
  }

  #responseTo(url: string) {
    if (url.endsWith('openid-configuration')) return { status: 200, body: this.metadata }
    if (url.endsWith('/keys'))
      return {
        status: 200,
        body: { keys: this.keys.map(({ id, key }) => ({ ...key.export({ format: 'jwk' }), kid: id })) },
      }
    return url.endsWith('/token') ? this.token : { status: 200, body: '' }
  }

  count(end: string): number {
    return this.calls.filter(({ url }) => url.endsWith(end)).length
  }

  async issue(claims: object = {}, kid = 'one', key = RSA.privateKey): Promise<void> {
    const given = { iss: ISSUER, aud: CLIENT.clientID, nonce: 'n', ...claims }
    const id = await tokenOf({ key, header: { kid }, claims: given })
    this.token = { status: 200, body: { id_token: id, access_token: 'a', refresh_token: 'r2', token_type: 'Bearer' } }
  }

  ask(question: SignInQuestion): Promise<unknown> {
    return this.room.answer(question)
  }

  redeem(): Promise<IssuedTokens | SignInFailure> {
    const redemption = { code: 'c', verifier: 'v', redirectURI: 'https://shop.example/cb', nonce: 'n' }
    return this.ask({ ask: 'redeem', client: of, redemption }) as Promise<IssuedTokens | SignInFailure>
  }

  refresh(refreshToken = 'r1'): Promise<IssuedTokens | SignInFailure> {
    const refresh = { refreshToken, subject: 'alice' }
    return this.ask({ ask: 'refresh', client: of, refresh }) as Promise<IssuedTokens | SignInFailure>
  }
}

const detailOf = (answer: unknown): string => {
  const { fault, detail } = answer as SignInFailure
  return `${fault}: ${detail}`
}

describe('the room of sign-ins', () => {
  it('fetches metadata and keys once for all, proves who it is, and believes a good ID token', async () => {
    const rig = new Rig()
    await rig.issue()
    const all = await Promise.all(Array.from({ length: 20 }, () => rig.redeem()))
    assert.ok(all.every((tokens) => !('fault' in tokens) && tokens.refreshToken === 'r2'))
    assert.deepEqual([rig.count('openid-configuration'), rig.count('/keys'), rig.count('/token')], [1, 1, 20])
    const [call] = rig.calls.filter(({ url }) => url.endsWith('/token'))
    // RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
    assert.equal(call!.headers!.authorization, `Basic ${Buffer.from('shop+%26+co:a+b%25').toString('base64')}`)
    assert.equal(
      call!.body,
      'grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fshop.example%2Fcb&code_verifier=v',
    )
    const post = new Rig()
    post.metadata = { ...METADATA, token_endpoint_auth_methods_supported: ['client_secret_post'] }
    await post.issue()
    await post.redeem()
    assert.match(post.calls.at(-2)!.body ?? post.calls.at(-1)!.body!, /client_secret=a\+b%25/)
  })

  it('finds keys that are new, and does not let unknown ones make it fetch without end', async () => {
    const rig = new Rig()
    await rig.issue()
    await rig.redeem()
    const fresh = generateKeyPairSync('rsa', { modulusLength: 2048 })
    rig.keys = [...rig.keys, { id: 'two', key: fresh.publicKey }]
    rig.now += 6_000
    await rig.issue({}, 'two', fresh.privateKey)
    assert.ok(!('fault' in (await rig.redeem())))
    assert.equal(rig.count('/keys'), 2)
    await rig.issue({}, 'three')
    for (let i = 0; i < 10; i++) assert.match(detailOf(await rig.redeem()), /^untrusted: .*unknown-key/)
    assert.equal(rig.count('/keys'), 2)
  })

  it('goes on with what it knows while the provider is down, for a day', async () => {
    const rig = new Rig()
    await rig.issue()
    await rig.redeem()
    rig.down = 'nobody answers'
    const endpoints = () => rig.ask({ ask: 'endpoints', client: of })
    rig.now += 23 * 3_600_000
    assert.equal(((await endpoints()) as { authorization: string }).authorization, `${ISSUER}/auth`)
    assert.match(detailOf(await rig.redeem()), /^unavailable: nobody answers/)
    rig.now += 2 * 3_600_000
    assert.match(detailOf(await endpoints()), /^unavailable: .*nobody answers/)
    rig.down = undefined
    rig.now += 6_000
    assert.equal(((await endpoints()) as { authorization: string }).authorization, `${ISSUER}/auth`)
  })

  it('believes no metadata of another, none in clear and none that are none', async () => {
    for (const [metadata, why] of [
      ['<html>', /no JSON object/],
      ['{"issuer":"a","issuer":"b"}', /no JSON object/],
      [{ ...METADATA, issuer: `${ISSUER}/` }, /of another issuer/],
      [{ ...METADATA, token_endpoint: 'http://id.example/token' }, /lack .*token_endpoint/],
      [{ ...METADATA, authorization_endpoint: 'javascript:alert(1)' }, /lack authorization_endpoint/],
      [{ ...METADATA, jwks_uri: 'https://user:pass@id.example/' }, /jwks_uri/],
      [{ ...METADATA, jwks_uri: undefined }, /jwks_uri/],
      [{ ...METADATA, token_endpoint: 'http://127.0.0.1/token' }, /token_endpoint/],
    ] as const) {
      const rig = new Rig()
      rig.metadata = metadata
      assert.match(detailOf(await rig.ask({ ask: 'endpoints', client: of })), why)
      assert.match(rig.room.providerFault('shop', ISSUER)!, why)
      assert.equal(rig.count('openid-configuration'), 1)
    }
    const rig = new Rig()
    rig.client = undefined
    assert.match(detailOf(await rig.redeem()), /^unavailable: the Secret/)
    assert.equal(rig.calls.length, 0)
  })

  it('tells why a provider cannot be used, and asks it in pauses', async () => {
    const rig = new Rig()
    rig.down = 'nobody answers'
    let asked = 0
    for (; rig.now < 600_000; rig.now += 500) {
      rig.room.providerFault('shop', ISSUER)
      await new Promise(setImmediate)
      asked++
    }
    assert.equal(rig.room.providerFault('shop', ISSUER), 'nobody answers')
    assert.ok(asked > 1_000 && rig.calls.length < 20, String(rig.calls.length))
    rig.down = undefined
    rig.now += 60_000
    rig.room.providerFault('shop', ISSUER)
    await new Promise(setImmediate)
    assert.equal(rig.room.providerFault('shop', ISSUER), undefined)
  })

  it('refreshes a session once, for who asks at the same time and for who comes late', async () => {
    const rig = new Rig()
    await rig.issue()
    const all = await Promise.all(Array.from({ length: 100 }, () => rig.refresh()))
    assert.equal(new Set(all).size, 1)
    assert.equal(await rig.refresh(), all[0])
    assert.equal(rig.count('/token'), 1)
    rig.now += 61_000
    rig.token = { status: 400, body: { error: 'invalid_grant' } }
    assert.match(detailOf(await rig.refresh()), /^refused: .*invalid_grant/)
    await rig.refresh()
    assert.equal(rig.count('/token'), 2)
    // Not the session, but the client or the provider is what fails: it is asked again.
    for (const [token, why] of [
      [{ status: 401, body: { error: 'invalid_client' } }, /^unavailable: .*401 and invalid_client/],
      [{ status: 503, body: '<html>' }, /^unavailable: .*503/],
      [{ status: 200, body: '[]' }, /^unavailable: .*200/],
      [{ status: 400, body: { error: 'evil\r\nline' } }, /^unavailable: [^\r\n]*$/],
    ] as const) {
      rig.token = token
      const before = rig.count('/token')
      assert.match(detailOf(await rig.refresh('r9')), why)
      await rig.refresh('r9')
      assert.equal(rig.count('/token'), before + 2)
    }
  })

  it('takes no session of somebody else for a refreshed one', async () => {
    const rig = new Rig()
    await rig.issue({ sub: 'bob' })
    assert.match(detailOf(await rig.refresh()), /^untrusted: .*subject/)
    rig.token = { status: 200, body: { access_token: 'a', expires_in: 60 } }
    const kept = (await rig.refresh('r5')) as IssuedTokens
    assert.deepEqual([kept.idToken, kept.refreshToken, kept.expires - kept.issued], [undefined, undefined, 60_000])
    assert.match(detailOf(await rig.redeem()), /^untrusted: .*no ID token/)
  })

  it('ends sessions for all workers, by the user and by the provider', async () => {
    const rig = new Rig()
    const session = { id: 's', began: 5, until: 9_000, refreshToken: 'r1' }
    assert.equal(await rig.ask({ ask: 'end', client: of, session }), null)
    await new Promise(setImmediate)
    assert.equal(rig.calls.at(-1)!.body, 'token=r1&token_type_hint=refresh_token')
    const given = { iss: ISSUER, aud: CLIENT.clientID, jti: 'j', events: LOGOUT }
    const token = await tokenOf({ header: { kid: 'one', typ: 'logout+jwt' }, claims: { ...given, sid: 'p' } })
    assert.equal(await rig.ask({ ask: 'end-by-token', client: of, token }), null)
    const list = new SignOuts()
    for (const message of rig.sent)
      if (message.type === 'sign-outs')
        for (const entry of message.entries) list.add(message.owner, message.client, entry)
    const now = Math.floor(Date.now() / 1_000)
    assert.equal(list.isOver('shop/oidc', [signOutId('session', 's')], 5), true)
    assert.equal(list.isOver('shop/oidc', [signOutId('sid', 'p')], now - 60), true)
    assert.equal(list.isOver('shop/oidc', [signOutId('sub', 'alice')], now - 60), false)
    for (const claims of [{ events: {} }, { nonce: 'n' }, { aud: 'other' }]) {
      const bad = await tokenOf({
        header: { kid: 'one', typ: 'logout+jwt' },
        claims: { ...given, sid: 'p', ...claims },
      })
      assert.match(detailOf(await rig.ask({ ask: 'end-by-token', client: of, token: bad })), /^untrusted: the logout/)
    }
    assert.equal(rig.sent.length, 2)
    // Here it is over, though the provider cannot be asked.
    const silent = new Rig()
    silent.down = 'nobody answers'
    assert.equal(await silent.ask({ ask: 'end', client: of, session }), null)
    assert.equal(silent.sent.length, 1)
  })
})
