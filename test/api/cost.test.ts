/** What an object may cost: the same in a folder, in a cluster, and where an API server can count it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Environment } from '@marcbachmann/cel-js'
import fc from 'fast-check'
import { costProblems, MAX_OBJECT_COST, objectCost } from '../../src/api/cost.ts'
import type { Schema } from '../../src/api/schema-dialect.ts'
import { createValidator } from '../../src/api/validate.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { HOSTILE, hosts, rules, values } from '../attack/costly.ts'

const validator = createValidator(readSchemas())

function route(spec: object): unknown {
  return { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name: 'costly' }, spec }
}

/** CPU time of this thread, so that what else the machine does is not counted. */
function cpuMs(work: () => void): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

describe('an object that costs too much', () => {
  for (const [what, spec, named] of HOSTILE)
    it(`is refused by name, and to find that out costs next to nothing: ${what}`, () => {
      const raw = route(spec())
      let verdict: ReturnType<typeof validator.check> | undefined
      const took = cpuMs(() => {
        verdict = validator.check('Route', raw)
      })
      assert.ok(verdict !== undefined && !verdict.ok)
      assert.deepEqual(
        verdict.problems.map(({ path, reason }) => [path, reason]),
        [[['spec'], 'TooCostly']],
      )
      assert.match(verdict.problems[0]!.message, /^costs \d+ units, and one object may cost 300000: most of it is /)
      assert.match(verdict.problems[0]!.message, named)
      assert.ok(took < 150, `${Math.round(took)} ms`)
    })
  it('is refused when it is an Ingress, too', () => {
    const paths = Array.from({ length: 24_000 }, (_, i) => ({ path: `/${i}`, pathType: 'Exact', backend: {} }))
    const verdict = validator.check('Ingress', { spec: { rules: [{ host: 'a.test', http: { paths } }] } })
    assert.equal(!verdict.ok && verdict.problems[0]!.reason, 'TooCostly')
  })
})

describe('policies of a Route', () => {
  const value = 'v'.repeat(500)
  const policies = { requestHeaders: { set: Array.from({ length: 16 }, (_, i) => ({ name: `x-${i}`, value })) } }
  const own = (count: number) =>
    Array.from({ length: 64 }, (_, i) => (i < count ? { respond: { statusCode: 200 } } : {}))
  const units = (spec: object) => objectCost('Route', route(spec)).units

  it('cost their text for each rule that has something of its own, and once for all others', () => {
    const once = units({ rules: own(0), policies }) - units({ rules: own(0) })
    assert.ok(once >= (16 * 500) / 16 && once < (16 * 560) / 16, `${once} units`)
    assert.equal(units({ rules: own(10), policies }) - units({ rules: own(10) }), 11 * once)
    for (const one of [{ policies: {} }, { redirect: {} }, { tokenIssuer: {} }])
      assert.equal(units({ rules: [one], policies }) - units({ rules: [one] }), 2 * once)
  })
  it('cost what their expressions take to compile, those with patterns more', () => {
    const cel = (source: string) => ({ authorization: [{ name: 'a', cel: source }] })
    const plain = units({ rules: [{ policies: cel('a'.repeat(1_000)) }] })
    const base = units({ rules: [{ policies: { authorization: [{ name: 'a', x: 'a'.repeat(1_000) }] } }] })
    assert.ok(plain - base >= 990 && plain - base <= 1_010, `${plain - base}`)
    assert.ok(units({ rules: [{ policies: cel("a.matches('b')") }] }) > 3_000)
    const inherited = { rules: own(10), policies: cel("a.matches('b')") }
    assert.ok(units(inherited) > 11 * 3_000)
    const rules64 = Array.from({ length: 64 }, () => ({
      policies: { authorization: Array.from({ length: 16 }, () => ({ name: 'a', cel: "x.matches('y')" })) },
    }))
    assert.match(
      costProblems('Route', route({ rules: rules64 }))[0]!.message,
      /most of it is expressions of authorization/,
    )
  })

  it('are named when they are most of what is too much', () => {
    const large = { requestHeaders: { set: Array.from({ length: 200 }, (_, i) => ({ name: `x-${i}`, value })) } }
    const [problem] = costProblems('Route', route({ rules: own(64), policies: large }))
    assert.match(problem!.message, /most of it is policies of the Route, for each of 65 rules/)
  })
})

describe('a Route that names listeners', () => {
  const units = (spec: object) => objectCost('Route', route(spec)).units
  const listeners = (count: number) => Array.from({ length: count }, (_, i) => `l${i}`)
  const large = { hostnames: hosts(16), rules: rules(64, 16, (r, m) => ({ path: { value: `/${r}/${m}` } })) }

  it('costs its matches and rules once for each of them, since each may have to store them', () => {
    assert.equal(units({ ...large, listeners: listeners(1) }), units(large))
    assert.equal(units({ ...large, listeners: listeners(4) }), 4 * units(large))
  })
  it('is reported when it is too high', () => {
    const [problem] = costProblems('Route', route({ ...large, listeners: listeners(16) }))
    assert.match(problem!.message, /on each of 16 hostnames, for each of 16 listeners/)
  })
})

describe('an object as large as people write them', () => {
  const GOOD: readonly [what: string, spec: object][] = [
    [
      '64 rules with 16 plain matches each on 64 hostnames',
      { hostnames: hosts(64), rules: rules(64, 16, (r, m) => ({ path: { value: `/${r}/${m}` } })) },
    ],
    [
      'a thousand expressions of paths',
      { rules: rules(64, 16, (r, m) => ({ path: { type: 'RegularExpression', value: `/api/v[0-9]+/${r}/${m}` } })) },
    ],
    [
      'every condition on one hostname',
      {
        rules: rules(64, 16, (r, m) => ({
          path: { value: `/${r}/${m}` },
          headers: values(8, () => undefined),
          cookies: values(8, () => undefined),
        })),
      },
    ],
  ]
  for (const [what, spec] of GOOD)
    it(`is accepted: ${what}`, () => {
      const verdict = validator.check('Route', route(spec))
      assert.deepEqual(verdict.ok ? [] : verdict.problems, [])
    })
  it('is checked in steps, none of which is long, and the verdict is the same', () => {
    const raw = route(GOOD[2]![1])
    const whole = validator.check('Route', raw)
    const steps = validator.steps('Route', raw)
    let count = 0
    let longest = 0
    for (let done = false; !done; count++) {
      longest = Math.max(
        longest,
        cpuMs(() => {
          const step = steps.next()
          done = step.done === true
          if (step.done === true) assert.deepEqual(step.value, whole)
        }),
      )
      if (!done) assert.ok(longest < 100, `${longest} ms in step ${count}`)
    }
    assert.ok(count > 1000, `${count} steps`)
  })
})

describe('the cost of an object', () => {
  it('is what the schema has an API server count, as far as that can be counted there', () => {
    const crd = readSchemas().route as { spec: { versions: [{ schema: { openAPIV3Schema: Schema } }] } }
    const { spec } = crd.spec.versions[0].schema.openAPIV3Schema.properties!
    const rules = spec!['x-kubernetes-validations']!.filter(({ rule }) => rule.includes('.sum()'))
    assert.equal(rules.length, 2)
    const environment = new Environment()
      .registerVariable('self', 'dyn')
      .registerFunction('list.sum(): int', (list: bigint[]) => list.reduce((sum, one) => sum + one, 0n))
    const [patterns, units] = rules.map(({ rule }) => environment.parse(rule.replace(/ <= [0-9]+$/, '')))
    const condition = fc.record({
      name: fc.string({ maxLength: 40, unit: 'grapheme-ascii' }),
      type: fc.constantFrom('Exact', 'RegularExpression', 'Present'),
      value: fc.string({ maxLength: 40, unit: 'grapheme-ascii' }),
    })
    const match = fc.record(
      {
        path: fc.record({
          type: fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression'),
          value: fc.string({ maxLength: 80, unit: 'grapheme-ascii' }),
        }),
        headers: fc.array(condition, { maxLength: 3 }),
        queryParams: fc.array(condition, { maxLength: 2 }),
        cookies: fc.array(condition, { maxLength: 2 }),
        sourceCIDRs: fc.array(fc.constant('10.0.0.0/8'), { maxLength: 3 }),
      },
      { requiredKeys: ['path'] },
    )
    const route = fc.record(
      {
        hostnames: fc.array(fc.constant('a.test'), { minLength: 1, maxLength: 5 }),
        rules: fc.array(fc.record({ matches: fc.array(match, { minLength: 1, maxLength: 4 }) }), { maxLength: 4 }),
      },
      { requiredKeys: ['rules'] },
    )
    fc.assert(
      fc.property(route, (self) => {
        const cost = objectCost('Route', { spec: self })
        assert.equal(Number(patterns!({ self: self })), cost.patterns)
        const literal = JSON.parse(JSON.stringify(self).replaceAll('"RegularExpression"', '"Exact"'))
        const { units: all } = objectCost('Route', { spec: literal })
        assert.equal(Number(units!({ self: literal })), all - 8 * self.rules.length)
      }),
    )
  })
  it('is a number for whatever is called an object', () => {
    const anything = fc.object({
      key: fc.constantFrom(
        'spec',
        'rules',
        'matches',
        'path',
        'type',
        'value',
        'headers',
        'hostnames',
        'delegates',
        'pathPrefixes',
        'http',
        'paths',
      ),
      maxDepth: 7,
      values: [
        fc.string(),
        fc.integer(),
        fc.constant(null),
        fc.constant('RegularExpression'),
        fc.constant([]),
        fc.constant({}),
      ],
    })
    fc.assert(
      fc.property(anything, fc.constantFrom('Route', 'Ingress', 'Backend'), (object, kind) => {
        const { units } = objectCost(kind as 'Route', object)
        assert.ok(Number.isSafeInteger(units) && units >= 0)
        assert.deepEqual(costProblems(kind as 'Route', object).length, units > MAX_OBJECT_COST ? 1 : 0)
      }),
      { numRuns: 2000 },
    )
  })
  it('counts an expression once, however often it stands there', () => {
    const same = objectCost('Route', {
      spec: { rules: rules(64, 16, () => ({ headers: values(8, () => '.*a.{380}b') })) },
    })
    assert.ok(same.units < MAX_OBJECT_COST)
  })
  it('never falls when something is added', () => {
    const base = { hostnames: hosts(3), rules: rules(3, 3, (r, m) => ({ path: { value: `/${r}/${m}` } })) }
    const before = objectCost('Route', { spec: base }).units
    for (const more of [
      { ...base, hostnames: hosts(4) },
      { ...base, rules: rules(4, 3, (r, m) => ({ path: { value: `/${r}/${m}` } })) },
      { ...base, rules: rules(3, 4, (r, m) => ({ path: { value: `/${r}/${m}` } })) },
      { ...base, rules: rules(3, 3, () => ({ cookies: values(1, () => undefined) })) },
      { ...base, rules: rules(3, 3, () => ({ sourceCIDRs: ['10.0.0.0/8'] })) },
      { ...base, rules: rules(3, 3, () => ({ path: { type: 'RegularExpression', value: '/a' } })) },
      { ...base, delegates: [{ namespaces: { from: 'All' }, pathPrefixes: ['/a'] }] },
    ])
      assert.ok(objectCost('Route', { spec: more }).units > before, JSON.stringify(more).slice(0, 80))
  })
})
