/** Why a rule has a request: what is said agrees with the matcher, and costs no more than is allowed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explainMatch } from '../../src/routing/explain-match.ts'
import { match } from '../../src/routing/match.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import { frontends, request, routerSuite, snapshot } from '../suite/router.ts'

const tablesOf = (hosts: Parameters<typeof snapshot>[0]) =>
  new RouteTables(new Packer(Math.random).pack(snapshot(hosts)).tables)

function explained(tables: RouteTables, spec: Parameters<typeof request>[0]) {
  const asked = request(spec)
  const found = match(tables, asked)
  return explainMatch(tables, asked, typeof found === 'string' ? undefined : found.rule)
}

routerSuite('explained matches', (snapshot) => {
  const tables = new RouteTables(new Packer(Math.random).pack(snapshot).tables)
  return (request) => {
    const found = match(tables, request)
    if (typeof found === 'string') {
      const { hostname, won } = explainMatch(tables, request, undefined)
      assert.equal(won, undefined)
      assert.equal(hostname === undefined, found === 'HostNotFound')
      return found
    }
    const { won } = explainMatch(tables, request, found.rule)
    assert.ok(won !== undefined)
    const { type, value } = won.path
    return { key: won.rule.key, prefixLength: type === 'PathPrefix' ? value.length : 0 }
  }
})

describe('an explained match', () => {
  const header = (name: string, type: 'Exact' | 'Absent' | 'RegularExpression', value = '') => ({ name, type, value })

  it('says the first condition that each of the others does not meet', () => {
    const tables = tablesOf({
      'a.example': [
        { name: 'all', matches: [{}] },
        { name: 'put', matches: [{ method: 'PUT' }] },
        { name: 'value', matches: [{ headers: [header('x', 'Exact', '1'), header('y', 'Exact', '2')] }] },
        { name: 'absent', matches: [{ headers: [header('x', 'Absent')] }] },
        { name: 'pattern', matches: [{ queryParams: [header('q', 'RegularExpression', '[a-z]+')] }] },
        { name: 'cookie', matches: [{ cookies: [header('c', 'Exact', '1')] }] },
        { name: 'near', matches: [{ sourceCIDRs: ['10.0.0.0/8'] }] },
        { name: 'regex', matches: [{ path: { type: 'RegularExpression', value: '/[0-9]+' } }] },
        { name: 'within', matches: [{ within: ['/team'] }] },
        { name: 'elsewhere', matches: [{ path: { type: 'PathPrefix', value: '/b' } }] },
      ],
    })
    const spec = { path: '/a', query: 'q=1', headers: [['x', '1']] as const }
    const { won, lost, hostname, complete } = explained(tables, spec)
    assert.deepEqual([won?.rule.rule, hostname, complete], ['all', 'a.example', true])
    assert.deepEqual(Object.fromEntries(lost.map(({ match, why }) => [match.rule.rule, why])), {
      put: 'its method is PUT',
      value: 'the header y is missing',
      absent: 'the header x is there',
      pattern: 'the parameter q is not of its expression',
      cookie: 'the cookie c is missing',
      near: 'the client is not of its sourceCIDRs',
      regex: 'the path is not of its expression',
      within: 'its Route may have paths below /team only',
    })
  })

  it('goes on with the wildcard that a hostname extends, and with no other', () => {
    const tables = tablesOf({
      'a.example': [{ name: 'own', matches: [{ path: { type: 'Exact', value: '/own' } }] }],
      '*.example': [{ name: 'wild', matches: [{}] }],
    })
    const { won, hostname } = explained(tables, { path: '/other' })
    assert.deepEqual([won, hostname], [undefined, 'a.example'])
    assert.equal(explained(tables, { path: '/other', host: 'b.example' }).hostname, '*.example')
    assert.equal(explained(tables, { host: 'b.test' }).hostname, undefined)
  })

  it('knows what a listener has of its own, and what all have', () => {
    const tables = tablesOf({
      'a.example': [
        { name: 'all', matches: [{}] },
        { name: 'own', matches: [{ frontends: frontends(1), path: { type: 'PathPrefix', value: '/own' } }] },
      ],
    })
    const on = (frontend: string) => {
      const { won, lost } = explained(tables, { path: '/own', frontend })
      return [won?.rule.rule, ...lost.map(({ match, why }) => `${match.rule.rule}: ${why}`)]
    }
    assert.deepEqual(on('l1'), ['own', 'all: it matches, too, and is less specific'])
    assert.deepEqual(on('l2'), ['all'])
  })

  it('is bounded, whatever a hostname has', () => {
    const headers = (last: string) => Array.from({ length: 8 }, (_, i) => header(`x-${i}`, 'Exact', i < 7 ? 'a' : last))
    const many = Array.from({ length: 20_000 }, (_, r) => ({ name: `r${r}`, matches: [{ headers: headers(`${r}`) }] }))
    const patterns = Array.from({ length: 500 }, (_, r) => ({
      name: `p${r}`,
      matches: [{ path: { type: 'RegularExpression' as const, value: `/(a|b|c|d){1,50}${r}x` } }],
    }))
    const sent = Array.from({ length: 8 }, (_, i) => [`x-${i}`, i < 7 ? 'a' : 'none'] as const)
    const all = [{ name: 'all', matches: [{}] }]
    for (const rules of [
      [...many, ...all],
      [...patterns, ...all],
    ]) {
      const tables = tablesOf({ 'a.example': rules })
      const asked = request({ headers: sent, path: `/${'abcd'.repeat(20)}` })
      const before = process.threadCpuUsage()
      const { lost, complete } = explainMatch(tables, asked, undefined)
      const { user } = process.threadCpuUsage(before)
      assert.deepEqual([lost.length, complete], [20, false])
      assert.ok(user < 200_000, `${user} microseconds`)
    }
  })
})
