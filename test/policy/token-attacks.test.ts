/**
 * The attack table of tokens: every row is a way to make a token that was never issued, and no token of it passes.
 * Counts are told as diagnostics.
 */
import assert from 'node:assert/strict'
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import { readTokenHead } from '../../src/auth/compact-token.ts'
import { isSigned } from '../../src/auth/token-signature.ts'
import { OwnedLru } from '../../src/cache/owned-lru.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import { AUDIENCE, EC, ED, ISSUER, now, pemOf, RSA, rawToken, tokenOf } from '../auth/tokens.ts'
import { PLAIN, TestExchange, testDeps } from './exchange.ts'

const KEYS = 'Secret shop/keys public.pem headgate.dev/jwt-key'
const SET = 'Secret shop/set jwks.json headgate.dev/jwks'
const ATTACKER = generateKeyPairSync('rsa', { modulusLength: 2048 })

const jwt = {
  issuer: ISSUER,
  audiences: [AUDIENCE],
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  keys: { publicKeySecretName: 'keys' },
}
const jwkOf = (key: KeyObject): object => key.export({ format: 'jwk' })

function filterOf(value: object) {
  const clock = { wall: () => Date.now(), monotonic: () => performance.now() }
  const deps = { ...testDeps(), clock, memos: new OwnedLru<unknown>(1 << 24, clock) }
  deps.contentsById.set(KEYS, Buffer.from(pemOf(RSA.publicKey) + pemOf(EC.publicKey) + pemOf(ED.publicKey)))
  const keys = Array.from({ length: 64 }, (_, i) => ({ ...jwkOf(RSA.publicKey), kid: `key-${i}`, alg: 'RS256' }))
  deps.contentsById.set(SET, Buffer.from(JSON.stringify({ keys })))
  return auth.create(auth.plan(value, 'shop')!, deps, PLAIN)!
}

const filter = filterOf({ jwt })
const bySet = filterOf({ jwt: { ...jwt, keys: { jwksSecretName: 'set' } } })

async function statusOf(token: string, gate = filter): Promise<number> {
  const x = new TestExchange({ clientAddress: '203.0.113.9' }, { authorization: `Bearer ${token}` })
  const decision = await gate.onRequest!(x)
  return decision?.response.status ?? 200
}

const claimsWith = (more: object = {}): string =>
  JSON.stringify({ iss: ISSUER, aud: AUDIENCE, sub: 'root', iat: now(), exp: now() + 300, ...more })
const part = (text: string | Buffer): string => Buffer.from(text).toString('base64url')

/** Signed by the good key, whatever is signed. */
function signed(head: string, claims: string | Buffer, key: KeyObject = RSA.privateKey): string {
  const text = `${part(head)}.${part(claims)}`
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
}

function hmac(head: string, secret: string | Buffer, hash = 'sha256'): string {
  const text = `${part(head)}.${part(claimsWith())}`
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`
}

const RS = '{"alg":"RS256"}'

const ROWS: Readonly<Record<string, () => Promise<readonly string[]> | readonly string[]>> = {
  'the algorithm none, in every spelling': () =>
    ['none', 'None', 'NONE', 'nOnE', ' none', 'none ', 'none\u0000', ''].flatMap((alg) =>
      ['', 'x', 'c2ln'].map((signature) => rawToken(JSON.stringify({ alg }), claimsWith(), signature)),
    ),
  'HMAC with a public key as the secret': () => {
    const { n } = jwkOf(RSA.publicKey) as { n: string }
    const secrets = [RSA.publicKey, EC.publicKey, ED.publicKey].flatMap((key) => [
      pemOf(key),
      pemOf(key).trim(),
      pemOf(key).replaceAll('\n', ''),
      key.export({ type: 'spki', format: 'der' }),
      JSON.stringify(jwkOf(key)),
    ])
    const hashes = [256, 384, 512]
    return [...secrets, n, Buffer.from(n, 'base64url'), '', '\0'].flatMap((secret) =>
      hashes.map((bits) => hmac(`{"alg":"HS${bits}"}`, secret, `sha${bits}`)),
    )
  },
  'keys that the token brings along or points to': async () => {
    const own = { ...jwkOf(ATTACKER.publicKey), kid: 'own' }
    const heads: Record<string, unknown>[] = [
      { jwk: own },
      { jwk: own, kid: 'own' },
      { jku: 'https://evil.example/jwks' },
      { jku: `${ISSUER}jwks` },
      { x5u: 'https://evil.example/cert' },
      { x5c: [ATTACKER.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] },
      { x5t: 'AAAA', 'x5t#S256': 'AAAA' },
      { jwk: jwkOf(RSA.publicKey) },
    ]
    return await Promise.all(heads.map((header) => tokenOf({ key: ATTACKER.privateKey, header })))
  },
  'names of keys that mean something elsewhere': async () => {
    const kids: unknown[] = [
      '../../../../dev/null',
      '/dev/null',
      "x' UNION SELECT 'a",
      '| whoami',
      '__proto__',
      'key-0\0',
    ]
    kids.push(
      'constructor',
      'toString',
      'key-0 ',
      'KEY-0',
      '',
      0,
      null,
      true,
      ['key-0'],
      { kid: 'key-0' },
      'k'.repeat(513),
    )
    return kids.flatMap((kid) => [
      signed(JSON.stringify({ alg: 'RS256', kid }), claimsWith(), ATTACKER.privateKey),
      hmac(JSON.stringify({ alg: 'HS256', kid }), ''),
    ])
  },
  'signatures that are empty, cut, lengthened or of zeros': async () => {
    const rsa = await tokenOf()
    const ec = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' } })
    const ed = await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA' } })
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
    const one = Buffer.alloc(32)
    one[31] = 1
    // CVE-2022-21449, and what DER would make of other lengths.
    const pairs = [
      Buffer.alloc(64),
      Buffer.concat([order, order]),
      Buffer.concat([one, order]),
      Buffer.concat([order, one]),
    ]
    const forged = [
      ...pairs,
      Buffer.alloc(63),
      Buffer.alloc(65),
      Buffer.alloc(96),
      Buffer.from([0x30, 6, 2, 1, 0, 2, 1, 0]),
    ]
    const body = (token: string): string => token.slice(0, token.lastIndexOf('.'))
    const der = sign('sha256', Buffer.from(body(ec)), EC.privateKey)
    return [
      ...[rsa, ec, ed].flatMap((token) => [
        `${body(token)}.`,
        body(token),
        token.slice(0, -4),
        `${token}AAAA`,
        `${token}=`,
        `${token}==`,
        `${token}.`,
        `${token}.${token}`,
        `${body(token)}.${part(Buffer.alloc(256))}`,
        `${body(token)}.${part(Buffer.alloc(64, 0xff))}`,
      ]),
      ...forged.map((signature) => `${body(ec)}.${part(signature)}`),
      `${body(ec)}.${part(der)}`,
    ]
  },
  'each character of a good token changed': async () => {
    const token = await tokenOf()
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    return Array.from(token, (character, i) => {
      const other = character === '.' ? 'A' : alphabet[(alphabet.indexOf(character) + 1 + (i % 62)) % 64]!
      return other === character ? `${token}A` : token.slice(0, i) + other + token.slice(i + 1)
    })
  },
  'members that are there twice, also escaped and nested': () => {
    const twice = (first: string, second: string): string =>
      claimsWith().replace('{', `{${first},`).replace(/}$/, `,${second}}`)
    return [
      signed('{"alg":"RS256","alg":"RS256"}', claimsWith()),
      signed('{"alg":"none","alg":"RS256"}', claimsWith()),
      signed('{"alg":"RS256","\\u0061lg":"none"}', claimsWith()),
      signed(RS, twice('"sub":"a"', '"sub":"b"')),
      signed(RS, twice('"x":1', '"\\u0078":2')),
      signed(RS, claimsWith().replace('"sub":"root"', '"sub":"root","\\u0073ub":"admin"')),
      signed(RS, claimsWith({ realm: 0 }).replace('"realm":0', '"realm":{"roles":[],"roles":["admin"]}')),
      signed(RS, claimsWith().replace('"iss"', '"iss":"https://evil.example","iss"')),
    ]
  },
  'texts that are nested, huge, or no JSON object': () => [
    ...[33, 100, 5_000].flatMap((depth) => [
      signed(RS, claimsWith({ x: 0 }).replace('"x":0', `"x":${'['.repeat(depth)}${']'.repeat(depth)}`)),
      signed(RS, claimsWith({ x: 0 }).replace('"x":0', `"x":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)),
    ]),
    ...[16_384, 100_000, 1_000_000].map((length) => signed(RS, claimsWith({ x: 'x'.repeat(length) }))),
    ...['[]', '"text"', '1', 'null', 'true', '', '{', '{}', `[${claimsWith()}]`].map((text) => signed(RS, text)),
    ...['[]', 'null', '{}', '"RS256"', ''].map((head) => signed(head, claimsWith())),
    signed(RS, Buffer.from([0xff, 0xfe, 0x7b])),
    signed(RS, Buffer.concat([Buffer.from('\ufeff'), Buffer.from(claimsWith())])),
    signed(RS, Buffer.from(claimsWith({ x: '\u00ff' }), 'latin1')),
    signed(RS, `${claimsWith()}${claimsWith()}`),
    signed(RS, `${claimsWith()}x`),
  ],
  'other forms than three parts in base64url': async () => {
    const token = await tokenOf()
    const [head = '', claims = '', signature = ''] = token.split('.')
    const standard = (text: string): string => Buffer.from(text, 'base64url').toString('base64')
    return [
      `${standard(head)}.${standard(claims)}.${standard(signature)}`,
      `${head}=.${claims}.${signature}`,
      `${head}.${claims}=.${signature}`,
      ` ${head}.${claims}.${signature.slice(0, 20)} ${signature.slice(20)}`,
      `${head}\t.${claims}.${signature}`,
      `${head}.${claims}`,
      `${head}..${signature}`,
      `.${claims}.${signature}`,
      `${head}.${claims}.${signature}.x.y`,
      `${head}.${head}.${claims}.${signature}.${signature}`,
      JSON.stringify({ protected: head, payload: claims, signature }),
      JSON.stringify({ payload: claims, signatures: [{ protected: head, signature }] }),
      `${head},${claims},${signature}`,
      `Bearer ${token}`,
      `${token} ${token}`,
      `${token},${token}`,
    ]
  },
  'types, extensions and forms for other places': () =>
    [
      { typ: 'logout+jwt' },
      { typ: 'dpop+jwt' },
      { typ: 'secevent+jwt' },
      { typ: 'application/logout+jwt' },
      { typ: 'JOSE' },
      { typ: 1 },
      { typ: ['JWT'] },
      { crit: ['exp'] },
      { crit: [] },
      { crit: ['b64'], b64: false },
      { b64: false },
      { b64: true },
      { zip: 'DEF' },
      { alg: ['RS256'] },
      { alg: 256 },
      { alg: null },
      { alg: 'rs256' },
      { alg: 'RS256 ' },
      { alg: 'RS256\0' },
      { alg: 'RS384' },
      { alg: 'RS512' },
      { alg: 'ES256K' },
      { alg: 'dir' },
      { alg: 'RSA-OAEP', enc: 'A256GCM' },
    ].map((more) => signed(JSON.stringify({ alg: 'RS256', ...more }), claimsWith())),
  'claims that are missing, of another type, or of another time': () => {
    const text = (name: string, value: string): string =>
      claimsWith({ [name]: 0 }).replace(`"${name}":0`, `"${name}":${value}`)
    return [
      ...['iss', 'aud', 'exp'].map((name) => signed(RS, claimsWith({ [name]: undefined }))),
      ...['"9999999999"', '1e999', '-1', '0', 'null', 'true', '[9999999999]', '{}', `${now() - 31}`].map((value) =>
        signed(RS, text('exp', value)),
      ),
      ...[`${now() + 60}`, '"0"', 'null', '[]', '1e999'].map((value) => signed(RS, text('nbf', value))),
      ...[`${now() + 60}`, '"0"', '{}', '1e999'].map((value) => signed(RS, text('iat', value))),
      ...['', 'SHOP', 'shop ', 'shop/x', 'sho', 0, null, {}, { shop: true }, [], [['shop']], ['x']].map((aud) =>
        signed(RS, claimsWith({ aud })),
      ),
      ...[
        'https://id.example',
        'https://id.example//',
        'https://ID.example/',
        'http://id.example/',
        [ISSUER],
        null,
      ].map((iss) => signed(RS, claimsWith({ iss }))),
    ]
  },
  'one key in the place of another': async () => [
    signed('{"alg":"ES256"}', claimsWith()),
    signed('{"alg":"EdDSA"}', claimsWith()),
    signed('{"alg":"PS256"}', claimsWith()),
    signed(RS, claimsWith(), EC.privateKey),
    signed(RS, claimsWith(), ATTACKER.privateKey),
    await tokenOf({ key: generateKeyPairSync('ed25519').privateKey, header: { alg: 'EdDSA' } }),
    await tokenOf({ key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, header: { alg: 'ES256' } }),
  ],
}

describe('a token that was never issued', () => {
  for (const [name, make] of Object.entries(ROWS))
    it(`does not pass: ${name}`, async (t) => {
      const tokens = await make()
      for (const token of tokens)
        for (const gate of [filter, bySet]) {
          const status = await statusOf(token, gate)
          assert.ok(status === 401 || status === 400, `${status}: ${token.slice(0, 200)}`)
        }
      assert.equal(await statusOf(await tokenOf()), 200)
      t.diagnostic(`${tokens.length} tokens, 0 passed`)
    })

  it('does not pass under 10,000 names of keys, and a good one passes among them', async (t) => {
    const claims = claimsWith()
    for (let i = 0; i < 10_000; i++)
      assert.equal(await statusOf(rawToken(JSON.stringify({ alg: 'RS256', kid: `x${i}` }), claims), bySet), 401)
    assert.equal(await statusOf(await tokenOf({ header: { kid: 'key-63' } }), bySet), 200)
    assert.equal(await statusOf(await tokenOf({ header: { kid: 'key-64' } }), bySet), 401)
    t.diagnostic('10,000 tokens, 0 passed')
  })
})

describe('who sends forged tokens', () => {
  const from = async (clientAddress: string, token: string, gate: typeof filter): Promise<number> => {
    const x = new TestExchange({ clientAddress }, { authorization: `Bearer ${token}` })
    return (await gate.onRequest!(x))?.response.status ?? 200
  }

  it('is held off before they are verified, by its network; known tokens and other clients pass', async () => {
    let monotonic = 0
    const clock = { wall: () => Date.now(), monotonic: () => monotonic }
    const deps = { ...testDeps(), clock, memos: new OwnedLru<unknown>(1 << 24, clock) }
    deps.contentsById.set(KEYS, Buffer.from(pemOf(ED.publicKey)))
    const gate = auth.create(auth.plan({ jwt }, 'shop')!, deps, PLAIN)!
    const good = (sub: string): Promise<string> =>
      tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA' }, claims: { sub } })
    const known = await good('known')
    assert.equal(await from('2001:db8::1', known, gate), 200)
    const forged = rawToken('{"alg":"EdDSA"}', claimsWith(), part(Buffer.alloc(64)))
    const statuses = new Map<number, number>()
    for (let i = 0; i < 1_500; i++) {
      const status = await from(`2001:db8::${(i % 9) + 1}`, forged, gate)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    assert.deepEqual(
      [...statuses],
      [
        [401, 1_000],
        [429, 500],
      ],
    )
    assert.equal(await from('2001:db8::1', await good('fresh'), gate), 429)
    assert.equal(await from('2001:db8::1', known, gate), 200)
    assert.equal(await from('2001:db8:0:1::1', await good('fresh'), gate), 200)
    monotonic += 10
    assert.equal(await from('2001:db8::1', await good('fresh, too'), gate), 200)
  })
})

describe('signatures of RFC 7515 appendix A and RFC 8037 appendix A.4', () => {
  const CLAIMS = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'
  const vectors: readonly (readonly [name: string, algorithm: string, jwk: object, token: string])[] = [
    [
      'A.2',
      'RS256',
      {
        kty: 'RSA',
        n: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ',
        e: 'AQAB',
      },
      `eyJhbGciOiJSUzI1NiJ9.${CLAIMS}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw`,
    ],
    [
      'A.3',
      'ES256',
      {
        kty: 'EC',
        crv: 'P-256',
        x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
        y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
      },
      `eyJhbGciOiJFUzI1NiJ9.${CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`,
    ],
    [
      'RFC 8037 A.4',
      'EdDSA',
      { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
      'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
    ],
  ]
  for (const [name, algorithm, jwk, token] of vectors)
    it(`${name} is good, and no other one like it`, async () => {
      const key = createPublicKey({ key: jwk as never, format: 'jwk' })
      assert.equal(await isSigned(token, key, algorithm), true)
      assert.equal(await isSigned(token.replace('.', '.A'), key, algorithm), false)
      assert.equal(await isSigned(`${token.slice(0, -6)}AAAAAA`, key, algorithm), false)
    })

  it('A.5, without a signature, is no token', () => {
    assert.equal(readTokenHead(`eyJhbGciOiJub25lIn0.${CLAIMS}.`), undefined)
    assert.equal(readTokenHead(`eyJhbGciOiJub25lIn0.${CLAIMS}`), undefined)
  })
})

it('the keys of the table are good ones', async () => {
  assert.equal(createPrivateKey(RSA.privateKey.export({ type: 'pkcs8', format: 'pem' })).asymmetricKeyType, 'rsa')
  for (const [key, alg] of [
    [RSA.privateKey, 'PS256'],
    [EC.privateKey, 'ES256'],
    [ED.privateKey, 'EdDSA'],
  ] as const)
    assert.equal(await statusOf(await tokenOf({ key, header: { alg } })), 200)
})
