/** What a rule of `authorization` asks of a request, made once for each policy set. */
import type { Clock } from '../../lib/clock.ts'
import { CidrSet } from '../../pattern/cidr.ts'
import { CONSUMER } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import { claimAt } from '../variables.ts'
import { compileExpression, type ExpressionContext } from './cel.ts'
import type { RequestKinds, RuleTest } from './plan.ts'

/** What rules ask for, made when the first asks. */
export interface Facts {
  readonly x: Exchange
  readonly claims: unknown
  readonly clock: Clock
}

/** @returns true where it holds; else what it has found, for the access log */
export type Test = (facts: Facts) => true | string

/** Words and elements of one claim that are looked at: `scope` of real tokens has some dozens. */
const MAX_WORDS = 1_024

/** @throws {TypeError} for an expression that validation should have refused */
export function testOf(test: RuleTest): Test {
  switch (test.type) {
    case 'none':
      return () => true
    case 'cel':
      return celTest(test.source)
    case 'scopes':
      return ({ claims }) => hasScopes(claims, test.values) || 'scope'
    case 'consumers': {
      const values = new Set(test.values)
      return ({ x }) => values.has(x.get(CONSUMER) ?? '') || 'consumer'
    }
    case 'groups': {
      const values = new Set(test.values)
      return ({ claims }) => groupsOf(claims).some((group) => has(values, group)) || 'groups'
    }
    case 'sourceCIDRs': {
      const ranges = new CidrSet(test.values)
      return ({ x }) => ranges.has(x.clientAddress) || 'client.ip'
    }
    default:
      return claimTest(test)
  }
}

function claimTest({ type, claim, values }: Extract<RuleTest, { readonly claim: readonly string[] }>): Test {
  const set = new Set(values)
  const name = claim.join('.')
  if (type === 'equals') return ({ claims }) => has(set, claimAt(claims, claim)) || name
  if (type === 'hasAll')
    return ({ claims }) => {
      const found = new Set(wordsOf(claimAt(claims, claim)).map(textOf))
      return values.every((value) => found.has(value)) || name
    }
  if (type === 'hasAny') return ({ claims }) => wordsOf(claimAt(claims, claim)).some((word) => has(set, word)) || name
  return ({ claims }) => {
    const value = claimAt(claims, claim)
    return (Array.isArray(value) ? elementsOf(value).some((one) => has(set, one)) : has(set, value)) || name
  }
}

/** Words of a text, as `scope` has them; elements of a list. */
function wordsOf(value: unknown): readonly unknown[] {
  if (typeof value === 'string') return value.split(' ', MAX_WORDS)
  return Array.isArray(value) ? elementsOf(value) : [value]
}

function elementsOf(list: readonly unknown[]): readonly unknown[] {
  return list.length > MAX_WORDS ? list.slice(0, MAX_WORDS) : list
}

/** Numbers and booleans as they are written; objects are nothing. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

function has(values: ReadonlySet<string>, value: unknown): boolean {
  const text = textOf(value)
  return text !== undefined && values.has(text)
}

/** `scope` (RFC 8693 §4.2) and `scp`, as others call it, in words or in a list. */
function hasScopes(claims: unknown, wanted: readonly string[]): boolean {
  const found = new Set([...wordsOf(claimAt(claims, SCOPE)), ...wordsOf(claimAt(claims, SCP))])
  return wanted.every((scope) => found.has(scope))
}

const SCOPE = ['scope']
const SCP = ['scp']
const GROUPS = ['groups']

/** A claim of tokens is a list; a label of keys has commas. */
function groupsOf(claims: unknown): readonly unknown[] {
  const groups = claimAt(claims, GROUPS)
  if (typeof groups === 'string') return groups.split(',', MAX_WORDS)
  return Array.isArray(groups) ? elementsOf(groups) : []
}

function celTest(source: string): Test {
  const expression = compileExpression(source)
  return (facts) => {
    try {
      return expression.holds(contextOf(facts, expression)) || 'cel'
    } catch (error) {
      return `cel: ${error instanceof Error ? error.message.split('\n', 1)[0] : 'failed'}`
    }
  }
}

const NO_CLAIMS = Object.freeze({})

function contextOf(
  { x, claims, clock }: Facts,
  uses: { readonly headers: boolean; readonly time: boolean },
): ExpressionContext {
  const request: Record<string, unknown> = {
    method: x.method,
    path: x.originalPath,
    query: x.query ?? '',
    host: x.host,
    scheme: x.origin.scheme,
  }
  if (uses.headers) request.headers = headersOf(x)
  if (uses.time) request.time = new Date(clock.wall())
  return {
    request,
    claims: (claims ?? NO_CLAIMS) as ExpressionContext['claims'],
    consumer: x.get(CONSUMER) ?? '',
    client: { ip: x.clientAddress },
  }
}

/** Names in lower case; several lines of one field are joined (RFC 9110 §5.3). */
function headersOf(x: Exchange): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null)
  x.request.forEach((name, value) => {
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  })
  return headers
}

/** Whether a rule is for a request. */
export function appliesTo({ methods, paths }: RequestKinds): (x: Exchange) => boolean {
  const allowed = methods && new Set(methods.includes('GET') ? [...methods, 'HEAD'] : methods)
  const places = paths?.map((path) => (path.endsWith('/*') ? { below: path.slice(0, -1) } : { path }))
  return (x) =>
    (allowed === undefined || allowed.has(x.method)) &&
    (places === undefined || places.some((place) => isAt(x.originalPath, place)))
}

function isAt(path: string, place: { readonly path: string } | { readonly below: string }): boolean {
  if ('path' in place) return path === place.path
  const { below } = place
  return path.startsWith(below) || path === below.slice(0, -1)
}

/** For people. */
export function describeTest(test: RuleTest): string {
  switch (test.type) {
    case 'none':
      return 'everybody passes'
    case 'cel':
      return test.source
    case 'equals':
    case 'in':
      return `${test.claim.join('.')} is ${test.values.join(' or ')}`
    case 'hasAny':
      return `${test.claim.join('.')} has ${test.values.join(' or ')}`
    case 'hasAll':
      return `${test.claim.join('.')} has ${test.values.join(' and ')}`
    case 'scopes':
      return `scope has ${test.values.join(' and ')}`
    case 'consumers':
      return `the consumer is ${test.values.join(' or ')}`
    case 'groups':
      return `groups has ${test.values.join(' or ')}`
    default:
      return `client.ip is in ${test.values.join(' or ')}`
  }
}
