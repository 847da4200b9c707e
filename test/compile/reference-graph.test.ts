import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Reference } from '../../src/api/references.ts'
import { ReferenceGraph } from '../../src/compile/reference-graph.ts'

const ref = (kind: string, name: string, more: Partial<Reference> = {}): Reference => ({
  path: [],
  kind,
  namespace: 'a',
  name,
  purpose: kind === 'ConfigMap' ? 'Policy' : 'Traffic',
  ...more,
})

const interest = (graph: ReferenceGraph) =>
  [...graph.interest].flatMap(([kind, keys]) => [...keys].map((key) => `${kind} ${key}`)).sort()

describe('the reference graph', () => {
  it('puts an implicit Backend between a Route and a Service', () => {
    const graph = new ReferenceGraph()
    const { gained } = graph.set('Route a/r', [ref('Service', 's', { port: 80 }), ref('Service', 's', { port: 81 })])
    assert.deepEqual([...graph.users('Service', 'a/s')], ['Backend service:a/s:80', 'Backend service:a/s:81'])
    assert.deepEqual([...graph.users('Backend', 'service:a/s:80')], ['Route a/r'])
    assert.deepEqual(gained.toSorted(), ['Backend service:a/s:80', 'Backend service:a/s:81', 'Service a/s'])
    const { lost } = graph.set('Route a/r', [ref('Service', 's', { port: 81 })])
    assert.deepEqual(lost, ['Backend service:a/s:80'])
    assert.deepEqual([...graph.targets('Backend')], ['service:a/s:81'])
    graph.set('Backend a/b', [ref('Service', 's', { purpose: 'Endpoints' })])
    graph.set('Route a/r', [])
    assert.deepEqual([...graph.users('Service', 'a/s')], ['Backend a/b'])
  })

  it('knows what has to be read: what the newest versions name, and what is served', () => {
    const graph = new ReferenceGraph()
    graph.set('Route a/r', [ref('ConfigMap', 'old'), ref('Backend', 'b')])
    graph.set('Route a/r', [ref('ConfigMap', 'new')], 'newest')
    assert.deepEqual(interest(graph), ['ConfigMap a/new', 'ConfigMap a/old'])
    assert.deepEqual([...(graph.takeInterest() ?? [])].sort(), ['ConfigMap a/new', 'ConfigMap a/old'])
    assert.equal(graph.takeInterest(), undefined)
    graph.set('Route a/r', [ref('ConfigMap', 'new')], 'newest')
    assert.equal(graph.interestChanged, false, 'nothing is different')
    graph.set('Route a/r', [ref('ConfigMap', 'new')])
    assert.deepEqual(interest(graph), ['ConfigMap a/new'])
    assert.deepEqual([...(graph.takeInterest() ?? [])], [], 'less is not more')
    assert.equal(graph.has('ConfigMap', 'a/old'), false)
  })

  it('knows what of an object is wanted, as long as anybody wants it', () => {
    const graph = new ReferenceGraph()
    const wants = () => [...graph.requirements('ConfigMap', 'a/c')].map(({ key }) => key)
    assert.deepEqual(graph.set('Route a/r', [ref('ConfigMap', 'c', { key: 'x' })]).requirementsChanged, [
      'ConfigMap a/c',
    ])
    assert.deepEqual(graph.set('Route a/s', [ref('ConfigMap', 'c', { key: 'x' })]).requirementsChanged, [])
    assert.deepEqual(graph.set('Route a/t', [ref('ConfigMap', 'c', { key: 'y' })]).gained, [])
    assert.deepEqual(wants(), ['x', 'y'])
    assert.deepEqual(graph.set('Route a/r', []).requirementsChanged, [])
    assert.deepEqual(graph.set('Route a/s', []).requirementsChanged, ['ConfigMap a/c'])
    assert.deepEqual(wants(), ['y'])
    // What only a broken version names is read, and not delivered.
    graph.set('Route a/u', [ref('ConfigMap', 'c', { key: 'z' })], 'newest')
    assert.deepEqual(wants(), ['y'])
  })

  it('agrees with a list of all references after any changes', () => {
    const one = fc.record({
      kind: fc.constantFrom('Service', 'ConfigMap', 'Backend'),
      name: fc.constantFrom('x', 'y', 'z'),
      port: fc.constantFrom(80, 81),
    })
    const step = fc.record({
      user: fc.constantFrom('Route a/r', 'Route a/s', 'Route a/t'),
      version: fc.constantFrom('newest' as const, 'served' as const),
      references: fc.array(one, { maxLength: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const graph = new ReferenceGraph()
        const all = new Map<string, Reference[]>()
        const targets = (version: string) =>
          [...all]
            .filter(([id]) => id.startsWith(version))
            .flatMap(([id, list]) => list.map((to) => [id.slice(7), to] as const))
        for (const { user, version, references } of steps) {
          const list = references.map(({ kind, name, port }) => ref(kind, name, kind === 'Service' ? { port } : {}))
          graph.set(user, list, version)
          all.set(`${version} ${user}`, list)
          const read = [...targets('newest'), ...targets('served')].filter(([, { kind }]) => kind !== 'Backend')
          assert.deepEqual(interest(graph), [...new Set(read.map(([, { kind, name }]) => `${kind} a/${name}`))].sort())
          for (const name of ['x', 'y', 'z']) {
            const users = targets('served').filter(([, to]) => to.kind === 'ConfigMap' && to.name === name)
            assert.deepEqual(
              [...graph.users('ConfigMap', `a/${name}`)].sort(),
              [...new Set(users.map(([id]) => id))].sort(),
            )
            assert.equal(
              graph.has('Backend', `service:a/${name}:80`),
              targets('served').some(([, to]) => to.name === name && to.port === 80),
            )
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})
