/**
 * CEL expressions of `authorization`. What one may cost is counted while it runs, by the values that it touches, and
 * ends with an error that denies: a list in a token, compared with itself, is enough for minutes otherwise. Functions
 * are a closed list, and patterns are RE2 with text of their own, compiled once.
 */
import { Environment } from '@marcbachmann/cel-js'
import { patternCost } from '../../pattern/pattern-cost.ts'
import { compilePattern, type Pattern } from '../../pattern/regex.ts'

/** What an expression can ask about. */
export interface ExpressionContext {
  readonly request: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  readonly consumer: string
  readonly client: { readonly ip: string }
}

export interface Expression {
  /** Whether it speaks of `request.headers` or `request.time`, which are made only then. */
  readonly headers: boolean
  readonly time: boolean
  /** @throws where it comes to no boolean: a member is missing, types do not fit, or it takes too many steps */
  holds(context: ExpressionContext): boolean
}

/** Of all expressions of a policy for one request; a step takes some 0.1 to 0.5 µs. */
export const MAX_STEPS = 4_000
/** A page of text with more is no expression that a person reads. */
const MAX_NODES = 160
const MAX_DEPTH = 24
/** Characters of text, and elements of a list, that are a step. */
const TEXT_STEP = 64
const LIST_STEP = 2
/** Instructions of a pattern times characters that are a step. */
const PATTERN_STEP = 10
/** To compare a list of lists or an object, at the least; and for each of its members, however deep. */
const COMPARE_STEPS = 1_000
const MEMBER_STEPS = 2
/** To look something up in it, or to find out that it is another one. */
const OBJECT_STEPS = 50
/** An error is an object with a message and a place, and `||` and loops go on behind it. */
const ERROR_STEPS = 100
/** Instructions of the patterns of one expression, and microseconds to compile them. */
const MAX_PATTERNS_SIZE = 250
const MAX_PATTERNS_TIME = 500

const FUNCTIONS: ReadonlySet<string> = new Set([
  ...['has', 'size', 'int', 'double', 'string', 'bool', 'timestamp', 'duration'],
  ...['startsWith', 'endsWith', 'contains', 'matches', 'lowerAscii', 'upperAscii'],
  ...['all', 'exists', 'exists_one', 'filter', 'map'],
  ...['getFullYear', 'getMonth', 'getDate', 'getDayOfMonth', 'getDayOfWeek', 'getDayOfYear'],
  ...['getHours', 'getMinutes', 'getSeconds'],
])

/** What of a node of the library's syntax tree is looked at. */
interface Node {
  readonly op: string
  args: unknown
  evaluate: Evaluate
  readonly meta: { readonly alternate?: unknown }
}

type Evaluate = (evaluator: unknown, node: unknown, context: unknown) => unknown

/** How an operator looks at its operands. */
type Look = 'members' | 'whole' | 'search' | 'deep'

const LOOKS: Readonly<Record<string, Look>> = {
  ...{ '==': 'deep', '!=': 'deep', in: 'search', '<': 'whole', '<=': 'whole', '>': 'whole', '>=': 'whole' },
  ...{ '+': 'whole', call: 'whole', rcall: 'whole' },
}

/** Of the evaluation under way: nothing here waits, so there is one at a time. */
let stepsLeft = 0
/** Begins what {@link MAX_STEPS} bounds. */
export function startSteps(): void {
  stepsLeft = MAX_STEPS
}

/** Patterns of the expression under way, by their text. */
let patterns: ReadonlyMap<string, Pattern> = new Map()

const environment = new Environment({
  limits: { maxAstNodes: MAX_NODES, maxDepth: MAX_DEPTH, maxListElements: 64, maxMapEntries: 16, maxCallArguments: 4 },
})
  .registerVariable({
    name: 'request',
    schema: {
      method: 'string',
      path: 'string',
      query: 'string',
      host: 'string',
      scheme: 'string',
      headers: 'map<string, string>',
      time: 'google.protobuf.Timestamp',
    },
  })
  .registerVariable('claims', 'map<string, dyn>')
  .registerVariable('consumer', 'string')
  .registerVariable({ name: 'client', schema: { ip: 'string' } })
  .registerFunction('string.matchesPattern(string): bool', (text: string, source: string) => {
    const pattern = patterns.get(source)!
    spend((text.length * pattern.size) / PATTERN_STEP)
    return pattern.find(text)
  })

/** Of those that come again, the same in all threads and policies. */
const KNOWN = new Map<string, Expression | { readonly error: string }>()
const MAX_KNOWN = 256

/** What is wrong with an expression, as a sentence; undefined when nothing is. */
export function checkExpression(source: string): string | undefined {
  const read = readExpression(source)
  return 'error' in read ? read.error : undefined
}

/** @throws {TypeError} when {@link checkExpression} has something to say */
export function compileExpression(source: string): Expression {
  const read = readExpression(source)
  if ('error' in read) throw new TypeError(read.error)
  return read
}

function readExpression(source: string): Expression | { readonly error: string } {
  const known = KNOWN.get(source)
  if (known !== undefined) return known
  if (KNOWN.size >= MAX_KNOWN) KNOWN.clear()
  const read = parse(source)
  KNOWN.set(source, read)
  return read
}

function parse(source: string): Expression | { readonly error: string } {
  try {
    const run = environment.parse(source)
    const found = new Map<string, Pattern>()
    admit(run.ast as unknown, found)
    const { valid, type, error } = run.check()
    if (!valid) return { error: messageOf(error) }
    if (type !== 'bool' && type !== 'dyn') return { error: `is of type ${type}, and has to be true or false` }
    meter(run.ast as unknown, new Set(), 'members')
    return {
      headers: /\bheaders\b/.test(source),
      time: /\btime\b/.test(source),
      holds(context) {
        patterns = found
        lastError = undefined
        const result: unknown = run(context as unknown as Record<string, unknown>)
        // What came behind the last step counts for nothing: operators go on behind an error.
        if (stepsLeft < 0) throw TOO_LONG
        if (typeof result !== 'boolean') throw new TypeError('the expression is neither true nor false')
        return result
      },
    }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

/** The library points at the place in further lines. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return `is no expression that can be used: ${text.split('\n', 1)[0]}`
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Node>).evaluate === 'function'
}

/** Refuses functions that are not listed, and compiles patterns. @throws {TypeError} saying what is wrong */
function admit(value: unknown, found: Map<string, Pattern>): void {
  if (Array.isArray(value)) for (const one of value) admit(one, found)
  if (!isNode(value)) return
  if (value.op === 'call' || value.op === 'rcall') {
    const [name] = value.args as readonly unknown[]
    if (typeof name !== 'string' || !FUNCTIONS.has(name))
      throw new TypeError(`there is no function ${String(name)}; there are ${[...FUNCTIONS].join(', ')}`)
    if (name === 'matches') admitPattern(value, found)
    // A zone takes ICU a millisecond.
    else if (/^get[A-Z]/.test(name) && value.op === 'rcall' && ((value.args as unknown[])[2] as unknown[]).length > 0)
      throw new TypeError(`${name} takes no time zone; times are in UTC`)
  }
  admit(value.args, found)
}

/** The library's own `matches` is RegExp, whose time is not linear. */
function admitPattern(node: Node, found: Map<string, Pattern>): void {
  const [, receiver, args] = node.args as readonly [string, unknown, readonly unknown[]]
  const [pattern] = Array.isArray(args) ? args : []
  if (node.op !== 'rcall' || !isNode(pattern) || pattern.op !== 'value' || typeof pattern.args !== 'string')
    throw new TypeError("a pattern is written as text: request.path.matches('^/a')")
  let { instructions, compile } = patternCost(pattern.args)
  for (const [known, { size }] of found) {
    instructions += size
    compile += patternCost(known).compile
  }
  if (instructions > MAX_PATTERNS_SIZE || compile > MAX_PATTERNS_TIME)
    throw new TypeError(`its patterns are too large, with ${instructions} instructions of ${MAX_PATTERNS_SIZE}`)
  const compiled = compilePattern(pattern.args)
  if ('error' in compiled) throw new TypeError(compiled.error)
  found.set(pattern.args, compiled)
  node.args = ['matchesPattern', receiver, args]
}

/** @param look of the operator that takes what the node comes to */
function meter(value: unknown, seen: Set<unknown>, look: Look): void {
  if (Array.isArray(value)) for (const one of value) meter(one, seen, look)
  if (!isNode(value) || seen.has(value)) return
  seen.add(value)
  let inner: Evaluate = value.evaluate
  const metered: Evaluate = (evaluator, node, context) => {
    spend(1)
    const result = counted(() => inner.call(value, evaluator, node, context))
    if (look !== 'members') spend(sizeOf(result, look))
    return result
  }
  // The library replaces the function of a node when it is first called.
  Object.defineProperty(value, 'evaluate', { get: () => metered, set: (next: Evaluate) => void (inner = next) })
  const { alternate } = value.meta
  if (value.op === 'comprehension') meterLoop(value.args as Loop, seen)
  else if (alternate === undefined) meter(value.args, seen, LOOKS[value.op] ?? 'members')
  else meter(alternate, seen, 'members')
}

interface Loop {
  readonly iterable: unknown
  readonly init: unknown
  readonly step: unknown
  /** Goes on while it holds. */
  condition?: (result: unknown) => boolean
}

/** Loops go on behind errors, and so behind the last step. */
function meterLoop(loop: Loop, seen: Set<unknown>): void {
  const { iterable, init, step, condition } = loop
  loop.condition = (result) => stepsLeft >= 0 && (condition === undefined || condition(result))
  meter(iterable, seen, 'whole')
  for (const part of [init, step]) meter(part, seen, 'members')
}

/** An error passes the nodes around the one that has made it. */
let lastError: unknown

function counted(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (error !== TOO_LONG && error !== lastError) {
      lastError = error
      spend(ERROR_STEPS)
    }
    throw error
  }
}

function sizeOf(value: unknown, look: Look): number {
  if (typeof value === 'string') return value.length / TEXT_STEP
  if (typeof value !== 'object' || value === null || value instanceof Date) return 0
  const { length } = Array.isArray(value) ? value : NO_ELEMENTS
  if (Array.isArray(value) && value.every(isScalar)) return length / LIST_STEP
  if (look === 'deep') return Math.max(COMPARE_STEPS, membersIn(value))
  const searched = look === 'search' && length > 0 ? membersIn(value) + length * OBJECT_STEPS : 0
  return OBJECT_STEPS + length / LIST_STEP + searched
}

const NO_ELEMENTS: readonly unknown[] = []

function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

/** Steps for all that is in it, which an expression may have put together of one claim many times. */
function membersIn(value: object): number {
  let steps = 0
  const open = [value]
  for (let one = open.pop(); one !== undefined && steps <= stepsLeft; one = open.pop()) {
    const members: readonly unknown[] = Array.isArray(one) ? one : Object.values(one)
    steps += members.length * MEMBER_STEPS
    for (const member of members) if (!isScalar(member)) open.push(member as object)
  }
  return steps
}

/** One object, since an error costs some microseconds to make. */
const TOO_LONG = new RangeError(`the expression takes more than ${MAX_STEPS} steps`)

function spend(steps: number): void {
  stepsLeft -= steps
  if (stepsLeft < 0) throw TOO_LONG
}
