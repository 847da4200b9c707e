import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FieldProblem, formatPath } from '../../src/api/object.ts'
import { compileSchema } from '../../src/api/schema.ts'
import type { Schema } from '../../src/api/schema-dialect.ts'

function problemsOf(schema: Schema, value: unknown): string[] {
  return compileSchema(schema)(value).problems.map(({ path, reason }) => `${formatPath(path)} ${reason}`.trim())
}

function messageOf(schema: Schema, value: unknown): string {
  const [problem, ...others] = compileSchema(schema)(value).problems as [FieldProblem, ...FieldProblem[]]
  assert.deepEqual(others, [])
  return problem.message
}

const object = (properties: Record<string, Schema>, more: Partial<Schema> = {}): Schema => ({
  type: 'object',
  properties,
  ...more,
})
const text: Schema = { type: 'string' }
const whole: Schema = { type: 'integer' }

test('every problem is reported, not only the first', () => {
  const schema = object(
    { a: whole, b: { type: 'string', enum: ['x'] }, c: { type: 'boolean' } },
    { required: ['d', 'e'] },
  )
  assert.deepEqual(problemsOf(schema, { a: '1', b: 'y', c: 0, f: 1 }), ['a Type', 'b Invalid', 'c Type', 'f Unknown'])
  const withFields = object({ d: text, e: text }, { required: ['d', 'e'] })
  assert.deepEqual(problemsOf(withFields, {}), ['d Required', 'e Required'])
})

test('an unknown field names the one that was meant', () => {
  const schema = object({ hostnames: text, listeners: text })
  assert.match(messageOf(schema, { hostnmaes: 'a' }), /did you mean "hostnames"\?$/)
  assert.match(messageOf(schema, { zzz: 'a' }), /known are hostnames, listeners$/)
})

test('a value outside an enum names the one that was meant', () => {
  assert.match(
    messageOf({ type: 'string', enum: ['PathPrefix', 'Exact'] }, 'PathPrefx'),
    /did you mean "PathPrefix"\?$/,
  )
  assert.match(messageOf({ type: 'string', enum: ['GET'] }, 'get'), /did you mean "GET"\?$/)
})

test('a default is put in, with the defaults below it', () => {
  const schema = object({ a: object({ b: { ...whole, default: 5 }, c: text }, { default: {} }), d: text })
  assert.deepEqual(compileSchema(schema)({}).value, { a: { b: 5 } })
  assert.deepEqual(compileSchema(schema)({ a: { c: 'x' } }).value, { a: { c: 'x', b: 5 } })
})

test('null counts as absent, except in a list and where the schema allows it', () => {
  const schema = object({
    a: { ...text, default: 'x' },
    b: text,
    c: { ...text, nullable: true },
    d: { type: 'array', items: text },
  })
  assert.deepEqual(compileSchema(schema)({ a: null, b: null, c: null }).value, { a: 'x', c: null })
  assert.deepEqual(problemsOf(schema, { d: [null] }), ['d[0] Type'])
  assert.deepEqual(problemsOf(object({ a: text }, { required: ['a'] }), { a: null }), ['a Required'])
  assert.deepEqual(compileSchema({ type: 'object', additionalProperties: text })({ a: null, b: 'x' }).value, { b: 'x' })
})

test('a list that is a set refuses what stands twice, one that is a map a key that does', () => {
  const set: Schema = { type: 'array', items: text, 'x-kubernetes-list-type': 'set' }
  assert.deepEqual(problemsOf(set, ['a', 'b', 'a', 'a']), ['[2] Duplicate', '[3] Duplicate'])
  const map: Schema = {
    type: 'array',
    items: object({ name: text, port: { ...whole, default: 80 } }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name', 'port'],
  }
  assert.deepEqual(problemsOf(map, [{ name: 'a' }, { name: 'a', port: 81 }, { name: 'a', port: 80 }]), [
    '[2] Duplicate',
  ])
})

test('lengths count characters, not UTF-16 units', () => {
  const schema: Schema = { type: 'string', minLength: 2, maxLength: 3 }
  assert.deepEqual(problemsOf(schema, '👋👋👋'), [])
  assert.deepEqual(problemsOf(schema, '👋👋👋👋'), ['TooLong'])
  assert.deepEqual(problemsOf(schema, '👋'), ['Invalid'])
})

test('numbers keep their bounds', () => {
  const schema: Schema = { type: 'number', minimum: 0, exclusiveMinimum: true, maximum: 10, exclusiveMaximum: true }
  assert.deepEqual(
    [0, 10, -1, 11].flatMap((value) => problemsOf(schema, value)),
    Array(4).fill('Invalid'),
  )
  assert.deepEqual(
    [0.1, 9.9].flatMap((value) => problemsOf(schema, value)),
    [],
  )
  assert.deepEqual(problemsOf(schema, Number.NaN), ['Type'])
  assert.deepEqual(problemsOf(whole, 1.5), ['Type'])
})

test('a rule sees 64-bit integers, and reserved words as the API server spells them', () => {
  const schema = object(
    { in: { type: 'array', items: text }, count: whole, namespace: text },
    {
      'x-kubernetes-validations': [
        { rule: 'self.count / 2 == 1', message: 'integers divide as integers' },
        { rule: "'a' in self.__in__ && self.__namespace__ == 'b'", message: 'reserved words' },
      ],
    },
  )
  assert.deepEqual(problemsOf(schema, { count: 3, in: ['a'], namespace: 'b' }), [])
  assert.deepEqual(problemsOf(schema, { count: 4, in: ['a'], namespace: 'b' }), ['Invalid'])
})

test('a rule above sees integers and defaults of what stands below', () => {
  const schema = object(
    { a: { type: 'array', items: object({ weight: { ...whole, default: 1 } }) } },
    {
      'x-kubernetes-validations': [{ rule: 'self.a.all(x, x.weight + 1 == 2)', message: 'all weigh one' }],
    },
  )
  assert.deepEqual(problemsOf(schema, { a: [{}, { weight: 1 }] }), [])
  assert.deepEqual(problemsOf(schema, { a: [{ weight: 2 }] }), ['Invalid'])
})

test('rules wait until types, enums, sizes and required fields are right', () => {
  const schema = object(
    { a: text, b: whole },
    { 'x-kubernetes-validations': [{ rule: 'self.b > 5', message: 'more' }] },
  )
  assert.deepEqual(problemsOf(schema, { a: 1, b: 1 }), ['a Type'])
  assert.deepEqual(problemsOf(schema, { a: 'x', b: 1 }), ['Invalid'])
})

test('a rule may point below the value it stands at, and say why', () => {
  const schema = object(
    { a: object({ b: whole }) },
    {
      'x-kubernetes-validations': [
        { rule: 'self.a.b > 5', message: 'more', fieldPath: '.a.b', reason: 'FieldValueRequired' },
      ],
    },
  )
  assert.deepEqual(problemsOf(schema, { a: { b: 1 } }), ['a.b Required'])
})

test('a rule about the past is left out: a file has none', () => {
  const schema: Schema = { ...text, 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'immutable' }] }
  assert.deepEqual(problemsOf(schema, 'a'), [])
})

test('a pattern of a user is judged by RE2, and its message is handed on', () => {
  const schema: Schema = {
    ...text,
    'x-kubernetes-validations': [{ rule: "''.matches(self) in [true, false]", message: 'no RE2' }],
  }
  assert.deepEqual(problemsOf(schema, '(a|b)*c'), [])
  assert.match(messageOf(schema, '(?=a)'), /^no RE2: invalid or unsupported Perl syntax/)
  assert.match(messageOf(schema, '(a'), /^no RE2: missing closing \)/)
})

test('addresses and ranges are judged as Kubernetes judges them', () => {
  const ip: Schema = { ...text, 'x-kubernetes-validations': [{ rule: 'isIP(self)', message: 'no address' }] }
  const cidr: Schema = { ...text, 'x-kubernetes-validations': [{ rule: 'isCIDR(self)', message: 'no range' }] }
  assert.deepEqual(
    ['10.0.0.1', '::1', '2001:db8::7'].flatMap((value) => problemsOf(ip, value)),
    [],
  )
  for (const value of ['010.0.0.1', '1.2.3', '::ffff:10.0.0.1', 'fe80::1%eth0', '[::1]', ''])
    assert.deepEqual(problemsOf(ip, value), ['Invalid'], value)
  assert.deepEqual(
    ['10.0.0.0/8', '::/0', '10.0.0.1/8'].flatMap((value) => problemsOf(cidr, value)),
    [],
  )
  for (const value of ['10.0.0.1', '10.0.0.0/33', '10.0.0.0/08', '::ffff:10.0.0.0/104', '/8'])
    assert.deepEqual(problemsOf(cidr, value), ['Invalid'], value)
})

test('what is returned is frozen to its last leaf and shares nothing with what was given', () => {
  const schema = object({
    a: { type: 'array', items: object({ b: text }) },
    c: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  })
  const given = { a: [{ b: 'x' }], c: { d: [{ e: 1 }] } }
  const { value } = compileSchema(schema)(given)
  assert.deepEqual(value, given)
  const result = value as typeof given
  for (const part of [result, result.a, result.a[0], result.c, result.c.d, result.c.d[0]])
    assert.ok(Object.isFrozen(part))
  given.a[0]!.b = 'y'
  assert.equal(result.a[0]!.b, 'x')
})

test('names that mean something to JavaScript are names like any other', () => {
  const map: Schema = { type: 'object', additionalProperties: text }
  const { value, problems } = compileSchema(map)(JSON.parse('{"__proto__":"a","constructor":"b"}'))
  assert.deepEqual(problems, [])
  assert.deepEqual(Object.entries(value as object), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ])
  assert.deepEqual(problemsOf(object({ a: text }), JSON.parse('{"__proto__":{"a":"x"}}')), ['__proto__ Unknown'])
})

test('free form that is a circle, or more than a person writes, ends', () => {
  const schema: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  const circle: Record<string, unknown> = {}
  circle.a = circle
  circle.b = circle
  assert.deepEqual(problemsOf(schema, circle), ['Invalid'])
  assert.match(messageOf(schema, { a: Array(30_000).fill(1) }), /more than 20000 values$/)
  assert.deepEqual(problemsOf(schema, { a: Number.NaN }), ['Invalid'])
})

test('free form ends at a depth', () => {
  let deep: unknown = 1
  for (let i = 0; i < 10_000; i++) deep = { a: deep }
  const [problem] = compileSchema({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true })(deep).problems
  assert.match(problem!.message, /nested more than 64 levels/)
})

test('a schema that says what nobody here understands does not compile', () => {
  for (const schema of [
    { type: 'string', oneOf: [] },
    { type: 'string', format: 'uuid' },
    { anyOf: [{ type: 'string' }], type: 'string' },
    { type: 'array' },
    {},
    { type: 'string', 'x-kubernetes-validations': [{ rule: 'self ==' }] },
  ])
    assert.throws(() => compileSchema(schema as Schema), TypeError)
})

test('a default that is not valid is found when it is first used', () => {
  const check = compileSchema(object({ a: { ...whole, maximum: 3, default: 4 } }))
  assert.throws(() => check({}), /the default at \.a is not valid/)
})
