/**
 * Structural schemas as a CustomResourceDefinition has them, compiled once to closures that validate, default, copy and
 * freeze in one pass. The same files teach an API server, so folder and cluster cannot disagree about an object.
 *
 * Null where a schema is not nullable counts as absent, defaults come before validation, rules in CEL are evaluated
 * only where types, enums, required fields and sizes are right: all as an API server does it.
 */
import { runSteps } from '../lib/steps.ts'
import { compileRule } from './cel.ts'
import { celDiffers, escapeName, wordsOf } from './cel-values.ts'
import type { FieldProblem } from './object.ts'
import type { Schema } from './schema-dialect.ts'
import { compileDuplicates } from './schema-duplicates.ts'
import { checkFreeForm } from './schema-free-form.ts'
import { isRecord, Run, type SchemaNode, setOwn, stepwise, wrongType } from './schema-run.ts'
import { checkBoolean, compileIntOrString, compileNumber, compileString } from './schema-scalar.ts'
import { suggestion } from './wording.ts'

export interface CheckResult {
  /** Complete only where there are no problems; deeply frozen, shares nothing with the input. */
  readonly value: unknown
  readonly problems: FieldProblem[]
  readonly warnings: FieldProblem[]
}

export interface Checker {
  (value: unknown): CheckResult
  /** The same in steps; one is a part of a large value, some tenths of a millisecond at the most. */
  steps(value: unknown): Generator<void, CheckResult>
}

export interface SchemaOptions {
  /** What an unknown field is: refused (the default), or left out with a warning, for kinds that grow without us. */
  readonly unknown?: 'refuse' | 'warn'
}

/**
 * @throws {TypeError} when the schema uses a keyword this dialect does not have: what is not understood is not skipped
 */
export function compileSchema(schema: Schema, options: SchemaOptions = {}): Checker {
  const node = compileNode(schema, { where: '', name: '', lenient: options.unknown === 'warn', words: new Set() })
  function* steps(value: unknown): Generator<void, CheckResult> {
    const run = new Run()
    const result = node.steps === undefined ? node.check(value, run) : yield* node.steps(value, run)
    run.finish()
    return { value: result, problems: run.problems, warnings: run.warnings }
  }
  return Object.assign((value: unknown) => runSteps(steps(value)), { steps })
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

/** A position in a schema during compilation. */
interface SchemaPlace {
  /** For error messages about the schema itself. */
  readonly where: string
  /** Of the field that holds the value. */
  readonly name: string
  readonly lenient: boolean
  /** Names used by rules above. */
  readonly words: ReadonlySet<string>
}

function compileNode(schema: Schema, above: SchemaPlace): SchemaNode {
  const place = { ...above, words: wordsOf(schema, above.name, above.words) }
  const { where } = place
  for (const keyword of Object.keys(schema))
    if (!KEYWORDS.has(keyword)) throw new TypeError(`schema keyword ${keyword} at ${where || 'the root'} is not known`)
  if (schema.anyOf !== undefined && !schema['x-kubernetes-int-or-string'])
    throw new TypeError(`anyOf at ${where} without x-kubernetes-int-or-string`)
  const node = compileType(schema, place)
  const programs = (schema['x-kubernetes-validations'] ?? [])
    .map(compileRule)
    .filter((program) => program !== undefined)
  if (programs.length === 0) return node
  const { check, steps } = node
  if (steps !== undefined)
    return stepwise(function* (value, run) {
      const result = yield* steps(value, run)
      run.evaluate(programs)
      return result
    })
  return {
    check(value, run) {
      const result = check(value, run)
      run.evaluate(programs)
      return result
    },
  }
}

function compileType(schema: Schema, place: SchemaPlace): SchemaNode {
  if (schema['x-kubernetes-int-or-string']) return { check: compileIntOrString(schema) }
  switch (schema.type) {
    case 'object':
      return compileObject(schema, place)
    case 'array':
      return compileList(schema, place)
    case 'string':
      return { check: compileString(schema, place.where) }
    case 'integer':
    case 'number':
      return { check: compileNumber(schema, schema.type) }
    case 'boolean':
      return { check: checkBoolean }
    default:
      throw new TypeError(`schema at ${place.where || 'the root'} has no type`)
  }
}

/**
 * A list of objects that may have more entries than this is checked in steps, and so is a list whose entries have such
 * lists.
 */
const SHORT_LIST = 64

function compileList(schema: Schema, place: SchemaPlace): SchemaNode {
  const { where, name, words } = place
  if (schema.items === undefined) throw new TypeError(`list at ${where} has no items`)
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema
  const item = compileNode(schema.items, { ...place, where: `${where}[]` })
  const differs = celDiffers(schema.items, name, words)
  const duplicates = compileDuplicates(schema)
  /** @returns the number of entries to check; undefined when the value is not a list */
  const begin = (value: unknown, run: Run): number | undefined => {
    if (!Array.isArray(value)) {
      wrongType(value, 'a list', run)
      return undefined
    }
    if (value.length > maxItems) run.block('TooLong', `may have at most ${maxItems} entries, not ${value.length}`)
    if (value.length < minItems)
      run.problem('Invalid', minItems === 1 ? 'may not be empty' : `must have at least ${minItems} entries`)
    // One message, not thousands: the items of a list that is too long are not checked.
    return Math.min(value.length, maxItems)
  }
  const end = (result: unknown[], cel: unknown[], run: Run): unknown => {
    duplicates?.(result, run)
    run.cel = cel
    return Object.freeze(result)
  }
  const { steps, check } = item
  if (steps === undefined && (schema.items.type !== 'object' || maxItems <= SHORT_LIST))
    return {
      check(value, run) {
        const length = begin(value, run)
        if (length === undefined) return undefined
        const result: unknown[] = new Array(length)
        const cel: unknown[] = differs ? new Array(length) : result
        for (let i = 0; i < length; i++) {
          run.path.push(i)
          result[i] = check((value as unknown[])[i], run)
          if (differs) cel[i] = run.cel
          run.path.pop()
        }
        return end(result, cel, run)
      },
    }
  return stepwise(function* (value, run) {
    const length = begin(value, run)
    if (length === undefined) return undefined
    const result: unknown[] = new Array(length)
    const cel: unknown[] = differs ? new Array(length) : result
    for (let i = 0; i < length; i++) {
      run.path.push(i)
      const entry = (value as unknown[])[i]
      result[i] = steps === undefined ? check(entry, run) : yield* steps(entry, run)
      if (differs) cel[i] = run.cel
      run.path.pop()
      yield
    }
    return end(result, cel, run)
  })
}

interface Property {
  readonly name: string
  /** As CEL names it. */
  readonly escaped: string
  readonly node: SchemaNode
  readonly nullable: boolean
  readonly required: boolean
  /** Made when first needed: the default with the defaults below it. */
  readonly default: (() => { readonly value: unknown; readonly cel: unknown }) | undefined
}

function compileObject(schema: Schema, place: SchemaPlace): SchemaNode {
  const { where, lenient } = place
  if (schema['x-kubernetes-preserve-unknown-fields']) {
    if (schema.properties !== undefined) throw new TypeError(`${where} has properties and free form`)
    return { check: checkFreeForm }
  }
  if (schema.additionalProperties !== undefined) return compileMap(schema, schema.additionalProperties, place)
  const required = new Set(schema.required ?? [])
  const names = Object.keys(schema.properties ?? {})
  const properties = new Map(
    names.map((name) => [name, compileProperty(name, schema.properties![name]!, required.has(name), place)]),
  )
  const expected = [...properties.values()].filter((property) => property.required || property.default !== undefined)
  const unread = new Set(schema['x-headgate-unread'] ?? [])
  const differs = celDiffers(schema, place.name, place.words)
  /** @returns the schema of a property; undefined when there is nothing to check */
  const propertyOf = (name: string, given: unknown, run: Run): Property | undefined => {
    const property = properties.get(name)
    if (property === undefined && !unread.has(name)) noteUnknown(name, names, lenient, run)
    return property === undefined || isAbsent(given, property) ? undefined : property
  }
  const end = (value: Record<string, unknown>, made: Made, run: Run): unknown => {
    for (const property of expected) if (isAbsent(value[property.name], property)) complete(property, made, run)
    run.cel = made.cel
    return Object.freeze(made.result)
  }
  if ([...properties.values()].every(({ node }) => node.steps === undefined))
    return {
      check(value, run) {
        if (!isRecord(value)) return wrongType(value, OBJECT, run)
        const made = newObject(differs)
        for (const name of Object.keys(value)) {
          const given = value[name]
          const property = propertyOf(name, given, run)
          if (property === undefined) continue
          run.path.push(name)
          made.result[name] = given === null ? null : property.node.check(given, run)
          if (differs) made.cel[property.escaped] = given === null ? null : run.cel
          run.path.pop()
        }
        return end(value, made, run)
      },
    }
  return stepwise(function* (value, run) {
    if (!isRecord(value)) return wrongType(value, OBJECT, run)
    const made = newObject(differs)
    for (const name of Object.keys(value)) {
      const given = value[name]
      const property = propertyOf(name, given, run)
      if (property === undefined) continue
      const { check, steps } = property.node
      run.path.push(name)
      made.result[name] = given === null ? null : steps === undefined ? check(given, run) : yield* steps(given, run)
      if (differs) made.cel[property.escaped] = given === null ? null : run.cel
      run.path.pop()
    }
    return end(value, made, run)
  })
}

const OBJECT = 'an object with named fields'

/** An object in the making, and the same as CEL sees it. */
interface Made {
  readonly result: Record<string, unknown>
  readonly cel: Record<string, unknown>
}

function newObject(differs: boolean): Made {
  const result: Record<string, unknown> = {}
  return { result, cel: differs ? {} : result }
}

function isAbsent(given: unknown, property: Property): boolean {
  return given === undefined || (given === null && !property.nullable)
}

function complete(property: Property, { result, cel }: Made, run: Run): void {
  if (property.default !== undefined) {
    const made = property.default()
    result[property.name] = made.value
    if (cel !== result) cel[property.escaped] = made.cel
    return
  }
  run.path.push(property.name)
  run.block('Required', 'must be given')
  run.path.pop()
}

function compileProperty(name: string, schema: Schema, required: boolean, place: SchemaPlace): Property {
  const where = `${place.where}.${name}`
  const node = compileNode(schema, { ...place, where, name })
  let made: { readonly value: unknown; readonly cel: unknown } | undefined
  const makeDefault = () => {
    if (made === undefined) {
      const run = new Run()
      const value = node.check(schema.default, run)
      const cel = run.cel
      run.finish()
      if (run.problems.length > 0) throw new TypeError(`the default at ${where} is not valid`)
      made = { value, cel }
    }
    return made
  }
  return {
    name,
    escaped: escapeName(name),
    node,
    nullable: schema.nullable === true,
    required,
    default: schema.default === undefined ? undefined : makeDefault,
  }
}

/** As for problems, see `Run.full`. */
const MAX_WARNINGS = 100

function noteUnknown(name: string, names: readonly string[], lenient: boolean, run: Run): void {
  if (run.full || run.warnings.length >= MAX_WARNINGS) return
  const hint = suggestion(name, names)
  const message = lenient
    ? `is not a field this version knows and is left out${hint}`
    : `there is no such field here${hint || (names.length > 0 ? `; known are ${names.join(', ')}` : '')}`
  const list = lenient ? run.warnings : run.problems
  list.push({ path: [...run.path, name], reason: 'Unknown', message })
}

function compileMap(schema: Schema, values: Schema, place: SchemaPlace): SchemaNode {
  const { check } = compileNode(values, { ...place, where: `${place.where}.*` })
  const differs = celDiffers(values, place.name, place.words)
  const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema
  const node = (value: unknown, run: Run): unknown => {
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
  return { check: node }
}
