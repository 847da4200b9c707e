/** Authorities and revocation lists by which client certificates are verified, read once after each change. */
import { hash } from 'node:crypto'
import type { Contents } from '../policy/contents.ts'
import type { ClientCertificateOptions } from '../snapshot/host-tls.ts'
import { checkAuthorities, readRevocationLists } from '../tls/authorities.ts'
import { textOf } from './server-certificates.ts'

export interface ClientTrust {
  /** PEM; '' = nobody is trusted: the bundle, or the list that must be asked, cannot be had. */
  readonly ca: string
  /** PEM; '' = none is asked. */
  readonly crl: string
  /** When the first list has to be replaced, by the wall clock; infinity = never. */
  readonly crlEnd: number
  /** Of both. */
  readonly digest: string
}

const NOBODY: ClientTrust = { ca: '', crl: '', crlEnd: Number.POSITIVE_INFINITY, digest: 'nobody' }

/** Stands for none. */
const NO_LIST = new Uint8Array(0)

export class ClientTrusts {
  readonly #contents: Contents
  readonly #problem: (message: string) => void
  /** By the bytes of the bundle, and of the list: hostnames may have one bundle and different lists. */
  readonly #read = new WeakMap<Uint8Array, WeakMap<Uint8Array, ClientTrust>>()

  constructor(contents: Contents, problem: (message: string) => void) {
    this.#contents = contents
    this.#problem = problem
  }

  /** What cannot be read trusts nobody. */
  read({ ca: caId, crl: crlId }: ClientCertificateOptions): ClientTrust {
    const ca = this.#contents.get(caId)
    const crl = crlId === undefined ? undefined : this.#contents.get(crlId)
    if (ca === undefined || (crlId !== undefined && crl === undefined)) return NOBODY
    let byList = this.#read.get(ca)
    if (byList === undefined) this.#read.set(ca, (byList = new WeakMap()))
    const known = byList.get(crl ?? NO_LIST)
    if (known !== undefined) return known
    const trust = this.#readAnew(ca, crl, caId)
    byList.set(crl ?? NO_LIST, trust)
    return trust
  }

  #readAnew(ca: Uint8Array, crl: Uint8Array | undefined, id: string): ClientTrust {
    // Control has looked into every certificate of it, which takes longer than a handshake may.
    const authorities = textOf(ca)
    const lists = crl === undefined ? undefined : readRevocationLists(textOf(crl))
    const broken = checkAuthorities(authorities) ?? (lists !== undefined && 'fault' in lists ? lists : undefined)
    if (broken !== undefined || (lists !== undefined && 'fault' in lists)) {
      this.#problem(`no client certificate is accepted by ${id}: ${broken?.fault}`)
      return NOBODY
    }
    return {
      ca: authorities,
      crl: lists?.pem ?? '',
      crlEnd: lists?.nextUpdate ?? Number.POSITIVE_INFINITY,
      digest: hash('sha256', `${authorities}\n${lists?.pem ?? ''}`),
    }
  }
}
