/**
 * Structural schemas as a CustomResourceDefinition has them, compiled once to closures that validate, default, copy and
 * freeze in one pass. The same files teach an API server, so folder and cluster cannot disagree about an object.
 *
 * Null where a schema is not nullable counts as absent, defaults come before validation, rules in CEL are evaluated only
 * where types, enums, required fields and sizes are right: all as an API server does it.
 */
import { compileRule } from './cel.ts'
import { celDiffers, escapeName, wordsOf } from './cel-values.ts'
import type { FieldProblem } from './object.ts'
import { compileDuplicates } from './schema-duplicates.ts'
import { checkFreeForm } from './schema-free-form.ts'
import { type Check, isRecord, Run, type Schema, setOwn, wrongType } from './schema-run.ts'
import { checkBoolean, compileIntOrString, compileNumber, compileString } from './schema-scalar.ts'
import { suggestion } from './wording.ts'

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
  const check = compileNode(schema, { where: '', name: '', lenient: options.unknown === 'warn', words: new Set() })
  return (value) => {
    const run = new Run()
    const result = check(value, run)
    run.finish()
    return { value: result, problems: run.problems, warnings: run.warnings }
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

/** Where in a schema the compiler is. */
interface Place {
  /** For messages to whoever writes a schema. */
  readonly where: string
  /** Of the field that holds the value. */
  readonly name: string
  readonly lenient: boolean
  /** What rules above may speak of. */
  readonly words: ReadonlySet<string>
}

function compileNode(schema: Schema, above: Place): Check {
  const place = { ...above, words: wordsOf(schema, above.name, above.words) }
  const { where } = place
  for (const keyword of Object.keys(schema))
    if (!KEYWORDS.has(keyword)) throw new TypeError(`schema keyword ${keyword} at ${where || 'the root'} is not known`)
  if (schema.anyOf !== undefined && !schema['x-kubernetes-int-or-string'])
    throw new TypeError(`anyOf at ${where} without x-kubernetes-int-or-string`)
  const check = compileType(schema, place)
  const programs = (schema['x-kubernetes-validations'] ?? [])
    .map(compileRule)
    .filter((program) => program !== undefined)
  if (programs.length === 0) return check
  return (value, run) => {
    const result = check(value, run)
    run.evaluate(programs)
    return result
  }
}

function compileType(schema: Schema, place: Place): Check {
  if (schema['x-kubernetes-int-or-string']) return compileIntOrString(schema)
  switch (schema.type) {
    case 'object':
      return compileObject(schema, place)
    case 'array':
      return compileList(schema, place)
    case 'string':
      return compileString(schema, place.where)
    case 'integer':
    case 'number':
      return compileNumber(schema, schema.type)
    case 'boolean':
      return checkBoolean
    default:
      throw new TypeError(`schema at ${place.where || 'the root'} has no type`)
  }
}

function compileList(schema: Schema, place: Place): Check {
  const { where, name, words } = place
  if (schema.items === undefined) throw new TypeError(`list at ${where} has no items`)
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema
  const item = compileNode(schema.items, { ...place, where: `${where}[]` })
  const differs = celDiffers(schema.items, name, words)
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

function compileObject(schema: Schema, place: Place): Check {
  const { where, lenient } = place
  if (schema['x-kubernetes-preserve-unknown-fields']) {
    if (schema.properties !== undefined) throw new TypeError(`${where} has properties and free form`)
    return checkFreeForm
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
  return (value, run) => {
    if (!isRecord(value)) return wrongType(value, 'an object with named fields', run)
    const result: Record<string, unknown> = {}
    const cel: Record<string, unknown> = differs ? {} : result
    for (const name of Object.keys(value)) {
      const property = properties.get(name)
      if (property === undefined) {
        if (!unread.has(name)) noteUnknown(name, names, lenient, run)
        continue
      }
      const given = value[name]
      if (isAbsent(given, property)) continue
      run.path.push(name)
      result[name] = given === null ? null : property.check(given, run)
      if (differs) cel[property.escaped] = given === null ? null : run.cel
      run.path.pop()
    }
    for (const property of expected) if (isAbsent(value[property.name], property)) complete(property, result, cel, run)
    run.cel = cel
    return Object.freeze(result)
  }
}

function isAbsent(given: unknown, property: Property): boolean {
  return given === undefined || (given === null && !property.nullable)
}

function complete(property: Property, result: Record<string, unknown>, cel: Record<string, unknown>, run: Run): void {
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

function compileProperty(name: string, schema: Schema, required: boolean, place: Place): Property {
  const where = `${place.where}.${name}`
  const check = compileNode(schema, { ...place, where, name })
  let made: { readonly value: unknown; readonly cel: unknown } | undefined
  const makeDefault = () => {
    if (made === undefined) {
      const run = new Run()
      const value = check(schema.default, run)
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
    check,
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

function compileMap(schema: Schema, values: Schema, place: Place): Check {
  const check = compileNode(values, { ...place, where: `${place.where}.*` })
  const differs = celDiffers(values, place.name, place.words)
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
