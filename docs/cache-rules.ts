/**
 * Collects docs/reference/cache-rules.md from the titles of tests: each that begins with `RFC 9111 §4.2: ` is a rule. So
 * no rule stands there without a test, and the words are those of the test.
 */
import { globSync, readFileSync } from 'node:fs'
import { type Requirement, requirements, testOf } from './cache-requirements.ts'

const root = new URL('../', import.meta.url)

export const CACHE_RULES_PAGE = 'docs/reference/cache-rules.md'

/** Where tests of the cache stand. */
const FILES = [
  'test/cache/**/*.test.ts',
  'test/policy/cache/**/*.test.ts',
  'test/policy/cache*.test.ts',
  'test/exchange/*cache*.test.ts',
  'test/fuzz/cache*.test.ts',
  'test/feature/**/*cache*.test.ts',
  'test/attack/**/*cache*.test.ts',
]

export interface CacheRule {
  /** As `RFC 9111`. */
  readonly document: string
  readonly section: string
  readonly rule: string
  readonly file: string
}

const TITLE = /\b(?:it|test|describe)\(\s*(['"`])(RFC \d+) §([\d.]+): (.*?[^\\])\1,/gs

export function cacheRules(): CacheRule[] {
  const files = [...new Set(FILES.flatMap((pattern) => globSync(pattern, { cwd: root.pathname })))].sort()
  const found = files.flatMap((file) =>
    [...readFileSync(new URL(file, root), 'utf8').matchAll(TITLE)].map(([, , document, section, rule]) => ({
      ...{ document: document!, section: section!, rule: rule!.replaceAll(/\\(.)/g, '$1'), file },
    })),
  )
  // A title that is put together says nothing by itself.
  const rules = found.filter(({ rule }) => !rule.includes('${'))
  const numbers = ({ document, section }: CacheRule) => [document.slice(4), ...section.split('.')].map(Number)
  return rules.sort((a, b) => compare(numbers(a), numbers(b)) || (a.file < b.file ? -1 : a.file > b.file ? 1 : 0))
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? -1) - (b[i] ?? -1)
    if (difference !== 0) return difference
  }
  return 0
}

function requirementsTable(): string {
  const all = requirements()
  const stated = all.filter(({ file }) => file !== '-')
  const tested = stated.map((one) => row(one, `${linkTo(testOf(one) ?? one.file)}: \`${one.title}\``))
  const otherwise = all.filter(({ file }) => file === '-').map((one) => row(one, one.title))
  return `## What is demanded

Every sentence that binds a shared cache, in our words, with a test of it: its file, and a part of its title as the file
has it.

| section | level | a cache has to, or must not | test |
|---|---|---|---|
${tested.join('\n')}

What is allowed or demanded, and done otherwise here:

| section | level | a cache may, or must not | why not |
|---|---|---|---|
${otherwise.join('\n')}`
}

function row({ document, section, level, says }: Requirement, last: string): string {
  return `| ${document} §${section} | ${level} | ${says} | ${last} |`
}

const NAMES: Readonly<Record<string, string>> = {
  'RFC 5861': 'stale-while-revalidate, stale-if-error',
  'RFC 6585': 'additional statuses',
  'RFC 8246': 'immutable',
  'RFC 9110': 'HTTP semantics',
  'RFC 9111': 'HTTP caching',
  'RFC 9211': 'Cache-Status',
  'RFC 9213': 'targeted Cache-Control',
  'RFC 9651': 'structured fields',
  'RFC 9875': 'cache groups',
  'RFC 10008': 'QUERY',
}

export function cacheRulesPage(): string {
  const rules = cacheRules()
  // HTTP caching itself comes first.
  const documents = [...new Set(['RFC 9111', ...rules.map((rule) => rule.document)])]
  const parts = documents.map((document) => {
    const rows = rules
      .filter((rule) => rule.document === document)
      .map(({ section, rule, file }) => `| ${section} | ${rule.replaceAll('|', '\\|')} | ${linkTo(file)} |`)
    const name = NAMES[document]
    const title = `## ${document}${name === undefined ? '' : `: ${name}`}`
    return `${title}\n\n| § | rule | test |\n|---|---|---|\n${rows.join('\n')}`
  })
  return `<!-- Written by docs/generate.ts from the titles of tests; change it there. -->
# Rules of the cache

What the cache does by which section, and the test that shows it.

${requirementsTable()}

${parts.join('\n\n')}
`
}

function linkTo(file: string): string {
  return `[${file.replace(/^test\//, '').replace(/(?:\.test)?\.ts$/, '')}](../../${file})`
}
