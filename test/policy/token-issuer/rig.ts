/** A token issuer as a worker runs it, with its Secrets, a store in memory, and a clock. */
import assert from 'node:assert/strict'
import { createHash, type KeyObject, randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import type { GrantStore } from '../../../src/auth/grant-store.ts'
import { parseOAuthClients, writeOAuthClients } from '../../../src/auth/oauth-clients.ts'
import { parseSigningKeys, writeSigningKeys } from '../../../src/auth/signing-keys.ts'
import type { LocalResponse } from '../../../src/message/local-response.ts'
import { CONSUMER } from '../../../src/policy/attribute.ts'
import type { Exchange } from '../../../src/policy/exchange.ts'
import type { Filter } from '../../../src/policy/filter.ts'
import { tokenIssuer } from '../../../src/policy/token-issuer/filter.ts'
import { planTokenIssuer } from '../../../src/policy/token-issuer/plan.ts'
import { EC, ED } from '../../auth/tokens.ts'
import { memoryGrants } from '../../store/grant-rig.ts'
import { PLAIN, type TestDeps, TestExchange, testDeps } from '../exchange.ts'

export const ISSUER = 'https://shop.example.com/oauth2'
export const SECRET = 'the secret of billing, which is long and random'
export const BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const PARTNER = 'https://partner.example/'

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
const jwks = (key: KeyObject) => ({ keys: [{ ...key.export({ format: 'jwk' }), kid: 'k1' }] })

export const CLIENTS = {
  billing: {
    client_secret_hashes: [sha256(SECRET)],
    grant_types: ['client_credentials', 'refresh_token'],
    scope: 'orders:read orders:write',
    audience: ['orders', 'https://billing.example/'],
  },
  other: {
    client_secret_hashes: [sha256(SECRET)],
    grant_types: ['client_credentials', 'refresh_token'],
    audience: ['orders', 'https://billing.example/'],
  },
  robot: { jwks: jwks(ED.publicKey), audience: 'orders', scope: 'orders:read' },
  agent: {
    client_secret_hashes: [sha256(SECRET)],
    grant_types: [BEARER_GRANT, 'refresh_token'],
    assertion_issuers: [{ issuer: PARTNER, jwks: jwks(EC.publicKey) }],
    audience: 'orders',
    scope: 'orders:read orders:write',
  },
  gate: { client_secret_hashes: [sha256(SECRET)], audience: 'orders', introspect: true },
}

export interface Answer {
  readonly status: number
  readonly json: Readonly<Record<string, unknown>>
  readonly response: LocalResponse
  readonly consumer: string | undefined
}

export interface Rig {
  readonly filter: Filter
  readonly deps: TestDeps
  now: number
  useClients(clients: object): void
  useKeys(keys: Readonly<Record<string, KeyObject>>): void
  ask(path: string, given?: Partial<Exchange>, fields?: Readonly<Record<string, string>>): Promise<Answer>
  /** A form to an endpoint, by client_secret_basic where a client is named. */
  post(endpoint: string, form: Readonly<Record<string, string>> | URLSearchParams, client?: string): Promise<Answer>
}

export interface RigOptions {
  readonly stated?: object
  readonly store?: GrantStore | null
  readonly namespace?: string
}

export function rig({ stated = {}, store, namespace = 'shop' }: RigOptions = {}): Rig {
  const made = {
    now: Date.now(),
  }
  const grants = store === null ? undefined : (store ?? memoryGrants(() => made.now))
  const deps: TestDeps = {
    ...testDeps(),
    clock: { wall: () => made.now, monotonic: () => made.now },
    randomBytes,
    grants: { store: () => grants },
  }
  const plan = planTokenIssuer(
    {
      ...{ issuer: ISSUER, signingKeySecretName: 'keys', clientsSecretName: 'clients' },
      ...{ accessTokenTTL: '10m', refreshTokenTTL: '30d' },
      ...stated,
    },
    namespace,
  )
  assert.deepEqual(structuredClone(plan), plan)
  const filter = tokenIssuer.create({ ...PLAIN, action: { type: 'issueTokens', ...plan } }, deps)!
  const ask: Rig['ask'] = async (path, given = {}, fields = {}) => {
    const x = new TestExchange({ path, matchedPrefix: '/oauth2'.length, ...given }, fields)
    const { body } = given as { readonly body?: Uint8Array }
    if (body !== undefined) x.body = body
    const decision = await filter.onRequest!(x)
    const { response } = decision!
    const text = response.body instanceof Uint8Array ? Buffer.from(response.body).toString() : ''
    return {
      status: response.status,
      json: text.startsWith('{') ? JSON.parse(text) : {},
      response,
      consumer: x.get(CONSUMER),
    }
  }
  const rig: Rig = Object.assign(made, {
    filter,
    deps,
    ask,
    useClients(clients: object) {
      const read = parseOAuthClients(Object.entries(clients).map(([id, one]) => [id, JSON.stringify(one)]))
      assert.ok(!('fault' in read), JSON.stringify(read))
      deps.contentsById.set(
        `Secret ${namespace}/clients * headgate.dev/oauth-clients`,
        Buffer.from(writeOAuthClients(read)),
      )
    },
    useKeys(keys: Readonly<Record<string, KeyObject>>) {
      const read = parseSigningKeys(
        Object.entries(keys).map(([name, key]) => [name, key.export({ type: 'pkcs8', format: 'pem' }) as string]),
      )
      assert.ok(!('fault' in read), JSON.stringify(read))
      deps.contentsById.set(`Secret ${namespace}/keys * headgate.dev/signing-keys`, Buffer.from(writeSigningKeys(read)))
    },
    post(endpoint: string, form: Readonly<Record<string, string>> | URLSearchParams, client?: string) {
      const basic = `Basic ${Buffer.from(`${client}:${encodeURIComponent(SECRET)}`).toString('base64')}`
      const body = Buffer.from(new URLSearchParams(form).toString())
      return ask(`/oauth2/${endpoint}`, { method: 'POST', body } as Partial<Exchange>, {
        'content-type': 'application/x-www-form-urlencoded',
        ...(client === undefined ? {} : { authorization: basic }),
      })
    },
  })
  rig.useClients(CLIENTS)
  rig.useKeys({ 'a.pem': EC.privateKey })
  return rig
}

/** An assertion of the client `robot`, or of PARTNER; undefined takes a claim out. */
export function assertion(
  { now }: Pick<Rig, 'now'>,
  {
    key = ED.privateKey,
    alg = 'EdDSA',
    header = {},
    claims = {},
  }: { key?: KeyObject; alg?: string; header?: object; claims?: Readonly<Record<string, unknown>> } = {},
): Promise<string> {
  const seconds = Math.floor(now / 1_000)
  const stated = {
    ...{
      iss: 'robot',
      sub: 'robot',
      aud: ISSUER,
      jti: randomBytes(8).toString('hex'),
      iat: seconds,
      exp: seconds + 60,
    },
    ...claims,
  }
  return new SignJWT(JSON.parse(JSON.stringify(stated))).setProtectedHeader({ alg, ...header }).sign(key)
}

export const partnerAssertion = (rig: Pick<Rig, 'now'>, claims: Readonly<Record<string, unknown>> = {}) =>
  assertion(rig, { key: EC.privateKey, alg: 'ES256', claims: { iss: PARTNER, sub: 'user-1', ...claims } })
