/**
 * The certificates that handshakes choose from: read once after each change, and for each name at most one of each type
 * of key. A pair that cannot be used leaves the one before it in service.
 */
import { X509Certificate } from 'node:crypto'
import type { Contents } from '../policy/contents.ts'
import type { CertificateRef } from '../snapshot/host-tls.ts'
import { readCertificatePair } from '../tls/certificate.ts'
import { namesCover } from '../tls/certificate-names.ts'

/** One that is usable, and what it was read from. */
export interface ServerCertificate {
  readonly ref: CertificateRef
  /** Contents as they came, by whose identity a change is noticed. */
  readonly source: { readonly chain: Uint8Array; readonly key: Uint8Array }
  /** PEM: the leaf, then those that signed the one before. */
  readonly chain: string | Uint8Array
  readonly key: string | Uint8Array
  /** `ec`, `rsa`, `ed25519` … */
  readonly keyType: string
  readonly names: ReadonlySet<string>
}

/** Those not used for the longest time are read again when they are asked for. */
const KEPT = 8_192

interface Read {
  /** What was read last, usable or not. */
  chain: Uint8Array
  key: Uint8Array
  usable: ServerCertificate | undefined
}

export class ServerCertificates {
  readonly #contents: Contents
  readonly #problem: (message: string) => void
  /** By the content id of the chain. */
  readonly #read = new Map<string, Read>()

  constructor(contents: Contents, problem: (message: string) => void) {
    this.#contents = contents
    this.#problem = problem
  }

  /**
   * The certificates for a name: of each type of key the one that covers it most exactly, the first among equals. Those
   * that do not cover it count only where none does.
   *
   * @param serverName '' = none
   */
  choose(refs: readonly CertificateRef[], serverName: string): readonly ServerCertificate[] {
    if (refs.length === 1) {
      const only = this.#usable(refs[0]!)
      return only === undefined ? [] : [only]
    }
    const best = new Map<string, { readonly one: ServerCertificate; readonly rank: number }>()
    let highest = 0
    for (const ref of refs) {
      const one = this.#usable(ref)
      if (one === undefined) continue
      const rank = one.names.has(serverName) ? 2 : namesCover(one.names, serverName) ? 1 : 0
      const former = best.get(one.keyType)
      if (former === undefined || rank > former.rank) best.set(one.keyType, { one, rank })
      highest = Math.max(highest, rank)
    }
    return [...best.values()].flatMap(({ one, rank }) => (rank > 0 || highest === 0 ? [one] : []))
  }

  #usable(ref: CertificateRef): ServerCertificate | undefined {
    const chain = this.#contents.get(ref.chain)
    const key = this.#contents.get(ref.key)
    const known = this.#read.get(ref.chain)
    if (chain === undefined || key === undefined) {
      this.#read.delete(ref.chain)
      return undefined
    }
    if (known !== undefined && known.chain === chain && known.key === key) return known.usable
    const usable = this.#readPair(ref, chain, key) ?? known?.usable
    this.#read.delete(ref.chain)
    this.#read.set(ref.chain, { chain, key, usable })
    if (this.#read.size > KEPT) this.#read.delete(this.#read.keys().next().value!)
    return usable
  }

  #readPair(ref: CertificateRef, chain: Uint8Array, key: Uint8Array): ServerCertificate | undefined {
    const written = { chain: textOf(chain), key: textOf(key) }
    const pair = readCertificatePair(written.chain, written.key)
    if ('fault' in pair) {
      this.#problem(`the certificate of Secret ${ref.secret} cannot be used: ${pair.fault}`)
      return undefined
    }
    return {
      ref,
      source: { chain, key },
      // What is sent as it was written is not kept twice.
      chain: pair.chain === written.chain ? chain : pair.chain,
      key: pair.key === written.key ? key : pair.key,
      keyType: new X509Certificate(pair.chain).publicKey.asymmetricKeyType ?? '',
      names: new Set(pair.facts.names),
    }
  }
}

/** Bytes may lie in memory that threads share. */
export function textOf(pem: string | Uint8Array): string {
  return typeof pem === 'string' ? pem : Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1')
}
