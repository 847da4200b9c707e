/**
 * What a compile costs: whole, its longest turn, and after one change. `node bench/compile.ts [routes …]`, 10,000 and
 * 100,000 by default. Three shapes: a host for each Route, all Routes on one host, and 50 tenants whose names are
 * covered by wildcards.
 */
import { performance } from 'node:perf_hooks'
import type { Backend } from '../src/api/backend.ts'
import { BACKEND_DEFAULTS } from '../src/api/defaults.ts'
import type { Route } from '../src/api/route.ts'
import type { SettingsObject } from '../src/api/settings.ts'
import { compile } from '../src/compile/compile.ts'
import { CompileState } from '../src/compile/compile-state.ts'
import { emptyResourceSet, type ResourceSet, type ServedResource } from '../src/compile/resource-set.ts'
import { FrozenMap } from '../src/snapshot/frozen-map.ts'

const SETTINGS: SettingsObject = {
  ingressClass: { name: 'headgate', default: true },
  listeners: [{ name: 'http', port: 8080 }],
  admin: { address: '127.0.0.1:9901' },
  signals: { address: ':9902' },
  peers: { address: ':9903' },
  tenancy: 'Shared',
  hostnameHold: '1h',
  upstreams: { denyCIDRs: [] },
  limits: { head: '64Ki', headers: 100, uri: '16Ki', connections: 0, passes: 8, memory: 0, namespaceCost: 2_000_000 },
  accessLog: { format: 'json', fields: {}, sample: 100 },
  cache: { memory: 0, files: '1Gi', collapseTimeout: '5s', debugCIDRs: [] },
  watchNamespaces: [],
}

const BACKENDS = 500

type Shape = (i: number) => readonly string[] | undefined

const SHAPES: Readonly<Record<string, Shape>> = {
  'a host each': (i) => [`host-${i}.example.com`],
  'one host': () => ['shop.example.com'],
  'under wildcards': (i) => [`host-${i}.tenant-${i % 50}.example.com`, `*.tenant-${i % 50}.example.com`],
}

function route(i: number, shape: Shape, text: string): ServedResource<Route> {
  const key = `ns/route-${i}`
  const hostnames = shape(i)
  const object: Route = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: `route-${i}`, namespace: 'ns' },
    spec: {
      ...(hostnames === undefined ? {} : { hostnames }),
      rules: [
        {
          name: 'main',
          matches: [{ path: { type: 'PathPrefix', value: `/${text}/${i}` } }],
          backendRefs: [{ name: `backend-${i % BACKENDS}`, weight: 1, priority: 0 }],
          policies: { requestHeaders: { set: [{ name: 'x-tenant', value: String(i % 100) }] } },
        },
        {
          name: 'exact',
          matches: [{ path: { type: 'Exact', value: `/${text}/${i}/exact` }, method: 'GET' }],
          backendRefs: [{ name: `backend-${(i + 1) % BACKENDS}`, weight: 1, priority: 0 }],
        },
      ],
    },
  }
  return { key, object, created: i }
}

function backend(i: number): ServedResource<Backend> {
  const key = `ns/backend-${i}`
  const metadata = { name: `backend-${i}`, namespace: 'ns' }
  const endpoints = [{ address: `10.0.${i >> 8}.${i & 255}`, port: 8080, weight: 1 }]
  const spec = { ...BACKEND_DEFAULTS, endpoints }
  return { key, object: { apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend', metadata, spec }, created: i }
}

const RUNS = 3

/**
 * Turns are cut by work, so the same compile has the same turns: the least of some runs is what a turn costs by itself.
 */
interface Turns {
  readonly least: number[]
  /** As seen: with garbage collection, and with whatever else the machine did. */
  worst: number
  cpu: number
}

function run(resources: ResourceSet, memo: CompileState, turns: Turns): void {
  const passes = compile(resources, memo)
  const before = process.threadCpuUsage()
  for (let i = 0; ; i++) {
    const start = performance.now()
    const done = passes.next().done
    const took = performance.now() - start
    turns.least[i] = Math.min(turns.least[i] ?? took, took)
    turns.worst = Math.max(turns.worst, took)
    if (done === true) break
  }
  const { user, system } = process.threadCpuUsage(before)
  turns.cpu += (user + system) / 1_000 / RUNS
}

function figures({ least, worst, cpu }: Turns): string {
  const sorted = least.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2)
  const seen = `longest ${at(1)}, as seen ${worst.toFixed(1)} ms`
  return `${cpu.toFixed(1).padStart(8)} ms CPU in ${String(least.length).padStart(5)} turns: p50 ${at(0.5)}, p99 ${at(0.99)}, ${seen}\n`
}

function measure(count: number, name: string, shape: Shape): void {
  const backends = FrozenMap.from(Array.from({ length: BACKENDS }, (_, i) => [`ns/backend-${i}`, backend(i)] as const))
  const routes = FrozenMap.from(
    Array.from({ length: count }, (_, i) => [`ns/route-${i}`, route(i, shape, 'a')] as const),
  )
  const resources = { ...emptyResourceSet(SETTINGS), routes, backends }
  const whole: Turns = { least: [], worst: 0, cpu: 0 }
  const change: Turns = { least: [], worst: 0, cpu: 0 }
  let memo = new CompileState()
  for (let i = 0; i < RUNS; i++) run(resources, (memo = new CompileState()), whole)
  const builder = routes.edit()
  for (let i = 0; i < RUNS; i++) {
    builder.set('ns/route-7', route(7, shape, `b${i}`))
    run({ ...resources, routes: builder.freeze() }, memo, change)
  }
  process.stdout.write(`${count} routes, ${name}\n  whole       ${figures(whole)}  one change  ${figures(change)}`)
}

const counts = process.argv.slice(2).map(Number)
for (const count of counts.length > 0 ? counts : [10_000, 100_000])
  for (const [name, shape] of Object.entries(SHAPES)) measure(count, name, shape)
