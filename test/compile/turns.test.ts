/**
 * Objects inside every limit of their schemas that once cost a compile seconds in one turn, or a gigabyte: what they
 * name is shared, never copied.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { ResourceSet } from '../../src/compile/resource-set.ts'
import { backend, compiled, ingress, namespace, route, service, slice, statusOf, type World, world } from './world.ts'

/** The longest turn took 1 to 7 seconds of CPU time before, and takes less than 30 ms now. */
const LONGEST_MS = 400

const many = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i))

/** CPU time of this thread by turn, so that other work on the machine counts little. */
function turnsOf(resources: ResourceSet, memo: CompileState): number[] {
  const steps = compile(resources, memo)
  const turns: number[] = []
  for (let done = false; !done; ) {
    const before = process.threadCpuUsage()
    done = steps.next().done === true
    const { user, system } = process.threadCpuUsage(before)
    turns.push((user + system) / 1_000)
  }
  return turns
}

/** A full garbage collection of the heap of such a test takes up to 400 ms, in whatever turn it falls. */
const ROUNDS = 4

/** Work is cut by units, so the turns are the same ones in each round: a turn that is long by itself is so in all. */
function assertShort(parts: World, edited: World, bound = LONGEST_MS): void {
  const best: number[][] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    const memo = new CompileState()
    for (const [i, resources] of [world(parts), world(edited)].entries()) {
      const turns = turnsOf(resources, memo)
      best[i] = turns.map((turn, at) => Math.min(turn, best[i]![at] ?? Number.POSITIVE_INFINITY))
    }
    if (best.flat().every((turn) => turn < bound)) return
  }
  assert.fail(`a turn of ${Math.round(Math.max(...best.flat()))} ms`)
}

suite('no turn of a compile is long', () => {
  const selector = (label: string) => ({ from: 'Selector' as const, selector: { matchLabels: { [label]: 'x' } } })
  const labels = (mark: string) => Object.fromEntries(many(20_000, (i) => [`l${i}${mark}`, 'x']))

  for (const tenancy of ['Shared', 'Strict'] as const)
    test(`for Namespaces with thousands of labels that thousands of delegates select by, ${tenancy}`, () => {
      const delegates = many(32, (i) => ({ namespaces: selector(`l${i}`), pathPrefixes: [`/${i}`] }))
      const settings = {
        tenancy,
        hostnames: many(32, (i) => ({ namespaces: selector(`l${i}`), names: [`*.${i}.test`, '*.test'] })),
      }
      const routes = many(20, (i) => [
        route(`a/r${i}`, { hostnames: [`h${i}.test`], delegates }),
        route(`b/r${i}`, { hostnames: [`h${i}.test`] }),
      ]).flat()
      const parts = { settings, routes }
      assertShort(
        { ...parts, namespaces: [namespace('a', labels('')), namespace('b', labels(''))] },
        { ...parts, namespaces: [namespace('a', labels('')), namespace('b', labels('y'))] },
      )
    })

  test('for Ingresses with thousands of hosts, each covered by the status', () => {
    const hosted = (i: number, mark = '') =>
      ingress(`a/i${i}`, {
        rules: many(2_048, (h) => ({ host: `h${h}-${i}.test` })),
        ...(mark && { ingressClassName: mark }),
      })
    const of = (count: number, mark?: string) => ({ ingresses: many(count, (i) => hosted(i, mark)) })
    assertShort(of(16), of(16, 'other'), 120)
  })

  for (const what of ['named', 'missed'])
    test(`for a Service with thousands of ports that many backends look for, ${what}`, () => {
      const ports = many(20_000, (i) => ({ name: `p${i}`, port: i + 1, protocol: 'TCP' as const }))
      const services = [service('a/api', ports)]
      const backends = many(1_500, (i) =>
        backend(`a/b${i}`, { service: { name: 'api', port: what === 'named' ? `p${18_000 + i}` : `q${i}` } }),
      )
      const slices = [
        slice('a/1', 'api', {
          endpoints: [{ addresses: ['10.0.0.1'] }],
          ports: [{ name: 'p', port: 1, protocol: 'TCP' }],
        }),
      ]
      assertShort(
        { services, backends, slices },
        { services: [service('a/api', ports.toReversed())], backends, slices },
      )
    })
})

suite('what backends have in common is there once', () => {
  const services = [service('a/api', [{ name: 'http', port: 80, protocol: 'TCP' }])]
  const pods = (last: string) => [
    slice('a/1', 'api', { endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: [last] }] }),
  ]
  const backends = many(3, (i) => backend(`a/b${i}`, { service: { name: 'api', port: i === 0 ? 80 : 'http' } }))
  const listsOf = ({ endpoints }: ReturnType<typeof compiled>) => backends.map(({ key }) => endpoints.get(key)!)

  for (const tenancy of ['Shared', 'Strict'] as const)
    test(`the endpoints of one port of a Service, also after they have changed, ${tenancy}`, () => {
      const memo = new CompileState()
      const externalTargets = [
        { namespaces: { from: 'All' as const }, hosts: ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8080'] },
      ]
      const settings = { tenancy, upstreams: { denyCIDRs: [], externalTargets } }
      for (const last of ['10.0.0.2', '10.0.0.3']) {
        const lists = listsOf(compiled(world({ settings, services, backends, slices: pods(last) }), memo))
        assert.deepEqual(
          lists[0]!.map(({ address }) => address),
          ['10.0.0.1', last],
        )
        for (const list of lists) assert.equal(list, lists[0])
      }
    })

  test('and of unnamed ports, which are equal in slices that list their number', () => {
    const ports = [80, 81, 82].map((port) => ({ port, protocol: 'TCP' as const }))
    const users = ports.map(({ port }) => backend(`a/b${port}`, { service: { name: 'api', port } }))
    const listsWith = (number: { port?: number }) => {
      const slices = [
        slice('a/1', 'api', { endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ protocol: 'TCP', ...number }] }),
      ]
      const { endpoints } = compiled(world({ services: [service('a/api', ports)], backends: users, slices }))
      return users.map(({ key }) => endpoints.get(key)!)
    }
    const numbered = listsWith({ port: 8080 })
    for (const list of numbered) assert.equal(list, numbered[0])
    assert.deepEqual(
      listsWith({}).map((list) => list[0]!.port),
      [80, 81, 82],
    )
  })

  test('but what a namespace may reach is asked anew when the settings are others', () => {
    const memo = new CompileState()
    const slices = pods('10.0.0.2')
    const shared = world({ services, backends, slices })
    assert.equal(listsOf(compiled(shared, memo))[0]!.length, 2)
    const hosts = ['10.0.0.2:8080']
    const settings = {
      tenancy: 'Strict' as const,
      upstreams: { denyCIDRs: [], externalTargets: [{ namespaces: { from: 'All' as const }, hosts }] },
    }
    const strict = { ...shared, settings: { ...shared.settings, ...settings } }
    assert.deepEqual(
      listsOf(compiled(strict, memo)).map((list) => list.map(({ address }) => address)),
      many(3, () => ['10.0.0.2']),
    )
    assert.equal(listsOf(compiled(shared, memo))[1]!.length, 2)
  })

  test('of thousands of ports a status lists some', () => {
    const ports = many(5_000, (i) => ({
      name: `p${i}`,
      port: i + 1,
      protocol: i === 0 ? ('UDP' as const) : ('TCP' as const),
    }))
    const outcome = compiled(
      world({
        services: [service('a/api', ports)],
        backends: [backend('a/b', { service: { name: 'api', port: 'none' } })],
      }),
    )
    const [condition] = statusOf(outcome, 'a/b', 'Backend').conditions.filter(({ type }) => type === 'ResolvedRefs')
    assert.match(condition!.message, /has no TCP port none \(it has 2 p1, 3 p2, .*17 p16 and others\)/)
  })
})
