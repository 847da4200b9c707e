/** Where one cluster lives: a state folder, and a network namespace and a control group named after it. */
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'

export interface Place {
  readonly state: string
  /** Of the network namespace, the control group and nothing else on the machine. */
  readonly name: string
  /** What `nsenter` is told, to run something inside. */
  readonly enter: readonly string[]
  readonly kubeconfig: string
  readonly logs: string
}

export const NODE_ADDRESS = '10.244.0.1'
/** The cluster has both families, IPv4 first. */
export const NODE_ADDRESS_6 = 'fd00:10:244::1'
export const DNS_ADDRESS = '10.96.0.10'
export const NODE_NAME = 'node1'

export function placeOf(folder: string): Place {
  const state = resolve(folder)
  const name = `headgate-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`
  return {
    state,
    name,
    enter: [`--net=/run/netns/${name}`, '--'],
    kubeconfig: join(state, 'admin.kubeconfig'),
    logs: join(state, 'logs'),
  }
}

/** The number by which the kernel knows the network namespace; undefined where there is none. */
export function networkOf(place: Place): number | undefined {
  return statSync(`/run/netns/${place.name}`, { throwIfNoEntry: false })?.ino
}
