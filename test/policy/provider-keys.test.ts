/** Tokens whose keys a provider publishes, while they are not there yet, rotate, or cannot be asked for. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { OwnedLru } from '../../src/cache/owned-lru.ts'
import { keySetContent } from '../../src/policy/auth/key-set.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import type { KeySetCheck } from '../../src/policy/services.ts'
import { AUDIENCE, ED, ISSUER, RSA, rawToken, tokenOf } from '../auth/tokens.ts'
import { PLAIN, TestExchange, testDeps } from './exchange.ts'

const URL_OF = 'https://id.example/jwks'
const CONTENT = keySetContent(URL_OF, undefined, 'shop')
const jwt = { issuer: ISSUER, audiences: [AUDIENCE], keys: { jwksURI: URL_OF } }

const setOf = (...keys: [string | undefined, typeof RSA][]): Buffer =>
  Buffer.from(
    JSON.stringify({ keys: keys.map(([kid, pair]) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid })) }),
  )

/** @param check what control does when it is asked */
function world(check: (deps: ReturnType<typeof testDeps>) => KeySetCheck | Promise<KeySetCheck>) {
  const clock = { wall: () => Date.now(), monotonic: () => performance.now() }
  let asked = 0
  const base = testDeps()
  const deps = {
    ...base,
    clock,
    memos: new OwnedLru<unknown>(1 << 24, clock),
    keySets: {
      check(url: string) {
        assert.equal(url, URL_OF)
        asked++
        return check(base)
      },
    },
  }
  const filter = auth.create(auth.plan({ jwt }, 'shop')!, deps, PLAIN)!
  const ask = async (token: string): Promise<number> =>
    (await filter.onRequest!(new TestExchange({}, { authorization: `Bearer ${token}` })))?.response.status ?? 200
  return { ask, contents: base.contentsById, asked: () => asked }
}

describe('tokens by keys of a provider', () => {
  it('wait for the first set, and are 503 where it does not come', async () => {
    const good = await tokenOf({ header: { kid: 'a' } })
    const w = world(async ({ contentsById }): Promise<KeySetCheck> => {
      contentsById.set(CONTENT, setOf(['a', RSA]))
      return 'current'
    })
    assert.deepEqual(await Promise.all([w.ask(good), w.ask(good)]), [200, 200])
    for (const answer of ['unknown', 'current'] as const) {
      assert.equal(await world(() => answer).ask(good), 503)
      assert.equal(await world(async () => answer).ask(good), 503)
    }
  })

  it('of a key that is not known are verified by the set that comes, with or without its name', async () => {
    for (const kid of ['b', undefined]) {
      const fresh = await tokenOf({
        key: ED.privateKey,
        header: { alg: 'EdDSA', ...(kid === undefined ? {} : { kid }) },
      })
      const w = world(async ({ contentsById }): Promise<KeySetCheck> => {
        contentsById.set(CONTENT, setOf(['a', RSA], [kid, ED]))
        return 'current'
      })
      w.contents.set(CONTENT, setOf(['a', RSA]))
      assert.deepEqual(await Promise.all([w.ask(fresh), w.ask(fresh)]), [200, 200])
      assert.equal(await w.ask(fresh), 200)
      assert.ok(w.asked() <= 2)
    }
  })

  it('whose signature fails without a name may be of a key that has replaced another', async () => {
    const fresh = await tokenOf()
    const other = { ...RSA, publicKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey }
    const w = world(async ({ contentsById }): Promise<KeySetCheck> => {
      contentsById.set(CONTENT, setOf([undefined, RSA]))
      return 'current'
    })
    w.contents.set(CONTENT, setOf([undefined, other]))
    assert.equal(await w.ask(fresh), 200)
  })

  it('are 401 where the set is current, and 503 where nobody knows', async () => {
    const fresh = await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA', kid: 'b' } })
    for (const [answer, status] of [
      ['current', 401],
      ['unknown', 503],
    ] as const)
      for (const later of [false, true]) {
        const w = world(() => (later ? Promise.resolve(answer) : answer))
        w.contents.set(CONTENT, setOf(['a', RSA]))
        assert.equal(await w.ask(fresh), status)
      }
  })

  it('make nobody be asked where they are of another issuer, no tokens, or forged by a name that is known', async () => {
    const w = world(() => 'current')
    w.contents.set(CONTENT, setOf(['a', RSA]))
    const text = JSON.stringify({ iss: ISSUER, aud: AUDIENCE, exp: 9_999_999_999 })
    for (const token of [
      'x',
      rawToken('{"alg":"RS256","kid":"b"}', '{"iss":"https://evil.example"}'),
      rawToken('{"alg":"RS256","kid":"a"}', text),
      rawToken('{"alg":"HS256","kid":"b"}', text),
      await tokenOf({ header: { kid: 'a' }, claims: { exp: 1 } }),
    ])
      assert.equal(await w.ask(token), 401)
    assert.equal(w.asked(), 0)
    const empty = world(() => 'current')
    assert.equal(await empty.ask('x'), 503)
    assert.equal(empty.asked(), 0)
  })
})
