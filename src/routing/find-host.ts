/**
 * From the frontend that accepted the connection to its virtual host: the host itself, wildcards, then the catch-all.
 */
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import * as L from '../snapshot/pack-layout.ts'
import type { FoundHost, FrontendTable, HostLayers, RouteTables, VirtualHostPlace } from '../snapshot/route-tables.ts'

/** Hashes of the wildcards that cover the host, and how many of its characters each one names; by number of dots. */
const hashes = new Int32Array(256)
const suffixes = new Int32Array(256)

/** @returns undefined when this frontend serves nothing for the host */
export function findHost(tables: RouteTables, frontend: FrontendTable, host: string): FoundHost | undefined {
  const known = frontend.hosts.get(host)
  if (known !== undefined) return known
  const found = lookUp(tables, frontend, host)
  if (found !== undefined) tables.remember(frontend, host, found)
  return found
}

/** What stands in two layers, or in one. */
export function placesOf(host: FoundHost): readonly VirtualHostPlace[] {
  return host.common === undefined ? [host] : [host, host.common]
}

/** Of the hosts that were asked for lately, by tables. */
const EVERYWHERE = new WeakMap<RouteTables, Map<string, readonly VirtualHostPlace[]>>()
const MAX_EVERYWHERE = 256

/** What any frontend serves for a host, the wildcards that matching goes on to included; each place once. */
export function findEverywhere(tables: RouteTables, host: string): readonly VirtualHostPlace[] {
  let known = EVERYWHERE.get(tables)
  if (known === undefined) EVERYWHERE.set(tables, (known = new Map()))
  let places = known.get(host)
  if (places === undefined) {
    if (known.size >= MAX_EVERYWHERE) known.clear()
    known.set(host, (places = lookUpEverywhere(tables, host)))
  }
  return places
}

function lookUpEverywhere(tables: RouteTables, host: string): readonly VirtualHostPlace[] {
  const places: VirtualHostPlace[] = []
  // Row 0 is that of frontends which no Route names.
  for (let row = 0; row <= tables.frontends.rows; row++)
    for (let found = lookUp(tables, tables.frontendAt(row), host); found !== undefined; found = found.wildcard)
      for (const place of placesOf(found))
        if (!places.some(({ block, at }) => block === place.block && at === place.at)) places.push(place)
  return places
}

/**
 * TLS of a hostname on a frontend: what a request to the same host is routed by decides, so that a connection and its
 * requests agree.
 *
 * @param host in normal form: lower case, A-labels, no trailing dot
 */
export function tlsOf(tables: RouteTables, frontend: FrontendHandle, host: string): HostTls | null {
  return findHost(tables, tables.frontend(frontend), host)?.tls ?? null
}

function lookUp(tables: RouteTables, frontend: FrontendTable, host: string): FoundHost | undefined {
  const seed = tables.root[L.ROOT_SEED]!
  const length = host.length
  let hash = seed
  let dots = 0
  for (let i = length - 1; i >= 0; i--) {
    const code = host.charCodeAt(i)
    hash = L.hashStep(hash, code)
    // A name has at most 127 labels; what is longer than any name matches none.
    if (code === 0x2e && dots < 255) {
      dots++
      hashes[dots] = hash
      suffixes[dots] = length - i
    }
  }
  const exact = layersOf(tables, frontend, hash, host, length, false)
  if (exact !== undefined) return followed(tables, frontend, host, exact, dots)
  const covering = wildcardOver(tables, frontend, host, dots)
  if (covering !== undefined) return covering
  const rest = layersOf(tables, frontend, L.hashStep(seed, 0x2a), host, 0, true)
  return rest === undefined ? undefined : followed(tables, frontend, host, rest, 0)
}

/** The most specific wildcard with at most so many dots that this frontend has. */
function wildcardOver(tables: RouteTables, frontend: FrontendTable, host: string, dots: number): FoundHost | undefined {
  const wildcards = tables.root[L.ROOT_WILDCARDS]!
  for (let d = wildcards === 0 ? 0 : dots; d > 0; d--) {
    const suffix = suffixes[d]!
    // One or more labels stand before the suffix, so `.example.com` is not covered.
    if ((wildcards & L.depthBit(d)) === 0 || suffix === host.length) continue
    const covering = layersOf(tables, frontend, L.hashStep(hashes[d]!, 0x2a), host, suffix, true)
    if (covering !== undefined) return followed(tables, frontend, host, covering, d - 1)
  }
  return undefined
}

/** @param above dots of the most specific wildcard that may be over the hostname of these layers */
function followed(
  tables: RouteTables,
  frontend: FrontendTable,
  host: string,
  layers: HostLayers,
  above: number,
): FoundHost {
  const wildcard = layers.extendsWildcard ? wildcardOver(tables, frontend, host, above) : undefined
  return { ...layers, wildcard }
}

function layersOf(
  tables: RouteTables,
  frontend: FrontendTable,
  hash: number,
  host: string,
  suffix: number,
  wildcard: boolean,
): HostLayers | undefined {
  const slot = tables.findSlot(hash, 0, host, suffix, wildcard)
  return slot < 0 ? undefined : tables.layersAt(slot, frontend, hash, host, suffix, wildcard)
}
