/** Parses YAML and JSON text to plain values, and returns every error with its position. */
import { type Document, isAlias, isMap, isScalar, isSeq, Lexer, type Node, parseAllDocuments, visit } from 'yaml'
import { inspectJson, type JsonReport, locateInJson } from './json-scan.ts'
import type { SourceProblemReason } from './source.ts'
import { yaml11Difference } from './yaml-1-1.ts'

type Path = readonly (string | number)[]

export interface TextProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  /** Offset in the text, in UTF-16 units from 0. */
  readonly offset: number
}

export interface TextDocument {
  /** Plain data: objects, lists, strings, numbers, booleans, null. */
  readonly value: unknown
  /** Offset of its first character. */
  readonly offset: number
  /** Warnings of scalars that kubectl reads differently. */
  readonly warnings: readonly TextProblem[]
  /** Like {@link locateInText}, without parsing again. Retains the parsed document: do not store it. */
  locate(path: Path): number
}

export interface ParsedText {
  /** Excludes empty documents and documents with errors. */
  readonly documents: readonly TextDocument[]
  readonly errors: readonly TextProblem[]
}

// The parser's check for duplicate keys is quadratic; `duplicates` below is linear.
const OPTIONS = { version: '1.2', merge: true, uniqueKeys: false, prettyErrors: false, logLevel: 'silent' } as const

/** Limit of the expansion by aliases: far above regular use, and far below an expansion attack. */
const MAX_ALIASES = 100

/**
 * Limit of tokens (names, values, punctuation; in YAML also blanks and line ends) per document or object: about 5,000
 * fields in YAML. Parsing this many takes a tenth of a second, so that no author of a file can block the control
 * thread.
 */
const MAX_TOKENS = 50_000
/**
 * Limit of what texts are put together from in one document or object: characters of those in double quotes, and lines
 * of others, of which one takes as much as {@link LINE} characters. The parser holds 32 bytes for each character until
 * the text is used, so that some MiB would end the control thread.
 */
const MAX_PIECES = 1_048_576
const LINE = 4
/** Limit of nested brackets, because the parser is recursive. */
const MAX_DEPTH = 200
/** Limit of aliases times tokens, because the parser walks the document to resolve an alias. */
const MAX_ALIAS_COST = 5_000_000

/** Never throws, whatever the text. */
export function parseYaml(text: string): ParsedText {
  const documents: TextDocument[] = []
  const errors: TextProblem[] = []
  try {
    const excess = findExcess(text)
    if (excess !== null) return { documents, errors: [excess] }
    const parsed = parseAllDocuments(text, OPTIONS)
    for (const document of 'empty' in parsed ? [] : parsed) {
      const faults = errorsOf(document)
      errors.push(...faults)
      if (faults.length > 0 || document.contents === null) continue
      const offset = document.contents.range?.[0] ?? 0
      const value = toValue(document, offset)
      if ('message' in value) errors.push(value)
      else if (value.value !== null)
        documents.push({
          value: value.value,
          offset,
          warnings: yaml11Warnings(document),
          locate: (path) => locateNode(document, path),
        })
    }
  } catch (error) {
    // The parser is recursive: thousands of nested levels overflow its stack.
    errors.push(syntax(describe(error), 0))
  }
  return { documents, errors }
}

/** Like {@link parseYaml} for JSON, about forty times as fast. Falls back to YAML, which also locates errors. */
export function parseJson(text: string): ParsedText {
  const steps = parseJsonInSteps(text)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** @yields where the caller may pause */
export function* parseJsonInSteps(text: string): Generator<void, ParsedText> {
  let report: JsonReport
  try {
    report = yield* inspectJson(text, MAX_TOKENS)
  } catch (error) {
    return { documents: [], errors: [syntax(describe(error), 0)] }
  }
  if (report.excess !== null) return { documents: [], errors: [tooLarge(TOO_MANY_TOKENS, report.excess)] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return parseYaml(text)
  }
  const { duplicate, items } = report
  if (duplicate !== null) {
    const message = `the key "${duplicate.key}" occurs twice in one object`
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
 * Returns the position of `path` in a document: the key of a member, the value of an element, or the nearest existing
 * ancestor if the path does not exist.
 *
 * @param text its first non-empty document is used
 * @returns an offset into `text`
 */
export function locateInText(text: string, path: Path): number {
  return locatorOf(text)(path)
}

/** Like {@link locateInText} for many paths: parses once. Retains the parsed document. */
export function locatorOf(text: string): (path: Path) => number {
  if (/^\s*[{[]/.test(text)) {
    try {
      JSON.parse(text)
      return (path) => locateInJson(text, path)
    } catch {
      // Flow style, not JSON.
    }
  }
  return yamlLocatorOf(text)
}

function yamlLocatorOf(text: string): (path: Path) => number {
  try {
    if (findExcess(text) !== null) return nowhere
    const parsed = parseAllDocuments(text, OPTIONS)
    const document = 'empty' in parsed ? undefined : parsed.find((candidate) => candidate.contents !== null)
    return document === undefined ? nowhere : (path) => locateNode(document, path)
  } catch {
    return nowhere
  }
}

const nowhere = (): number => 0

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

function errorsOf(document: Document.Parsed): TextProblem[] {
  // The parser only warns of an unknown tag, but its value would not be the intended one.
  const faults = [...document.errors, ...document.warnings].map((fault) =>
    syntax(describeParseError(fault), fault.pos[0]),
  )
  return faults.length > 0 ? faults : duplicates(document)
}

/** Finds duplicate keys of mappings. */
function duplicates(document: Document.Parsed): TextProblem[] {
  const found: TextProblem[] = []
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        const at = (key as Node).range?.[0] ?? 0
        if (keys.has(key.value)) found.push(syntax(describeParseError({ code: 'DUPLICATE_KEY', message: '' }), at))
        keys.add(key.value)
      }
    },
  })
  return found
}

const TOO_MANY_PIECES = `the texts in quotes or of several lines take too much memory in one object: it may have ${MAX_PIECES} characters in double quotes, or ${MAX_PIECES / LINE} lines; divide it`
const TOO_MANY_TOKENS = `there are more than ${MAX_TOKENS} tokens (names, values, punctuation, blanks of YAML) in one object; divide it`

/** Checks the limits by the tokens of a text, before anything is built from them. */
function findExcess(text: string): TextProblem | null {
  let tokens = 0
  let pieces = 0
  let aliases = 0
  let depth = 0
  let offset = 0
  let before = ''
  for (const token of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) return tooLarge(TOO_MANY_TOKENS, 0)
    pieces += piecesOf(token)
    if (pieces > MAX_PIECES) return tooLarge(TOO_MANY_PIECES, offset)
    if (before !== SCALAR) {
      if (token === '[' || token === '{') depth++
      else if (token === ']' || token === '}') depth--
      else if (token.startsWith('*') && ++aliases * tokens > MAX_ALIAS_COST)
        return tooLarge('there are too many aliases; write the values out', offset)
      if (depth > MAX_DEPTH) return syntax('it is nested too deeply', offset)
    }
    before = token
    if (!MARKS.has(token)) offset += token.length
  }
  return null
}

function piecesOf(token: string): number {
  if (token.startsWith('"')) return token.length
  let lines = 0
  for (let at = token.indexOf('\n'); at !== -1; at = token.indexOf('\n', at + 1)) lines++
  return lines * LINE
}

/** Marks that the lexer adds to the text: before a plain scalar, before a document, at the end of a flow collection. */
const SCALAR = '\x1f'
const MARKS: ReadonlySet<string> = new Set([SCALAR, '\x02', '\x18'])

function tooLarge(message: string, offset: number): TextProblem {
  return { severity: 'error', reason: 'TooLarge', message: `${message[0]!.toUpperCase()}${message.slice(1)}.`, offset }
}

function syntax(message: string, offset: number): TextProblem {
  return { severity: 'error', reason: 'Syntax', message: `Not valid YAML or JSON: ${message}.`, offset }
}

/** Describes an error of the parser with a remedy, where its own message is not helpful. */
function describeParseError({ code, message: full }: { code: string; message: string }): string {
  // The rest quotes the text, which may be that of a Secret.
  const message = full.replace(/: ".*$/s, '')
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab is used to indent; use spaces'
    case 'DUPLICATE_KEY':
      return 'this key occurs twice in one mapping; remove one'
    case 'BAD_INDENT':
      return /must be sufficiently indented and end with/i.test(message)
        ? `a ${message.slice(-1)} is missing before this`
        : 'the indentation of this line does not match the surrounding lines'
    case 'TAG_RESOLVE_FAILED':
      return 'this tag is unknown; remove it'
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
    return syntax(bomb ? 'its aliases expand it beyond the limit; write the values out' : describe(error), offset)
  }
}

function yaml11Warnings(document: Document.Parsed): TextProblem[] {
  const found: TextProblem[] = []
  visit(document, {
    Scalar(_, node) {
      if (node.type !== 'PLAIN' || node.tag !== undefined || node.source === undefined) return
      const message = yaml11Difference(node.source, node.value)
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
