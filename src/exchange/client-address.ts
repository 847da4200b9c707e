/**
 * The client's identity and address, and the forwarding fields sent upstream. Forwarding fields are believed only
 * from trusted proxies; from anybody else they are dropped in every spelling (security.md, "Client IP";
 * docs/decisions/0011).
 */

import type { ClientCertificate } from '../message/client-certificate.ts'
import type { Fields } from '../message/fields.ts'
import { forwardingKindAt, IDENTITY, NOT_FORWARDING, RESTATED } from '../message/forwarding-names.ts'
import { CidrSet, canonicalAddress } from '../pattern/cidr.ts'
import { type Authority, authorityOf, defaultPort, type Scheme } from '../pattern/host.ts'
import { connectedPort, type Peer } from '../transport/peer.ts'
import { directOrigin, Forwarding, type ReportedOrigin } from './forwarding.ts'
import {
  elementsFromRight,
  forwardedFromRight,
  nodeAddress,
  type ReportedHost,
  reportedHost,
  reportedPort,
  reportedScheme,
} from './forwarding-lists.ts'

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

/** What a list of addresses says of a client. */
export interface ReportedClient {
  /** Undefined: the peer is the client. */
  readonly address: string | undefined
  /** Addresses that are believed. */
  readonly hops: number
}

/** The forwarding data of trusted proxies about a request. */
interface Report {
  /** Addresses that are believed, the nearest proxy's first and the client's last; none: the peer is the client. */
  readonly addresses: readonly string[]
  readonly proto: Scheme | undefined
  readonly host: ReportedHost | undefined
  /** 0 = none. */
  readonly port: number
}

const LIST = 'x-forwarded-for'
/** Lists of which it is known what they say, and characters of one: clients write of theirs what they like. */
const LISTS = 1_024
const LIST_LENGTH = 256

export class ClientResolver {
  readonly #trusted: CidrSet | null
  readonly #header: string
  readonly #hops: number
  readonly #forwarded: boolean
  readonly #list: boolean
  /** The configured field is another one, with one address. */
  readonly #single: boolean
  readonly #lists = new Map<string, ReportedClient>()
  /** The last answer for each connection: nearly every request on it gets the same. */
  readonly #known = new WeakMap<Peer, { authority: string; client: Client }>()

  constructor(settings: ClientAddressSettings | null) {
    this.#trusted = settings === null || settings.trustedCIDRs.length === 0 ? null : new CidrSet(settings.trustedCIDRs)
    this.#header = settings?.header ?? ''
    this.#hops = settings?.trustedHops ?? 0
    this.#forwarded = this.#header === 'forwarded'
    this.#list = this.#header === LIST
    this.#single = !this.#forwarded && !this.#list
  }

  /** Whether there are proxies whose word on their clients is taken. */
  get trusts(): boolean {
    return this.#trusted !== null
  }

  /** Whether a word is taken of the other end of this connection. */
  trustsPeer(peer: Peer): boolean {
    if (this.#trusted === null) return false
    return this.#known.get(peer)?.client.trusted ?? this.#trusted.has(peer.address)
  }

  /** The field by which alone proxies tell addresses; null: one that has more to it than a list of addresses. */
  get listField(): string | null {
    return this.#list ? LIST : null
  }

  /** What {@link resolve} finds in a {@link listField} that stands once, from a trusted proxy. */
  reported(list: string): ReportedClient {
    const known = this.#lists.get(list)
    if (known !== undefined) return known
    const addresses = this.#listed(list)
    const client = { address: addresses.at(-1), hops: addresses.length }
    if (list.length > LIST_LENGTH) return client
    if (this.#lists.size >= LISTS) this.#lists.clear()
    this.#lists.set(list, client)
    return client
  }

  /**
   * Takes the forwarding fields out of the request; what is to be sent instead is in the answer.
   *
   * @param authority as the request names it
   * @param named the same in normal form; undefined when it is not acceptable, so that the request will be refused
   */
  resolve(peer: Peer, authority: string, named: Authority | undefined, fields: Fields): Client {
    let known = this.#known.get(peer)
    if (known === undefined) {
      const trusted = this.#trusted?.has(peer.address) ?? false
      known = { authority, client: this.#direct(peer, authority, named, trusted) }
      this.#known.set(peer, known)
    }
    if (known.client.trusted) return this.#behindProxy(peer, authority, named, fields)
    this.#dropAll(fields)
    if (known.authority !== authority) {
      known.authority = authority
      known.client = this.#direct(peer, authority, named, false)
    }
    return known.client
  }

  #direct(peer: Peer, authority: string, named: Authority | undefined, trusted: boolean): Client {
    const told = directOrigin(peer.scheme, authority, named)
    const port = connectedPort(peer)
    const origin = port === 0 || port === told.port ? told : { ...told, connectedPort: port }
    return {
      address: peer.address,
      trusted,
      forwarding: new Forwarding([peer.address], origin, certificateOf(peer), this.#forwarded),
    }
  }

  #behindProxy(peer: Peer, authority: string, named: Authority | undefined, fields: Fields): Client {
    const report = this.#forwarded ? this.#reportOfForwarded(fields) : this.#reportOfXForwarded(fields)
    const address = report.addresses.at(-1) ?? peer.address
    this.#dropStale(fields, address)
    const origin = reportedOrigin(report, directOrigin(report.proto ?? peer.scheme, authority, named), named)
    const addresses = [...report.addresses].reverse()
    addresses.push(peer.address)
    return {
      address,
      trusted: true,
      forwarding: new Forwarding(addresses, origin, certificateOf(peer), this.#forwarded),
    }
  }

  #reportOfForwarded(fields: Fields): Report {
    const elements = forwardedFromRight(fields.joined('forwarded') ?? '')
    const addresses = this.#believed(elements.map((element) => element.address))
    // Without a client address, scheme and host from the nearest trusted proxy still apply.
    const element = elements[Math.max(addresses.length - 1, 0)]
    return { addresses, proto: element?.proto, host: element?.host, port: 0 }
  }

  #reportOfXForwarded(fields: Fields): Report {
    // A client of its own for each request that comes again.
    const lines = this.#list ? fields.allApart(LIST) : fields.all(this.#header)
    const addresses = this.#listed(lines.join(', '))
    const proto = hopElement(fields.joined('x-forwarded-proto'), addresses.length)
    const host = hopElement(fields.joined('x-forwarded-host'), addresses.length)
    const port = hopElement(fields.joined('x-forwarded-port'), addresses.length)
    return {
      addresses,
      proto: proto === undefined ? undefined : reportedScheme(proto),
      host: host === undefined ? undefined : reportedHost(host),
      port: port === undefined ? 0 : reportedPort(port),
    }
  }

  #listed(list: string): string[] {
    return this.#believed(elementsFromRight(list).map(nodeAddress))
  }

  /**
   * From the right, up to the first address that is not a trusted proxy's. What is no address was written by nobody who
   * is trusted: nothing left of it is believed. With a number of hops, exactly so many are taken.
   */
  #believed(chain: readonly (string | undefined)[]): string[] {
    if (this.#hops > 0) {
      const hops = chain.slice(0, this.#hops)
      return hops.at(-1) === undefined ? [] : hops.map((address) => address ?? 'unknown')
    }
    const believed: string[] = []
    for (const address of chain) {
      if (address === undefined) break
      believed.push(address)
      if (!this.#trusted!.has(address)) break
    }
    return believed
  }

  /** Takes all out that anybody could have written, also where `_` stands for `-`. */
  #dropAll(fields: Fields): void {
    const own = this.#header
    for (let i = 0, count = fields.count; i < count; i++) {
      const length = fields.nameLength(i)
      if (
        forwardingKindAt(fields, i) !== NOT_FORWARDING ||
        (length === own.length && fields.nameIsLoosely(i, own)) ||
        (length === REQUEST_ID.length && fields.nameIsLoosely(i, REQUEST_ID))
      )
        fields.removeAt(i)
    }
  }

  /** Takes out what is written anew, and what only looks like a field that a trusted proxy wrote. */
  #dropStale(fields: Fields, client: string): void {
    const own = this.#single ? this.#header : null
    const ownAgrees = own !== null && soleAddress(fields, own) === client
    for (let i = 0, count = fields.count; i < count; i++) {
      if (own !== null && fields.nameIsLoosely(i, own)) {
        if (!ownAgrees || !fields.nameIs(i, own)) fields.removeAt(i)
        continue
      }
      const kind = forwardingKindAt(fields, i)
      if (kind === RESTATED || kind === IDENTITY) fields.removeAt(i)
      else if (kind !== NOT_FORWARDING && fields.nameAt(i).includes('_')) fields.removeAt(i)
      else if (fields.nameIsLoosely(i, REQUEST_ID) && !fields.nameIs(i, REQUEST_ID)) fields.removeAt(i)
    }
  }
}

function certificateOf({ tls }: Peer): ClientCertificate | null {
  return tls === null ? null : tls.clientCertificate
}

/** The address in a field that stands once and holds nothing else. */
function soleAddress(fields: Fields, name: string): string | undefined {
  const values = fields.all(name)
  return values.length === 1 ? canonicalAddress(values[0]!) : undefined
}

/**
 * Proxies that append to these lists append to each of them, so the element about the client's own connection stands as
 * far from the right as the client's address does. A shorter list was not written by every hop: then the nearest
 * proxy's word counts.
 *
 * @param hops how many addresses are believed
 */
function hopElement(list: string | undefined, hops: number): string | undefined {
  if (list === undefined) return undefined
  const elements = elementsFromRight(list)
  return elements[Math.max(hops - 1, 0)] ?? elements[0]
}

/**
 * A port that stands with the reported host is the client's own word, handed on; one in a field of its own is where the
 * proxy listens; the one in Host counts where no proxy says anything.
 *
 * @param direct the origin from Host, with the reported scheme
 */
function reportedOrigin(report: Report, direct: ReportedOrigin, named: Authority | undefined): ReportedOrigin {
  const { scheme } = direct
  const { host: reported, port: listening } = report
  if (reported !== undefined) {
    const { text: authority, host } = reported
    return { scheme, authority, host, port: reported.port || listening || defaultPort(scheme) }
  }
  if (listening === 0) return direct
  const { host } = direct
  // Otherwise the authority would contradict the reported port.
  const agrees = host === '' || named!.port === 0 || named!.port === listening
  return { scheme, authority: agrees ? direct.authority : authorityOf(scheme, host, listening), host, port: listening }
}

/** A trusted proxy's is taken over, see request-id.ts. */
const REQUEST_ID = 'x-request-id'
