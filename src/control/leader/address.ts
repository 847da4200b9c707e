/** Where an installation is reached from outside, for DNS controllers and people: by its Service, or as configured. */
import { canonicalAddress } from '../../pattern/cidr.ts'
import { fieldsOf } from './raw-fields.ts'

export interface HostAddress {
  readonly type: 'IPAddress' | 'Hostname'
  readonly value: string
}

/** As the CRD has it. */
const MAX_ADDRESSES = 16

/** @param texts addresses and host names of the configuration */
export function givenAddresses(texts: readonly string[]): HostAddress[] {
  return unique(texts.map(addressOf))
}

/**
 * What the load balancer of a Service has been given, and addresses that lead to it from outside. None for a Service
 * that is reached only inside the cluster: a DNS controller would publish addresses that do not answer.
 *
 * @param service as the API server sent it; undefined while there is none
 */
export function serviceAddresses(service: unknown): HostAddress[] {
  const { spec, status } = fieldsOf(service)
  const { externalIPs } = fieldsOf(spec)
  const ingress = fieldsOf(fieldsOf(status).loadBalancer).ingress
  const found: string[] = []
  for (const entry of Array.isArray(ingress) ? (ingress as unknown[]) : []) {
    const { ip, hostname } = fieldsOf(entry)
    if (typeof ip === 'string' && ip !== '') found.push(ip)
    else if (typeof hostname === 'string' && hostname !== '') found.push(hostname)
  }
  for (const ip of Array.isArray(externalIPs) ? (externalIPs as unknown[]) : [])
    if (typeof ip === 'string') found.push(ip)
  return unique(found.map(addressOf))
}

function addressOf(text: string): HostAddress {
  const address = canonicalAddress(text)
  return address === undefined ? { type: 'Hostname', value: text.toLowerCase() } : { type: 'IPAddress', value: address }
}

/** In one order, so that nothing is written because a load balancer lists them in another. */
function unique(addresses: readonly HostAddress[]): HostAddress[] {
  const byValue = new Map(addresses.map((one) => [one.value, one] as const))
  return [...byValue.values()]
    .filter(({ value }) => value.length > 0 && value.length <= 253)
    .sort((a, b) => (a.value < b.value ? -1 : 1))
    .slice(0, MAX_ADDRESSES)
}
