/**
 * Estimates the memory of an object in the control thread and in the tables before it is allocated. Measured over
 * Routes of one rule, of 64 rules, of 64 hostnames, of 16 with 128 matches, with policies and Backends, and Ingresses,
 * each of them many times, the estimate is between 0.75 and 2 times the actual amount; the heap has room for 1.5 times
 * the sum of all, since an edit of everything has both versions for a while.
 */
import { policyVariants } from '../api/cost.ts'
import type { Ingress } from '../api/ingress.ts'
import type { Kind } from '../api/kinds.ts'
import type { EndpointSlice } from '../api/kubernetes.ts'
import type { KubeObject } from '../api/object.ts'
import { routeReferences } from '../api/references.ts'
import type { Route } from '../api/route.ts'
import { heapSize } from '../lib/heap-size.ts'

/** The object as served, as the source holds it, and what a compile makes of it. */
const COPIES = 3
/** Entries in maps, a status, a virtual host. */
const OBJECT_BYTES = 2_048
/** The document and the text of an object in a file, as its source holds them for the next edit. */
const FILE_BYTES = 2_600
/** A hostname beyond the first: its state, its virtual host and its record in the tables. */
const HOST_BYTES = 2_400
/** The Route derived from a host of an Ingress, with what belongs to a Route. */
const DERIVED_BYTES = 3_000
/** A Backend or Service that a rule names, in the graphs of references and in what is said of it in statuses. */
const REFERENCE_BYTES = 1_000
/** Any other object that a Route names, in policies or `tls`: a Secret, a key set, a Backend to mirror to. */
const USED_OBJECT_BYTES = 3_500
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

/**
 * @param inFile whether it comes from a file, whose content is held as well
 * @returns bytes, about; never less than {@link OBJECT_BYTES}
 */
export function memoryCost(kind: Kind, object: KubeObject, inFile = false): number {
  const parts =
    kind === 'EndpointSlice'
      ? endpointsOf(object) * ENDPOINT_BYTES
      : matchesOf(kind, object) * (MATCH_BYTES + moreListeners(kind, object) * LISTENER_MATCH_BYTES) +
        hostsCost(kind, object) +
        referencesOf(kind, object) * REFERENCE_BYTES +
        usedObjectsOf(kind, object) * USED_OBJECT_BYTES +
        policiesCost(kind, object)
  // What is made of a slice is counted by endpoints.
  const copies = kind === 'EndpointSlice' ? 1 : COPIES
  return OBJECT_BYTES + (inFile ? FILE_BYTES : 0) + copies * heapSize(object) + parts
}

function hostsCost(kind: Kind, object: KubeObject): number {
  if (kind === 'Route') {
    const hostnames = Math.max((object as Route).spec.hostnames?.length ?? 0, 1)
    return (hostnames * (1 + moreListeners(kind, object)) - 1) * HOST_BYTES
  }
  if (kind !== 'Ingress') return 0
  const { rules, defaultBackend } = (object as Ingress).spec
  const hosts = Math.max(new Set(rules.map(({ host }) => host)).size, 1)
  return hosts * DERIVED_BYTES + (hosts - 1) * (HOST_BYTES + (defaultBackend === undefined ? 0 : HOST_BYTES))
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
  return policyVariants(spec) * heapSize(spec.policies) + cachesOf(spec) * CACHE_BYTES
}

/** Caches of the Route that differ in anything, each of which is a filter of its own. */
function cachesOf(spec: Route['spec']): number {
  if (hasCacheOfAll(spec)) return policyVariants(spec)
  return spec.rules.filter((rule) => rule.policies?.cache !== undefined).length
}

function hasCacheOfAll({ policies }: Route['spec']): boolean {
  return policies?.cache !== undefined || policies?.enforced?.cache !== undefined
}

/**
 * What an object takes beside its {@link memoryCost} while the settings state a `cache` for all rules: each set of
 * policies without a cache of its own has a filter of it. Rules that say nothing of their own, in Routes that say
 * nothing either, are one set in all Routes and Ingresses together.
 *
 * @returns bytes, about
 */
export function inheritedCacheCost(kind: Kind, object: KubeObject): number {
  if (kind !== 'Route') return 0
  const { spec } = object as Route
  if (hasCacheOfAll(spec)) return 0
  let own = 0
  let others = 0
  for (const { policies, splitAffinity, redirect, respond, tokenIssuer } of spec.rules) {
    // Only responses of Backends are stored.
    if (redirect !== undefined || respond !== undefined || tokenIssuer !== undefined) continue
    if (policies === undefined && splitAffinity === undefined) others = 1
    else if (policies?.cache === undefined) own++
  }
  return (own + (spec.policies === undefined ? 0 : others)) * CACHE_BYTES
}

/** Addresses times ports: every port may be used, and has a list of its own. */
function endpointsOf(object: KubeObject): number {
  const { endpoints, ports } = object as EndpointSlice
  let addresses = 0
  for (const endpoint of endpoints) addresses += endpoint.addresses.length
  return addresses * Math.max(ports.length, 1)
}

/** Backends that rules name, equal ones included. */
function referencesOf(kind: Kind, object: KubeObject): number {
  let references = 0
  if (kind === 'Route')
    for (const { backendRefs } of (object as Route).spec.rules) references += backendRefs?.length ?? 0
  if (kind !== 'Ingress') return references
  for (const { http } of (object as Ingress).spec.rules) references += http?.paths.length ?? 0
  return references
}

/** Objects that a Route names beside the Backends of its rules, each once. */
function usedObjectsOf(kind: Kind, object: KubeObject): number {
  if (kind !== 'Route') return 0
  const used = new Set<string>()
  for (const { path, kind, namespace, name } of routeReferences.find(object, object.metadata.namespace ?? 'default'))
    if (path[3] !== 'backendRefs') used.add(`${kind} ${namespace}/${name}`)
  return used.size
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
