/**
 * Estimates the memory of an object in the control thread and in the tables before it is allocated. Measured over
 * Routes of one rule, of 16 rules with policies of their own, and of 16 hostnames with 128 matches, the estimate is
 * between 1.1 and 2 times the actual amount.
 */
import { policyVariants } from '../api/cost.ts'
import type { Ingress } from '../api/ingress.ts'
import type { Kind } from '../api/kinds.ts'
import type { EndpointSlice } from '../api/kubernetes.ts'
import type { KubeObject } from '../api/object.ts'
import type { Route } from '../api/route.ts'

/** The object as served, as the source holds it, and what a compile makes of it. */
const COPIES = 3
/** Entries in maps, a status, a virtual host. */
const OBJECT_BYTES = 2_048
/** A hostname beyond the first: its state, its virtual host and its record in the tables. */
const HOST_BYTES = 1_500
/** The Route derived from a host of an Ingress. */
const DERIVED_BYTES = 1_000
/** A match of a rule on one hostname: two objects on the heap, and its records in the tables. */
const MATCH_BYTES = 400
/** The same on a further listener with a virtual host of its own: its records in the tables. */
const LISTENER_MATCH_BYTES = 200
/**
 * A cache with settings of its own: with one, a rule takes 5 to 7 KiB in each worker, whose heap has less room for them
 * than the one that is counted.
 */
const CACHE_BYTES = 8_000
/**
 * An endpoint of one port of a Service: an entry of the list that all who name the port have, and one that workers are
 * told.
 */
const ENDPOINT_BYTES = 500

/** @returns bytes, about; never less than {@link OBJECT_BYTES} */
export function memoryCost(kind: Kind, object: KubeObject): number {
  const parts =
    kind === 'EndpointSlice'
      ? endpointsOf(object) * ENDPOINT_BYTES
      : matchesOf(kind, object) * (MATCH_BYTES + moreListeners(kind, object) * LISTENER_MATCH_BYTES) +
        hostsCost(kind, object) +
        policiesCost(kind, object)
  return OBJECT_BYTES + COPIES * sizeOf(object) + parts
}

function hostsCost(kind: Kind, object: KubeObject): number {
  if (kind === 'Route') {
    const hostnames = Math.max((object as Route).spec.hostnames?.length ?? 0, 1)
    return (hostnames * (1 + moreListeners(kind, object)) - 1) * HOST_BYTES
  }
  if (kind !== 'Ingress') return 0
  const { rules, defaultBackend } = (object as Ingress).spec
  const others = Math.max(new Set(rules.map(({ host }) => host)).size - 1, 0)
  return others * (HOST_BYTES + DERIVED_BYTES + (defaultBackend === undefined ? 0 : HOST_BYTES))
}

/** Listeners beyond the first that a Route names: each may need a virtual host of its own. */
function moreListeners(kind: Kind, object: KubeObject): number {
  return kind === 'Route' ? Math.max(((object as Route).spec.listeners?.length ?? 1) - 1, 0) : 0
}

/**
 * Every rule that adds something of its own to the policies of its Route has all of them once more in each worker,
 * whose heap is about as large as the memory for all objects. What is sent together shares the edits of headers, which
 * are most of large policies; what is edited one by one does not.
 */
function policiesCost(kind: Kind, object: KubeObject): number {
  if (kind !== 'Route') return 0
  const { spec } = object as Route
  return policyVariants(spec) * sizeOf(spec.policies) + cachesOf(spec) * CACHE_BYTES
}

/** Caches of the Route that differ in anything, each of which is a filter of its own. */
function cachesOf(spec: Route['spec']): number {
  const { policies, rules } = spec
  if (policies?.cache !== undefined || policies?.enforced?.cache !== undefined) return policyVariants(spec)
  return rules.filter((rule) => rule.policies?.cache !== undefined).length
}

/** Addresses times ports: every port may be used, and has a list of its own. */
function endpointsOf(object: KubeObject): number {
  const { endpoints, ports } = object as EndpointSlice
  let addresses = 0
  for (const endpoint of endpoints) addresses += endpoint.addresses.length
  return addresses * Math.max(ports.length, 1)
}

/** Matches times hostnames: every hostname has all of them in its own order. */
function matchesOf(kind: Kind, object: KubeObject): number {
  if (kind === 'Route') {
    const { hostnames = [], rules } = (object as Route).spec
    let matches = 0
    for (const rule of rules) matches += Math.max(rule.matches?.length ?? 1, 1)
    return matches * Math.max(hostnames.length, 1)
  }
  if (kind !== 'Ingress') return 0
  let paths = 0
  for (const rule of (object as Ingress).spec.rules ?? []) paths += Math.max(rule.http?.paths.length ?? 1, 1)
  return paths
}

/** Bytes of plain data on a heap of 64 bits with compact strings, about. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 24 + value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 48
  for (const part of Object.values(value)) bytes += 16 + sizeOf(part)
  return bytes
}
