/**
 * Structural schemas as a CustomResourceDefinition has them, compiled once to closures that validate, default, copy and
 * freeze in one pass. The same files teach an API server, so folder and cluster cannot disagree about an object.
 *
 * Null where a schema is not nullable counts as absent, defaults come before validation, rules in CEL are evaluated only
 * where types, enums, required fields and sizes are right: all as an API server does it.
 */
import { isDuration } from '../lib/quantity.ts'
import { type CelProgram, compileRule, type ValidationRule } from './cel.ts'
import type { FieldProblem } from './object.ts'
import { aOrAn, quoted, suggestion, typeName } from './wording.ts'

export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  readonly description?: string
  readonly format?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly (string | number)[]
  readonly default?: unknown
  readonly nullable?: boolean
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: boolean
  readonly exclusiveMaximum?: boolean
  readonly anyOf?: readonly unknown[]
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[]
  /** Own keyword, for kinds that others define: fields that exist there and that nothing here reads. */
  readonly 'x-headgate-unread'?: readonly string[]
}

export interface CheckResult {
  /** Complete only where there are no problems; deeply frozen, shares nothing with the input. */
  readonly value: unknown
  readonly problems: FieldProblem[]
  readonly warnings: FieldProblem[]
}

export type Checker = (value: unknown) => CheckResult

export interface SchemaOptions {
  /** What an unknown field is: refused (the default), or left out with a warning, for kinds that grow without us. */
  readonly unknown?: 'refuse' | 'warn'
}

/** @throws {TypeError} when the schema uses a keyword this dialect does not have: what is not understood is not skipped */
export function compileSchema(schema: Schema, options: SchemaOptions = {}): Checker {
  const check = compileNode(schema, '', options.unknown === 'warn')
  return (value) => {
    const run = new Run()
    const result = check(value, run)
    run.evaluate()
    return { value: result, problems: run.problems, warnings: run.warnings }
  }
}

/** Copies the value into what it means, and notes what is wrong with it. */
type Check = (value: unknown, run: Run) => unknown

/** Deeper than any schema goes; only free-form objects can get there. */
const MAX_DEPTH = 64

class Run {
  readonly problems: FieldProblem[] = []
  readonly warnings: FieldProblem[] = []
  readonly path: (string | number)[] = []
  /** What the last check returned as CEL sees it: integers are 64 bit, reserved words are escaped. */
  cel: unknown
  /** Something is wrong that makes rules meaningless. */
  #blocked = false
  readonly #rules: {
    readonly programs: readonly CelProgram[]
    readonly self: unknown
    readonly path: FieldProblem['path']
  }[] = []

  problem(reason: FieldProblem['reason'], message: string): void {
    this.problems.push({ path: [...this.path], reason, message })
  }

  /** A problem of a kind that keeps an API server from evaluating rules. */
  block(reason: FieldProblem['reason'], message: string): void {
    this.#blocked = true
    this.problem(reason, message)
  }

  later(programs: readonly CelProgram[], self: unknown): void {
    this.#rules.push({ programs, self, path: [...this.path] })
  }

  evaluate(): void {
    if (this.#blocked) return
    for (const { programs, self, path } of this.#rules)
      for (const program of programs) {
        const message = program.check(self)
        if (message !== undefined)
          this.problems.push({ path: [...path, ...program.below], reason: program.reason, message })
      }
  }
}

const KEYWORDS = new Set<string>([
  'type',
  'description',
  'format',
  'properties',
  'additionalProperties',
  'required',
  'items',
  'enum',
  'default',
  'nullable',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'anyOf',
  'x-kubernetes-int-or-string',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-validations',
  'x-headgate-unread',
])

function compileNode(schema: Schema, where: string, lenient: boolean): Check {
  for (const keyword of Object.keys(schema))
    if (!KEYWORDS.has(keyword)) throw new TypeError(`schema keyword ${keyword} at ${where || 'the root'} is not known`)
  if (schema.anyOf !== undefined && !schema['x-kubernetes-int-or-string'])
    throw new TypeError(`anyOf at ${where} without x-kubernetes-int-or-string`)
  const check = compileType(schema, where, lenient)
  const programs = (schema['x-kubernetes-validations'] ?? [])
    .map(compileRule)
    .filter((program) => program !== undefined)
  if (programs.length === 0) return check
  return (value, run) => {
    const result = check(value, run)
    run.later(programs, run.cel)
    return result
  }
}

function compileType(schema: Schema, where: string, lenient: boolean): Check {
  if (schema['x-kubernetes-int-or-string']) return compileIntOrString(schema)
  switch (schema.type) {
    case 'object':
      return compileObject(schema, where, lenient)
    case 'array':
      return compileList(schema, where, lenient)
    case 'string':
      return compileString(schema, where)
    case 'integer':
    case 'number':
      return compileNumber(schema, schema.type)
    case 'boolean':
      return checkBoolean
    default:
      throw new TypeError(`schema at ${where || 'the root'} has no type`)
  }
}

function wrongType(value: unknown, wanted: string, run: Run): undefined {
  run.block('Type', `must be ${wanted}, not ${typeName(value)}`)
  run.cel = undefined
  return undefined
}

function checkBoolean(value: unknown, run: Run): unknown {
  if (typeof value !== 'boolean') return wrongType(value, 'true or false', run)
  run.cel = value
  return value
}

function compileNumber(schema: Schema, type: 'integer' | 'number'): Check {
  const whole = type === 'integer'
  const inEnum = compileEnum(schema)
  const inRange = compileRange(schema)
  return (value, run) => {
    if (typeof value !== 'number' || !Number.isFinite(value) || (whole && !Number.isInteger(value)))
      return wrongType(value, whole ? 'a whole number' : 'a number', run)
    run.cel = whole ? BigInt(value) : value
    inEnum(value, run)
    inRange(value, run)
    return value
  }
}

function compileRange(schema: Schema): (value: number, run: Run) => void {
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema
  const { exclusiveMinimum = false, exclusiveMaximum = false } = schema
  return (value, run) => {
    if (value < minimum || (exclusiveMinimum && value === minimum))
      run.problem('Invalid', `must be ${exclusiveMinimum ? 'more than' : 'at least'} ${minimum}, not ${value}`)
    if (value > maximum || (exclusiveMaximum && value === maximum))
      run.problem('Invalid', `must be ${exclusiveMaximum ? 'less than' : 'at most'} ${maximum}, not ${value}`)
  }
}

function compileEnum(schema: Schema): (value: string | number, run: Run) => void {
  const allowed = schema.enum
  if (allowed === undefined) return () => {}
  const set = new Set<string | number>(allowed)
  return (value, run) => {
    if (!set.has(value))
      run.block(
        'Invalid',
        `must be one of ${allowed.join(', ')}, not ${quoted(value)}${suggestion(String(value), allowed.map(String))}`,
      )
  }
}

function compileString(schema: Schema, where: string): Check {
  if (schema.format !== undefined && !['duration', 'date-time'].includes(schema.format))
    throw new TypeError(`format ${schema.format} at ${where} is not known`)
  const inEnum = compileEnum(schema)
  const hasForm = compileForm(schema)
  return (value, run) => {
    if (typeof value !== 'string') return wrongType(value, aOrAn(schema), run)
    run.cel = value
    inEnum(value, run)
    hasForm(value, run)
    return value
  }
}

function compileForm(schema: Schema): (value: string, run: Run) => void {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = schema
  const pattern = schema.pattern === undefined ? undefined : new RegExp(schema.pattern, 'u')
  const isDurationFormat = schema.format === 'duration'
  return (value, run) => {
    const length = value.length <= minLength || value.length > maxLength ? codePoints(value) : value.length
    if (length > maxLength) run.block('TooLong', `may have at most ${maxLength} characters, not ${length}`)
    if (isDurationFormat) {
      if (!isDuration(value)) run.problem('Invalid', `${quoted(value)} is not a duration such as 30s, 250ms or 1d12h`)
      return
    }
    if (length < minLength)
      run.problem('Invalid', minLength === 1 ? 'may not be empty' : `must have at least ${minLength} characters`)
    else if (pattern !== undefined && !pattern.test(value))
      run.problem('Invalid', `${quoted(value)} is not ${aOrAn(schema)}`)
  }
}

/** Lengths count code points, as in Go. */
function codePoints(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

function compileIntOrString(schema: Schema): Check {
  const inRange = compileRange(schema)
  const hasForm = compileForm(schema)
  return (value, run) => {
    if (typeof value === 'number' && Number.isInteger(value)) {
      run.cel = BigInt(value)
      inRange(value, run)
      return value
    }
    if (typeof value !== 'string') return wrongType(value, `a whole number or ${aOrAn(schema)}`, run)
    run.cel = value
    hasForm(value, run)
    return value
  }
}

function compileList(schema: Schema, where: string, lenient: boolean): Check {
  if (schema.items === undefined) throw new TypeError(`list at ${where} has no items`)
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema
  const item = compileNode(schema.items, `${where}[]`, lenient)
  const differs = celDiffers(schema.items)
  const duplicates = compileDuplicates(schema)
  return (value, run) => {
    if (!Array.isArray(value)) return wrongType(value, 'a list', run)
    // One message, not thousands: what a list is too long for is not looked at item by item.
    const length = Math.min(value.length, maxItems)
    if (value.length > maxItems) run.block('TooLong', `may have at most ${maxItems} entries, not ${value.length}`)
    if (value.length < minItems)
      run.problem('Invalid', minItems === 1 ? 'may not be empty' : `must have at least ${minItems} entries`)
    const result: unknown[] = new Array(length)
    const cel: unknown[] = differs ? new Array(length) : result
    for (let i = 0; i < length; i++) {
      run.path.push(i)
      result[i] = item(value[i], run)
      if (differs) cel[i] = run.cel
      run.path.pop()
    }
    duplicates?.(result, run)
    run.cel = cel
    return Object.freeze(result)
  }
}

function compileDuplicates(schema: Schema): ((list: readonly unknown[], run: Run) => void) | undefined {
  const type = schema['x-kubernetes-list-type']
  if (type !== 'set' && type !== 'map') return undefined
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const identity = (item: unknown): string | undefined => {
    if (type === 'set') return item === undefined ? undefined : JSON.stringify(item)
    if (item === undefined) return undefined
    const values = keys.map((key) => (item as Record<string, unknown>)[key])
    return values.includes(undefined) ? undefined : JSON.stringify(values)
  }
  return (list, run) => {
    if (list.length < 2) return
    const seen = new Map<string, number>()
    for (let i = 0; i < list.length; i++) {
      const id = identity(list[i])
      if (id === undefined) continue
      const first = seen.get(id)
      if (first === undefined) seen.set(id, i)
      else {
        run.path.push(i)
        const what = type === 'set' ? id : `${keys.join(' and ')} ${id.slice(1, -1)}`
        run.problem('Duplicate', `${what} stands already in entry ${first}; each may stand once`)
        run.path.pop()
      }
    }
  }
}

interface Property {
  readonly name: string
  /** As CEL names it. */
  readonly escaped: string
  readonly check: Check
  readonly nullable: boolean
  readonly required: boolean
  /** Made when first needed: the default with the defaults below it. */
  readonly default: (() => { readonly value: unknown; readonly cel: unknown }) | undefined
}

function compileObject(schema: Schema, where: string, lenient: boolean): Check {
  if (schema['x-kubernetes-preserve-unknown-fields']) {
    if (schema.properties !== undefined) throw new TypeError(`${where} has properties and free form`)
    return checkFreeForm
  }
  if (schema.additionalProperties !== undefined) return compileMap(schema, schema.additionalProperties, where, lenient)
  const required = new Set(schema.required ?? [])
  const properties = Object.entries(schema.properties ?? {}).map(([name, child]) =>
    compileProperty(name, child, required.has(name), where, lenient),
  )
  const names = properties.map((property) => property.name)
  const unread = new Set(schema['x-headgate-unread'] ?? [])
  const known = new Set([...names, ...unread])
  const differs = celDiffers(schema)
  return (value, run) => {
    if (!isRecord(value)) return wrongType(value, 'an object with named fields', run)
    for (const name of Object.keys(value)) if (!known.has(name)) noteUnknown(name, names, lenient, run)
    const result: Record<string, unknown> = {}
    const cel: Record<string, unknown> = differs ? {} : result
    for (const property of properties) {
      const { name } = property
      const given = value[name]
      if (given === undefined || (given === null && !property.nullable)) {
        if (property.default !== undefined) {
          const made = property.default()
          result[name] = made.value
          if (differs) cel[property.escaped] = made.cel
        } else if (property.required) {
          run.path.push(name)
          run.block('Required', 'must be given')
          run.path.pop()
        }
        continue
      }
      run.path.push(name)
      result[name] = given === null ? null : property.check(given, run)
      if (differs) cel[property.escaped] = given === null ? null : run.cel
      run.path.pop()
    }
    run.cel = cel
    return Object.freeze(result)
  }
}

function compileProperty(name: string, schema: Schema, required: boolean, where: string, lenient: boolean): Property {
  const check = compileNode(schema, `${where}.${name}`, lenient)
  let made: { readonly value: unknown; readonly cel: unknown } | undefined
  const makeDefault = () => {
    if (made === undefined) {
      const run = new Run()
      const value = check(schema.default, run)
      const cel = run.cel
      run.evaluate()
      if (run.problems.length > 0) throw new TypeError(`the default at ${where}.${name} is not valid`)
      made = { value, cel }
    }
    return made
  }
  return {
    name,
    escaped: escapeName(name),
    check,
    nullable: schema.nullable === true,
    required,
    default: schema.default === undefined ? undefined : makeDefault,
  }
}

function noteUnknown(name: string, names: readonly string[], lenient: boolean, run: Run): void {
  const hint = suggestion(name, names)
  const message = lenient
    ? `is not a field this version knows and is left out${hint}`
    : `there is no such field here${hint || (names.length > 0 ? `; known are ${names.join(', ')}` : '')}`
  const list = lenient ? run.warnings : run.problems
  list.push({ path: [...run.path, name], reason: 'Unknown', message })
}

function compileMap(schema: Schema, values: Schema, where: string, lenient: boolean): Check {
  const check = compileNode(values, `${where}.*`, lenient)
  const differs = celDiffers(values)
  const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema
  return (value, run) => {
    if (!isRecord(value)) return wrongType(value, 'an object with named values', run)
    const keys = Object.keys(value).filter((key) => value[key] !== undefined && value[key] !== null)
    if (keys.length > maxProperties) {
      run.block('TooLong', `may have at most ${maxProperties} entries, not ${keys.length}`)
      keys.length = maxProperties
    }
    if (keys.length < minProperties) run.problem('Invalid', `must have at least ${minProperties} entries`)
    const result: Record<string, unknown> = {}
    const cel: Record<string, unknown> = differs ? {} : result
    for (const key of keys) {
      run.path.push(key)
      setOwn(result, key, check(value[key], run))
      if (differs) setOwn(cel, key, run.cel)
      run.path.pop()
    }
    run.cel = cel
    return Object.freeze(result)
  }
}

/** Any JSON, copied; what a plugin is given. Rules in CEL do not look into it. */
function checkFreeForm(value: unknown, run: Run): unknown {
  if (!isRecord(value)) return wrongType(value, 'an object', run)
  run.cel = {}
  return copyJson(value, run, 0)
}

function copyJson(value: unknown, run: Run, depth: number): unknown {
  if (depth > MAX_DEPTH) {
    run.problem('Invalid', `is nested more than ${MAX_DEPTH} levels deep`)
    return null
  }
  if (Array.isArray(value)) return Object.freeze(value.map((item) => copyJson(item, run, depth + 1)))
  if (isRecord(value)) {
    const result: Record<string, unknown> = {}
    for (const key of Object.keys(value)) setOwn(result, key, copyJson(value[key], run, depth + 1))
    return Object.freeze(result)
  }
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value
  run.problem('Type', `holds ${typeName(value)}, which is not JSON`)
  return null
}

/** Also for `__proto__`, which plain assignment would not store. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  else target[key] = value
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const CEL_RESERVED = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
])

/** As the API server escapes names that CEL cannot spell. */
function escapeName(name: string): string {
  if (CEL_RESERVED.has(name)) return `__${name}__`
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}

/** Whether CEL sees values of this schema otherwise than JavaScript does. */
function celDiffers(schema: Schema): boolean {
  if (schema['x-kubernetes-int-or-string'] || schema.type === 'integer') return true
  if (schema['x-kubernetes-preserve-unknown-fields']) return true
  if (schema.items !== undefined && celDiffers(schema.items)) return true
  if (schema.additionalProperties !== undefined && celDiffers(schema.additionalProperties)) return true
  return Object.entries(schema.properties ?? {}).some(([name, child]) => escapeName(name) !== name || celDiffers(child))
}
