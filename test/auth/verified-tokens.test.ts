/** What is verified here is what jose verifies: signatures of every algorithm, however they are changed, and claims. */
import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CompactSign, jwtVerify, SignJWT } from 'jose'
import { readTokenHead } from '../../src/auth/compact-token.ts'
import { type JwtRules, verifyToken } from '../../src/auth/jwt-verifier.ts'
import { AUDIENCE, EC, ED, ISSUER, now, RSA, rawToken } from './tokens.ts'

const SEED = 12
const ES384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const ES512 = generateKeyPairSync('ec', { namedCurve: 'P-521' })
const SHARED = createSecretKey(randomBytes(64))

interface Pair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const shared: Pair = { privateKey: SHARED, publicKey: SHARED }

const PAIRS: Readonly<Record<string, Pair>> = {
  ...{ RS256: RSA, RS384: RSA, RS512: RSA, PS256: RSA, PS384: RSA, PS512: RSA },
  ...{ ES256: EC, ES384, ES512, EdDSA: ED, HS256: shared, HS384: shared, HS512: shared },
}

const ALGORITHMS = Object.keys(PAIRS)
const RULES: JwtRules = { issuer: ISSUER, audiences: [AUDIENCE, 'b'], algorithms: ALGORITHMS, clockSkew: 30_000 }

interface Verdict {
  readonly ours: boolean
  readonly jose: boolean
}

async function judge(token: string, algorithm: string, key: KeyObject, at: number): Promise<Verdict> {
  const head = readTokenHead(token)
  if (head === undefined) return { ours: false, jose: false }
  const verified = await verifyToken(token, head, [{ key, algorithms: [algorithm], id: undefined }], RULES, at)
  const options = {
    ...{ issuer: ISSUER, audience: [...RULES.audiences], algorithms: [algorithm], clockTolerance: 30 },
    ...{ currentDate: new Date(at), requiredClaims: ['exp', 'iss', 'aud'], maxTokenAge: Number.MAX_VALUE },
  }
  const jose = await jwtVerify(token, key, options).then(
    () => true,
    () => false,
  )
  return { ours: !('fault' in verified), jose }
}

/** One spelling of one signature: where bits of the last character mean nothing, jose takes any. */
const isCanonical = (token: string): boolean => {
  const text = token.slice(token.lastIndexOf('.') + 1)
  return Buffer.from(text, 'base64url').toString('base64url') === text
}

describe('a signature', () => {
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'alice', iat: now(), exp: now() + 3_600 }

  for (const algorithm of ALGORITHMS)
    it(`of ${algorithm} is good as jose says it is, and no other`, async () => {
      const { privateKey, publicKey } = PAIRS[algorithm]!
      const good = await new SignJWT(claims).setProtectedHeader({ alg: algorithm }).sign(privateKey)
      const at = now() * 1_000
      assert.deepEqual(await judge(good, algorithm, publicKey, at), { ours: true, jose: true })
      const end = good.lastIndexOf('.')
      const signature = Buffer.from(good.slice(end + 1), 'base64url')
      const changed = fc.oneof(
        fc.tuple(fc.nat(signature.length - 1), fc.integer({ min: 1, max: 255 })).map(([i, bits]) => {
          const copy = Buffer.from(signature)
          copy[i]! ^= bits
          return copy
        }),
        fc.nat(signature.length - 1).map((length) => signature.subarray(0, length)),
        fc.uint8Array({ minLength: 1, maxLength: 4 }).map((more) => Buffer.concat([signature, more])),
        fc.uint8Array({ minLength: 1, maxLength: 4 }).map((more) => Buffer.concat([more, signature])),
        fc.constantFrom(0, 1, 0xff).map((byte) => Buffer.alloc(signature.length, byte)),
        fc.uint8Array({ minLength: 1, maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      )
      await fc.assert(
        fc.asyncProperty(changed, async (bytes) => {
          const token = `${good.slice(0, end)}.${bytes.toString('base64url')}`
          assert.deepEqual(await judge(token, algorithm, publicKey, at), { ours: false, jose: false }, token)
        }),
        { numRuns: 40, seed: SEED, examples: [[doubled(signature)], [signature.subarray(1)]] },
      )
      // The claims of another token under it.
      const other = rawToken(JSON.stringify({ alg: algorithm }), JSON.stringify({ ...claims, sub: 'root' }), 'AAAA')
      const moved = `${other.slice(0, other.lastIndexOf('.'))}.${good.slice(end + 1)}`
      assert.deepEqual(await judge(moved, algorithm, publicKey, at), { ours: false, jose: false })
      for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef') {
        const spelt = good.slice(0, -1) + last
        if (spelt !== good && !isCanonical(spelt))
          assert.equal((await judge(spelt, algorithm, publicKey, at)).ours, false, spelt)
      }
    })

  it('of one algorithm is none of another with the same key', async () => {
    for (const signed of ALGORITHMS)
      for (const read of ALGORITHMS) {
        const { privateKey } = PAIRS[signed]!
        if (signed === read || PAIRS[read]!.privateKey !== privateKey) continue
        const good = await new SignJWT(claims).setProtectedHeader({ alg: signed }).sign(privateKey)
        const [, body = '', signature = ''] = good.split('.')
        const head = Buffer.from(JSON.stringify({ alg: read })).toString('base64url')
        const verdict = await judge(`${head}.${body}.${signature}`, read, PAIRS[read]!.publicKey, now() * 1_000)
        assert.deepEqual(verdict, { ours: false, jose: false }, `${signed} as ${read}`)
      }
  })
})

/** Two integers in DER where they stand side by side in a token (RFC 7518 §3.4), and twice the bytes for others. */
function doubled(signature: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, 2 * signature.length]), signature, signature])
}

describe('claims', () => {
  it('are judged as jose judges them', async () => {
    const time = now()
    const { privateKey, publicKey } = shared
    const any = fc.oneof(
      fc.constantFrom<unknown>(null, true, '', '1', [], {}, [ISSUER], [AUDIENCE], [['b']], { b: 1 }, -1, 0, 0.5),
      fc.constantFrom<unknown>(`${ISSUER} `, ISSUER.toUpperCase(), AUDIENCE.toUpperCase(), 'b', ['x', 'b'], [1, null]),
    )
    const date = fc.oneof(
      fc.integer({ min: -60, max: 60 }).map((seconds) => time + seconds),
      fc.constantFrom<unknown>(String(time + 60), [time + 60], time * 1_000, Number.MAX_SAFE_INTEGER, 1e300, -1e300),
    )
    const often = <T>(usual: T, arbitrary: fc.Arbitrary<unknown>) =>
      fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary })
    const claims = fc.record(
      {
        iss: often<unknown>(ISSUER, any),
        aud: often<unknown>(AUDIENCE, any),
        exp: often<unknown>(time + 300, fc.oneof(any, date)),
        nbf: often<unknown>(time - 300, fc.oneof(any, date)),
        iat: often<unknown>(time - 300, fc.oneof(any, date)),
      },
      { requiredKeys: ['iat'] },
    )
    const counts = { good: 0, bad: 0 }
    await fc.assert(
      fc.asyncProperty(claims, async (stated) => {
        const signed = await signedText(JSON.stringify(stated), privateKey)
        const { ours, jose } = await judge(signed, 'HS256', publicKey, time * 1_000)
        assert.equal(ours, jose, JSON.stringify(stated))
        counts[ours ? 'good' : 'bad']++
      }),
      { numRuns: 1_500, seed: SEED },
    )
    assert.ok(counts.good > 200 && counts.bad > 200, JSON.stringify(counts))
  })

  it('that never expire, since a time in them has no end, are none', async () => {
    const { privateKey, publicKey } = shared
    for (const times of ['"exp":1e999', `"exp":${now() + 60},"nbf":-1e999`, `"exp":${now() + 60},"iat":-1e999`]) {
      const text = `{"iss":"${ISSUER}","aud":"${AUDIENCE}",${times}}`
      assert.equal((await judge(await signedText(text, privateKey), 'HS256', publicKey, now() * 1_000)).ours, false)
    }
  })
})

/** Of any text, which makers of tokens would not sign. */
async function signedText(claims: string, key: KeyObject): Promise<string> {
  return await new CompactSign(Buffer.from(claims)).setProtectedHeader({ alg: 'HS256' }).sign(key)
}
