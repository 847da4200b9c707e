import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { CONDITION_REASONS } from '../../src/api/condition.ts'
import { MAX_COLUMNS } from '../architecture/layers.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const pages = [...globSync('*.md', { cwd: ROOT }), ...globSync('docs/**/*.md', { cwd: ROOT })]
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

function linksOf(page: string): string[] {
  const prose = text(page).replace(/^```.*?^```/gms, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!)
}

describe('the documentation', () => {
  it('links only to files that exist', () => {
    const broken: string[] = []
    for (const page of pages)
      for (const link of linksOf(page)) {
        if (/^(https?|mailto):|^#/.test(link)) continue
        const [file] = link.split('#')
        if (!existsSync(join(ROOT, dirname(page), file!))) broken.push(`${page}: ${link}`)
      }
    assert.deepEqual(broken, [])
  })

  it('has no line of prose over 120 columns, except tables, code and URLs', () => {
    const wide = pages.flatMap((page) => {
      let code = false
      return text(page)
        .split('\n')
        .flatMap((line, i) => {
          if (/^\s*```/.test(line)) code = !code
          return !code && line.length > MAX_COLUMNS && !/^\s*\||https?:\/\//.test(line) ? [`${page}:${i + 1}`] : []
        })
    })
    assert.deepEqual(wide, [])
  })

  it('has every page in its index', () => {
    const indexed = new Set(linksOf('docs/README.md').map((link) => join('docs', link)))
    const missing = pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !indexed.has(page))
    assert.deepEqual(missing, [])
  })

  it('lists decisions by their numbers', () => {
    const listed = linksOf('docs/README.md').flatMap((link) => /^decisions\/([0-9]{4})-/.exec(link)?.[1] ?? [])
    const written = globSync('docs/decisions/*.md', { cwd: ROOT }).map((path) => basename(path).slice(0, 4))
    assert.deepEqual(listed, written.sort())
  })

  it('explains every reason of a condition in one table, once', () => {
    const [, table = ''] = /^## Reasons\n(.*?)^## /ms.exec(text('docs/status.md')) ?? []
    const explained = [...table.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, names]) => names!.match(/\w+/g) ?? [])
    assert.deepEqual(explained.sort(), [...CONDITION_REASONS].sort())
  })

  it('explains every reason of a problem with manifests and settings', () => {
    const [, table = ''] = /^### Reasons\n(.*?)^## /ms.exec(text('docs/cli.md')) ?? []
    for (const [file, type] of [
      ['src/source/source.ts', 'SourceProblemReason'],
      ['src/admin/metrics-source.ts', 'SettingsReason'],
      ['src/api/object.ts', 'FieldProblem'],
    ] as const) {
      const [, declared = ''] =
        new RegExp(`export (?:type|interface) ${type}\\b(.*?)^(?:\\}|\\n?export|$)`, 'ms').exec(text(file)) ?? []
      const reasons = [...declared.matchAll(/'([A-Z][A-Za-z]+)'/g)].map(([, reason]) => reason!)
      assert.ok(reasons.length > 3, file)
      assert.deepEqual(
        reasons.filter((reason) => !table.includes(`\`${reason}\``)),
        [],
      )
    }
  })

  it('gives a reason for every dependency, and pins each', () => {
    const manifest = JSON.parse(text('package.json')) as Record<string, Record<string, string>>
    const reasons = text('docs/dependencies.md')
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'])
      for (const [name, version] of Object.entries(manifest[kind]!)) {
        assert.ok(reasons.includes(`\`${name}\``), `docs/dependencies.md says nothing about ${name}`)
        assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned to a version`)
      }
  })

  it('keeps registry addresses out of the lock file', () => {
    assert.doesNotMatch(text('package-lock.json'), /"resolved":|https?:\/\/[^"]*registry/)
  })

  it('names both commands of the README literally', () => {
    for (const command of ['npm ci && npm start', 'npm ci && npm test']) assert.ok(text('README.md').includes(command))
  })
})
