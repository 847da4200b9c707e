/**
 * Reads what a TypeScript file imports, without running it: a small lexer, since TypeScript 7 offers no parser to call.
 */

export interface Token {
  readonly kind: 'word' | 'string' | 'punctuation'
  readonly text: string
  readonly line: number
}

export interface ImportSite {
  readonly specifier: string
  /** `url` is `new URL(specifier, import.meta.url)`: the entry of a thread, not something that is loaded here. */
  readonly kind: 'import' | 'export' | 'dynamic' | 'url'
  /** `import type`: it names a shape and loads nothing. */
  readonly typeOnly?: true
  readonly line: number
}

/** Words after which a slash begins a regular expression and not a division. */
const BEFORE_PATTERN = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'do',
  'else',
  'void',
  'throw',
  'yield',
  'await',
])

const SCANNER =
  /(?<space>\s+|\/\/[^\n]*|\/\*.*?\*\/)|(?<word>[A-Za-z_$#][\w$]*)|(?<number>\d[\w.]*)|(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|(?<rest>.)/sy
const PATTERN = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y

/** Comments and the text of template literals are left out; expressions inside `${}` are kept. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** Depth of braces at which each open `${` ends. */
  const templates: number[] = []
  let braces = 0
  let line = 1
  let at = 0

  const take = (kind: Token['kind'], text: string, length: number): void => {
    tokens.push({ kind, text, line })
    at += length
  }
  const skipTemplate = (): void => {
    while (at < source.length) {
      const character = source[at]!
      if (character === '\n') line++
      if (character === '\\') at += 2
      else if (character === '`') {
        at++
        return
      } else if (character === '$' && source[at + 1] === '{') {
        at += 2
        templates.push(braces++)
        return
      } else at++
    }
  }

  while (at < source.length) {
    SCANNER.lastIndex = at
    const groups = SCANNER.exec(source)!.groups!
    if (groups.space !== undefined) {
      line += groups.space.split('\n').length - 1
      at += groups.space.length
    } else if (groups.word !== undefined) take('word', groups.word, groups.word.length)
    else if (groups.number !== undefined) take('punctuation', groups.number, groups.number.length)
    else if (groups.string !== undefined) take('string', groups.string.slice(1, -1), groups.string.length)
    else if (groups.rest === '`') {
      at++
      skipTemplate()
    } else if (groups.rest === '/' && patternMayBegin(tokens.at(-1))) {
      PATTERN.lastIndex = at
      const pattern = PATTERN.exec(source)
      take('punctuation', '/', pattern === null ? 1 : pattern[0].length)
    } else if (groups.rest === '}' && templates.at(-1) === braces - 1) {
      templates.pop()
      braces--
      at++
      skipTemplate()
    } else {
      if (groups.rest === '{') braces++
      if (groups.rest === '}') braces--
      take('punctuation', groups.rest!, 1)
    }
  }
  return tokens
}

function patternMayBegin(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'string') return false
  if (before.kind === 'word') return BEFORE_PATTERN.has(before.text)
  return !/^[)\]}\d]/.test(before.text)
}

export function importsOf(tokens: readonly Token[]): ImportSite[] {
  const sites: ImportSite[] = []
  for (let i = 0; i < tokens.length; i++) {
    const { kind, text, line } = tokens[i]!
    if (kind !== 'word' || tokens[i - 1]?.text === '.') continue
    const next = tokens[i + 1]
    if (text === 'import' && next?.kind === 'string') sites.push({ specifier: next.text, kind: 'import', line })
    else if (text === 'import' && next?.text === '(') {
      const argument = tokens[i + 2]
      sites.push({ specifier: argument?.kind === 'string' ? argument.text : '(computed)', kind: 'dynamic', line })
    } else if ((text === 'import' && next?.text !== '.') || text === 'export') {
      const from = fromClause(tokens, i + 1)
      const typeOnly = next?.text === 'type' && tokens[i + 2]?.text !== 'from' && tokens[i + 2]?.text !== ','
      if (from !== undefined)
        sites.push({ specifier: from, kind: text as 'import' | 'export', line, ...(typeOnly ? { typeOnly } : {}) })
    } else if (text === 'URL' && tokens[i - 1]?.text === 'new' && tokens[i + 2]?.kind === 'string') {
      const rest = tokens.slice(i + 3, i + 9).map((token) => token.text)
      if (rest.join('').startsWith(',import.meta.url'))
        sites.push({ specifier: tokens[i + 2]!.text, kind: 'url', line })
    }
  }
  return sites
}

/** The string after `from`, where what stands between is only names, braces, commas and stars. */
function fromClause(tokens: readonly Token[], start: number): string | undefined {
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token.kind === 'word') {
      if (token.text === 'from' && tokens[i + 1]?.kind === 'string') return tokens[i + 1]!.text
    } else if (token.kind === 'string' || !/^[{},*]$/.test(token.text)) return undefined
  }
  return undefined
}
