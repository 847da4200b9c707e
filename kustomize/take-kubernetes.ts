/**
 * Writes kustomize/source/kubernetes.json: what kustomize itself knows of the kinds of Kubernetes, as far as it tells how lists are
 * merged. A schema of one's own takes the place of kustomize's whole one, so ours must hold it too; else a patch of a
 * Deployment would replace its containers as soon as ours is in use.
 *
 *     node kustomize/take-kubernetes.ts BUNDLE
 *
 * BUNDLE is kubernetes-openapi-union-*.json.gz of the Go module sigs.k8s.io/kustomize/kyaml (Apache-2.0), which the build of
 * the programs of the cluster tests leaves in the module cache.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type Definition, type Definitions, SOURCE, text } from './generate.ts'

interface Bundle {
  readonly coverage: { readonly ceiling: string }
  readonly definitions: Definitions
  readonly resources: readonly { readonly definition?: string }[]
}

const KEPT = [
  'type',
  'x-kubernetes-patch-strategy',
  'x-kubernetes-patch-merge-key',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-group-version-kind',
] as const

const REF = '#/definitions/'

export function trim({ definitions, resources }: Bundle): Definitions {
  const known = new Map<string, boolean>()
  const leadsToStrategy = (schema: Definition): boolean => {
    if (schema['x-kubernetes-patch-strategy'] !== undefined) return true
    if (schema.$ref === undefined) return Object.values(schema.properties ?? {}).some(leadsToStrategy)
    const name = schema.$ref.slice(REF.length)
    if (!known.has(name)) {
      // Some kinds hold themselves.
      known.set(name, false)
      known.set(name, leadsToStrategy(definitions[name]!))
    }
    return known.get(name)!
  }
  const taken: Record<string, Definition> = {}
  const take = (name: string): void => {
    if (taken[name] !== undefined) return
    taken[name] = {}
    taken[name] = short(definitions[name]!)
  }
  const short = (schema: Definition): Definition => {
    if (schema.$ref !== undefined) {
      take(schema.$ref.slice(REF.length))
      return { $ref: schema.$ref }
    }
    const properties = Object.entries(schema.properties ?? {}).filter(([, field]) => leadsToStrategy(field))
    return {
      ...Object.fromEntries(KEPT.flatMap((key) => (schema[key] === undefined ? [] : [[key, schema[key]]]))),
      ...(properties.length === 0
        ? {}
        : { properties: Object.fromEntries(properties.map(([name, field]) => [name, short(field)])) }),
      ...(schema.items === undefined || !leadsToStrategy(schema) ? {} : { items: short(schema.items) }),
    }
  }
  for (const { definition } of resources)
    if (definition !== undefined && leadsToStrategy(definitions[definition]!)) take(definition)
  return taken
}

if (import.meta.main) {
  const file = process.argv[2]
  if (file === undefined) throw new Error('say where the bundle is')
  const definitions = trim(JSON.parse(gunzipSync(readFileSync(file)).toString()))
  writeFileSync(SOURCE, text({ 'x-from': basename(file), definitions }))
}
