/**
 * A policy of the test's own adds itself in three places: its fields in the schema, its row (which stands for its
 * folder), and the line that lists the row. From there on it is validated, merged, planned, sent, composed, run and
 * explained, and no other file knows it by name.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { extractorOfRoutes } from '../../src/api/references.ts'
import { createValidator } from '../../src/api/validate.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { builtInFilters, POLICIES } from '../../src/policy/built-in.ts'
import { composeChain, runResponse } from '../../src/policy/chain.ts'
import { contentId } from '../../src/policy/contents.ts'
import type { PolicyDefinition } from '../../src/policy/definition.ts'
import { explainChain } from '../../src/policy/explain-chain.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { documents } from '../api/schemas.ts'
import { compiled, prefix, type Rules, route, world } from '../compile/world.ts'
import { PLAIN, pairs, TestExchange, testDeps } from './exchange.ts'

// ---- the first place: its fields in the schema ----

const SCHEMA = {
  type: 'object',
  properties: { text: { type: 'string', maxLength: 20 }, from: { type: 'string', maxLength: 20 } },
}

/** As schemas/generate.ts does it: wherever policies stand. */
function withStamp<T>(document: T): T {
  const copy = structuredClone(document)
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as { properties?: Record<string, unknown> }
    if (properties !== undefined && Object.hasOwn(properties, 'pathEncoding')) properties.stamp = SCHEMA
    for (const child of Object.values(node)) visit(child)
  }
  visit(copy)
  return copy
}

// ---- the second: its folder ----

interface Stamp {
  readonly text?: string
  /** Name of a ConfigMap, of which `stamp` is the text. */
  readonly from?: string
}

const stamp: PolicyDefinition<Stamp, { readonly text: string; readonly content?: string }> = {
  key: 'stamp',
  phase: 'response-headers',
  byField: true,
  check: ({ text }, place) =>
    text === place ? [{ path: ['text'], message: 'cannot be the name of the place where it stands' }] : [],
  references: {
    kinds: ['ConfigMap'],
    *find(value) {
      const { from } = (value ?? {}) as Stamp
      if (typeof from === 'string') yield { path: ['from'], kind: 'ConfigMap', name: from, key: 'stamp' }
    },
  },
  plan({ text, from }, namespace) {
    if (text === undefined) return undefined
    if (from === undefined || namespace === undefined) return { text }
    return { text, content: contentId({ kind: 'ConfigMap', namespace, name: from, key: 'stamp' }) }
  },
  create: ({ text, content }, { contents }) => ({
    name: 'stamp',
    onResponse(_x, head) {
      const bytes = content === undefined ? undefined : contents.get(content)
      head.fields.set('x-stamp', bytes === undefined ? text : Buffer.from(bytes).toString())
      return undefined
    },
    explain: () => ({ filter: 'stamp', effect: `stamps responses with ${text}` }),
  }),
}

// ---- the third: a line in the registry ----

const ROWS: readonly PolicyDefinition[] = [...POLICIES, stamp]

const validator = createValidator(
  {
    route: withStamp(documents.route),
    backend: documents.backend,
    settings: withStamp(documents.settings),
  },
  ROWS,
)

function verdict(policies: object) {
  return validator.check('Route', {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'a', namespace: 'shop' },
    spec: { rules: [{ name: 'a', respond: {}, policies }] },
  })
}

const stated = (value: Stamp) => ({ stamp: value }) as Policies

function policySets(
  routes: Record<string, { policies?: Stamp; rules: Record<string, Stamp | undefined> }>,
): Map<string, PolicySet> {
  const resources = world({
    routes: Object.entries(routes).map(([key, { policies, rules }]) =>
      route(key, {
        hostnames: [`${key.replace('/', '.')}.test`],
        ...(policies === undefined ? {} : { policies: stated(policies) }),
        rules: Object.fromEntries(
          Object.entries(rules).map(([name, value]) => [
            name,
            { matches: [prefix(`/${name}`)], ...(value === undefined ? {} : { policies: stated(value) }) },
          ]),
        ) satisfies Rules,
      }),
    ),
  })
  const { snapshot } = compiled(resources, new CompileState(() => {}, ROWS))
  const sets = new Map<string, PolicySet>()
  for (const key of Object.keys(routes))
    for (const rule of snapshot.hosts.get(`${key.replace('/', '.')}.test`)!.common!.rules)
      sets.set(`${key} ${rule.rule}`, structuredClone(snapshot.policies.get(rule.policy)!))
  return sets
}

async function stampOf(policy: PolicySet, services = testDeps()): Promise<string | undefined> {
  const chain = composeChain(policy, services, builtInFilters(ROWS))
  if (chain === null) return undefined
  const head = { status: 200, fields: new TestExchange().request, bodyLength: 0 }
  await runResponse(chain, new TestExchange({ policy }), head, chain.length)
  return new Map(pairs(head.fields)).get('x-stamp')
}

describe('a policy that adds itself in three places', () => {
  it('is accepted and refused by its schema and by its own check', () => {
    assert.ok(verdict({ stamp: { text: 'ok' } }).ok)
    for (const [value, path, reason] of [
      [{ text: 'x'.repeat(21) }, 'text', 'TooLong'],
      [{ text: 'Route' }, 'text', 'Invalid'],
      [{ colour: 'red' }, 'colour', 'Unknown'],
    ] as const) {
      const result = verdict({ stamp: value })
      assert.ok(!result.ok)
      assert.deepEqual(result.problems[0]!.path, ['spec', 'rules', 0, 'policies', 'stamp', path])
      assert.equal(result.problems[0]!.reason, reason)
    }
    const settings = validator.checkSettings({
      listeners: [{ name: 'http', port: 80 }],
      policies: { defaults: { stamp: { text: 'Settings' } } },
    })
    assert.ok(!settings.ok)
    assert.deepEqual(settings.problems[0]!.path, ['policies', 'defaults', 'stamp', 'text'])
  })

  it('is refused when its row is not listed, even if the schema permits it', () => {
    const result = createValidator({ ...documents, route: withStamp(documents.route) }).check('Route', {
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Route',
      metadata: { name: 'a', namespace: 'shop' },
      spec: { rules: [{ name: 'a', respond: {}, policies: { stamp: { text: 'ok' } } }] },
    })
    assert.ok(!result.ok)
    assert.deepEqual(result.problems[0]!.path, ['spec', 'rules', 0, 'policies', 'stamp'])
    assert.equal(result.problems[0]!.reason, 'NotImplemented')
  })

  it('is merged, planned and sent, and its filter runs', async () => {
    const sets = policySets({
      'shop/a': {
        policies: { text: 'outer', from: 'texts' },
        rules: { inherits: undefined, own: { text: 'inner' }, empty: { from: 'other' } },
      },
      'shop/plain': { rules: { none: undefined } },
    })
    assert.equal(await stampOf(sets.get('shop/a inherits')!), 'outer')
    assert.equal(await stampOf(sets.get('shop/a own')!), 'inner')
    assert.deepEqual(sets.get('shop/a empty')!.policies, {
      stamp: { text: 'outer', content: 'ConfigMap shop/other stamp' },
    })
    assert.equal(sets.get('shop/plain none')!.policies, undefined)
    assert.equal(await stampOf(sets.get('shop/plain none')!), undefined)
  })

  it('means another object in another namespace, and the same policy set where it names none', () => {
    const sets = policySets({
      'one/a': { rules: { named: { text: 'x', from: 'texts' }, plain: { text: 'x' } } },
      'two/a': { rules: { named: { text: 'x', from: 'texts' }, plain: { text: 'x' } } },
    })
    assert.notEqual(sets.get('one/a named')!.digest, sets.get('two/a named')!.digest)
    assert.equal(sets.get('one/a plain')!.digest, sets.get('two/a plain')!.digest)
  })

  it('lets the graph of references know what it needs, and the chart which rights', () => {
    const object = {
      spec: { policies: { stamp: { from: 'outer' } }, rules: [{ policies: { stamp: { from: 'inner' } } }] },
    }
    const { names, find } = extractorOfRoutes(ROWS)
    assert.ok(names.includes('ConfigMap'))
    assert.deepEqual(
      [...find(object, 'shop')].map(({ path, kind, namespace, name, key }) => [
        path.join('.'),
        kind,
        namespace,
        name,
        key,
      ]),
      [
        ['spec.policies.stamp.from', 'ConfigMap', 'shop', 'outer', 'stamp'],
        ['spec.rules.0.policies.stamp.from', 'ConfigMap', 'shop', 'inner', 'stamp'],
      ],
    )
  })

  it('sees what it refers to as it is now', async () => {
    const services = testDeps()
    const policy = { ...PLAIN, policies: { stamp: { text: 'x', content: 'ConfigMap one/texts stamp' } } }
    assert.equal(await stampOf(policy, services), 'x')
    services.contentsById.set('ConfigMap one/texts stamp', Buffer.from('y'))
    assert.equal(await stampOf(policy, services), 'y')
  })

  it('is explained', () => {
    const policy = { ...PLAIN, policies: { stamp: { text: 'x' } } }
    const effects = explainChain(policy, testDeps(), new TestExchange({ policy }), builtInFilters(ROWS))
    assert.ok(effects.some(({ effect }) => effect === 'stamps responses with x'))
  })
})
