/**
 * A file's text to the objects it defines, piece by piece, so that no turn is long and an edit costs only what it
 * touches.
 */
import type { SourceProblem } from '../source.ts'
import { LineIndex, parseJsonInSteps, parseYaml } from '../yaml-text.ts'
import type { Definition, FileContent } from './definition.ts'
import { type Manifest, readManifests } from './manifest.ts'
import { type Chunk, split } from './split.ts'

/** An API server takes objects of at most 1.5 MiB; a larger one would hold up the loop for seconds. */
const MAX_CHUNK = 2 * 1024 * 1024

/** An object or problem by its place in a piece of text, whatever file and line that stands in. */
type ParsedObject = Omit<Definition, 'file'>
type ParsedProblem = Omit<SourceProblem, 'place'> & { readonly line: number; readonly column: number }

interface ParsedChunk {
  readonly objects: readonly ParsedObject[]
  readonly problems: readonly ParsedProblem[]
}

/** Pieces of earlier versions of a file by their text. */
export type ParseMemory = ReadonlyMap<string, ParsedChunk>

export interface ParsedFile extends FileContent {
  readonly memory: ParseMemory
}

/**
 * @param file as it is shown to a person; `.json` is read as JSON
 * @param memory of the version before: equal pieces give the very same objects without being parsed
 * @yields wherever the caller may do something else first
 */
export function* parseFile(file: string, text: string, memory: ParseMemory): Generator<void, ParsedFile> {
  const json = /\.json$/i.test(file)
  const chunks: Chunk[] = json ? [{ text, line: 0 }] : split(text)
  const definitions: Definition[] = []
  const problems: SourceProblem[] = []
  const seen = new Map<string, ParsedChunk>()
  for (const chunk of chunks) {
    const parsed = seen.get(chunk.text) ?? memory.get(chunk.text) ?? (yield* parseChunk(chunk, json))
    seen.set(chunk.text, parsed)
    for (const object of parsed.objects) {
      const { line, textLine } = object
      definitions.push({ ...object, file, line: chunk.line + line, textLine: chunk.line + textLine })
    }
    for (const { line, column, ...problem } of parsed.problems)
      problems.push({ ...problem, place: { file, line: chunk.line + line, column } })
    yield
  }
  return { definitions, problems, memory: seen }
}

/** Runs a generator to its end, letting the event loop turn whenever it has run for two milliseconds. */
export async function inTurns<T>(steps: Generator<void, T>): Promise<T> {
  let started = performance.now()
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value as T
    if (performance.now() - started < 2) continue
    await new Promise((resolve) => setImmediate(resolve))
    started = performance.now()
  }
}

function* parseChunk(chunk: Chunk, json: boolean): Generator<void, ParsedChunk> {
  const { text } = chunk
  if (!json && text.length > MAX_CHUNK) {
    const message =
      'One document is larger than 2 MiB; write its objects as documents of their own, separated by `---`.'
    return { objects: [], problems: [{ severity: 'error', reason: 'TooLarge', message, line: 1, column: 1 }] }
  }
  const { documents, errors } = json ? yield* parseJsonInSteps(text) : parseYaml(text)
  const lines = new LineIndex(text)
  const objects: ParsedObject[] = []
  const problems: ParsedProblem[] = errors.map(({ offset, ...fault }) => ({ ...fault, ...lines.at(offset) }))
  for (const [index, document] of documents.entries()) {
    const read = readManifests(document.value)
    // Where several documents had to stay together, each keeps the text from its own first line on.
    const start = index === 0 ? 0 : lines.startOf(document.offset)
    const own = { text: text.slice(start), textLine: lines.at(start).line - 1 }
    for (const manifest of read.manifests)
      objects.push({ ...manifest, ...own, line: lines.at(document.locate(manifest.base)).line })
    for (const { path, ...problem } of read.problems) problems.push({ ...problem, ...lines.at(document.locate(path)) })
    if (read.manifests.length === 0) continue
    const secret = read.manifests.some((manifest) => manifest.kind === 'Secret')
    for (const { offset, ...warning } of document.warnings)
      problems.push({ ...warning, ...(secret ? UNSAID : {}), ...objectOf(read.manifests), ...lines.at(offset) })
  }
  return { objects, problems }
}

/** A problem goes to the log: of a Secret it never shows a value. */
const UNSAID = { message: 'In YAML 1.1, kubectl takes this value for something else than a text: write it in quotes.' }

/** Only where it is clear which object a scalar belongs to. */
function objectOf(manifests: readonly Manifest[]): { object?: { kind: string; key: string } } {
  const [only] = manifests
  return manifests.length === 1 && only !== undefined ? { object: { kind: only.kind, key: only.key } } : {}
}
