/**
 * The end of a client's connection: FIN behind what was sent, then reading on for a while, because a socket that is
 * closed with unread bytes is reset, and the reset may destroy the response on its way (RFC 9112 §9.6).
 */
import type { Socket } from 'node:net'
import { TimerEntry, type Timers } from '../transport/timers.ts'

/** Milliseconds that the client's FIN is waited for, and bytes that are read meanwhile. */
const LINGER = 2_000
const LINGER_BYTES = 1024 * 1024

export class LingeringClose extends TimerEntry {
  readonly #socket: Socket
  readonly #timers: Timers
  readonly #patience: number
  readonly #over: () => void
  /** Unsent bytes of the last response at the previous check. */
  #unsent: number
  #read = 0

  /**
   * @param patience milliseconds in which a slow client must have taken something of what is still unsent
   * @param over called on timeout: destroy the socket
   */
  constructor(socket: Socket, timers: Timers, patience: number, over: () => void) {
    super()
    this.#socket = socket
    this.#timers = timers
    this.#patience = Math.max(patience, LINGER)
    this.#over = over
    socket.end()
    this.#unsent = socket.writableLength
    this.#watch()
  }

  /** Further data from the client is discarded. */
  drop(bytes: number): void {
    this.#read += bytes
    // Not a reset, which would destroy what the client has not read yet: it has to wait, and can read meanwhile.
    if (this.#read > LINGER_BYTES) this.#socket.pause()
  }

  /** The socket is closed. */
  done(): void {
    this.#timers.disarm(this)
  }

  #watch(): void {
    this.#timers.arm(this, this.#timers.now + (this.#unsent > 0 ? this.#patience : LINGER))
  }

  expired(): void {
    const before = this.#unsent
    this.#unsent = this.#socket.writableLength
    if (this.#unsent < before) this.#watch()
    else this.#over()
  }
}
