/** What the pages show can be written: every YAML block passes the door, and no field that is refused is promised. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { UNBUILT } from '../../src/api/not-implemented.ts'
import { type FieldProblem, formatPath } from '../../src/api/object.ts'
import { readManifests } from '../../src/source/folder/manifest.ts'
import { documents, validator } from '../api/schemas.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: ROOT })]
const text = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** Values of the chart and files of kustomize: tried by test/chart and test/kustomize. */
const OTHER_FILES = new Set(['docs/chart.md', 'docs/kustomize.md'])
const SETTINGS = new Set(Object.keys((documents.settings as { properties: object }).properties))

type Fields = Readonly<Record<string, unknown>>

/** What is wrong with a block, in the light of what it is about. */
function problemsIn(page: string, document: Fields): string[] {
  if ('apiVersion' in document) {
    const { manifests, problems } = readManifests(document)
    const errors = problems.filter(({ severity }) => severity === 'error').map(({ message }) => message)
    // A patch is a part of a Route.
    const matters = ({ reason }: FieldProblem) =>
      page !== 'docs/kustomize.md' || reason === 'Unknown' || reason === 'NotImplemented'
    return [...errors, ...manifests.flatMap(({ kind, raw }) => told(validator.check(kind, raw), matters))]
  }
  if (OTHER_FILES.has(page)) return []
  if (Object.keys(document).every((name) => SETTINGS.has(name))) return told(validator.checkSettings(document))
  const rule = { name: 'r', backendRefs: [{ name: 'b' }] }
  const inRule = 'redirect' in document || 'respond' in document || 'backendRefs' in document
  const rules = [inRule ? { name: 'r', ...document } : { ...rule, policies: document }]
  const metadata = { name: 'snippet' }
  return told(
    validator.check('Route', { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata, spec: { rules } }),
  )
}

type Verdict = { readonly ok: true } | { readonly ok: false; readonly problems: readonly FieldProblem[] }

function told(verdict: Verdict, matters: (problem: FieldProblem) => boolean = () => true): string[] {
  return verdict.ok
    ? []
    : verdict.problems.filter(matters).map(({ path, message }) => `${formatPath(path)}: ${message}`)
}

const blocks = pages.flatMap((page) =>
  [...text(page).matchAll(/^ *```ya?ml\n(.*?)^ *```/gms)].map(([, block], i) => ({
    page,
    block: block!,
    number: i + 1,
  })),
)

describe('YAML in the pages', () => {
  for (const { page, block, number } of blocks)
    it(`is accepted as it stands: ${page}, block ${number}`, () => {
      for (const document of parseAllDocuments(block)) {
        assert.deepEqual(document.errors, [])
        assert.deepEqual(problemsIn(page, document.toJS() as Fields), [])
      }
    })

  it('is found', () => {
    assert.ok(blocks.length >= 10)
  })
})

/** A name alone may be that of something else: a member of the log, a header field, a thread of the design. */
const ABOUT_MANIFESTS = ['docs/balancing.md', 'docs/filters.md', 'docs/http.md', 'docs/ingress.md', 'docs/tenancy.md']

describe('a field that is refused', () => {
  const names = new Set(
    [...UNBUILT.Route, ...UNBUILT.Backend].flatMap(({ field, refused = [] }) => {
      const steps = field.replaceAll('[]', '').split('.')
      return refused.length > 0 ? refused.map(String) : [steps.at(-1)!, steps.slice(-2).join('.')]
    }),
  )
  for (const page of ABOUT_MANIFESTS)
    it(`is not promised: ${page}`, () => {
      for (const paragraph of text(page).split(/\n\n|\n(?=\|)/))
        for (const [, name] of paragraph.matchAll(/`([A-Za-z.]+)(?:: [^`]*)?`/g))
          if (names.has(name!)) assert.match(paragraph, /not built|†|\byet\b/, `${name} in ${page}: ${paragraph}`)
    })
})
