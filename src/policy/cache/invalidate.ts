/** What a response to an unsafe method makes invalid (RFC 9111 §4.4, RFC 9875): in all workers and replicas. */
import { invalidatedGroups } from '../../cache/cache-groups.ts'
import { invalidatedPaths, invalidates } from '../../cache/invalidation.ts'
import { groupLabel, namespaceLabel, urlText } from '../../cache/purge-labels.ts'
import { labelsPurge, PLAIN, type PurgeRecord } from '../../cache/purge-record.ts'
import { urlPurge } from '../../cache/url-purge.ts'
import type { ResponseHead } from '../../message/head.ts'
import { authorityOf } from '../../pattern/host.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'

/** Identities of purges are numbers of so many bits. */
const ID_BITS = 52

/**
 * @param route whose namespace has the stored responses; where the request went through a rule of another namespace,
 *   that one's Backend makes nothing invalid but the URL of the request
 */
export function invalidate(
  x: Exchange,
  { status, fields }: ResponseHead,
  services: FilterServices,
  route: string = x.route,
): void {
  if (!invalidates(x.method, status)) return
  const owner = namespaceOf(route)
  const namespace = namespaceLabel(owner)
  const purge = (what: Partial<PurgeRecord>): void => {
    const id = 1 + Math.floor(services.random() * 2 ** ID_BITS)
    services.cache.purges.appendOfClient(
      { ...PLAIN, kind: 'label', ...what, namespace, id },
      services.clock.monotonic(),
    )
  }
  const purgeUrl = (path: string, query: string | undefined): void => purge(urlPurge(x.host, path, query))
  purgeUrl(x.originalPath, x.query)
  if (owner !== namespaceOf(x.route)) return
  const { scheme, host, port } = x.origin
  const path = urlText('', x.originalPath, x.query)
  for (const other of invalidatedPaths({ scheme, host: authorityOf(scheme, host, port), path }, fields)) {
    const mark = other.indexOf('?')
    const normal = services.normalizePath(mark < 0 ? other : other.slice(0, mark), x.policy.pathEncoding)
    if (normal !== undefined) purgeUrl(normal, mark < 0 ? undefined : other.slice(mark + 1))
  }
  const origin = `${scheme}://${authorityOf(scheme, host, port)}`
  const groups = invalidatedGroups(x.method, status, fields).map((group) => groupLabel(origin, group))
  if (groups.length > 0) purge(labelsPurge(groups))
}

function namespaceOf(route: string): string {
  return route.slice(0, route.indexOf('/'))
}
