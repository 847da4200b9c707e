import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBUILT } from '../../src/api/not-implemented.ts'
import { type FieldProblem, formatPath } from '../../src/api/object.ts'
import { validator } from './schemas.ts'

type Tree = Record<string, unknown>

/**
 * A value that asks for something, for every entry of the table; by its name without the place where policies stand.
 */
const SAMPLES: Tree = {
  'accessLog.fields': { agent: 'header:user-agent' },
  access: { allow: ['10.0.0.0/8'] },
  cors: { allowOrigins: ['*'] },
  'authorization[].cel': 'true',
  'authorization[].dryRun': true,
  compression: { algorithms: ['gzip'] },
  fault: { abort: { percent: 1, statusCode: 503 } },
  errors: [{ codes: ['404'], body: 'x' }],
  plugins: [{ name: 'a' }],
  'spec.maintenance.enabled': true,
  'spec.tls': {},
  'spec.protocol': 'GRPC',
  'spec.loadBalancing.zoneAware': true,
  tracing: { otlp: 'http://collector:4318' },
  'Settings plugins': [{ name: 'a', path: 'a.ts', namespaces: { from: 'All' } }],
}

const BASE: Readonly<Record<keyof typeof UNBUILT, () => Tree>> = {
  Route: () => ({
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'a', namespace: 'b' },
    spec: {
      hostnames: ['a.example'],
      delegates: [{ namespaces: { from: 'All' }, pathPrefixes: ['/'] }],
      rules: [{ name: 'a', backendRefs: [{ name: 'a' }] }],
    },
  }),
  Backend: () => ({
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Backend',
    metadata: { name: 'a', namespace: 'b' },
    spec: { service: { name: 'a', port: 80 } },
  }),
  Settings: () => ({ listeners: [{ name: 'http', port: 80 }] }),
}

/** Puts a value where `field` says, into the first entry of lists; makes objects on the way. */
function put(document: Tree, field: string, value: unknown): void {
  const steps = field.split('.').flatMap((step) => (step.endsWith('[]') ? [step.slice(0, -2), 0] : [step]))
  let at = document
  for (const [i, step] of steps.slice(0, -1).entries()) at = (at[step] ??= steps[i + 1] === 0 ? [] : {}) as Tree
  at[steps.at(-1)!] = value
}

function unbuiltIn(subject: keyof typeof UNBUILT, document: Tree): FieldProblem[] {
  const result = subject === 'Settings' ? validator.checkSettings(document) : validator.check(subject, document)
  return result.ok ? [] : result.problems.filter((problem) => problem.reason === 'NotImplemented')
}

function sampleOf(subject: string, field: string): unknown {
  const short = field.replace(/^(.*policies(\.(defaults|enforced))?)\.(auth\.(anyOf\[\]\.)?)?/, '')
  const sample = SAMPLES[`${subject} ${field}`] ?? SAMPLES[field] ?? SAMPLES[short]
  assert.notEqual(sample, undefined, `no sample for ${field}`)
  return sample
}

for (const [subject, entries] of Object.entries(UNBUILT) as [keyof typeof UNBUILT, (typeof UNBUILT)['Route']][])
  for (const { field, accepted = [] } of entries) {
    test(`${subject} ${field} is refused by name`, () => {
      const document = BASE[subject]()
      put(document, field, sampleOf(subject, field))
      const problems = unbuiltIn(subject, document)
      assert.deepEqual(
        problems.map(({ path }) => formatPath(path)),
        [field.replaceAll('[]', '[0]')],
      )
      assert.ok(problems[0]!.message.startsWith(`${field.split('.').at(-1)} `))
    })
    for (const value of accepted)
      test(`${subject} ${field} may say ${JSON.stringify(value)}`, () => {
        const document = BASE[subject]()
        put(document, field, value)
        assert.deepEqual(unbuiltIn(subject, document), [])
      })
  }

for (const [subject, base] of Object.entries(BASE) as [keyof typeof UNBUILT, () => Tree][])
  test(`a ${subject} that says nothing special asks for nothing that is not built`, () => {
    const result = subject === 'Settings' ? validator.checkSettings(base()) : validator.check(subject, base())
    assert.equal(result.ok, true)
  })
