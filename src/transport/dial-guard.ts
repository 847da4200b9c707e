/**
 * What may never be connected to, decided on the bytes of the resolved address. Control asks before an endpoint reaches
 * a worker, and the worker asks again, by the same rules, when it dials.
 */
import { addressClass, CidrSet, embeddedIPv4s, formatAddress, type IpAddress, parseAddress } from '../pattern/cidr.ts'

/** Destinations that must not be reached through this process. Plain data. */
export interface ReservedDestinations {
  /** In folder mode backends listen on loopback; in a cluster only the gateway does. */
  readonly loopback: boolean
  /** Addresses of this machine and of known replicas, where the gateway's own ports are closed. */
  readonly ownAddresses: readonly string[]
  readonly places: readonly GuardedDestination[]
  /** Closed at every address, since the addresses of all nodes are not known completely. */
  readonly closedPorts: readonly ClosedPort[]
}

export interface ClosedPort {
  readonly port: number
  /** What is there, as the end of a sentence that begins with "is" and goes on "which is closed at every address". */
  readonly what: string
}

export interface GuardedDestination {
  readonly address: string
  readonly port: number
  /** What is there, as the end of a sentence that begins with "is". */
  readonly what: string
}

export interface DialRules extends ReservedDestinations {
  readonly denyCIDRs: readonly string[]
  /** Ports on which this process itself listens: a Route to them would reach the admin API, or go in circles. */
  readonly ownPorts: readonly number[]
}

/**
 * Where clouds keep credentials besides 169.254.169.254: Alibaba, Oracle, Azure's WireServer, and the IPv6 ones of AWS
 * and Google.
 */
const METADATA = new CidrSet(['100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254'])

export class DialGuard {
  readonly #loopback: boolean
  readonly #denied: CidrSet
  readonly #own: ReadonlySet<string>
  readonly #ownPorts: ReadonlySet<number>
  readonly #closedPorts: ReadonlyMap<number, string>
  /** By address and port. */
  readonly #places: ReadonlyMap<string, string>

  constructor(rules: DialRules) {
    this.#loopback = rules.loopback
    this.#denied = new CidrSet(rules.denyCIDRs)
    this.#ownPorts = new Set(rules.ownPorts)
    this.#closedPorts = new Map(rules.closedPorts.map(({ port, what }) => [port, what]))
    const canonical = new Set<string>()
    for (const text of rules.ownAddresses) {
      const address = parseAddress(text)
      if (address !== undefined) canonical.add(formatAddress(address))
    }
    this.#own = canonical
    const places = new Map<string, string>()
    for (const { address: text, port, what } of rules.places) {
      const address = parseAddress(text)
      if (address !== undefined) places.set(`${formatAddress(address)} ${port}`, what)
    }
    this.#places = places
  }

  /** @returns why not, as the end of a sentence; undefined when it may be dialled */
  refuses(text: string, port: number): string | undefined {
    const address = parseAddress(text)
    if (address === undefined) return 'is not an address'
    const kind = addressClass(address)
    if (kind === 'linkLocal') return 'is link-local, where clouds keep credentials'
    if (kind === 'unspecified') return 'is the unspecified address'
    if (kind === 'multicast') return 'is a multicast or broadcast address'
    if (kind === 'loopback' && !this.#loopback) return 'is a loopback address'
    const closed = this.#closedPorts.get(port)
    if (closed !== undefined) return `is ${closed}, which is closed at every address`
    const ownPort = this.#ownPorts.has(port)
    if (ownPort && kind === 'loopback') return OWN_PORT
    for (const meant of [address, ...embeddedIPv4s(address)]) {
      const refusal = this.#refusesPlace(meant, port, ownPort)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  #refusesPlace(address: IpAddress, port: number, ownPort: boolean): string | undefined {
    if (this.#denied.hasAddress(address)) return 'is in upstreams.denyCIDRs of the settings'
    if (METADATA.hasAddress(address)) return 'is where a cloud keeps credentials'
    const text = formatAddress(address)
    if (ownPort && this.#own.has(text)) return OWN_PORT
    const what = this.#places.get(`${text} ${port}`)
    return what === undefined ? undefined : `is ${what}`
  }
}

const OWN_PORT = 'is a port of this gateway itself'
