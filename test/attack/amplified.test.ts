/**
 * A tenant with few small objects that become much: the control thread and the workers have room for what they let in,
 * also while it is replaced.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import {
  eventually as eventuallyWithin,
  type Gateway,
  manifest,
  route,
  startGateway,
  suiteScope,
} from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { type Traffic, traffic } from '../main/traffic.ts'

/** Builds near the limit are many, and a machine may have other work: only what never comes fails. */
const eventually = (attempt: () => void | Promise<void>): Promise<void> => eventuallyWithin(attempt, 90_000)

const many = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i))

function kube(apiVersion: string, kind: string, name: string, body: object, labels: object = {}): string {
  return `${JSON.stringify({ apiVersion, kind, metadata: { name, namespace: 'evil', labels }, ...body })}\n---\n`
}

/** Policies of a Route that are kept for each of its rules: 50 kB of text, 3 MB in each worker. */
function policied(i: number, edit: number): string {
  const headers = (what: string) => many(16, (n) => ({ name: `x-${what}-${n}`, value: `${edit}`.padEnd(500, 'v') }))
  const edits = { set: headers('set'), add: headers('add') }
  const rules = many(64, (r) => ({
    name: `r${r}`,
    matches: [{ path: { type: 'PathPrefix', value: `/${r}` } }],
    respond: { statusCode: 200, body: `${i} ${r}` },
  }))
  const policies = { requestHeaders: edits, responseHeaders: edits }
  return manifest('Route', `evil/policied-${i}`, { hostnames: [`p${i}.test`], policies, rules })
}

/** Hosts without a path: 50 kB of text, 9 MB of what is known of each. */
function hosted(i: number, edit: number): string {
  const rules = many(2_048, (h) => ({ host: `h${h}-${i}-${edit}.test` }))
  const defaultBackend = { service: { name: 'api', port: { number: 80 } } }
  return kube('networking.k8s.io/v1', 'Ingress', `hosted-${i}`, { spec: { rules, defaultBackend } })
}

/** What one namespace enforces on the rules of another one: 40 kB of text on each of 3,840 rules. */
function enforced(edit: number): string {
  const headers = many(16, (n) => ({ name: `x-${n}`, value: `${edit}`.padEnd(500, 'v') }))
  const edits = { set: headers, add: headers.map(({ name, value }) => ({ name: `${name}-more`, value })) }
  const policies = { enforced: { requestHeaders: edits, responseHeaders: edits } }
  const delegates = [{ namespaces: { from: 'All' }, pathPrefixes: ['/'] }]
  return manifest('Route', 'evil/owner', { hostnames: ['evil.test'], delegates, policies, rules: [] })
}

function guest(i: number): string {
  const rules = many(64, (r) => ({
    name: `r${r}`,
    matches: [{ path: { type: 'PathPrefix', value: `/${i}/${r}` } }],
    respond: { statusCode: 200, body: `${i} ${r}` },
  }))
  return manifest('Route', `guest/g${i}`, { hostnames: ['evil.test'], rules })
}

/** Ports times endpoints: a list of 1,000 for each of a hundred ports of a slice. */
function endpointed(i: number, edit: number): string {
  const ports = many(100, (p) => ({ name: `p${p}`, port: p + 1 }))
  const endpoints = many(1_000, (e) => ({ addresses: [`10.${i}.${e >> 8}.${e & 255}`], zone: `${edit}` }))
  const labels = { 'kubernetes.io/service-name': 'api' }
  const slice = kube('discovery.k8s.io/v1', 'EndpointSlice', `s${i}`, { addressType: 'IPv4', ports, endpoints }, labels)
  if (i > 0) return slice
  const backends = many(100, (p) => manifest('Backend', `evil/b${p}`, { service: { name: 'api', port: p + 1 } }))
  return slice + kube('v1', 'Service', 'api', { spec: { ports } }) + backends.join('')
}

for (const tenancy of ['Shared', 'Strict'])
  describe(`a tenant whose objects become much more than they say, ${tenancy}`, () => {
    const scope = suiteScope()
    let gateway: Gateway
    let clients: Traffic
    let edits = 0

    const calm = (body: string): string =>
      route(
        'calm/shop',
        ['shop.test'],
        [{ name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body } }],
      )

    before(async () => {
      const hostnames = [{ namespaces: { from: 'All' }, names: ['*'] }]
      const settings = { tenancy, hostnames, limits: { memory: '320Mi' } }
      gateway = await startGateway(scope, { 'calm.yaml': calm('first') }, { workers: 1, settings })
      clients = traffic(gateway.port, 'shop.test')
      scope.after(() => clients.stop())
      await clients.more(20)
    })

    /**
     * In a folder what is written together acts together, so the change waits for all that the tenant has written
     * before it.
     */
    async function unmoved(): Promise<void> {
      const body = `edit ${++edits}`
      await gateway.write('calm.yaml', calm(body))
      await eventually(async () => assert.equal((await gateway.request({ host: 'shop.test' })).text, body))
      await clients.more(20)
      assert.deepEqual(clients.failures, [])
      const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
      assert.match(text, /headgate_control_restarts_total 0\n/)
      assert.match(text, /headgate_worker_restarts_total\{worker="0"\} 0\n/)
    }

    it('moves nobody: what is enforced on thousands of rules of another namespace', async () => {
      await gateway.write('guests.yaml', many(60, guest).join(''))
      for (const edit of tenancy === 'Strict' ? [1] : [1, 2, 3]) {
        await gateway.write('owner.yaml', enforced(edit))
        await eventually(async () => {
          const answer = await gateway.request({ host: 'evil.test', path: '/59/63' })
          assert.equal(answer.text, '59 63')
          assert.ok(answer.header('x-0')?.startsWith(`${edit}v`))
        })
        await unmoved()
      }
      await gateway.remove('owner.yaml')
      await gateway.remove('guests.yaml')
    })

    const kinds: [what: string, count: number, of: (i: number, edit: number) => string][] = [
      ['policies that every rule has', 30, policied],
      ['hosts without paths', 24, hosted],
      ['ports of which each has all endpoints', 24, endpointed],
    ]
    for (const [what, count, of] of kinds)
      it(`moves nobody: ${what}`, async () => {
        for (const edit of tenancy === 'Strict' ? [1] : [1, 2]) {
          for (let i = 0; i < count; i++) await gateway.write(`evil-${i}.yaml`, of(i, edit))
          await eventually(async () => {
            const { text } = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
            assert.match(text, /"reason":"MemoryBudget"/)
          })
          await unmoved()
        }
        for (let i = 0; i < count; i++) await gateway.remove(`evil-${i}.yaml`)
        await unmoved()
      })
  })
