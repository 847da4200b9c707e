/** The client's side of an exchange whose client has left: what is sent to it goes nowhere. */
import type { Duplex } from '../message/duplex.ts'
import type { Downstream, ResponseProgress } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'

export class NoClient implements Downstream, ResponseProgress {
  readonly peer: Peer
  /** As it was when the client left. */
  readonly bodySent: number
  readonly lost: number

  constructor({ peer, progress }: Pick<Downstream, 'peer' | 'progress'>) {
    this.peer = peer
    this.bodySent = progress.bodySent
    this.lost = progress.lost
  }

  get progress(): ResponseProgress {
    return this
  }

  get room(): boolean {
    return true
  }

  retract(): boolean {
    return false
  }

  sendEarlyEnd(): boolean {
    return false
  }

  sendInformational(): void {}
  sendHead(): void {}
  sendBody(): void {}
  sendEnd(): void {}
  endRest(): void {}
  sendComplete(): void {}
  flush(): void {}
  resumeBody(): void {}
  abort(): void {}

  upgrade(): Duplex {
    throw new TypeError('a client that has left cannot switch protocols')
  }
}
