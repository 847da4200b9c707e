/**
 * Manifests with the verdict each must get, from every judge: the validator here, an API server elsewhere. Each
 * document begins with two comments, what it is and what is expected:
 *
 * - `ok`: accepted.
 * - `not-built: PATH …`: well-formed, an API server accepts it; this build refuses exactly these fields, as
 *   NotImplemented.
 * - `refused: PATH=REASON …`: refused, with exactly these problems (and perhaps fields that are not built).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Kind } from '../../src/api/kinds.ts'
import type { FieldProblem } from '../../src/api/object.ts'

export interface CorpusEntry {
  readonly file: string
  readonly title: string
  readonly verdict: 'ok' | 'not-built' | 'refused'
  /** `path=Reason`, sorted. */
  readonly problems: readonly string[]
  readonly kind: Kind
  readonly document: unknown
  readonly text: string
}

export function readCorpus(): CorpusEntry[] {
  const folder = new URL('./', import.meta.url)
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .flatMap((file) =>
      readFileSync(new URL(file, folder), 'utf8')
        .split(/^---\n/m)
        .map((text) => entryOf(file, text)),
    )
}

function entryOf(file: string, text: string): CorpusEntry {
  const [, title, expectation] = /^# (.+)\n# (.+)\n/.exec(text) ?? []
  const [, verdict, list = ''] = /^(ok|not-built|refused)(?:: (.+))?$/.exec(expectation ?? '') ?? []
  if (title === undefined || verdict === undefined) throw new Error(`${file}: a document without title and expectation`)
  const problems = list.split(' ').filter((problem) => problem !== '')
  const document = parse(text) as { readonly kind: Kind }
  return {
    file,
    title,
    verdict: verdict as CorpusEntry['verdict'],
    problems: (verdict === 'not-built' ? problems.map((path) => `${path}=NotImplemented`) : problems).sort(),
    kind: document.kind,
    document,
    text,
  }
}

/** A problem as the corpus writes it; keys of maps, such as labels, are not part of the path there. */
export function written({ path, reason }: FieldProblem): string {
  const cut = path.findIndex((step) => step === 'labels' || step === 'annotations')
  const steps = cut === -1 ? path : path.slice(0, cut + 1)
  return `${steps.map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${step}`)).join('')}=${reason}`
}
