/**
 * Who the client is, and what we tell the upstream about it. Forwarding fields are believed only from trusted proxies; from anybody
 * else they are dropped in every spelling and written anew (security.md, "Client IP").
 */
import type { Fields } from '../http/fields.ts'
import { CidrSet, canonicalAddress } from '../pattern/cidr.ts'
import type { Peer } from './downstream.ts'
import { Forwarding } from './forwarding.ts'

export interface ClientAddressSettings {
  /** Lower case: `x-forwarded-for`, `forwarded`, or a field with one address. */
  readonly header: string
  readonly trustedCIDRs: readonly string[]
  /** 0 = the rightmost untrusted address however many hops there are. */
  readonly trustedHops: number
}

export interface Client {
  readonly address: string
  /** The socket's other end is a trusted proxy. */
  readonly trusted: boolean
  readonly forwarding: Forwarding
}

/** More entries than this are not read: the chain of proxies is not that long. */
const MAX_HOPS = 64

export class ClientResolver {
  readonly #trusted: CidrSet | null
  readonly #header: string
  readonly #hops: number
  /** The last answer for each connection: nearly every request on it gets the same. */
  readonly #known = new WeakMap<Peer, { authority: string; client: Client; trusted: boolean }>()

  constructor(settings: ClientAddressSettings | null) {
    this.#trusted = settings === null || settings.trustedCIDRs.length === 0 ? null : new CidrSet(settings.trustedCIDRs)
    this.#header = settings?.header ?? ''
    this.#hops = settings?.trustedHops ?? 0
  }

  /** Takes the forwarding fields out of the request; what is to be sent instead is in the answer. */
  resolve(peer: Peer, authority: string, fields: Fields): Client {
    let known = this.#known.get(peer)
    if (known === undefined) {
      const trusted = this.#trusted?.has(peer.address) ?? false
      known = { authority, client: direct(peer, authority, trusted), trusted }
      this.#known.set(peer, known)
    }
    if (known.trusted) return this.#behindProxy(peer, authority, fields)
    this.#drop(fields, false)
    if (known.authority !== authority) {
      known.authority = authority
      known.client = direct(peer, authority, false)
    }
    return known.client
  }

  #behindProxy(peer: Peer, authority: string, fields: Fields): Client {
    const chain =
      this.#header === 'forwarded'
        ? forwardedFor(fields.joined('forwarded') ?? '')
        : listOf(fields.joined(this.#header) ?? '')
    const address = this.#pick(chain, peer.address)
    const sentProto = lastOf(fields, 'x-forwarded-proto')?.toLowerCase()
    const proto = sentProto === 'https' || sentProto === 'http' ? sentProto : peer.scheme
    const host = validHost(lastOf(fields, 'x-forwarded-host')) ?? authority
    const port =
      validPort(lastOf(fields, 'x-forwarded-port')) ??
      (proto === peer.scheme ? peer.port : proto === 'https' ? 443 : 80)
    const list = chain.length === 0 ? peer.address : `${chain.join(', ')}, ${peer.address}`
    const forwarded =
      this.#header === 'forwarded'
        ? `${fields.joined('forwarded') ?? ''}${fields.has('forwarded') ? ', ' : ''}for=${forwardedNode(peer.address)}`
        : null
    this.#drop(fields, true)
    return { address, trusted: true, forwarding: new Forwarding(list, proto, host, port, forwarded) }
  }

  /** Takes all of them out, also where `_` stands for `-`: CGI-like servers cannot tell the two apart. */
  #drop(fields: Fields, trusted: boolean): void {
    const own = this.#header
    for (let i = 0, count = fields.count; i < count; i++) {
      const length = fields.nameLength(i)
      // A field of another name that a trusted proxy wrote goes on; one that only looks like it does not.
      if (length === own.length && fields.nameIsLoosely(i, own) && !(trusted && fields.nameIs(i, own)))
        fields.removeAt(i)
      const names = NAMES_BY_LENGTH[length]
      if (names === undefined) continue
      for (const name of names)
        if (fields.nameIsLoosely(i, name) && !(trusted && name === REQUEST_ID)) fields.removeAt(i)
    }
  }

  /** From the right: the first address that is not one of ours. With a number of hops, exactly so many are skipped. */
  #pick(chain: readonly string[], peer: string): string {
    if (this.#hops > 0) {
      const at = chain.length - this.#hops
      return canonicalAddress(chain[Math.max(at, 0)] ?? '') ?? peer
    }
    let address = peer
    for (let i = chain.length - 1; i >= 0 && i >= chain.length - MAX_HOPS; i--) {
      const candidate = canonicalAddress(chain[i]!)
      // What is not an address was written by somebody who is not a proxy of ours: nothing left of it can be believed.
      if (candidate === undefined) break
      address = candidate
      if (!this.#trusted!.has(candidate)) break
    }
    return address
  }
}

function direct(peer: Peer, authority: string, trusted: boolean): Client {
  return { address: peer.address, trusted, forwarding: new Forwarding(peer.address, peer.scheme, authority, peer.port) }
}

/** Of several lines the nearest proxy wrote the last. */
function lastOf(fields: Fields, name: string): string | undefined {
  return fields.all(name).at(-1)
}

function listOf(value: string): string[] {
  return value === '' ? [] : value.split(',').map((each) => stripPort(each.trim()))
}

/** `for` parameters of RFC 7239 §4, in order; an obfuscated or unknown node stays as text and ends the search. */
function forwardedFor(value: string): string[] {
  const nodes: string[] = []
  for (const element of value.split(',')) {
    const match = /(?:^|;)\s*for=(?:"([^"]*)"|([^;\s]+))/i.exec(element.trim())
    if (match !== null) nodes.push(stripPort(match[1] ?? match[2] ?? ''))
    // A proxy that does not say for whom: what stands left of it is the word of somebody unknown.
    else if (element.trim() !== '') nodes.push('unknown')
  }
  return nodes
}

function stripPort(node: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(node)
  if (bracketed !== null) return bracketed[1]!
  const colon = node.indexOf(':')
  return colon > 0 && node.indexOf(':', colon + 1) < 0 ? node.slice(0, colon) : node
}

function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address
}

function validHost(value: string | undefined): string | undefined {
  return value !== undefined && /^[A-Za-z0-9.\-:[\]]{1,255}$/.test(value) ? value : undefined
}

function validPort(value: string | undefined): number | undefined {
  return value !== undefined && /^[1-9]\d{0,4}$/.test(value) && Number(value) < 65_536 ? Number(value) : undefined
}

/** A trusted proxy's is taken over, see request-id.ts. */
const REQUEST_ID = 'x-request-id'

const NAMES_BY_LENGTH: readonly (readonly string[] | undefined)[] = (() => {
  const table: string[][] = []
  for (const name of [
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'x-forwarded-port',
    'x-forwarded-server',
    'x-forwarded-scheme',
    'x-forwarded-ssl',
    'x-forwarded-prefix',
    'x-real-ip',
    REQUEST_ID,
    'forwarded',
  ])
    (table[name.length] ??= []).push(name)
  return table
})()
