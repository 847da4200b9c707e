/** Reads folders and files once, without watching them, for the command line. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { runInSlices, type SliceClock } from '../../lib/time-slice.ts'
import { describeReadError, type ReadResult, readText } from '../read-text.ts'
import type { SourceProblem } from '../source.ts'
import { allTooLarge, certificateBytes, type FileBounds, heldBytes, noRoom } from './bounds.ts'
import { CertificateFiles } from './certificate-files.ts'
import { type Definition, objectId } from './definition.ts'
import { displayPath } from './display-path.ts'
import { isCertificatePart } from './file-name.ts'
import { DEFAULTS } from './folder-source.ts'
import { ObjectTable } from './object-table.ts'
import { parseFile } from './parse-file.ts'
import { walk } from './walk.ts'

export interface LoadedManifests {
  /** Number of files read. */
  readonly files: number
  /** The effective definition of each object, in the order of files and lines. */
  readonly objects: readonly Definition[]
  readonly problems: readonly SourceProblem[]
  /** Number of given paths that do not exist or cannot be read. */
  readonly missing: number
}

/**
 * @param paths folders, read like the folder source does, and files with any name
 * @param bounds of all of them together, as of a gateway
 */
export async function loadManifests(
  paths: readonly string[],
  time: SliceClock,
  { maxFileBytes, maxBytes, maxHeldBytes }: FileBounds = DEFAULTS,
): Promise<LoadedManifests> {
  const files = new Set<string>()
  const problems: SourceProblem[] = []
  let missing = 0
  const certificates: CertificateFiles[] = []
  const certificatesOf = new Map<string, CertificateFiles>()
  for (const path of paths.map((path) => resolve(path))) {
    const found = await filesOf(path)
    const pairs = new CertificateFiles(path)
    certificates.push(pairs)
    for (const file of found.files ?? []) if (isCertificatePart(file)) certificatesOf.set(file, pairs)
    problems.push(...found.problems)
    if (found.files === null) missing++
    for (const file of found.files ?? []) files.add(file)
  }
  const table = new ObjectTable()
  const definitions: Definition[] = []
  const byPath = new Map<string, { readonly definitions: readonly Definition[] }>()
  let read = 0
  let bytes = 0
  let held = 0
  for (const path of files) {
    const file = displayPath(path)
    const left = Math.max(maxBytes - bytes, 0)
    const result = await readText(path, Math.min(maxFileBytes, left))
    if (!result.ok) {
      const isTooLarge = !result.gone && result.regular && result.reason === 'TooLarge'
      problems.push(
        isTooLarge && left < maxFileBytes ? problem('TooLarge', allTooLarge(maxBytes), file) : unread(result, file),
      )
      continue
    }
    const isCertificate = certificatesOf.has(path)
    const parsed = isCertificate ? undefined : await runInSlices(parseFile(file, result.text, new Map()), time)
    const takes =
      parsed === undefined ? certificateBytes(result.text) : heldBytes(result.text, parsed.definitions, parsed.problems)
    read++
    if (parsed !== undefined && takes > maxHeldBytes - held) {
      problems.push(problem('TooLarge', noRoom(takes, Math.max(maxHeldBytes - held, 0)), file))
      continue
    }
    bytes += result.text.length
    held += takes
    if (parsed === undefined) {
      certificatesOf.get(path)!.set(path, result.text)
      continue
    }
    table.set(file, parsed.definitions)
    byPath.set(path, parsed)
    definitions.push(...parsed.definitions)
    problems.push(...parsed.problems)
  }
  for (const pairs of certificates)
    for (const [file, secrets] of pairs.changes(byPath)) {
      table.set(file, secrets)
      definitions.push(...secrets)
    }
  table.flush()
  const objects = definitions.filter((definition) => table.find(definition.kind, definition.key) === definition)
  const unique = [...new Map(objects.map((definition) => [objectId(definition), definition])).values()]
  return { files: read, objects: unique, problems: [...problems, ...table.contested()], missing }
}

async function filesOf(path: string): Promise<{ files: string[] | null; problems: SourceProblem[] }> {
  try {
    const stats = await stat(path)
    if (!stats.isDirectory()) return { files: [path], problems: [] }
  } catch (error) {
    return { files: null, problems: [problem('FolderMissing', missingMessage(error), displayPath(path))] }
  }
  const found = await walk(path, { onFolder: () => {}, maxFiles: DEFAULTS.maxFiles })
  if ('missing' in found) return { files: null, problems: [problem('FolderMissing', found.missing, displayPath(path))] }
  const problems = found.problems.map(({ path, ...rest }) => ({
    ...rest,
    location: { file: displayPath(path), line: 1, column: 1 },
  }))
  return { files: [...found.files.keys()].sort(), problems }
}

function unread(result: Extract<ReadResult, { readonly ok: false }>, file: string): SourceProblem {
  if (result.gone) return problem('Unreadable', 'The file was deleted while it was read.', file)
  if (!result.regular) return problem('Unreadable', `This is ${result.kind}, not a regular file.`, file)
  return problem(result.reason, result.message, file)
}

function missingMessage(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOENT' || code === 'ENOTDIR' ? 'The folder or file does not exist.' : describeReadError(error)
}

function problem(reason: SourceProblem['reason'], message: string, file: string): SourceProblem {
  return { severity: 'error', reason, message, location: { file, line: 1, column: 1 } }
}
