/** A purge of one URL. It holds no word of the query, which may be a secret, and others keep it. */
import { labelOf, parameterLabels, urlText } from './purge-labels.ts'
import type { PurgeRecord } from './purge-record.ts'

/** More are a purge of the path with whatever query. */
const MAX_PARAMETERS = 256

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
