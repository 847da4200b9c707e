import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import type { AdminData, BackendView } from '../../src/admin/admin-data.ts'
import { type AdminServer, startAdmin } from '../../src/admin/server.ts'
import { showBackends } from '../../src/cli/backends.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { Registrations } from '../../src/control/registration/registrations.ts'
import { NO_CACHES, NO_EXPLANATIONS } from '../admin/no-caches.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

const NOW = Date.parse('2026-11-29T12:00:00Z')
const ago = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString()

const endpoint = (authority: string, more: Partial<BackendView['endpoints'][number]> = {}) => ({
  authority,
  state: 'eligible' as const,
  taken: true,
  reason: '',
  weight: 1,
  inFlight: 0,
  ...more,
})

function backend(id: string, endpoints: BackendView['endpoints'], more: Partial<BackendView> = {}): BackendView {
  const eligible = endpoints.filter(({ taken }) => taken).length
  const counts = { total: endpoints.length, ready: endpoints.length, eligible, panic: false, inFlight: 0 }
  return { id, protocol: 'HTTP', algorithm: 'LeastRequest', ...counts, endpoints, ...more }
}

const BACKENDS = [
  backend('shop/api', [
    endpoint('10.0.0.1:8080', { inFlight: 3, unanswered: 2, limit: 40, probe: { at: ago(2), took: 3, fault: '' } }),
    endpoint('10.0.0.2:8080', {
      state: 'unhealthy',
      taken: false,
      reason: 'probes fail: \u001b[2Jno answer within 1000 ms',
      since: ago(150),
      probe: { at: ago(4), took: 1_000, fault: 'no answer within 1000 ms' },
    }),
  ]),
  backend('shop/cart', [endpoint('10.0.1.1:80')]),
  backend('shop/old', []),
  backend('service:other/web:80', [endpoint('10.0.2.1:80', { state: 'draining', reason: 'its pod is terminating' })]),
]

describe('headgate backends', () => {
  const servers: (AdminServer | Server)[] = []
  let admin: AdminServer | undefined

  after(async () => {
    for (const server of servers) await server.close()
  })

  async function open(backends: readonly BackendView[]): Promise<AdminServer> {
    const time = new VirtualTime()
    const registrations = new Registrations({
      time: time.keeper(),
      resources: () => undefined,
      refusal: () => undefined,
      changed() {},
      retain() {},
      expired() {},
    } as unknown as ConstructorParameters<typeof Registrations>[0])
    const data = { backends: (offset: number) => backends.slice(offset) } as unknown as AdminData
    const server = await startAdmin({
      address: '127.0.0.1:0',
      data,
      registrations,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
    servers.push(server)
    return server
  }

  async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    if (!argv.includes('--admin')) argv.push('--admin', (admin ??= await open(BACKENDS)).address)
    const command = parseCommand(['backends', ...argv])
    assert.ok(command.name === 'backends', JSON.stringify(command))
    let out = ''
    let err = ''
    const io = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) }
    return { code: await showBackends(command, io, () => NOW), out, err }
  }

  it('prints every endpoint, whether it is taken, and why not', async () => {
    const { code, out } = await run()
    assert.equal(code, 0)
    assert.deepEqual(
      out.split('\n').map((line) => line.split(/ {2,}/)),
      [
        ['BACKEND', 'TAKEN', 'ENDPOINT', 'STATE', 'WEIGHT', 'IN FLIGHT', 'LAST PROBE', 'WHY'],
        ['shop/api', '1 of 2', '10.0.0.1:8080', 'eligible', '1', '3, 2 of 40 unanswered', 'ok, 2s ago'],
        [
          ...['', '10.0.0.2:8080', 'unhealthy', '1', '0', 'failed, 4s ago'],
          'not taken for 2m: probes fail: ?[2Jno answer within 1000 ms',
        ],
        ['shop/cart', '1 of 1', '10.0.1.1:80', 'eligible', '1', '0', '-'],
        ['shop/old', '0 of 0', '-', '-', '-', '-', '-', 'it has no endpoints: requests are answered with 503'],
        ['service:other/web:80', '1 of 1', '10.0.2.1:80', 'draining', '1', '0', '-', 'its pod is terminating'],
        [''],
      ],
    )
  })

  it('prints those of a Backend or a namespace, and only what is out', async () => {
    const ids = async (...argv: string[]) =>
      (JSON.parse((await run(...argv, '-o', 'json')).out) as BackendView[]).map(({ id, endpoints }) =>
        [id, ...endpoints.map(({ authority }) => authority)].join(' '),
      )
    assert.deepEqual(await ids('shop/cart'), ['shop/cart 10.0.1.1:80'])
    assert.deepEqual(await ids('other'), ['service:other/web:80 10.0.2.1:80'])
    assert.deepEqual(await ids('--out'), ['shop/api 10.0.0.2:8080', 'shop/old', 'service:other/web:80 10.0.2.1:80'])
    assert.equal((await run('shop/cart', '--out')).out, 'Every endpoint takes requests.\n')
  })

  it('says which name is none', async () => {
    const { code, err, out } = await run('shop/nope', 'shop/cart')
    assert.equal(code, 1)
    assert.match(err, /no Backend or namespace "shop\/nope"/)
    assert.match(out, /shop\/cart/)
  })

  it('reads all pages, whose ends follow the endpoints', async () => {
    const many = Array.from({ length: 30 }, (_, i) =>
      backend(
        `shop/b${i}`,
        Array.from({ length: i === 7 ? 5_000 : 300 }, (_, n) => endpoint(`10.${i}.${n >> 8}.${n & 255}:80`)),
      ),
    )
    const { address } = await open(many)
    const { out } = await run('--admin', address, '-o', 'json')
    assert.deepEqual(JSON.parse(out), many)
    const page = (await (await fetch(`http://${address}/api/v1/backends`)).json()) as { items: unknown[]; next: number }
    assert.deepEqual([page.items.length, page.next], [3, 3])
  })

  it('says what is wrong where it cannot ask', async () => {
    const port = async (status: number, body: string, headers: Record<string, string> = {}): Promise<number> => {
      const server = createServer((_, response) => response.writeHead(status, headers).end(body))
      servers.push(server)
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return (server.address() as AddressInfo).port
    }
    const closed = await port(200, '')
    const server = servers.pop() as Server
    await new Promise((resolve) => server.close(resolve))
    for (const [at, text] of [
      [closed, /cannot be reached \(ECONNREFUSED\)\. Is Headgate running\?/],
      [await port(200, 'hello'), /is not the admin API of Headgate/],
      [await port(200, 'null'), /is not the admin API of Headgate/],
      [await port(200, '{"items":[],"next":1}'), /does not come to an end/],
      [await port(503, '{"title":"no"}'), /answers 503: \{"title":"no"\}/],
      [await port(302, '', { location: 'http://169.254.169.254/' }), /cannot be reached/],
    ] as const) {
      const { code, err } = await run('--admin', `:${at}`)
      assert.equal(code, 1)
      assert.match(err, text)
    }
  })
})
