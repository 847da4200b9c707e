/**
 * What may never be connected to, decided on the bytes of the resolved address. Here for endpoints before they reach a worker; the
 * worker asks again when it dials.
 */
import { networkInterfaces } from 'node:os'
import type { SettingsObject } from '../api/settings.ts'
import { type Address, addressClass, CidrSet, embeddedIPv4, formatAddress, parseAddress } from '../pattern/cidr.ts'

export interface DialRules {
  readonly denyCIDRs: readonly string[]
  /** In folder mode backends live on loopback; in a cluster nothing but ourselves does. */
  readonly loopback: boolean
  /** Ports on which this process itself listens: a Route to them would reach the admin API, or go in circles. */
  readonly ownPorts: ReadonlySet<number>
}

export class DialGuard {
  readonly #rules: DialRules
  readonly #denied: CidrSet
  readonly #own: ReadonlySet<string>

  /** @param own addresses of this machine */
  constructor(rules: DialRules, own: Iterable<string> = ownAddresses()) {
    this.#rules = rules
    this.#denied = new CidrSet(rules.denyCIDRs)
    const canonical = new Set<string>()
    for (const text of own) {
      const address = parseAddress(text)
      if (address !== undefined) canonical.add(formatAddress(address))
    }
    this.#own = canonical
  }

  /** @returns why not, as the end of a sentence; undefined when it may be dialled */
  refuses(text: string, port: number): string | undefined {
    const address = parseAddress(text)
    if (address === undefined) return 'is not an address'
    const kind = addressClass(address)
    if (kind === 'linkLocal') return 'is link-local, where clouds keep credentials'
    if (kind === 'unspecified') return 'is the unspecified address'
    if (kind === 'multicast') return 'is a multicast or broadcast address'
    if (kind === 'loopback' && !this.#rules.loopback) return 'is a loopback address'
    const meant = embeddedIPv4(address)
    if (this.#rules.ownPorts.has(port) && (kind === 'loopback' || this.#isOwn(address) || this.#isOwn(meant)))
      return 'is a port of this gateway itself'
    if (this.#denied.hasAddress(address) || (meant !== undefined && this.#denied.hasAddress(meant)))
      return 'is in upstreams.denyCIDRs of the settings'
    return undefined
  }

  #isOwn(address: Address | undefined): boolean {
    return address !== undefined && this.#own.has(formatAddress(address))
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => entries?.map((entry) => entry.address) ?? [])
}

/** Ports of the settings on which this process listens. */
export function ownPorts(settings: SettingsObject): Set<number> {
  const ports = new Set(settings.listeners.map((listener) => listener.port))
  for (const text of [settings.admin.address, settings.signals.address]) {
    const port = /:(\d{1,5})$/.exec(text)?.[1]
    if (port !== undefined) ports.add(Number(port))
  }
  return ports
}
