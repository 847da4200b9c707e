/** What the RFCs demand of a shared cache, out of docs/cache-requirements.txt, with the tests that would notice. */
import { existsSync, readFileSync } from 'node:fs'

const root = new URL('../', import.meta.url)

export interface Requirement {
  /** As `RFC 9111`. */
  readonly document: string
  readonly section: string
  /** `MUST`, `MUST NOT`, `SHOULD`, `SHOULD NOT`, `MAY`. */
  readonly level: string
  /** What a cache has to do, or must not. */
  readonly says: string
  /** Below `test/`, without its ending; `-`: it is done otherwise here. */
  readonly file: string
  /** A part of a title in the file; or why it is done otherwise. */
  readonly title: string
}

/** @throws {TypeError} where a line has not six columns */
export function requirements(): Requirement[] {
  const text = readFileSync(new URL('docs/cache-requirements.txt', root), 'utf8')
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const columns = line.split(' | ')
    const [document, section, level, says, file, title] = columns
    if (columns.length !== 6 || title === undefined) throw new TypeError(`not six columns: ${line}`)
    return { document: document!, section: section!, level: level!, says: says!, file: file!, title }
  })
}

/** Path from the root of the file with the test; undefined: there is none, or no title in it has the words. */
export function testOf({ file, title }: Requirement): string | undefined {
  const path = [`test/${file}.test.ts`, `test/${file}.ts`].find((one) => existsSync(new URL(one, root)))
  if (path === undefined) return undefined
  // As it stands in the source, where quotes may be escaped.
  const text = readFileSync(new URL(path, root), 'utf8').replaceAll(/\\(['"`])/g, '$1')
  return text.includes(title) ? path : undefined
}
