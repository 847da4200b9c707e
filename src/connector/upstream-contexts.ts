/**
 * Trust and client certificates for connections to endpoints: a `SecureContext` for each distinct set of Secrets. It is
 * made of the bytes that are there when a connection begins, so that a rotated Secret acts on the next one, and in
 * slices: OpenSSL takes a third of a millisecond for each authority, and bundles have hundreds of them.
 */
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { GatewayError } from '../lib/error.ts'
import { type SliceClock, SlicedWork, type TimeSlice } from '../lib/time-slice.ts'
import { type Contents, describeContent } from '../policy/contents.ts'
import type { UpstreamTls } from '../snapshot/upstream-tls.ts'
import { MAX_AUTHORITIES } from '../tls/authorities.ts'
import { parseCertificate, readCertificatePair } from '../tls/certificate.ts'
import { parsePem } from '../tls/pem.ts'

export interface ContextWaiter {
  contextReady(context: SecureContext | GatewayError): void
}

/** Bytes of PEM of all contexts that are kept; OpenSSL takes four to five times as much. */
const MAX_BYTES = 8 * 1024 * 1024
/** What a context takes besides. */
const OVERHEAD = 4 * 1024

interface Entry {
  readonly key: string
  readonly group: string
  readonly sources: Sources
  readonly size: number
  result: SecureContext | GatewayError | null
  readonly waiters: ContextWaiter[]
}

/** Bytes of the Secrets; undefined where none is asked for. */
interface Sources {
  readonly ca: Uint8Array | undefined
  readonly chain: Uint8Array | undefined
  readonly key: Uint8Array | undefined
}

export class UpstreamContexts {
  readonly #contents: Contents
  readonly #work: SlicedWork
  /** By namespace; the least recently used of each first. */
  readonly #groups = new Map<string, { bytes: number; readonly entries: Map<string, Entry> }>()
  #bytes = 0
  readonly #queue: Entry[] = []
  #steps: Generator<void, SecureContext> | null = null

  constructor(contents: Contents, clock: SliceClock) {
    this.#contents = contents
    this.#work = new SlicedWork(clock, (slice) => this.#run(slice))
  }

  /**
   * @param namespace of the Backend
   * @returns null: it is being made, and the waiter is called in a later turn
   */
  get(tls: UpstreamTls, namespace: string, waiter: ContextWaiter): SecureContext | GatewayError | null {
    const sources = this.#read(tls)
    if (sources instanceof GatewayError) return sources
    const { ca, clientCertificate, insecureSkipVerify } = tls
    // Sessions go with their context: what was not verified is never resumed where it must be.
    const key = `${insecureSkipVerify} ${ca ?? ''} ${clientCertificate?.chain ?? ''}`
    const group = this.#groups.get(namespace)
    let entry = group?.entries.get(key)
    if (entry !== undefined && equal(entry.sources, sources)) this.#touch(group!.entries, entry)
    else entry = this.#add(key, namespace, sources)
    if (entry.result === null) entry.waiters.push(waiter)
    return entry.result
  }

  #read({ ca, clientCertificate: client, insecureSkipVerify }: UpstreamTls): Sources | GatewayError {
    const wanted = { ca: insecureSkipVerify ? undefined : ca, chain: client?.chain, key: client?.key }
    for (const id of Object.values(wanted))
      if (id !== undefined && this.#contents.get(id) === undefined)
        return new GatewayError('UpstreamTlsUnavailable', `there is no ${describeContent(id)}`)
    const bytes = (id: string | undefined): Uint8Array | undefined =>
      id === undefined ? undefined : this.#contents.get(id)
    return { ca: bytes(wanted.ca), chain: bytes(wanted.chain), key: bytes(wanted.key) }
  }

  #touch(entries: Map<string, Entry>, entry: Entry): void {
    entries.delete(entry.key)
    entries.set(entry.key, entry)
  }

  #add(key: string, namespace: string, sources: Sources): Entry {
    const size = OVERHEAD + length(sources.ca) + length(sources.chain) + length(sources.key)
    let group = this.#groups.get(namespace)
    if (group === undefined) this.#groups.set(namespace, (group = { bytes: 0, entries: new Map() }))
    const outdated = group.entries.get(key)
    if (outdated !== undefined) this.#remove(outdated)
    const entry: Entry = { key, group: namespace, sources, size, result: null, waiters: [] }
    this.#groups.set(namespace, group)
    group.entries.set(key, entry)
    group.bytes += size
    this.#bytes += size
    this.#evict(entry)
    this.#queue.push(entry)
    this.#work.schedule()
    return entry
  }

  /** The namespace that has most loses what it has not used for longest. Connections keep the context they have. */
  #evict(kept: Entry): void {
    while (this.#bytes > MAX_BYTES) {
      let largest = this.#groups.get(kept.group)!
      for (const group of this.#groups.values()) if (group.bytes > largest.bytes) largest = group
      const [oldest] = largest.entries.values()
      if (oldest === kept) return
      this.#remove(oldest!)
    }
  }

  #remove({ group: name, key, size }: Entry): void {
    const group = this.#groups.get(name)!
    group.entries.delete(key)
    group.bytes -= size
    this.#bytes -= size
    if (group.entries.size === 0) this.#groups.delete(name)
  }

  /** @returns whether another slice is needed */
  #run(slice: TimeSlice): boolean {
    for (let entry = this.#queue[0]; entry !== undefined; entry = this.#queue[0]) {
      this.#steps ??= makeContext(entry.sources)
      const result = step(this.#steps)
      if (result !== undefined) {
        this.#steps = null
        this.#queue.shift()
        entry.result = result
        for (const waiter of entry.waiters.splice(0)) waiter.contextReady(result)
      }
      if (slice.over) return this.#queue.length > 0
    }
    return false
  }
}

function step(steps: Generator<void, SecureContext>): SecureContext | GatewayError | undefined {
  try {
    const { done, value } = steps.next()
    return done === true ? value : undefined
  } catch (error) {
    return error instanceof GatewayError
      ? error
      : new GatewayError('UpstreamTlsUnavailable', error instanceof Error ? error.message : String(error))
  }
}

function* makeContext({ ca, chain, key }: Sources): Generator<void, SecureContext> {
  const authorities = ca === undefined ? undefined : yield* authoritiesOf(ca)
  const client = chain === undefined || key === undefined ? undefined : clientCertificateOf(chain, key)
  yield
  const options: SecureContextOptions = {
    minVersion: 'TLSv1.2',
    // What the Secret names is trusted, be it the root or an authority below it.
    allowPartialTrustChain: true,
    ...(client === undefined ? {} : { cert: client.chain, key: client.key }),
  }
  if (authorities === undefined) return createSecureContext(options)
  const [first, ...others] = authorities
  const context = createSecureContext({ ...options, ca: first! })
  const native = (context as unknown as WithNative).context
  if (typeof native?.addCACert !== 'function') return createSecureContext({ ...options, ca: [...authorities] })
  for (const authority of others) {
    yield
    native.addCACert(authority)
  }
  return context
}

/** What node:tls calls itself for each authority of the option `ca`. */
interface WithNative {
  readonly context?: { addCACert?: (pem: string) => void }
}

function* authoritiesOf(bytes: Uint8Array): Generator<void, readonly string[]> {
  const blocks = parsePem(text(bytes), MAX_AUTHORITIES)
  if ('fault' in blocks) throw unusable(`the CA bundle cannot be used: ${blocks.fault}`)
  const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE')
  if (certificates.length === 0) throw unusable('the CA bundle has no certificate in PEM')
  for (const [i, block] of certificates.entries()) {
    yield
    // OpenSSL leaves out what it cannot read, and the rest without a word.
    if (parseCertificate(block) === undefined)
      throw unusable(`the CA bundle cannot be used: certificate ${i + 1} in it is damaged`)
  }
  return certificates.map((block) => block.text)
}

function clientCertificateOf(chain: Uint8Array, key: Uint8Array): { readonly chain: string; readonly key: string } {
  const pair = readCertificatePair(text(chain), text(key))
  if ('fault' in pair) throw unusable(`the client certificate cannot be used: ${pair.fault}`)
  return pair
}

function unusable(detail: string): GatewayError {
  return new GatewayError('UpstreamTlsUnavailable', detail)
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function equal(a: Sources, b: Sources): boolean {
  return a.ca === b.ca && a.chain === b.chain && a.key === b.key
}

function length(bytes: Uint8Array | undefined): number {
  return bytes?.byteLength ?? 0
}
