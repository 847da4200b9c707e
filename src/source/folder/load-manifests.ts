/** Reads folders and files once, without watching them, for the command line. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { runInSlices, type SliceClock } from '../../lib/time-slice.ts'
import { describeReadError, readText } from '../read-text.ts'
import type { SourceProblem } from '../source.ts'
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

/** @param paths folders, read like the folder source does, and files with any name */
export async function loadManifests(paths: readonly string[], time: SliceClock): Promise<LoadedManifests> {
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
  for (const path of files) {
    const file = displayPath(path)
    const result = await readText(path, DEFAULTS.maxFileBytes)
    if (result.ok && certificatesOf.has(path)) {
      certificatesOf.get(path)!.set(path, result.text)
      read++
    } else if (result.ok) {
      const parsed = await runInSlices(parseFile(file, result.text, new Map()), time)
      read++
      table.set(file, parsed.definitions)
      byPath.set(path, parsed)
      definitions.push(...parsed.definitions)
      problems.push(...parsed.problems)
    } else {
      problems.push(
        problem(
          'Unreadable',
          result.gone
            ? 'The file was deleted while it was read.'
            : result.regular
              ? result.message
              : `This is ${result.kind}, not a regular file.`,
          file,
        ),
      )
    }
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

function missingMessage(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOENT' || code === 'ENOTDIR' ? 'The folder or file does not exist.' : describeReadError(error)
}

function problem(reason: SourceProblem['reason'], message: string, file: string): SourceProblem {
  return { severity: 'error', reason, message, location: { file, line: 1, column: 1 } }
}
