/** What a response to an unsafe method makes invalid (RFC 9111 §4.4, RFC 9875): in all workers and replicas. */
import { invalidatedGroups } from '../../cache/cache-groups.ts'
import { invalidatedPaths, invalidates } from '../../cache/invalidation.ts'
import { groupLabel, namespaceLabel, urlText } from '../../cache/purge-labels.ts'
import { labelsPurge, PLAIN, type PurgeRecord } from '../../cache/purge-record.ts'
import { pathsPurge, urlPurge } from '../../cache/url-purge.ts'
import type { ResponseHead } from '../../message/head.ts'
import { authorityOf } from '../../pattern/host.ts'
import type { Exchange } from '../exchange.ts'
import type { UnsafeRequest } from '../filter.ts'
import type { FilterServices } from '../services.ts'

/** Identities of purges are numbers of so many bits. */
const ID_BITS = 52

/**
 * @param request of another rule than that of the cache. Where that is of another namespace its Backend makes nothing
 *   invalid but the URL of the request; where it does so very often, all that its rule serves
 */
export function invalidate(
  x: Exchange,
  { status, fields }: ResponseHead,
  services: FilterServices,
  { route, served }: UnsafeRequest = x,
): void {
  if (!invalidates(x.method, status)) return
  const { purges } = services.cache
  const now = services.clock.monotonic()
  const namespace = namespaceLabel(namespaceOf(route))
  const record = (what: Partial<PurgeRecord>): PurgeRecord => {
    const id = 1 + Math.floor(services.random() * 2 ** ID_BITS)
    return { ...PLAIN, kind: 'label', ...what, namespace, id }
  }
  const url = record(urlPurge(x.host, x.originalPath, x.query))
  if (served !== undefined) {
    purges.appendOfStranger(url, record(pathsPurge(x.host, served ?? x.originalPath, served !== null)), now)
    return
  }
  purges.appendOfClient(url, now)
  const { scheme, host, port } = x.origin
  const path = urlText('', x.originalPath, x.query)
  for (const other of invalidatedPaths({ scheme, host: authorityOf(scheme, host, port), path }, fields)) {
    const mark = other.indexOf('?')
    const normal = services.normalizePath(mark < 0 ? other : other.slice(0, mark), x.policy.pathEncoding)
    if (normal === undefined) continue
    purges.appendOfClient(record(urlPurge(x.host, normal, mark < 0 ? undefined : other.slice(mark + 1))), now)
  }
  const origin = `${scheme}://${authorityOf(scheme, host, port)}`
  const groups = invalidatedGroups(x.method, status, fields).map((group) => groupLabel(origin, group))
  if (groups.length > 0) purges.appendOfClient(record(labelsPurge(groups)), now)
}

function namespaceOf(route: string): string {
  return route.slice(0, route.indexOf('/'))
}
