/** `Ready` follows what a Route or an Ingress needs to serve. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ConditionReason } from '../../src/api/condition.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { ResourceSet, Unreachable } from '../../src/compile/resource-set.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import {
  backend,
  compiled,
  conditionsOf,
  ingress,
  messageOf,
  route,
  service,
  slice,
  type World,
  world,
} from './world.ts'

const HTTP = [{ name: 'http', port: 80, protocol: 'TCP' as const }]
const API = service('a/api', HTTP)
const to = (name: string, port: number | string) => ({ service: { name, port } })
const whole = { weight: 1, priority: 0 }

/** The same need, by a Service named in the rule, by a Backend, by one of two Backends, and by an Ingress. */
function asking(name: string, port: number | string): Record<string, World> {
  const good = { name: 'good', ...whole, weight: 99 }
  const backends = [
    backend('a/good', { endpoints: [{ address: '192.0.2.1', port: 80, weight: 1 }] }),
    backend('a/own', to(name, port)),
  ]
  const byNumber = typeof port === 'number' ? { number: port } : { name: port }
  return {
    service: { routes: [route('a/one', { rules: { r: { backendRefs: [{ ...to(name, port), ...whole }] } } })] },
    backend: { backends, routes: [route('a/one', { rules: { r: { backendRefs: [{ name: 'own', ...whole }] } } })] },
    split: {
      backends,
      routes: [route('a/one', { rules: { r: { backendRefs: [good, { name: 'own', ...whole, weight: 1 }] } } })],
    },
    ingress: {
      ingresses: [
        ingress('a/one', {
          rules: ['x.example', 'y.example'].map((host) => ({
            host,
            http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name, port: byNumber } } }] },
          })),
        }),
      ],
    },
  }
}

function readyOf(resources: ResourceSet, memo?: CompileState): string {
  const kind = resources.ingresses.size > 0 ? 'Ingress' : 'Route'
  const result = compiled(resources, memo)
  const { Ready, ResolvedRefs } = conditionsOf(result, 'a/one', kind)
  return ResolvedRefs === 'True/ResolvedRefs'
    ? `${Ready}`
    : `${ResolvedRefs} ${messageOf(result, 'a/one', 'Ready', kind)}`
}

suite('Ready', () => {
  const cases: [what: string, name: string, port: number | string, more: World, ConditionReason, RegExp][] = [
    ['a Service that is missing', 'nope', 80, {}, 'ServiceNotFound', /there is no Service a\/nope/],
    [
      'a port that its Service has not',
      'api',
      81,
      { services: [API] },
      'PortNotFound',
      /no TCP port 81 \(it has 80 http\)/,
    ],
    ['the name of a port that it has not', 'api', 'web', { services: [API] }, 'PortNotFound', /no TCP port web/],
    [
      'a port that none of its pods has',
      'api',
      80,
      { services: [API], slices: [slice('a/1', 'api', { endpoints: [{ addresses: ['10.0.0.1'] }], ports: [] })] },
      'PortNotFound',
      /no pod of Service a\/api has its port 80 http \(its EndpointSlices list no port\)/,
    ],
    [
      'a port that slices have by another name',
      'api',
      80,
      {
        services: [API],
        slices: [
          slice('a/1', 'api', { endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 8080, protocol: 'TCP' }] }),
        ],
      },
      'PortNotFound',
      /list 8080 TCP\)/,
    ],
    [
      'a place that Strict does not let it reach',
      'out',
      80,
      {
        settings: { tenancy: 'Strict', hostnames: [{ namespaces: { from: 'All' }, names: ['*'] }] },
        services: [service('a/out', [], { type: 'ExternalName', externalName: 'db.example' })],
      },
      'AddressNotAllowed',
      /db\.example:80 may not be used/,
    ],
  ]
  for (const [what, name, port, more, reason, message] of cases)
    for (const [how, parts] of Object.entries(asking(name, port)))
      test(`is False with ${what}, by ${how}`, () => {
        const ready = readyOf(world({ ...parts, ...more }))
        assert.ok(ready.startsWith(`False/${reason} ResolvedRefs: rule`), ready)
        assert.match(ready, message)
        // Each finding once, whatever number of rules, hosts or derived Routes has it.
        assert.equal(ready.split(message.source.slice(0, 12).replaceAll('\\', '')).length, 2, ready)
      })

  for (const [how, parts] of Object.entries(asking('api', 'http')))
    test(`is not False because a Service has no pods just now, by ${how}`, () => {
      const some = [slice('a/1', 'api', { endpoints: [{ addresses: ['10.0.0.1'] }] })]
      const none = [slice('a/1', 'api', { endpoints: [] })]
      const memo = new CompileState()
      for (const slices of [some, none, [], some])
        assert.equal(readyOf(world({ ...parts, services: [API], slices }), memo), 'False/Pending')
    })

  const why: [Unreachable, string][] = [
    [{ reason: 'AddressNotAllowed', message: 'no endpoint may be used: 169.254.169.254' }, 'False/AddressNotAllowed'],
    [
      { reason: 'NameNotResolved', message: 'no endpoint is known: x.invalid cannot be resolved' },
      'False/NameNotResolved',
    ],
    [{ reason: 'Pending', message: 'no endpoint is known yet: x.invalid' }, 'Unknown/Pending'],
  ]
  for (const [unreachable, expected] of why)
    for (const [how, parts] of Object.entries(asking('api', 80)))
      test(`follows what is found out about addresses while it runs: ${expected}, by ${how}, and back`, () => {
        const id = how === 'service' || how === 'ingress' ? 'service:a/api:80' : 'a/own'
        const memo = new CompileState()
        const before = world({ ...parts, services: [API] })
        assert.equal(readyOf(before, memo), 'False/Pending')
        const troubled = { ...before, unreachable: FrozenMap.from([[id, unreachable]]) }
        const ready = readyOf(troubled, memo)
        assert.ok(ready.startsWith(`${expected} ResolvedRefs: rule`), ready)
        assert.ok(ready.includes(unreachable.message))
        assert.equal(readyOf(before, memo), 'False/Pending')
      })

  test('of a Route does not disclose faults of a Backend that it may not use', () => {
    const theirs = backend('b/own', to('nope', 80))
    const routes = [route('a/one', { rules: { r: { backendRefs: [{ name: 'own', namespace: 'b', ...whole }] } } })]
    const ready = readyOf(world({ routes, backends: [theirs] }))
    assert.match(ready, /^False\/BackendNotAllowed/)
    assert.doesNotMatch(ready, /nope/)
    const shared = backend('b/own', { ...to('nope', 80), allowedNamespaces: { from: 'All' } })
    assert.match(
      readyOf(world({ routes, backends: [shared] })),
      /^False\/ServiceNotFound .*rule r: Backend b\/own: there is no Service b\/nope/,
    )
  })

  test('comes when the Service comes, compiled on top of what was there', () => {
    for (const parts of Object.values(asking('api', 80))) {
      const memo = new CompileState()
      assert.match(readyOf(world(parts), memo), /ServiceNotFound/)
      assert.equal(readyOf(world({ ...parts, services: [API] }), memo), 'False/Pending')
      assert.match(readyOf(world(parts), memo), /ServiceNotFound/)
    }
  })

  test('names the rules that have the same finding together', () => {
    const backendRefs = [{ name: 'nobody', ...whole }]
    const rules = Object.fromEntries(['r1', 'r2', 'r3', 'r4', 'r5'].map((name) => [name, { backendRefs }]))
    const result = compiled(world({ routes: [route('a/one', { rules })] }))
    assert.equal(
      messageOf(result, 'a/one', 'ResolvedRefs'),
      'rules r1, r2, r3, r4 and 1 more: there is no Backend a/nobody; create it or correct the name.',
    )
  })
})
