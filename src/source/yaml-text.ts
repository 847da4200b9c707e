/** YAML text to plain values, with every fault as a value that has a position. */
import { type Document, isAlias, isMap, isScalar, isSeq, Lexer, type Node, parseAllDocuments, visit } from 'yaml'
import { inspectJson, type JsonReport, locateInJson } from './json-scan.ts'
import type { SourceProblemReason } from './source.ts'
import { readDifferently } from './yaml-1-1.ts'

type Path = readonly (string | number)[]

export interface TextProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  /** In the text, UTF-16 units from 0. */
  readonly offset: number
}

export interface TextDocument {
  /** Plain data: objects, lists, strings, numbers, booleans, null. */
  readonly value: unknown
  /** Of its first character. */
  readonly offset: number
  /** Scalars that kubectl would read differently. */
  readonly warnings: readonly TextProblem[]
  /** As {@link locateInText}, without parsing again. Keeps the parsed document alive: not for keeping. */
  locate(path: Path): number
}

export interface ParsedText {
  /** Without empty documents and those that have errors. */
  readonly documents: readonly TextDocument[]
  readonly errors: readonly TextProblem[]
}

// The parser looks for equal keys by comparing each with each; `duplicates` below does it in linear time.
const OPTIONS = { version: '1.2', merge: true, uniqueKeys: false, prettyErrors: false, logLevel: 'silent' } as const

/** Aliases may multiply a document this many times, which is far above honest use and far below a bomb. */
const MAX_ALIASES = 100

/**
 * Tokens (names, values, punctuation; of YAML blanks and line ends too) of one document or object: some 5,000 fields in
 * YAML. Whoever may write a file must not be able to hold up the thread that everybody's changes wait for, and to parse
 * this many takes a tenth of a second.
 */
const MAX_SIGNS = 50_000
/** Brackets within brackets: the parser recurses. */
const MAX_DEPTH = 200
/** To resolve an alias the parser walks the document: aliases times signs. */
const MAX_RESOLVING = 5_000_000

/** Never throws, whatever the text. */
export function parseYaml(text: string): ParsedText {
  const documents: TextDocument[] = []
  const errors: TextProblem[] = []
  try {
    const excess = excessOf(text)
    if (excess !== null) return { documents, errors: [excess] }
    const parsed = parseAllDocuments(text, OPTIONS)
    for (const document of 'empty' in parsed ? [] : parsed) {
      const faults = faultsOf(document)
      errors.push(...faults)
      if (faults.length > 0 || document.contents === null) continue
      const offset = document.contents.range?.[0] ?? 0
      const value = toValue(document, offset)
      if ('message' in value) errors.push(value)
      else if (value.value !== null)
        documents.push({
          value: value.value,
          offset,
          warnings: differences(document),
          locate: (path) => locateNode(document, path),
        })
    }
  } catch (error) {
    // The parser recurses: what is nested thousands deep ends its stack.
    errors.push(syntax(describe(error), 0))
  }
  return { documents, errors }
}

/** As {@link parseYaml}, for JSON: some forty times as fast. Falls back to YAML, which also says where a fault is. */
export function parseJson(text: string): ParsedText {
  const steps = parseJsonInSteps(text)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** @yields wherever the caller may do something else first */
export function* parseJsonInSteps(text: string): Generator<void, ParsedText> {
  let report: JsonReport
  try {
    report = yield* inspectJson(text, MAX_SIGNS)
  } catch (error) {
    return { documents: [], errors: [syntax(describe(error), 0)] }
  }
  if (report.excess !== null) return { documents: [], errors: [tooMuch(TOO_MANY, report.excess)] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return parseYaml(text)
  }
  const { duplicate, items } = report
  if (duplicate !== null) {
    const message = `the key "${duplicate.key}" is there twice in one object`
    return { documents: [], errors: [syntax(message, duplicate.offset)] }
  }
  if (value === null) return { documents: [], errors: [] }
  const locate = (path: Path): number => {
    if (path.length !== 2 || path[0] !== 'items' || typeof path[1] !== 'number') return locateInJson(text, path)
    return items[path[1]] ?? 0
  }
  return { documents: [{ value, offset: locateInJson(text, []), warnings: [], locate }], errors: [] }
}

/**
 * Where `path` stands in a document: the key for a member, the value for an element, and the nearest place around it
 * where the path leads to nothing.
 *
 * @param text of which the first non-empty document is meant
 * @returns an offset into `text`
 */
export function locateInYaml(text: string, path: Path): number {
  try {
    if (excessOf(text) !== null) return 0
    const parsed = parseAllDocuments(text, OPTIONS)
    if ('empty' in parsed) return 0
    const document = parsed.find((candidate) => candidate.contents !== null)
    return document === undefined ? 0 : locateNode(document, path)
  } catch {
    return 0
  }
}

/** As {@link locateInYaml}, for what {@link parseJson} read. */
export function locateInText(text: string, path: Path): number {
  if (/^\s*[{[]/.test(text)) {
    try {
      JSON.parse(text)
      return locateInJson(text, path)
    } catch {
      // Flow style, not JSON.
    }
  }
  return locateInYaml(text, path)
}

/** Finds line and column of an offset, both from 1. */
export class LineIndex {
  readonly #starts: number[] = [0]

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1)
  }

  at(offset: number): { line: number; column: number } {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - this.#starts[low]! + 1 }
  }

  /** Offset of the first character of the line that holds `offset`. */
  startOf(offset: number): number {
    return this.#starts[this.at(offset).line - 1]!
  }
}

function locateNode(document: Document.Parsed, path: Path): number {
  let node: Node | null | undefined = document.contents
  let best = node?.range?.[0] ?? 0
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step))
      if (pair === undefined) return best
      best = (pair.key as Node).range?.[0] ?? best
      node = pair.value as Node | null
    } else if (isSeq(node) && typeof step === 'number') {
      const item = node.items[step] as Node | undefined
      if (item === undefined) return best
      best = item.range?.[0] ?? best
      node = item
    } else return best
  }
  return best
}

function faultsOf(document: Document.Parsed): TextProblem[] {
  // An unknown tag is only a warning to the parser, but its value would not be what was meant.
  const faults = [...document.errors, ...document.warnings].map((fault) => syntax(sentence(fault), fault.pos[0]))
  return faults.length > 0 ? faults : duplicates(document)
}

/** Keys that a mapping holds twice. */
function duplicates(document: Document.Parsed): TextProblem[] {
  const found: TextProblem[] = []
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        const at = (key as Node).range?.[0] ?? 0
        if (keys.has(key.value)) found.push(syntax(sentence({ code: 'DUPLICATE_KEY', message: '' }), at))
        keys.add(key.value)
      }
    },
  })
  return found
}

const TOO_MANY = `there are more than ${MAX_SIGNS} tokens (names, values, punctuation, blanks of YAML) in one object; divide it`

/** What is beyond reason in a text, by its signs alone: found before anything is built from them. */
function excessOf(text: string): TextProblem | null {
  let signs = 0
  let aliases = 0
  let depth = 0
  let offset = 0
  let before = ''
  for (const sign of new Lexer().lex(text)) {
    if (++signs > MAX_SIGNS) return tooMuch(TOO_MANY, 0)
    if (before !== SCALAR) {
      if (sign === '[' || sign === '{') depth++
      else if (sign === ']' || sign === '}') depth--
      else if (sign.startsWith('*') && ++aliases * signs > MAX_RESOLVING)
        return tooMuch('there are too many aliases; write the values out', offset)
      if (depth > MAX_DEPTH) return syntax('it is nested too deeply', offset)
    }
    before = sign
    if (!MARKS.has(sign)) offset += sign.length
  }
  return null
}

/** What the lexer says besides the text itself: before a plain scalar, before a document, at the end of flow. */
const SCALAR = '\x1f'
const MARKS: ReadonlySet<string> = new Set([SCALAR, '\x02', '\x18'])

function tooMuch(message: string, offset: number): TextProblem {
  return { severity: 'error', reason: 'TooLarge', message: `${message[0]!.toUpperCase()}${message.slice(1)}.`, offset }
}

function syntax(message: string, offset: number): TextProblem {
  return { severity: 'error', reason: 'Syntax', message: `Not valid YAML or JSON: ${message}.`, offset }
}

/** The parser's code as a remedy, where its own words leave a reader alone. */
function sentence({ code, message: full }: { code: string; message: string }): string {
  // What follows is a piece of the text, which may be a Secret's.
  const message = full.replace(/: ".*$/s, '')
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab is used to indent; use spaces'
    case 'DUPLICATE_KEY':
      return 'this key is there twice in one mapping; remove one'
    case 'BAD_INDENT':
      return /must be sufficiently indented and end with/i.test(message)
        ? `a ${message.slice(-1)} is missing before this`
        : 'this line is indented otherwise than those it belongs to'
    case 'TAG_RESOLVE_FAILED':
      return 'this tag is not known; remove it'
    case 'UNEXPECTED_TOKEN':
      return `something is out of place here (${lower(message)}); look for a missing quote, colon or line`
    default:
      return lower(message.replace(/\.$/, ''))
  }
}

function lower(message: string): string {
  return /^[A-Z][a-z]/.test(message) ? message[0]!.toLowerCase() + message.slice(1) : message
}

function describe(error: unknown): string {
  if (error instanceof RangeError) return 'it is nested too deeply'
  return lower(error instanceof Error ? error.message.replace(/\.$/, '') : String(error))
}

function toValue(document: Document.Parsed, offset: number): TextProblem | { value: unknown } {
  try {
    return { value: document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown }
  } catch (error) {
    const bomb = error instanceof ReferenceError && /alias count/i.test(error.message)
    return syntax(bomb ? 'its aliases multiply it beyond reason; write the values out' : describe(error), offset)
  }
}

function differences(document: Document.Parsed): TextProblem[] {
  const found: TextProblem[] = []
  visit(document, {
    Scalar(_, node) {
      if (node.type !== 'PLAIN' || node.tag !== undefined || node.source === undefined) return
      const message = readDifferently(node.source, node.value)
      if (message !== null)
        found.push({
          severity: 'warning',
          reason: 'ReadDifferently',
          message,
          offset: node.range?.[0] ?? 0,
        })
    },
  })
  return found
}
