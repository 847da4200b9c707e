/**
 * Open connections whose clients have shown certificates: each ends as soon as its certificate would not be accepted in
 * a handshake any more, whatever runs on it.
 */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { type SliceClock, SlicedWork, type TimeSlice } from '../lib/time-slice.ts'
import type { TlsOptions } from '../snapshot/host-tls.ts'
import { ChainJudge, chainOf } from '../tls/client-chain.ts'
import type { ClientTrust } from './client-trust.ts'

interface Certified {
  readonly socket: TLSSocket
  readonly options: TlsOptions
  readonly chain: readonly X509Certificate[]
  /** By the wall clock. */
  readonly end: number
  /** By which it was accepted last. */
  trust: ClientTrust
}

export class CertifiedConnections {
  readonly #open = new Set<Certified>()
  /** To be judged again: thousands of clients and a hundred authorities take seconds. */
  readonly #changed = new Set<Certified>()
  readonly #judges = new Map<ClientTrust, ChainJudge>()
  readonly #work: SlicedWork
  readonly #trustOf: (options: TlsOptions) => ClientTrust | null

  /** @param trustOf by the newest contents */
  constructor(clock: SliceClock, trustOf: (options: TlsOptions) => ClientTrust | null) {
    this.#work = new SlicedWork(clock, (slice) => this.#run(slice))
    this.#trustOf = trustOf
  }

  get size(): number {
    return this.#open.size
  }

  add(socket: TLSSocket, options: TlsOptions, trust: ClientTrust): void {
    const first = socket.getPeerX509Certificate()
    if (first === undefined) return
    const chain = chainOf(first)
    const end = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
    const certified: Certified = { socket, options, chain, end, trust }
    this.#open.add(certified)
    socket.on('close', () => {
      this.#open.delete(certified)
      this.#changed.delete(certified)
    })
  }

  /** Costs a comparison for each connection, as long as nothing has changed. */
  check(wall: number): void {
    for (const certified of this.#open) {
      const trust = this.#trustOf(certified.options)
      if (wall > certified.end || trust === null || trust.ca === '' || wall > trust.crlEnd) certified.socket.destroy()
      else if (trust !== certified.trust) this.#changed.add(certified)
    }
    if (this.#changed.size > 0) this.#work.run()
  }

  /** @returns whether another slice is needed */
  #run(slice: TimeSlice): boolean {
    for (const certified of this.#changed) {
      const trust = this.#trustOf(certified.options)
      const accepted = trust !== null && trust.ca !== '' && this.#judge(certified, trust, slice)
      if (accepted === undefined) return true
      this.#changed.delete(certified)
      if (accepted) certified.trust = trust as ClientTrust
      else certified.socket.destroy()
      if (slice.over) break
    }
    if (this.#changed.size === 0) this.#judges.clear()
    return this.#changed.size > 0
  }

  /** @returns undefined: the slice is over before it is known */
  #judge({ chain }: Certified, trust: ClientTrust, slice: TimeSlice): boolean | undefined {
    let judge = this.#judges.get(trust)
    if (judge === undefined) this.#judges.set(trust, (judge = new ChainJudge(trust.ca, trust.crl)))
    while (!judge.ready) {
      judge.prepare()
      if (slice.over) return undefined
    }
    return judge.accepts(chain)
  }
}
