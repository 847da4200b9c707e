/**
 * TLS of a hostname: what the oldest Route with `tls` of the namespace that owns it states; else that of the most
 * specific wildcard over it that the same namespace owns; else none. So neither a delegate nor another namespace can
 * weaken it, whatever they add.
 */
import type { HostState, HostTlsState, RouteState } from './compile-state.ts'
import type { Ownership } from './ownership.ts'
import { compareAge } from './resource-set.ts'

/** @param above the wildcards over the hostname, most specific first */
export function tlsOfHost(
  host: HostState,
  ownership: Ownership | undefined,
  above: readonly HostState[],
): HostTlsState | undefined {
  if (ownership === undefined) return undefined
  const { namespace } = ownership.owner
  let oldest: RouteState | undefined
  for (const state of host.routes.values()) {
    const { plan } = state
    if (plan.tls === undefined || plan.namespace !== namespace) continue
    if (oldest === undefined || compareAge(plan.resource, oldest.plan.resource) < 0) oldest = state
  }
  const stated = oldest?.plan.tls
  if (oldest !== undefined && stated !== undefined) return { tls: stated, route: oldest }
  return above.find(({ tls, ownership: over }) => tls !== undefined && over?.owner.namespace === namespace)?.tls
}
