/** Which installation this process belongs to, by the environment of its pod. */
import { randomUUID } from 'node:crypto'

export interface Installation {
  readonly namespace: string
  /** Of the release: its Lease and ConfigMaps are named after it. */
  readonly name: string
  /** Of this control thread and no other, for the Lease and for Events. */
  readonly identity: string
  /** The Service in front of it. */
  readonly service?: string
  /** Addresses and host names of the configuration, instead of those of the Service. */
  readonly addresses: readonly string[]
  /** Chooses its pods, where ports of their nodes lead to them; none = no port of a node does. */
  readonly pods?: string
}

/**
 * @returns undefined without these variables: a process outside of the cluster serves its Routes and writes nothing
 *   into it
 */
export function installationOf(environment: Readonly<Record<string, string | undefined>>): Installation | undefined {
  const { HEADGATE_INSTALLATION, POD_NAMESPACE, POD_NAME, HEADGATE_SERVICE, HEADGATE_ADDRESSES } = environment
  const { HEADGATE_HOST_PORTS, HEADGATE_SELECTOR } = environment
  if (!HEADGATE_INSTALLATION || !POD_NAMESPACE) return undefined
  return {
    namespace: POD_NAMESPACE,
    name: HEADGATE_INSTALLATION,
    // A thread that took its predecessor's Lease for its own could lead beside it.
    identity: `${POD_NAME || 'headgate'}_${randomUUID()}`,
    ...(HEADGATE_SERVICE && { service: HEADGATE_SERVICE }),
    ...(HEADGATE_HOST_PORTS && HEADGATE_SELECTOR && { pods: HEADGATE_SELECTOR }),
    addresses: (HEADGATE_ADDRESSES ?? '').split(/[\s,]+/).filter((text) => text !== ''),
  }
}
