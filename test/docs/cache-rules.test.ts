import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { requirements, testOf } from '../../docs/cache-requirements.ts'
import { CACHE_RULES_PAGE, cacheRules, cacheRulesPage } from '../../docs/cache-rules.ts'

const page = readFileSync(new URL(`../../${CACHE_RULES_PAGE}`, import.meta.url), 'utf8')
const rows = (text: string): string[] => text.split('\n').filter((line) => /^\| \d/.test(line))

/** Sections of RFC 9111 that demand something of a shared cache. */
const DEMANDED = [
  ...['1.2.2', '3', '3.1', '3.2', '3.3', '3.4', '3.5'],
  ...['4', '4.1', '4.2', '4.2.1', '4.2.2', '4.2.3', '4.2.4', '4.3.1', '4.3.2', '4.3.3', '4.3.4', '4.3.5', '4.4'],
  ...['5.1', '5.2', '5.2.1.1', '5.2.1.2', '5.2.1.3', '5.2.1.4', '5.2.1.5', '5.2.1.7'],
  ...['5.2.2.1', '5.2.2.2', '5.2.2.3', '5.2.2.4', '5.2.2.5', '5.2.2.7', '5.2.2.8', '5.2.2.9', '5.2.2.10'],
  ...['5.2.3', '5.3', '5.4', '7.3'],
]

describe('the table of the rules of the cache', () => {
  it('names no rule without a test that has its words for a title', () => {
    const written = new Set(rows(cacheRulesPage()))
    const gone = rows(page).filter((row) => !written.has(row))
    assert.deepEqual(gone, [], 'run node docs/generate.ts')
  })

  it('has a rule for each section of RFC 9111 that demands something', () => {
    const sections = new Set(cacheRules().flatMap((rule) => (rule.document === 'RFC 9111' ? [rule.section] : [])))
    assert.deepEqual(
      DEMANDED.filter((section) => !sections.has(section)),
      [],
    )
    assert.ok(rows(page).length >= 60)
  })

  it('has a test for whatever the RFCs demand, or says why not', () => {
    const all = requirements()
    const untested = all.filter((one) => one.file !== '-' && testOf(one) === undefined)
    assert.deepEqual(
      untested.map(({ document, section, file, title }) => `${document} §${section}: ${file} has no title ${title}`),
      [],
      'the title was changed: change it in docs/cache-requirements.txt, too',
    )
    assert.ok(all.length >= 120)
    const demanded = new Set(all.map(({ document, section }) => `${document} §${section}`))
    // What only allows, or is about requests that a cache may leave aside, is no demand.
    const allowed = ['5.2.1.1', '5.2.1.2', '5.2.1.3', '5.2.1.4', '5.2.2.1', '5.2.2.9', '5.4', '7.3']
    assert.deepEqual(
      DEMANDED.filter((section) => !allowed.includes(section) && !demanded.has(`RFC 9111 §${section}`)),
      [],
    )
  })

  it('has all of it on its page', () => {
    assert.ok(page.includes(cacheRulesPage().split('## RFC 9111')[0]!), 'run node docs/generate.ts')
  })

  it('names each rule once', () => {
    const rules = cacheRules().map(({ document, section, rule, file }) => `${document} §${section} ${rule} ${file}`)
    assert.deepEqual(
      rules.filter((rule, i) => rules.indexOf(rule) !== i),
      [],
    )
  })
})
