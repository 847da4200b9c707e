/**
 * The `tls.Server`s of a worker: one for each set of options and certificates, since a context that is chosen by SNI
 * enforces neither version nor client certificates of its own. Each is made at the first handshake that needs it; those
 * that were not used for the longest time are given up, and their connections go on. A handshake compares the contents
 * that its server was made of with the newest, so a changed Secret acts on the next one and on no open connection.
 */
import { FairMap } from '../lib/fair-map.ts'
import { SECURE_CONTEXT_BYTES } from '../lib/memory-budget.ts'
import type { Contents } from '../policy/contents.ts'
import { type CertificateRef, DEFAULT_TLS_OPTIONS, type HostTls, type TlsOptions } from '../snapshot/host-tls.ts'
import { resumesFormer, ticketKey, ticketKeyName, ticketPeriod } from '../tls/ticket-keys.ts'
import { type ClientTrust, ClientTrusts } from './client-trust.ts'
import { SecureServer, type ServerEvents } from './secure-server.ts'
import { type ServerCertificate, ServerCertificates } from './server-certificates.ts'
import { stapleOf } from './staple.ts'
import { TrustMemory } from './trust-memory.ts'

export interface TlsSettings {
  /** Null: names without a certificate of their own are not served. */
  readonly defaultCertificate: CertificateRef | null
  /** Content id of what replicas derive their ticket keys from; null: the process has its own. */
  readonly ticketKey: string | null
}

export interface TlsServersHost {
  readonly contents: Contents
  readonly wall: () => number
  readonly events: ServerEvents
  /** Ticket keys are derived from it where the settings name no Secret. */
  readonly ticketMaster: Uint8Array
  /** Servers that are kept. */
  readonly kept?: number
  /** Bytes of authorities and lists in all of them and in those of open connections. */
  readonly trustBytes?: number
  /** What keeps a hostname from being served as it is configured, for the log. */
  problem(message: string): void
}

/** Each has a context of some 30 KiB, and see trust-memory.ts. The namespace that has most of them loses its oldest. */
const KEPT = 1_024

/** What of a ClientHello decides which server takes it. */
export interface ServerChoice {
  /** In normal form; '' = none. */
  readonly serverName: string
  /** Of the key that its session ticket was made with. */
  readonly ticketName: Buffer | null
  readonly verifiesEcdsa: boolean
  /** The client's among all, 0 … 1. */
  readonly place: number
}

/** Where nobody states any. */
const NOBODY = { namespace: '', options: DEFAULT_TLS_OPTIONS }

interface Kept {
  readonly server: SecureServer
  readonly ids: readonly (string | undefined)[]
  /** Contents that it was made of, by whose identity a change is noticed. */
  readonly inputs: readonly (Uint8Array | undefined)[]
  readonly scope: string
  readonly ticketName: Buffer
}

export class TlsServers {
  readonly #host: TlsServersHost
  readonly #certificates: ServerCertificates
  readonly #trusts: ClientTrusts
  /** By the namespace that states the TLS, and what it is for; the longest unused first. */
  readonly #kept: FairMap<Kept>
  readonly #memory: TrustMemory
  #settings: TlsSettings = { defaultCertificate: null, ticketKey: null }
  /** How often authorities and lists were parsed for a server. */
  parsed = 0

  constructor(host: TlsServersHost) {
    this.#host = host
    this.#kept = new FairMap(host.kept ?? KEPT, ({ server }) => server.giveUp())
    this.#memory = new TrustMemory(host.trustBytes)
    this.#certificates = new ServerCertificates(host.contents, (message) => host.problem(message))
    this.#trusts = new ClientTrusts(host.contents, (message) => host.problem(message))
  }

  use(settings: TlsSettings): void {
    this.#settings = settings
  }

  get size(): number {
    return this.#kept.size
  }

  /** Memory of all, in bytes. */
  get bytes(): number {
    return this.#kept.size * SECURE_CONTEXT_BYTES + this.#memory.bytes
  }

  get trustBytes(): number {
    return this.#memory.bytes
  }

  /** By whom certificates of clients are verified now; null: none is asked for. */
  trustOf({ clientCertificate }: TlsOptions): ClientTrust | null {
    return clientCertificate === undefined ? null : this.#trusts.read(clientCertificate)
  }

  /**
   * @param tls of the hostname; null = nobody states any for it
   * @returns undefined: there is no certificate
   */
  find(tls: HostTls | null, choice: ServerChoice): SecureServer | undefined {
    const { namespace, options } = tls ?? NOBODY
    const own = tls === null ? undefined : this.#serving(namespace, options, tls.certificates, choice)
    if (own !== undefined) return own
    const { defaultCertificate } = this.#settings
    if (defaultCertificate === null) return undefined
    // One server for all namespaces where nothing of it is a namespace's own.
    const whose = options.clientCertificate === undefined ? NOBODY.namespace : namespace
    return this.#serving(whose, options, [defaultCertificate], choice)
  }

  #serving(
    namespace: string,
    options: TlsOptions,
    refs: readonly CertificateRef[],
    choice: ServerChoice,
  ): SecureServer | undefined {
    if (refs.length === 0) return undefined
    const certificates = forClient(this.#certificates.choose(refs, choice.serverName), choice)
    if (certificates.length === 0) return undefined
    const wall = this.#host.wall()
    const period = ticketPeriod(wall)
    const current = this.#keep(namespace, options, certificates, period)
    const { ticketName } = choice
    if (current === undefined || ticketName === null || ticketName.equals(current.ticketName)) return current?.server
    if (!resumesFormer(wall, choice.place)) return current.server
    const former = ticketKeyName(ticketKey(this.#master(), current.scope, period - 1))
    return ticketName.equals(former) ? this.#keep(namespace, options, certificates, period - 1)?.server : current.server
  }

  #keep(
    namespace: string,
    options: TlsOptions,
    certificates: readonly ServerCertificate[],
    period: number,
  ): Kept | undefined {
    let key = `${period}\n${options.key}`
    for (const { ref } of certificates) key += `\n${ref.chain}`
    const known = this.#kept.get(namespace, key)
    if (known !== undefined && this.#isCurrent(known)) {
      this.#kept.set(namespace, key, known)
      this.#memory.use(namespace, known.server)
      return known
    }
    const kept = this.#make(options, certificates, period)
    this.#kept.delete(namespace, key)
    known?.server.giveUp()
    if (kept === undefined) return undefined
    kept.server.released = () => void this.#kept.delete(namespace, key)
    this.#kept.set(namespace, key, kept)
    this.#memory.use(namespace, kept.server)
    return kept
  }

  #isCurrent({ ids, inputs, server }: Kept): boolean {
    const { contents } = this.#host
    if (server.givenUp) return false
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]
      if (id !== undefined && contents.get(id) !== inputs[i]) return false
    }
    return true
  }

  #make(options: TlsOptions, certificates: readonly ServerCertificate[], period: number): Kept | undefined {
    const { contents, wall, events } = this.#host
    const { clientCertificate } = options
    const { ocsp } = certificates[0]!.ref
    const ids = [clientCertificate?.ca, clientCertificate?.crl, ocsp, this.#settings.ticketKey ?? undefined]
    for (const { ref } of certificates) ids.push(ref.chain, ref.key)
    const trust = this.trustOf(options)
    if (trust !== null) this.parsed++
    const scope = `${options.key}\n${trust?.digest ?? ''}`
    const key = ticketKey(this.#master(), scope, period)
    try {
      const parts = {
        options,
        certificates,
        trust,
        scope,
        ticketKey: key,
        staple: () => stapleOf(contents, ocsp, wall()),
      }
      return {
        server: new SecureServer(parts, events),
        ids,
        inputs: ids.map((id) => (id === undefined ? undefined : contents.get(id))),
        scope,
        ticketName: ticketKeyName(key),
      }
    } catch (error) {
      const secrets = certificates.map(({ ref }) => ref.secret).join(', ')
      this.#host.problem(`no handshake can be made with the certificate of ${secrets}: ${messageOf(error)}`)
      return undefined
    }
  }

  #master(): Uint8Array {
    const { ticketKey: id } = this.#settings
    return (id === null ? undefined : this.#host.contents.get(id)) ?? this.#host.ticketMaster
  }
}

/**
 * A client that knows ECDSA gets it where there is such a certificate; another gets what is left, alone, so that a
 * stapled response is always about the certificate that is sent.
 */
function forClient(
  certificates: readonly ServerCertificate[],
  { verifiesEcdsa }: ServerChoice,
): readonly ServerCertificate[] {
  if (certificates.length < 2) return certificates
  const elliptic = certificates.filter(({ keyType }) => keyType === 'ec')
  const others = certificates.filter(({ keyType }) => keyType !== 'ec')
  return verifiesEcdsa || others.length === 0 ? [...elliptic, ...others] : others
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
