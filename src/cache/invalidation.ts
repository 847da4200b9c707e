/** What a response makes invalid (RFC 9111 §4.4). */
import type { Fields } from '../message/fields.ts'

/** Known not to change anything (RFC 9110 §9.2.1 and the registry of methods). Any other may. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PROPFIND', 'REPORT', 'SEARCH'])

export function isSafe(method: string): boolean {
  return SAFE.has(method)
}

/** Whether the target of the request, and all that the response names, is invalid from now on. */
export function invalidates(method: string, status: number): boolean {
  return !SAFE.has(method) && status >= 200 && status <= 399
}

/** Where a client believes to be: scheme, host in normal form with its port where it has one, path and query. */
export interface TargetUri {
  readonly scheme: 'http' | 'https'
  readonly host: string
  /** With the query. */
  readonly path: string
}

/**
 * The other targets: what Location and Content-Location name, where they are of the same origin (RFC 9110 §4.3.1), and
 * nothing of another one.
 *
 * @returns paths with their queries as they are written there: to be brought into the form of a key by who makes keys
 */
export function invalidatedPaths(target: TargetUri, fields: Fields): readonly string[] {
  const paths: string[] = []
  for (const name of ['location', 'content-location']) {
    const values = fields.all(name)
    // Singletons: of several nobody knows which is meant.
    const path = values.length === 1 ? pathOf(values[0]!, target) : undefined
    if (path !== undefined && path !== target.path && !paths.includes(path)) paths.push(path)
  }
  return paths
}

function pathOf(reference: string, target: TargetUri): string | undefined {
  const base = URL.parse(`${target.scheme}://${target.host}${target.path}`)
  const url = base === null ? null : URL.parse(reference, base.href)
  if (base === null || url === null || url.origin !== base.origin || url.username !== '' || url.password !== '')
    return undefined
  return url.pathname + url.search
}
