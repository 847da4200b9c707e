/** Keeps the table of docs/filters.md true: the one order of filters, and what each place finds in a request. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { digestOf, parseApiKeys, writeApiKeys } from '../../src/auth/api-keys.ts'
import { CONSUMER } from '../../src/policy/attribute.ts'
import { builtInFilters } from '../../src/policy/built-in.ts'
import { PHASES } from '../../src/policy/registry.ts'
import { prefix } from '../compile/world.ts'
import { echoBackend } from '../feature/backends.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'

interface Row {
  readonly phase: string
  readonly filters: string
  readonly sees: string
}

/** The table below "Order". */
function documented(): readonly Row[] {
  const page = readFileSync(join(import.meta.dirname, '../../docs/filters.md'), 'utf8')
  const [, table = ''] = /^\| phase \| filter \|.*\n\|[-|]+\n((?:\|.*\n)+)/m.exec(page) ?? []
  return table
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [phase = '', filters = '', , , sees = ''] = line
        .split('|')
        .slice(1)
        .map((cell) => cell.trim())
      return { phase: phase.replaceAll('`', ''), filters, sees }
    })
}

describe('the order of filters in the documentation', () => {
  const rows = documented()

  it('is that of the registry, with every filter that is built', () => {
    assert.deepEqual(
      rows.map(({ phase }) => phase),
      PHASES,
    )
    const built = Map.groupBy(builtInFilters().definitions, ({ phase }) => phase)
    for (const { phase, filters } of rows) {
      const names = built.get(phase as (typeof PHASES)[number])?.map(({ name }) => name) ?? []
      if (names.length === 0) assert.match(filters, /not built yet/, phase)
      else assert.doesNotMatch(filters, /not built/, phase)
      // What has two places has one name in the table.
      for (const name of names) assert.ok(filters.includes(name.replace(/-after-auth$/, '')), `${phase}: ${name}`)
    }
  })

  describe('with what each place sees', () => {
    const ends: (() => void | Promise<void>)[] = []
    const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) }
    const seen = new Map<string, string>()
    let gateway: InProcess

    before(async () => {
      const up = await echoBackend(scope, 'up')
      gateway = await inProcess(scope, {
        upstreams: [up.port],
        filters: PHASES.map((phase) => ({
          phase,
          filter: {
            name: `probe-${phase}`,
            onRequest(x) {
              const at = (name: string) => x.request.get(name)
              const sent = at('x-api-key') === 'a-good-key' && at('x-user') === 'root' && x.get(CONSUMER) === undefined
              const verified = at('x-api-key') === undefined && x.get(CONSUMER) === 'billing'
              const facts = sent
                ? 'sent'
                : !verified
                  ? 'nothing that is documented'
                  : at('x-user') === 'root'
                    ? 'verified'
                    : at('x-consumer') === undefined
                      ? 'clean'
                      : x.path === '/keys'
                        ? 'own'
                        : 'final'
              seen.set(phase, facts)
              return undefined
            },
          },
        })),
        rules: { none: { respond: { statusCode: 404 } } },
        routes: {
          'default/shop': {
            hostnames: ['shop.example.com'],
            rules: {
              keys: {
                matches: [prefix('/keys')],
                policies: {
                  auth: { apiKey: { secretName: 'clients', from: [{ header: 'x-api-key' }] } },
                  requestHeaders: { set: [{ name: 'x-consumer', value: '%{consumer}' }] },
                  rewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/rewritten' } },
                } as unknown as Policies,
                backendRefs: [{ name: 'up', weight: 1, priority: 0 }],
              },
              claims: {
                matches: [prefix('/claims')],
                policies: {
                  requestHeaders: { set: [{ name: 'x-user', value: '%{claim:sub}' }] },
                } as unknown as Policies,
                backendRefs: [{ name: 'up', weight: 1, priority: 0 }],
              },
            },
          },
        },
      })
      const clients = parseApiKeys([['billing', `sha256:${digestOf('a-good-key')}`]])
      assert.ok(clients instanceof Map)
      const id = 'Secret default/clients * headgate.dev/api-keys'
      gateway.plane.contents.apply([{ id, bytes: Buffer.from(writeApiKeys(clients)) }])
    })

    after(async () => {
      for (const end of ends.reverse()) await end()
    })

    it('is what a request of one who claims to be somebody else shows', async () => {
      using client = await gateway.connect()
      client.send('GET /keys HTTP/1.1\r\nhost: shop.example.com\r\nx-api-key: a-good-key\r\nx-user: root\r\n\r\n')
      assert.equal((await client.response('GET')).status, 200)
      // A probe stands behind the filters of its own phase: what it sees is what the next phase finds.
      const next = (i: number) => rows[i + 1]?.sees ?? rows[i]!.sees
      for (const [i, { phase }] of rows.entries()) assert.equal(seen.get(phase), next(i), phase)
    })
  })
})
