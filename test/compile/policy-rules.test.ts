import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { objectCost } from '../../src/api/cost.ts'
import type { OidcPlan } from '../../src/policy/auth/oidc/plan.ts'
import type { AuthPlan } from '../../src/policy/auth/plan.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { compiled, route, world } from './world.ts'

const OIDC = { auth: { oidc: { secretName: 'a' } } }
const FORWARD = { backendRefs: [{ name: 'up', weight: 1, priority: 0 }] }

function oidcOf(set: PolicySet | undefined): OidcPlan | undefined {
  const [method] = (set?.policies?.auth as AuthPlan | undefined)?.methods ?? []
  return method !== undefined && 'oidc' in method ? method.oidc : undefined
}

/** What a hostname serves: the rule and the client of each path. */
function served(spec: Parameters<typeof world>[0], hostname: string) {
  const { snapshot } = compiled(world(spec))
  return snapshot.hosts.get(hostname)!.matches.map(({ path, rule }) => {
    const client = oidcOf(snapshot.policies.get(rule.policy))
    return [path.value, rule.route, rule.rule, client === undefined ? '' : `${client.route} ${client.client.namespace}`]
  })
}

describe('rules for what policies serve themselves', () => {
  it('stand before the rules of the Route, on all its hostnames', () => {
    const shop = route('shop/shop', { hostnames: ['a.example', 'b.example'], policies: OIDC, rules: { all: FORWARD } })
    for (const host of ['a.example', 'b.example'])
      assert.deepEqual(served({ routes: [shop] }, host), [
        ['/oauth2/callback', 'shop/shop', '~auth', 'shop/shop shop'],
        ['/logout', 'shop/shop', '~auth', 'shop/shop shop'],
        ['/', 'shop/shop', 'all', 'shop/shop shop'],
      ])
    const { statuses } = compiled(world({ routes: [shop] }))
    assert.equal([...statuses.values()].find(({ key }) => key === 'shop/shop')!.rules, 1)
  })

  it('have the policies of the one rule that states them', () => {
    const rules = {
      open: FORWARD,
      closed: { ...FORWARD, policies: OIDC, matches: [{ path: { type: 'PathPrefix', value: '/c' } }] },
    }
    const shop = route('shop/shop', { hostnames: ['a.example'], rules: rules as never })
    assert.deepEqual(served({ routes: [shop] }, 'a.example'), [
      ['/oauth2/callback', 'shop/shop', '~auth-closed', 'shop/shop shop'],
      ['/logout', 'shop/shop', '~auth-closed', 'shop/shop shop'],
      ['/c', 'shop/shop', 'closed', 'shop/shop shop'],
      ['/', 'shop/shop', 'open', ''],
    ])
  })

  it('are of the owner where it enforces them on delegates, and so are the sessions', () => {
    const owner = route('shop/owner', {
      hostnames: ['a.example'],
      policies: { enforced: OIDC },
      delegates: [{ namespaces: { from: 'Names', names: ['team'] }, pathPrefixes: ['/team'] }],
      rules: {},
    })
    const team = route('team/app', {
      hostnames: ['a.example'],
      rules: { all: { ...FORWARD, matches: [{ path: { type: 'PathPrefix', value: '/team' } }] } } as never,
    })
    assert.deepEqual(served({ routes: [owner, team] }, 'a.example'), [
      ['/oauth2/callback', 'shop/owner', '~auth', 'shop/owner shop'],
      ['/logout', 'shop/owner', '~auth', 'shop/owner shop'],
      ['/team', 'team/app', 'all', 'shop/owner shop'],
    ])
  })

  it('make two policy sets of two Routes with the same policies, and cost what rules cost', () => {
    const two = ['a', 'b'].map((name) =>
      route(`shop/${name}`, { hostnames: [`${name}.example`], policies: OIDC, rules: { all: FORWARD } }),
    )
    const { snapshot } = compiled(world({ routes: two }))
    const routes = [...snapshot.policies.values()].map((set) => oidcOf(set)?.route)
    assert.deepEqual(new Set(routes), new Set(['shop/a', 'shop/b']))
    const cost = (policies: object) => objectCost('Route', { spec: { rules: [{ name: 'a', policies }] } }).units
    assert.ok(cost(OIDC) > cost({ auth: { apiKey: { secretName: 'a', from: [{ header: 'x-api-key' }] } } }) + 20)
  })
})
