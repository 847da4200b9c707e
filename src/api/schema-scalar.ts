/** Text, numbers and booleans of a structural schema. */
import { isDuration } from '../lib/quantity.ts'
import type { Schema } from './schema-dialect.ts'
import { type Check, type Run, wrongType } from './schema-run.ts'
import { aOrAn, quoted, suggestion } from './wording.ts'

export function checkBoolean(value: unknown, run: Run): unknown {
  if (typeof value !== 'boolean') return wrongType(value, 'true or false', run)
  run.cel = value
  return value
}

export function compileNumber(schema: Schema, type: 'integer' | 'number'): Check {
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

const QUOTE_IT = '; write it in quotes'

/** Whether it is a number that would do as text. */
function isQuotable(value: unknown, { enum: allowed, pattern, format }: Schema): boolean {
  if (typeof value !== 'number' || format !== undefined) return false
  const text = String(value)
  return (
    (allowed === undefined || allowed.includes(text)) && (pattern === undefined || new RegExp(pattern, 'u').test(text))
  )
}

export function compileString(schema: Schema, where: string): Check {
  if (schema.format !== undefined && !['duration', 'date-time'].includes(schema.format))
    throw new TypeError(`format ${schema.format} at ${where} is not known`)
  const inEnum = compileEnum(schema)
  const hasForm = compileForm(schema)
  return (value, run) => {
    if (typeof value !== 'string')
      return wrongType(value, aOrAn(schema), run, isQuotable(value, schema) ? QUOTE_IT : '')
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

export function compileIntOrString(schema: Schema): Check {
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
