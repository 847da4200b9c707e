/**
 * `x-kubernetes-validations` as the API server evaluates them: CEL with 64-bit integers, RE2 expressions, and the
 * Kubernetes functions our rules use. A function that is not here makes the program refuse to compile, never to be
 * skipped.
 */
import { Environment } from '@marcbachmann/cel-js'
import { RE2JS } from 're2js'
import { parseAddress, parseCIDR } from '../pattern/cidr.ts'
import type { FieldProblem } from './object.ts'

/** One entry of `x-kubernetes-validations`. */
export interface ValidationRule {
  readonly rule: string
  readonly message?: string
  readonly reason?: string
  /** `.a.b` below the value to which the rule applies. */
  readonly fieldPath?: string
}

export interface CelProgram {
  readonly reason: FieldProblem['reason']
  /** Never throws: an error in the rule is a violation, as in an API server. */
  check(self: unknown): Violation | undefined
}

export interface Violation {
  readonly message: string
  /** Steps to add to the path of the value. None where the rule failed by an error, again as in an API server. */
  readonly below: readonly string[]
}

const environment = new Environment()
  .registerVariable('self', 'dyn')
  .registerFunction('isIP(string): bool', (text: string) => isIP(text))
  .registerFunction('isCIDR(string): bool', (text: string) => isCIDR(text))
  // The library's own `matches` is JavaScript's RegExp and cannot be replaced under its name.
  .registerFunction('string.matchesRE2(string): bool', (text: string, pattern: string) => matchesRE2(text, pattern))
  .registerFunction('string.matchesOwn(string): bool', (text: string, pattern: string) => matchesOwn(text, pattern))

/**
 * @returns undefined for a transition rule (one that looks at `oldSelf`; a file has no past), and for one that sums up
 *   a cost
 * @throws {TypeError} when a rule is not CEL that this build can evaluate
 */
export function compileRule(source: ValidationRule): CelProgram | undefined {
  if (/\boldSelf\b/.test(source.rule)) return undefined
  // What an object costs in all has been counted already, by cost.ts: this is the API server's form of it, and would
  // take a long turn here.
  if (source.rule.includes('.sum()')) return undefined
  const run = parseRule(source.rule)
  const message = source.message ?? `does not satisfy: ${source.rule}`
  const violation = { message, below: (source.fieldPath ?? '').split('.').filter((step) => step !== '') }
  return {
    reason: REASONS[source.reason ?? ''] ?? 'Invalid',
    check(self) {
      patternError = ''
      try {
        return run({ self }) === true ? undefined : violation
      } catch {
        return { message: patternError === '' ? message : `${message}: ${patternError}`, below: [] }
      }
    },
  }
}

function parseRule(rule: string): (context: { self: unknown }) => unknown {
  try {
    return environment.parse(
      rule.replaceAll(/\.matches\((?=r?['"])/g, '.matchesOwn(').replaceAll('.matches(', '.matchesRE2('),
    )
  } catch (error) {
    throw new TypeError(`a validation rule cannot be compiled: ${rule}`, { cause: error })
  }
}

const REASONS: Readonly<Record<string, FieldProblem['reason']>> = {
  FieldValueInvalid: 'Invalid',
  FieldValueForbidden: 'Invalid',
  FieldValueRequired: 'Required',
  FieldValueDuplicate: 'Duplicate',
}

/** Why the last pattern was refused: the library does not hand on what a function throws. */
let patternError = ''

const VERDICTS_KEPT = 16_384
/**
 * Whether a pattern matches nothing at all, or why it is no pattern. Programs are not kept: they are large, and only
 * asked once.
 */
const verdicts = new Map<string, boolean | string>()

/**
 * For patterns a user wrote: linear time, and the verdict an API server gives. Nearly always the question is whether it
 * is a pattern at all, asked as `''.matches(pattern)`.
 */
function matchesRE2(text: string, source: string): boolean {
  let verdict = text === '' ? verdicts.get(source) : undefined
  if (verdict === undefined) {
    verdict = judge(text, source)
    if (text === '') {
      if (verdicts.size >= VERDICTS_KEPT) verdicts.delete(verdicts.keys().next().value!)
      verdicts.set(source, verdict)
    }
  }
  if (typeof verdict === 'boolean') return verdict
  patternError = verdict
  throw new TypeError(verdict)
}

function judge(text: string, source: string): boolean | string {
  try {
    return RE2JS.compile(source).matcher(text).find()
  } catch (error) {
    return (error as Error).message.replace('error parsing regexp: ', '')
  }
}

const ownPatterns = new Map<string, RegExp>()

/** Patterns within a rule are trusted, so `RegExp` evaluates them at a twentieth of the cost. */
function matchesOwn(text: string, source: string): boolean {
  let pattern = ownPatterns.get(source)
  if (pattern === undefined) ownPatterns.set(source, (pattern = new RegExp(source, 'u')))
  return pattern.test(text)
}

/** Like Kubernetes: no IPv4-mapped IPv6, no zone. */
function isIP(text: string): boolean {
  return parseAddress(text) !== undefined && !isMapped(text)
}

/** Like Kubernetes: address, slash, length. */
function isCIDR(text: string): boolean {
  return text.includes('/') && parseCIDR(text) !== undefined && !isMapped(text)
}

function isMapped(text: string): boolean {
  return /^[0:]*:ffff:/i.test(text) && text.includes('.')
}
