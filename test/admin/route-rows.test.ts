import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { routeRows } from '../../src/admin/route-rows.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { frontendSet } from '../../src/snapshot/frontend.ts'
import { hostOf } from '../../src/snapshot/host.ts'
import type { Host, Match, Rule, Snapshot } from '../../src/snapshot/snapshot.ts'

const RULE: Rule = {
  route: 'shop/shop',
  rule: 'api',
  policy: 'p1',
  backends: [{ backend: 'shop/api', weight: 1, priority: 0 }],
}

const MATCH: Match = {
  path: { type: 'PathPrefix', value: '/' },
  headers: [],
  queryParams: [],
  cookies: [],
  sourceCIDRs: [],
  frontends: undefined,
  within: [],
  rule: RULE,
  order: { created: undefined, rule: 0, match: 0 },
}

function snapshot(hosts: Host[], action: PolicySet['action'] = { type: 'forward' }): Snapshot {
  const policy = { digest: 'p1', action } as PolicySet
  return {
    frontends: new Map(['http', 'https', 'internal'].map((name) => [name, { name }])),
    hosts: new Map(hosts.map((host) => [host.hostname, host])),
    policies: new Map([['p1', policy]]),
    backends: new Map(),
  }
}

suite('route rows', () => {
  test('hosts are in lookup order: exact, then the longest wildcard, then the catch-all', () => {
    const hosts = ['*', '*.example.com', 'b.example.com', '*.shop.example.com', 'a.example.com']
    const rows = routeRows(snapshot(hosts.map((hostname) => hostOf(hostname, [MATCH]))))
    assert.deepEqual(
      Array.from(rows, (row) => row.hostname),
      ['a.example.com', 'b.example.com', '*.shop.example.com', '*.example.com', '*'],
    )
  })

  test('matches keep their order, and contain their listeners', () => {
    const matches: Match[] = [
      { ...MATCH, path: { type: 'Exact', value: '/b' }, method: 'GET', frontends: frontendSet(['internal', 'http']) },
      { ...MATCH, path: { type: 'Exact', value: '/a' } },
    ]
    const rows = [...routeRows(snapshot([hostOf('*', matches)]))]
    assert.deepEqual(
      rows.map(({ path, method, listeners }) => [path.value, method, listeners]),
      [
        ['/b', 'GET', ['http', 'internal']],
        ['/a', undefined, []],
      ],
    )
  })

  test('a row contains the action of the rule, and the reason of a refusal', () => {
    const closed: Rule = { ...RULE, refuse: 'RuleClosed' }
    const broken: Rule = {
      ...RULE,
      backends: [{ missing: 'shop/none', weight: 3, priority: 0, refuse: 'BackendNotFound' }],
    }
    const rules = [RULE, closed, broken]
    const matches = rules.map((rule) => ({ ...MATCH, rule }))
    const redirect: PolicySet['action'] = { type: 'redirect', statusCode: 301 }
    const rows = [...routeRows(snapshot([hostOf('*', matches)], redirect))]
    assert.deepEqual(
      rows.map(({ action, reason, backends }) => [action, reason, backends]),
      [
        ['redirect', undefined, [{ backend: 'shop/api', weight: 1, priority: 0 }]],
        ['refuse', 'RuleClosed', [{ backend: 'shop/api', weight: 1, priority: 0 }]],
        ['redirect', undefined, [{ backend: 'shop/none', weight: 3, priority: 0, reason: 'BackendNotFound' }]],
      ],
    )
  })
})
