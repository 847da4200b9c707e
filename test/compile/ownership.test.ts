import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { compiled, conditionsOf, listing, messageOf, namespace, prefix, route, world } from './world.ts'

const delegate = (names: string[], ...pathPrefixes: string[]) => ({
  namespaces: { from: 'Names' as const, names },
  pathPrefixes,
})

suite('ownership of hostnames', () => {
  test('the oldest Route naming a hostname owns it, whatever its name', () => {
    const result = compiled(
      world({
        routes: [
          route('a/young', { hostnames: ['x.example'] }, { created: 2_000 }),
          route('b/old', { hostnames: ['x.example'] }, { created: 1_000 }),
        ],
      }),
    )
    assert.deepEqual(listing(result, 'x.example'), ['b/old main: PathPrefix /'])
    assert.equal(conditionsOf(result, 'a/young').Accepted, 'False/HostnameNotAllowed')
    const message = messageOf(result, 'a/young', 'Accepted')
    assert.match(message, /x\.example belongs to namespace b/)
    assert.match(message, /belongs to namespace b: its Route b\/old is older than Route a\/young;/)
    assert.match(message, /delegates entry for namespace a/)
  })

  test('without creation times namespace/name decides, and the message explains it', () => {
    const routes = [route('b/one', { hostnames: ['x.example'] }), route('a/two', { hostnames: ['x.example'] })]
    const result = compiled(world({ routes }))
    assert.deepEqual(listing(result, 'x.example'), ['a/two main: PathPrefix /'])
    assert.match(
      messageOf(result, 'b/one', 'Accepted'),
      /its Route a\/two comes before Route b\/one by name \(files have no/,
    )
  })

  test('created in the same second, the name decides, and the message explains it', () => {
    const same = { created: 1_000 }
    const routes = [
      route('b/one', { hostnames: ['x.example'] }, same),
      route('a/two', { hostnames: ['x.example'] }, same),
      route('a/more', { hostnames: ['x.example'] }, same),
    ]
    const result = compiled(world({ routes }))
    const decided = /Route a\/more was created in the same second as Route b\/one and comes first by name;/
    assert.match(messageOf(result, 'b/one', 'Accepted'), decided)
    assert.match(
      messageOf(result, 'a/two', 'Accepted'),
      /already served by rule main of Route a\/more, which was created in the same second as Route a\/two and comes first by name;/,
    )
  })

  test('the message names the deciding Route: an older wildcard, not the younger Route for exactly the name', () => {
    const routes = [
      route('a/wild', { hostnames: ['*.example'] }, { created: 1 }),
      route('b/early', { hostnames: ['x.example'] }, { created: 2 }),
      route('a/late', { hostnames: ['x.example'] }, { created: 3 }),
    ]
    assert.match(
      messageOf(compiled(world({ routes })), 'b/early', 'Accepted'),
      /belongs to namespace a: its Route a\/wild is older than Route b\/early;/,
    )
  })

  test('Routes of the owning namespace add rules freely', () => {
    const routes = [
      route('a/one', { hostnames: ['x.example'] }),
      route('a/two', { hostnames: ['x.example'], rules: { more: { matches: [prefix('/more')] } } }),
    ]
    const result = compiled(world({ routes }))
    assert.deepEqual(listing(result, 'x.example'), ['a/two more: PathPrefix /more', 'a/one main: PathPrefix /'])
  })

  test('an older wildcard of another namespace takes the names under it along', () => {
    const result = compiled(
      world({
        routes: [
          route('a/wild', { hostnames: ['*.example'] }, { created: 1 }),
          route('b/late', { hostnames: ['shop.example'] }, { created: 2 }),
        ],
      }),
    )
    assert.equal(listing(result, 'shop.example'), undefined, 'or the wildcard would not serve that name any more')
    assert.equal(conditionsOf(result, 'b/late').Accepted, 'False/HostnameNotAllowed')
  })

  test('a younger wildcard of another namespace does not', () => {
    const result = compiled(
      world({
        routes: [
          route('a/wild', { hostnames: ['*.example'] }, { created: 2 }),
          route('b/early', { hostnames: ['shop.example'] }, { created: 1 }),
        ],
      }),
    )
    assert.deepEqual(listing(result, 'shop.example'), ['b/early main: PathPrefix /'])
    assert.deepEqual(listing(result, '*.example'), ['a/wild main: PathPrefix /'])
  })

  test('an older wildcard covers wildcards under it too', () => {
    const routes = [
      route('a/wild', { hostnames: ['*.example'] }, { created: 1 }),
      route('b/late', { hostnames: ['*.shop.example'] }, { created: 2 }),
    ]
    assert.equal(conditionsOf(compiled(world({ routes })), 'b/late').Accepted, 'False/HostnameNotAllowed')
  })

  test('a Route with one hostname of another still serves its own', () => {
    const routes = [
      route('a/one', { hostnames: ['a.example'] }, { created: 1 }),
      route('b/two', { hostnames: ['a.example', 'b.example'] }, { created: 2 }),
    ]
    const result = compiled(world({ routes }))
    const { Accepted, PartiallyInvalid, Ready } = conditionsOf(result, 'b/two')
    assert.deepEqual(
      { Accepted, PartiallyInvalid, Ready },
      { Accepted: 'True/Accepted', PartiallyInvalid: 'True/HostnameNotAllowed', Ready: 'False/HostnameNotAllowed' },
    )
    assert.deepEqual(listing(result, 'b.example'), ['b/two main: PathPrefix /'])
  })

  test('Routes without hostnames share the catch-all, and own no hostname', () => {
    const routes = [
      route('a/one', { rules: { one: { matches: [prefix('/one')] } } }),
      route('b/two', { rules: { two: { matches: [prefix('/two')] } } }),
    ]
    const result = compiled(world({ routes }))
    assert.deepEqual(listing(result, '*'), ['a/one one: PathPrefix /one', 'b/two two: PathPrefix /two'])
  })

  test('hostnames are compared in lower case and without a trailing dot', () => {
    const result = compiled(world({ routes: [route('a/one', { hostnames: ['Shop.Example.', 'shop.example'] })] }))
    assert.deepEqual([...result.snapshot.hosts.keys()], ['shop.example'])
  })
})

suite('delegation', () => {
  const owner = (...delegates: ReturnType<typeof delegate>[]) =>
    route('a/owner', { hostnames: ['x.example'], delegates }, { created: 1 })

  const cases: [
    name: string,
    path: { type: 'Exact' | 'PathPrefix' | 'RegularExpression'; value: string },
    may: boolean,
  ][] = [
    ['the prefix itself', { type: 'PathPrefix', value: '/a' }, true],
    ['the prefix with a slash', { type: 'PathPrefix', value: '/a/' }, true],
    ['a segment below', { type: 'PathPrefix', value: '/a/b' }, true],
    ['an exact path below', { type: 'Exact', value: '/a/b' }, true],
    ['a name that only begins alike', { type: 'PathPrefix', value: '/ab' }, false],
    ['the root', { type: 'PathPrefix', value: '/' }, false],
    ['a path that leaves it by dots', { type: 'PathPrefix', value: '/a/../b' }, false],
    ['a path that is the prefix in another spelling', { type: 'Exact', value: '/%61/b' }, true],
    ['a regular expression, which is kept below', { type: 'RegularExpression', value: '/.*' }, true],
  ]
  for (const [name, path, may] of cases)
    test(`a delegate below /a ${may ? 'may' : 'may not'} match ${name}`, () => {
      const routes = [
        owner(delegate(['b'], '/a')),
        route('b/team', { hostnames: ['x.example'], rules: { r: { matches: [{ path }] } } }),
      ]
      const result = compiled(world({ routes }))
      const mine = result.snapshot.hosts.get('x.example')!
      const matches = mine.matches.filter((match) => match.rule.route === 'b/team')
      assert.equal(matches.length, may ? 1 : 0)
      assert.equal(conditionsOf(result, 'b/team').Accepted, may ? 'True/Accepted' : 'False/PathNotDelegated')
      if (path.type === 'RegularExpression') assert.deepEqual(matches[0]?.within, ['/a'])
      else if (may) assert.deepEqual(matches[0]?.within, [])
    })

  test('refused matches are reported with the prefix and the delegating Route', () => {
    const routes = [
      owner(delegate(['b'], '/a')),
      route('b/team', {
        hostnames: ['x.example'],
        rules: { in: { matches: [prefix('/a/in')] }, out: { matches: [prefix('/out')] } },
      }),
    ]
    const result = compiled(world({ routes }))
    assert.equal(conditionsOf(result, 'b/team').PartiallyInvalid, 'True/PathNotDelegated')
    const message = messageOf(result, 'b/team', 'PartiallyInvalid')
    assert.match(message, /rule out: PathPrefix \/out on x\.example is not below \/a/)
    assert.match(message, /Route a\/owner delegates to namespace b/)
  })

  test('several entries for one namespace add up, and the root opens all', () => {
    const team = route('b/team', {
      hostnames: ['x.example'],
      rules: { r: { matches: [prefix('/c'), { path: { type: 'RegularExpression', value: '/d.*' } }] } },
    })
    const two = compiled(world({ routes: [owner(delegate(['b'], '/a'), delegate(['b'], '/c')), team] }))
    assert.deepEqual(two.snapshot.hosts.get('x.example')?.matches[0]?.within, ['/a', '/c'])
    const all = compiled(world({ routes: [owner(delegate(['b'], '/')), team] }))
    assert.deepEqual(all.snapshot.hosts.get('x.example')?.matches[0]?.within, [])
  })

  test('only the oldest Route of the owner speaks for the hostname', () => {
    const routes = [
      route('a/first', { hostnames: ['x.example'] }, { created: 1 }),
      route('a/second', { hostnames: ['x.example'], delegates: [delegate(['b'], '/')] }, { created: 2 }),
      route('b/team', { hostnames: ['x.example'] }, { created: 3 }),
    ]
    assert.equal(conditionsOf(compiled(world({ routes })), 'b/team').Accepted, 'False/HostnameNotAllowed')
  })

  test('from: All lets every namespace in, from: Selector those with the labels', () => {
    const entry = (namespaces: object) => [{ namespaces, pathPrefixes: ['/'] }] as never
    const team = route(
      'b/team',
      { hostnames: ['x.example'], rules: { r: { matches: [prefix('/b')] } } },
      { created: 2 },
    )
    const lead = (namespaces: object) =>
      route('a/o', { hostnames: ['x.example'], delegates: entry(namespaces) }, { created: 1 })
    const selector = { matchLabels: { tier: 'web' }, matchExpressions: [{ key: 'frozen', operator: 'DoesNotExist' }] }
    const accepted = (namespaces: object, labels: Record<string, string>) =>
      conditionsOf(
        compiled(world({ routes: [lead(namespaces), team], namespaces: [namespace('b', labels)] })),
        'b/team',
      ).Accepted
    assert.equal(accepted({ from: 'All' }, {}), 'True/Accepted')
    assert.equal(accepted({ from: 'Selector', selector }, { tier: 'web' }), 'True/Accepted')
    assert.equal(accepted({ from: 'Selector', selector }, { tier: 'web', frozen: '' }), 'False/HostnameNotAllowed')
    assert.equal(accepted({ from: 'Selector', selector }, {}), 'False/HostnameNotAllowed')
  })

  test('a delegate under a wildcard adds to what the wildcard serves there, and takes nothing away', () => {
    const routes = [
      route(
        'a/wild',
        {
          hostnames: ['*.example'],
          delegates: [delegate(['b'], '/a')],
          rules: { all: {}, a: { matches: [prefix('/a')] } },
        },
        { created: 1 },
      ),
      route('b/team', { hostnames: ['x.example'], rules: { mine: { matches: [prefix('/a')] } } }, { created: 2 }),
    ]
    const result = compiled(world({ routes }))
    assert.deepEqual(listing(result, 'x.example'), [
      'b/team mine: PathPrefix /a',
      'a/wild a: PathPrefix /a',
      'a/wild all: PathPrefix /',
    ])
    assert.equal(conditionsOf(result, 'b/team').PartiallyInvalid, 'False/AllValid')
  })

  test('a name that its owner names too stands for itself', () => {
    const routes = [
      route('a/wild', { hostnames: ['*.example'] }, { created: 1 }),
      route('a/exact', { hostnames: ['x.example'], rules: { one: { matches: [prefix('/one')] } } }, { created: 2 }),
    ]
    assert.deepEqual(listing(compiled(world({ routes })), 'x.example'), ['a/exact one: PathPrefix /one'])
  })

  test('a Route without rules may own and delegate', () => {
    const routes = [
      route('a/o', { hostnames: ['x.example'], delegates: [delegate(['b'], '/')], rules: {} }, { created: 1 }),
      route('b/team', { hostnames: ['x.example'] }, { created: 2 }),
    ]
    const result = compiled(world({ routes }))
    assert.equal(conditionsOf(result, 'a/o').Accepted, 'True/Accepted')
    assert.deepEqual(listing(result, 'x.example'), ['b/team main: PathPrefix /'])
  })
})
