import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createValidator } from '../../../src/api/validate.ts'
import { compile } from '../../../src/compile/compile.ts'
import { CompileState } from '../../../src/compile/compile-state.ts'
import { MemoryAdmission } from '../../../src/control/resources/memory-admission.ts'
import { ResourceCache } from '../../../src/control/resources/resource-cache.ts'
import { runSteps } from '../../../src/lib/steps.ts'
import { Packer } from '../../../src/snapshot/pack.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import { ObjectTable } from '../../../src/source/folder/object-table.ts'
import { parseFile } from '../../../src/source/folder/parse-file.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const validator = createValidator(readSchemas())
const checked = validator.checkSettings({})
assert.ok(checked.ok)
const SETTINGS = checked.object

const many = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i))
const metadata = (i: number) => ({ name: `r${i}`, namespace: `n${i % 7}` })
const route = (i: number, spec: object) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: metadata(i),
  spec,
})
const answered = (edit: number) => [{ name: 'a', respond: { statusCode: 200, body: `${edit}` } }]

/** What one process is told, and keeps of it: the source, the objects, the compile and the tables. */
class Held {
  readonly memory = new MemoryAdmission(Number.POSITIVE_INFINITY)
  readonly #cache = new ResourceCache(validator, SETTINGS, [], this.memory)
  readonly #table = new ObjectTable()
  readonly #state = new CompileState()
  readonly #packer = new Packer(() => 0.5)
  #parsed: ReturnType<typeof parseFile> extends Generator<void, infer Parsed> ? Parsed | undefined : never

  write(text: string): void {
    this.#parsed = runSteps(parseFile('a.yaml', text, this.#parsed?.cache ?? new Map()))
    this.#table.set('a.yaml', this.#parsed.definitions)
    this.#cache.accept(this.#table.flush())
    assert.deepEqual(this.#cache.problems(), [])
    const { snapshot } = runSteps(compile(this.#cache.resources(), this.#state))
    runSteps(this.#packer.packSteps(snapshot))
  }
}

const textOf = (count: number, of: (i: number, edit: number) => object, edit: number): string =>
  many(count, (i) => JSON.stringify(of(i, edit))).join('\n---\n')

/** @returns bytes that are held after an edit of everything, and bytes as estimated */
function measure(count: number, of: (i: number, edit: number) => object): { real: number; estimate: number } {
  // What is compiled and learned on the way does not belong to the objects.
  const first = new Held()
  for (const edit of [0, 1]) first.write(textOf(Math.ceil(count / 8), of, edit))
  collect()
  const before = process.memoryUsage().heapUsed
  const held = new Held()
  for (const edit of [0, 1]) held.write(textOf(count, of, edit))
  collect()
  const real = process.memoryUsage().heapUsed - before
  return { real, estimate: held.memory.used }
}

/**
 * The heap has room for some 1.5 times the estimate of all objects. An edit of all of them takes a fifth more for a
 * while, statuses a tenth.
 */
const MOST = 1.3

suite('what objects are counted with is about what they take', () => {
  const shapes: readonly (readonly [string, number, (i: number, edit: number) => object])[] = [
    [
      'small Routes',
      2_000,
      (i, edit) =>
        route(i, { rules: answered(edit).map((rule) => ({ ...rule, matches: [{ path: { value: `/${i}` } }] })) }),
    ],
    [
      'small Routes with a hostname',
      2_000,
      (i, edit) => route(i, { hostnames: [`h${i}.test`], rules: answered(edit) }),
    ],
    [
      'Routes with many hostnames',
      50,
      (i, edit) => route(i, { hostnames: many(64, (h) => `h${i}-${h}.test`), rules: answered(edit) }),
    ],
    [
      'Routes with a Backend',
      2_000,
      (i, edit) =>
        route(i, { hostnames: [`h${i}.test`], rules: [{ name: 'a', backendRefs: [{ name: `none-${edit}` }] }] }),
    ],
    [
      'Routes whose rules use objects of their own in policies',
      50,
      (i, edit) =>
        route(i, {
          hostnames: [`h${i}.test`],
          rules: many(16, (r) => ({
            name: `r${r}`,
            matches: [{ path: { value: `/${r}` } }],
            backendRefs: [{ name: 'none' }],
            policies:
              r % 2 === 0
                ? { mirror: { backendRef: { name: `m${i}-${r}-${edit}` }, percent: 10 } }
                : { auth: { apiKey: { secretName: `s${i}-${r}-${edit}`, from: [{ header: 'x-api-key' }] } } },
          })),
        }),
    ],
    [
      'Routes with many annotations, whose names are their own',
      40,
      (i, edit) => ({
        ...route(i, { rules: answered(edit) }),
        metadata: {
          ...metadata(i),
          annotations: Object.fromEntries(many(200, (n) => [`${'x'.repeat(120)}.test/${i}-${edit}-${n}`, ''])),
        },
      }),
    ],
    [
      'Routes with texts that are not in Latin-1',
      40,
      (i, edit) => ({
        ...route(i, { rules: answered(edit) }),
        metadata: { ...metadata(i), annotations: { 'a.test/b': `${edit}${'中'.repeat(20_000)}` } },
      }),
    ],
    [
      'Ingresses',
      1_500,
      (i, edit) => ({
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: metadata(i),
        spec: {
          ingressClassName: 'headgate',
          rules: [
            {
              host: `h${i}.test`,
              http: {
                paths: [
                  { path: `/${edit}`, pathType: 'Prefix', backend: { service: { name: 'api', port: { number: 80 } } } },
                ],
              },
            },
          ],
        },
      }),
    ],
  ]
  for (const [name, count, of] of shapes)
    test(name, () => {
      const { real, estimate } = measure(count, of)
      const ratio = real / estimate
      assert.ok(
        ratio < MOST && ratio > 0.4,
        `${Math.round(real / count)} bytes each, counted as ${Math.round(estimate / count)}`,
      )
    })
})

test('a text that is written in quotes or in lines is held as one text', () => {
  const LENGTH = 200_000
  const COUNT = 8
  const texts: readonly ((i: number) => string)[] = [
    (i) => `"${i}${'a'.repeat(LENGTH)}"`,
    (i) => `"${i}${'\\n'.repeat(LENGTH / 2)}"`,
    (i) => `|\n    ${i}\n${'    a\n'.repeat(LENGTH / 6)}`,
    (i) => `>\n    ${i}\n${'    a\n'.repeat(LENGTH / 6)}`,
  ]
  const document = (i: number, text: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c${i} }\ndata:\n  a: ${text}\n`
  for (const of of texts) {
    const parse = (count: number) =>
      runSteps(parseFile('a.yaml', many(count, (i) => document(i, of(i))).join('---\n'), new Map()))
    parse(1)
    collect()
    const before = process.memoryUsage().heapUsed
    const parsed = parse(COUNT)
    collect()
    const each = (process.memoryUsage().heapUsed - before) / COUNT
    assert.equal(parsed.definitions.length, COUNT)
    // The file, and what is read from it.
    assert.ok(each < 3 * LENGTH, `${Math.round(each)} bytes for ${LENGTH} characters, as in ${of(0).slice(0, 20)}`)
  }
})
