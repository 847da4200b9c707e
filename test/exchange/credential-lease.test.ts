/** What lasts ends with the credential that opened it: by its time, and when its key is withdrawn. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { digestOf, parseApiKeys, writeApiKeys } from '../../src/auth/api-keys.ts'
import { AUDIENCE, ED, ISSUER, pemOf, RSA, tokenOf } from '../auth/tokens.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { FieldMap, ServedRequest, UpstreamScript } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

const KEYS = 'Secret default/keys public.pem headgate.dev/jwt-key'
const CLIENTS = 'Secret default/clients * headgate.dev/api-keys'
/** Of the virtual clock, seconds. */
const BEGIN = 1_800_000_000

const JWT = {
  jwt: { issuer: ISSUER, audiences: [AUDIENCE], keys: { publicKeySecretName: 'keys' }, clockSkew: '0s' },
}
const API_KEY = { apiKey: { secretName: 'clients', from: [{ header: 'x-api-key' }] } }

const keysOf = (text: string): Buffer => {
  const keys = parseApiKeys([['billing', text]])
  assert.ok(!('fault' in keys))
  return Buffer.from(writeApiKeys(keys))
}
const expiring = (seconds: number): Buffer =>
  keysOf(`sha256:${digestOf('a-key')} expires=${new Date((BEGIN + seconds) * 1_000).toISOString().replace('.000', '')}`)

function open(t: TestContext, auth: object, script: UpstreamScript, capacity = 1): MemoryGateway {
  const gateway = memoryGateway(t, { upstreams: [script], rules: toUp({ auth } as Policies) }, capacity)
  gateway.content(KEYS, Buffer.from(pemOf(RSA.publicKey) + pemOf(ED.publicKey)))
  gateway.content(CLIENTS, expiring(100))
  return gateway
}

/** Signed by the key that {@link withdraw} withdraws. */
const bearer = async (seconds: number): Promise<FieldMap> => ({
  authorization: `Bearer ${await tokenOf({ claims: { iat: BEGIN - 10, exp: BEGIN + seconds } })}`,
})
const withdraw = (gateway: MemoryGateway): void => gateway.content(KEYS, Buffer.from(pemOf(ED.publicKey)))

const stream =
  (type: string) =>
  (request: ServedRequest): void => {
    request.head(200, { 'content-type': type })
    request.write('data: 1\n\n')
  }

interface Opened {
  readonly gateway: MemoryGateway
  /** It goes on. */
  open(): boolean
}

/** By what it is opened: each lasts until somebody ends it. */
const LASTING: Readonly<Record<string, (t: TestContext, auth: object, fields: FieldMap) => Promise<Opened>>> = {
  async 'a WebSocket'(t, auth, fields) {
    const gateway = open(t, auth, (request) => void request.upgrade('websocket'))
    const client = await gateway.ask({ upgrade: 'websocket', fields }).upgraded()
    return { gateway, open: () => !client.ended && !client.closed }
  },
  async 'an event stream'(t, auth, fields) {
    return opened(open(t, auth, stream('text/event-stream; charset=utf-8')), fields)
  },
  async 'a call of gRPC whose response has begun'(t, auth, fields) {
    const gateway = open(t, auth, stream('application/grpc'), 100)
    return opened(gateway, { ...fields, 'content-type': 'application/grpc' }, 'POST')
  },
  async 'a call of gRPC whose client sends'(t, auth, fields) {
    const gateway = open(t, auth, () => {}, 100)
    return opened(gateway, { ...fields, 'content-type': 'application/grpc' }, 'POST')
  },
}

function opened(gateway: MemoryGateway, fields: FieldMap, method = 'GET'): Opened {
  let over = false
  const end = (): void => {
    over = true
  }
  gateway
    .ask({ fields, method, ...(method === 'POST' ? { length: 'unknown' } : {}) })
    .response()
    .then(end, end)
  return { gateway, open: () => !over }
}

for (const [name, begin] of Object.entries(LASTING))
  describe(name, () => {
    it('ends with the time of its token, and not before', async (t) => {
      const { gateway, open } = await begin(t, JWT, await bearer(20))
      await gateway.pass(19_500)
      assert.equal(open(), true)
      await gateway.pass(1_500)
      await gateway.until(() => !open())
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]!.reason, 'CredentialExpired')
    })

    it('goes on over a rotation that keeps its key, and ends when the key is taken out', async (t) => {
      const { gateway, open } = await begin(t, JWT, await bearer(3_000))
      await gateway.pass(10_000)
      gateway.content(KEYS, Buffer.from(pemOf(ED.publicKey) + pemOf(RSA.publicKey)))
      await gateway.pass(20_000)
      assert.equal(open(), true)
      withdraw(gateway)
      await gateway.pass(6_000)
      await gateway.until(() => !open())
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]!.reason, 'CredentialInvalid')
    })

    it('ends when the keys are gone altogether', async (t) => {
      const { gateway, open } = await begin(t, JWT, await bearer(3_000))
      await gateway.pass(10_000)
      gateway.content(KEYS, null)
      await gateway.pass(6_000)
      await gateway.until(() => !open())
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]!.reason, 'AuthUnavailable')
    })

    it('ends with its API key, by its time or because it is taken out', async (t) => {
      for (const change of [null, keysOf('# nobody'), undefined]) {
        const { gateway, open } = await begin(t, API_KEY, { 'x-api-key': 'a-key' })
        await gateway.pass(30_000)
        assert.equal(open(), true)
        // Another key of the same consumer is no reason.
        gateway.content(CLIENTS, Buffer.from(expiring(100)))
        await gateway.pass(20_000)
        assert.equal(open(), true)
        if (change === undefined) await gateway.pass(51_500)
        else {
          gateway.content(CLIENTS, change)
          await gateway.pass(6_000)
        }
        await gateway.until(() => !open())
        await gateway.nothingLeft()
      }
    })

    it('does not end where no credential is asked for', async (t) => {
      const { gateway, open } = await begin(t, { anyOf: [JWT, { anonymous: {} }] }, {})
      withdraw(gateway)
      await gateway.pass(50_000)
      assert.equal(open(), true)
    })
  })

describe('a response that is no stream', () => {
  it('goes on to its end behind the time of its token', async (t) => {
    let served: ServedRequest | undefined
    const gateway = open(t, JWT, (request) => {
      served = request
      request.head(200, { 'content-type': 'application/zip', 'content-length': '10' })
      request.write('12345')
    })
    const response = gateway.ask({ fields: await bearer(20) }).response()
    await gateway.pass(40_000)
    served!.write('67890')
    served!.end()
    assert.equal((await response).body, '1234567890')
  })
})
