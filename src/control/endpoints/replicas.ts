/**
 * Where this replica stands: its zone, and its place among the others. The settings may say it; in a cluster the
 * EndpointSlices of the installation's own Service do, which have the zone of each pod's node, so that no right to read
 * nodes is needed.
 */
import { isDeepStrictEqual } from 'node:util'
import type { EndpointSlice } from '../../api/kubernetes.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { ALONE, type Place, type Topology } from '../../balance/topology.ts'
import type { ResourceSet, ServedResource } from '../../compile/resource-set.ts'

type Slices = ReadonlyMap<string, ServedResource<EndpointSlice>>

export class Replicas {
  readonly #pod: string | undefined
  /** `namespace/name` of the Service that lists every replica. */
  readonly #service: string | undefined
  /** What {@link #topology} was made of. */
  #slices: Slices | undefined
  #stated: SettingsObject['topology']
  #topology: Topology = ALONE

  constructor(inCluster: boolean, environment: Readonly<Record<string, string | undefined>>) {
    const { POD_NAME, POD_NAMESPACE, HEADGATE_REPLICAS } = environment
    if (!inCluster || !POD_NAME || !POD_NAMESPACE || !HEADGATE_REPLICAS) return
    this.#pod = `${POD_NAMESPACE}/${POD_NAME}`
    this.#service = `${POD_NAMESPACE}/${HEADGATE_REPLICAS}`
  }

  /** As of now; the same object as long as nothing differs. */
  topology({ endpointSlices }: Pick<ResourceSet, 'endpointSlices'>, stated: SettingsObject['topology']): Topology {
    const slices = this.#service === undefined ? undefined : endpointSlices.get(this.#service)
    if (slices === this.#slices && stated === this.#stated) return this.#topology
    this.#slices = slices
    this.#stated = stated
    const next = withStated(this.#found(slices), stated)
    if (!isDeepStrictEqual(next, this.#topology)) this.#topology = next
    return this.#topology
  }

  #found(slices: Slices | undefined): Topology {
    const own = this.#pod
    if (slices === undefined || own === undefined) return ALONE
    const zones = zonesOfPods(slices.values(), own)
    const zone = zones.get(own)
    // A cluster that does not list this pod yet does not say where it stands.
    if (zone === undefined) return ALONE
    const pods = [...zones.keys()].sort()
    const counts = new Map<string, number>()
    for (const name of zones.values()) counts.set(name, (counts.get(name) ?? 0) + 1)
    return {
      ...(zone !== '' && { zone }),
      replicas: [...counts].sort(([a], [b]) => (a < b ? -1 : 1)),
      place: placeOf(own, pods),
      placeInZone: placeOf(
        own,
        pods.filter((pod) => zones.get(pod) === zone),
      ),
    }
  }
}

/**
 * Pods that serve, with their zones, '' for none. The Service of the replicas publishes those that are not ready too,
 * so `ready` says nothing and `serving` does.
 */
function zonesOfPods(slices: Iterable<ServedResource<EndpointSlice>>, own: string): Map<string, string> {
  const zones = new Map<string, string>()
  for (const { object } of slices)
    for (const { targetRef, conditions, zone = '' } of object.endpoints) {
      if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) continue
      const pod = `${targetRef.namespace ?? object.metadata.namespace}/${targetRef.name}`
      const serves = conditions?.serving !== false && conditions?.terminating !== true
      if (serves || pod === own) zones.set(pod, zone)
    }
  return zones
}

function placeOf(own: string, pods: readonly string[]): Place {
  return { index: pods.indexOf(own), count: pods.length }
}

function withStated(found: Topology, stated: SettingsObject['topology']): Topology {
  const { zone, replica } = stated ?? {}
  if (zone === undefined && replica === undefined) return found
  const place = replica === undefined ? found.place : { index: replica.number - 1, count: replica.of }
  // Nobody says who else is in a zone that the cluster does not know.
  const known = zone === undefined || zone === found.zone
  return {
    ...found,
    ...(zone !== undefined && { zone }),
    replicas: known ? found.replicas : [],
    place,
    placeInZone: known && replica === undefined ? found.placeInZone : ALONE.place,
  }
}
