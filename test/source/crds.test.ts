import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { readSchemas } from '../../src/source/crds.ts'

/** Without the texts for people, as a program sees it. */
function withoutDescriptions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDescriptions)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([key, child]) => key !== 'description' || typeof child !== 'string')
  return Object.fromEntries(entries.map(([key, child]) => [key, withoutDescriptions(child)]))
}

describe('the schemas of the package', () => {
  for (const [name, file] of [
    ['route', 'crds/headgate.dev_routes.yaml'],
    ['backend', 'crds/headgate.dev_backends.yaml'],
    ['settings', 'schemas/settings.yaml'],
  ] as const)
    it(`equal those of ${file}`, () => {
      const yaml: unknown = parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'))
      assert.deepEqual(readSchemas()[name], withoutDescriptions(yaml))
    })
})
