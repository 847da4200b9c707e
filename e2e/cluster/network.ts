/** The network of the cluster: a namespace in which nothing leads beyond the machine. */
import { execute } from '../lib/execute.ts'
import { NODE_ADDRESS, NODE_ADDRESS_6, networkOf, type Place } from './place.ts'

export const BRIDGE = 'pods0'

export async function createNetwork(place: Place): Promise<void> {
  if (networkOf(place) !== undefined) return
  await execute('ip', ['netns', 'add', place.name])
  const inside = (...command: string[]) => execute('nsenter', [...place.enter, ...command])
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
