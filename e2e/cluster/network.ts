/** The network of the cluster: a namespace in which nothing leads beyond the machine. */
import { execute } from '../lib/execute.ts'
import { type ClusterLayout, NODE_ADDRESS, NODE_ADDRESS_6, networkOf } from './cluster-layout.ts'

export const BRIDGE = 'pods0'

export async function createNetwork(layout: ClusterLayout): Promise<void> {
  if (networkOf(layout) !== undefined) return
  await execute('ip', ['netns', 'add', layout.name])
  const inside = (...command: string[]) => execute('nsenter', [...layout.enter, ...command])
  await inside('ip', 'link', 'set', 'lo', 'up')
  // Ports below 1024 for pods without a capability, as container engines set it.
  await inside('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.ip_unprivileged_port_start=0')
  await inside('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1')
  await inside('ip', 'link', 'add', BRIDGE, 'type', 'bridge')
  await inside('ip', 'addr', 'add', `${NODE_ADDRESS}/24`, 'dev', BRIDGE)
  // Nobody else is there who could have the address.
  await inside('ip', 'addr', 'add', `${NODE_ADDRESS_6}/64`, 'dev', BRIDGE, 'nodad')
  await inside('ip', 'link', 'set', BRIDGE, 'up')
  // Service addresses must have a route to be rewritten at all.
  await inside('ip', 'route', 'add', 'default', 'dev', BRIDGE)
  await inside('ip', '-6', 'route', 'add', 'default', 'dev', BRIDGE)
}
