/**
 * Parses the objects of a file in chunks, so that every turn is short and an edit parses only the chunks it changes.
 */
import { heapSize } from '../../lib/heap-size.ts'
import type { SourceProblem } from '../source.ts'
import { LineIndex, parseJsonInSteps, parseYaml } from '../yaml-text.ts'
import type { Definition, FileContent } from './definition.ts'
import { type Manifest, readManifests } from './manifest.ts'
import { type Chunk, split } from './split-yaml.ts'

/** The API server accepts objects up to 1.5 MiB; a larger one would block the event loop for seconds. */
const MAX_CHUNK = 2 * 1024 * 1024

/** Of one chunk; the rest is told as a number. A document of 2 MiB could have a hundred thousand. */
const MAX_PROBLEMS = 100
/** What an object takes besides its document: its definition, its chunk, and both in maps. */
const DEFINITION_BYTES = 800

/** Objects and problems located relative to their chunk, regardless of its position in the file. */
type ParsedObject = Omit<Definition, 'file'>
type ParsedProblem = Omit<SourceProblem, 'place'> & { readonly line: number; readonly column: number }

interface ParsedChunk {
  readonly objects: readonly ParsedObject[]
  readonly problems: readonly ParsedProblem[]
}

/** Parsed chunks of the previous version of a file, by their text. */
export type ParseCache = ReadonlyMap<string, ParsedChunk>

export interface ParsedFile extends FileContent {
  readonly cache: ParseCache
}

/**
 * @param file display path; `.json` is parsed as JSON
 * @param cache of the previous version: equal chunks return the same objects without parsing
 * @yields where the caller may pause
 */
export function* parseFile(file: string, text: string, cache: ParseCache): Generator<void, ParsedFile> {
  const json = /\.json$/i.test(file)
  const chunks: Chunk[] = json ? [{ text, line: 0 }] : split(text)
  const definitions: Definition[] = []
  const problems: SourceProblem[] = []
  const seen = new Map<string, ParsedChunk>()
  for (const chunk of chunks) {
    const parsed = seen.get(chunk.text) ?? cache.get(chunk.text) ?? (yield* parseChunk(chunk, json))
    seen.set(chunk.text, parsed)
    for (const object of parsed.objects) {
      const { line, textLine } = object
      definitions.push({ ...object, file, line: chunk.line + line, textLine: chunk.line + textLine })
    }
    for (const { line, column, ...problem } of parsed.problems)
      problems.push({ ...problem, location: { file, line: chunk.line + line, column } })
    yield
  }
  return { definitions, problems, cache: seen }
}

function* parseChunk(chunk: Chunk, json: boolean): Generator<void, ParsedChunk> {
  const { text } = chunk
  if (!json && text.length > MAX_CHUNK) {
    const message = 'One document is larger than 2 MiB; write its objects as separate documents, separated by `---`.'
    return { objects: [], problems: [{ severity: 'error', reason: 'TooLarge', message, line: 1, column: 1 }] }
  }
  const { documents, errors } = json ? yield* parseJsonInSteps(text) : parseYaml(text)
  const lines = new LineIndex(text)
  const objects: ParsedObject[] = []
  const problems: ParsedProblem[] = errors.map(({ offset, ...fault }) => ({ ...fault, ...lines.at(offset) }))
  for (const [index, document] of documents.entries()) {
    const read = readManifests(document.value)
    // If several documents share a chunk, each keeps the text from its own first line.
    const start = index === 0 ? 0 : lines.startOf(document.offset)
    const own = { text: text.slice(start), textLine: lines.at(start).line - 1 }
    for (const manifest of read.manifests)
      objects.push({
        ...manifest,
        ...own,
        line: lines.at(document.locate(manifest.base)).line,
        bytes: bytesOf(manifest),
      })
    for (const { path, ...problem } of read.problems) problems.push({ ...problem, ...lines.at(document.locate(path)) })
    if (read.manifests.length === 0) continue
    const secret = read.manifests.some((manifest) => manifest.kind === 'Secret')
    for (const { offset, ...warning } of document.warnings)
      problems.push({ ...warning, ...(secret ? SECRET_WARNING : {}), ...objectOf(read.manifests), ...lines.at(offset) })
  }
  return { objects, problems: firstOf(problems) }
}

function bytesOf({ raw }: Manifest): number {
  return DEFINITION_BYTES + heapSize(raw)
}

/** Errors before warnings, each in the order of their lines. */
function firstOf(problems: readonly ParsedProblem[]): readonly ParsedProblem[] {
  if (problems.length <= MAX_PROBLEMS) return problems
  const first = problems.toSorted((a, b) => Number(b.severity === 'error') - Number(a.severity === 'error'))
  const next = first[MAX_PROBLEMS - 1]!
  const more = first.length - MAX_PROBLEMS
  const message = `${next.message} There are ${more} more problems in this document.`
  return [...first.slice(0, MAX_PROBLEMS - 1), { ...next, message }]
}

/** Problems are logged, so those of a Secret never contain a value. */
const SECRET_WARNING = { message: 'In YAML 1.1, kubectl does not read this value as a text: write it in quotes.' }

/** Undefined unless the scalar belongs to a single object. */
function objectOf(manifests: readonly Manifest[]): { object?: { kind: string; key: string } } {
  const [only] = manifests
  return manifests.length === 1 && only !== undefined ? { object: { kind: only.kind, key: only.key } } : {}
}
