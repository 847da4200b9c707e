/** The names and paths of one cluster: a state folder, and a network namespace and a control group named after it. */
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'

export interface ClusterLayout {
  readonly state: string
  /** Name of the network namespace and the control group. */
  readonly name: string
  /** Arguments of `nsenter` to run a program in the cluster. */
  readonly enter: readonly string[]
  readonly kubeconfig: string
  readonly logs: string
}

export const NODE_ADDRESS = '10.244.0.1'
/** The cluster has both families, IPv4 first. */
export const NODE_ADDRESS_6 = 'fd00:10:244::1'
export const DNS_ADDRESS = '10.96.0.10'
export const NODE_NAME = 'node1'

export function layoutOf(folder: string): ClusterLayout {
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
export function networkOf(layout: ClusterLayout): number | undefined {
  return statSync(`/run/netns/${layout.name}`, { throwIfNoEntry: false })?.ino
}
