/** A purge of one URL. It holds no word of the query, which may be a secret, and others keep it. */
import { labelOf, parameterLabels, urlText } from './purge-labels.ts'
import type { PurgeRecord } from './purge-record.ts'

/**
 * More are a purge of the path with whatever query. Records are so short that what one request may purge does not
 * displace in the log what other threads have not read yet, which would be a purge of everything there.
 */
const MAX_PARAMETERS = 32

export function urlPurge(
  host: string,
  path: string,
  query: string | undefined,
): Pick<PurgeRecord, 'kind' | 'label' | 'exact' | 'text'> {
  const label = labelOf('path', host + path)
  const parameters = parameterLabels(query ?? '')
  if (parameters.length > MAX_PARAMETERS) return { kind: 'label', label, exact: 0, text: '' }
  return { kind: 'url', label, exact: labelOf('url', urlText(host, path, query)), text: parameters.join(' ') }
}

/** A purge of a path with whatever query, and of all paths below it. */
export function pathsPurge(host: string, path: string, below: boolean): Pick<PurgeRecord, 'kind' | 'label'> {
  return { kind: below ? 'prefix' : 'label', label: labelOf(below ? 'prefix' : 'path', host + path) }
}
