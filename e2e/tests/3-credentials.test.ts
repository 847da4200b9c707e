/** Credentials in Secrets of a real cluster, rotated by kubectl under load: not one request gets a wrong answer. */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SignJWT } from 'jose'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl } from '../lib/kubernetes.ts'
import { type Load, startLoad } from '../lib/load-pod.ts'
import { backend, deployment, route, service } from '../lib/service.ts'
import { insideAddress } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'credentials'
const HOST = 'credentials.example'
const ISSUER = 'https://id.credentials.example/'
const ROTATIONS = 6

const [first, second, stranger] = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const [kept, other] = Array.from({ length: 2 }, () => randomBytes(24).toString('hex'))

let door: Entrance

/** Not by `stringData`: what an apply no longer states of it stays. */
const secret = (name: string, type: string, texts: Readonly<Record<string, string>>) => {
  const data = Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  )
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: NAMESPACE }, type, data }
}

const clients = (lines: Readonly<Record<string, string>>) => secret('clients', 'headgate.dev/api-keys', lines)

/** @param keys in this order */
const tokenKeys = (...keys: readonly (typeof first)[]) =>
  secret('token-keys', 'headgate.dev/jwt-key', {
    'public.pem': keys.map((key) => key!.publicKey.export({ type: 'spki', format: 'pem' })).join(''),
  })

const digestOf = (key: string | undefined) => `sha256:${createHash('sha256').update(key!).digest('hex')}`

const tokenOf = (key: KeyObject): Promise<string> =>
  new SignJWT({ scope: 'read' })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(ISSUER)
    .setAudience('shop')
    .setExpirationTime('1h')
    .sign(key)

before(async () => {
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
  const jwt = { issuer: ISSUER, audiences: ['shop'], keys: { publicKeySecretName: 'token-keys' } }
  const apiKey = { secretName: 'clients', from: [{ header: 'x-api-key' }] }
  const rules = [
    {
      ...{ name: 'keys', matches: [{ path: { type: 'PathPrefix', value: '/keys' } }] },
      ...{ policies: { auth: { apiKey } }, backendRefs: [{ name: 'echo' }] },
    },
    { name: 'all', policies: { auth: { jwt } }, backendRefs: [{ name: 'echo' }] },
  ]
  const echo = { namespace: NAMESPACE, name: 'echo' }
  await apply(
    tokenKeys(first),
    clients({ billing: digestOf(kept) }),
    ...[deployment(echo), service(echo), backend(NAMESPACE, 'echo'), route(NAMESPACE, 'shop', HOST, rules)],
  )
  await kubectl('rollout', 'status', 'deployment/echo', '-n', NAMESPACE, '--timeout=60s')
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

/** Until every replica answers so: each request has a connection of its own. */
const eventually = (status: number, path: string, headers: Readonly<Record<string, string>>): Promise<unknown> =>
  until(`${status} for ${path}`, async () => {
    for (let i = 0; i < 8; i++) {
      const answer = await door.ask(HOST, path, headers)
      if (answer.status !== status) throw new Error(`${answer.status} ${answer.body}`)
    }
    return true
  })

describe('credentials in Secrets', () => {
  it('that are rotated by kubectl under load let everybody in who has a good one, and nobody else', async () => {
    const bearer = async (key: typeof first) => ({ authorization: `Bearer ${await tokenOf(key!.privateKey)}` })
    const [good, forged] = [await bearer(first), await bearer(stranger)]
    await eventually(200, '/', good)
    await eventually(200, '/keys', { 'x-api-key': kept! })
    const url = `http://${await insideAddress()}`
    const plans = [
      { path: '/', headers: good, status: 200 },
      { path: '/', headers: forged, status: 401 },
      { path: '/keys', headers: { 'x-api-key': kept! }, status: 200 },
      { path: '/keys', headers: { 'x-api-key': randomBytes(24).toString('hex') }, status: 401 },
    ]
    const loads = await Promise.all(
      plans.map(({ path, ...plan }, i) =>
        startLoad(NAMESPACE, `load-${i}`, { url: url + path, host: HOST, rate: 50, connections: 5, ...plan }),
      ),
    )
    // Keys come, change places and go; consumers are renamed, and their keys move to others.
    const states = [
      [tokenKeys(second, first), clients({ other: digestOf(other), billing: digestOf(kept) })],
      [tokenKeys(first, second), clients({ accounting: `${digestOf(kept)} tier=gold` })],
      [tokenKeys(first), clients({ accounting: `${digestOf(other)}\n${digestOf(kept)} expires=2099-01-31T00:00:00Z` })],
    ]
    for (let i = 0; i < ROTATIONS; i++) {
      await apply(...states[i % states.length]!)
      await sleep(300)
    }
    await sleep(500)
    await report('credentials rotated under load', loads)
  })

  it('that are withdrawn let nobody in from then on', async () => {
    const token = { authorization: `Bearer ${await tokenOf(first!.privateKey)}` }
    await eventually(200, '/', token)
    const began = performance.now()
    await apply(tokenKeys(second), clients({ accounting: digestOf(other) }))
    await eventually(401, '/', token)
    await eventually(401, '/keys', { 'x-api-key': kept! })
    figure('Secret without the key → 401 from all replicas', `${(performance.now() - began).toFixed(0)} ms`)
    await eventually(200, '/keys', { 'x-api-key': other! })
    await kubectl('delete', 'secret', 'token-keys', 'clients', '-n', NAMESPACE)
    await eventually(503, '/', token)
    await eventually(503, '/keys', { 'x-api-key': other! })
  })
})

async function report(what: string, loads: readonly Load[]): Promise<void> {
  const reports = await Promise.all(loads.map((load) => load.stop()))
  const requests = reports.reduce((sum, { requests }) => sum + requests, 0)
  const failures = reports.reduce((sum, { failures }) => sum + failures, 0)
  figure(`${what}: requests, wrong answers`, `${requests}, ${failures}`, '0 wrong')
  assert.deepEqual(
    reports.map(({ reasons }) => reasons),
    reports.map(() => ({})),
  )
}
