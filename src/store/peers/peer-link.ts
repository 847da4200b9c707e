/** The connection that a replica makes to another one, and by which it tells it what it has purged. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { type ReconnectPauses, reconnectPause } from '../reconnect.ts'
import { dialOptions, type PeerKey } from './peer-tls.ts'
import { type Hello, type PeerMessage, PeerWire } from './peer-wire.ts'

/** From the first packet to the welcome; and for each answer. */
const ANSWERS_WITHIN: Milliseconds = 1_000
/** So that a connection that is dead is noticed where there is nothing to tell. */
const PING_EVERY: Milliseconds = 1_000
const PAUSES: ReconnectPauses = { first: 20, longest: 500 }

export interface PeerLinkEdges {
  readonly time: TimerClock
  readonly random: Random
  readonly keys: () => readonly PeerKey[]
  readonly hello: () => Hello
  /** The next ones behind a place; undefined: they are not kept any more. */
  readonly behind: (position: number) => readonly string[] | undefined
  /** It acts up to another place now, or is linked anew. */
  readonly moved: () => void
}

export class PeerLink {
  readonly #edges: PeerLinkEdges
  readonly #stopPing: () => void
  #targets: readonly { readonly host: string; readonly port: number }[] = []
  #turn = 0
  #attempts = 0
  #socket: Socket | undefined
  #wire: PeerWire | undefined
  #stopTimer: () => void = () => {}
  #stopPause: (() => void) | undefined
  /** What has been sent has not been answered. */
  #asked = false
  #acked = 0
  #linked = false
  #stopped = false

  constructor(edges: PeerLinkEdges) {
    this.#edges = edges
    this.#stopPing = edges.time.every(PING_EVERY, () => this.#ping())
  }

  /** The place up to which it acts for certain; 0 while it has not said it since the last connection was lost. */
  get acked(): number {
    return this.#linked ? this.#acked : 0
  }

  /** Where it is: dialled when that is known first, or is another place. */
  use(addresses: readonly string[], port: number): void {
    const before = this.#targets
    this.#targets = addresses.map((host) => ({ host, port }))
    const [first] = this.#targets
    if (first === undefined) return
    if (before.some(({ host, port }) => host === first.host && port === first.port)) return
    this.#lose()
    this.#dial()
  }

  /** There are new records. */
  push(): void {
    if (!this.#linked || this.#asked) return
    const records = this.#edges.behind(this.#acked)
    // Only a new greeting tells it that some are gone.
    if (records === undefined) return this.#again()
    if (records.length > 0) this.#ask({ type: 'records', first: this.#acked + 1, records })
  }

  stop(): void {
    this.#stopped = true
    this.#stopPing()
    this.#lose()
  }

  #ping(): void {
    if (this.#linked && !this.#asked) this.#ask({ type: 'ping' })
  }

  #ask(message: PeerMessage): void {
    this.#asked = true
    this.#wire?.send(message)
    this.#expect()
  }

  #expect(): void {
    this.#stopTimer()
    this.#stopTimer = this.#edges.time.after(ANSWERS_WITHIN, () => this.#again())
  }

  #dial(): void {
    const target = this.#targets[this.#turn++ % this.#targets.length]
    if (this.#stopped || target === undefined) return
    const keys = this.#edges.keys()
    if (keys.length === 0) return this.#pause()
    const socket = connect(target)
    this.#socket = socket
    // `close` follows, whatever it was.
    socket.on('error', () => {})
    socket.once('close', () => {
      if (this.#socket === socket) this.#again()
    })
    socket.once('connect', () => {
      const secure = connectTls({ socket, ...dialOptions(keys) })
      const wire = new PeerWire(
        secure,
        (message) => this.#wire === wire && this.#accept(message),
        () => {
          if (this.#socket === socket) this.#again()
        },
      )
      secure.once('secureConnect', () => {
        if (this.#socket !== socket) return wire.close()
        this.#wire = wire
        wire.send(this.#edges.hello())
      })
    })
    this.#expect()
  }

  #accept(message: PeerMessage): void {
    switch (message.type) {
      case 'welcome':
        this.#linked = true
        this.#attempts = 0
        return this.#answered(message.position)
      case 'ack':
        return this.#answered(message.position)
      case 'pong':
        return this.#answered(this.#acked)
      default:
    }
  }

  #answered(position: number): void {
    this.#asked = false
    this.#stopTimer()
    this.#acked = position
    this.#edges.moved()
    this.push()
  }

  /** Whatever it was: by another connection. */
  #again(): void {
    this.#lose()
    this.#pause()
  }

  #pause(): void {
    if (this.#stopped || this.#stopPause !== undefined) return
    const { time, random } = this.#edges
    this.#stopPause = time.after(reconnectPause(this.#attempts++, PAUSES, random), () => {
      this.#stopPause = undefined
      this.#dial()
    })
  }

  #lose(): void {
    const [socket, wire] = [this.#socket, this.#wire]
    this.#socket = undefined
    this.#wire = undefined
    this.#linked = false
    this.#asked = false
    this.#stopTimer()
    this.#stopPause?.()
    this.#stopPause = undefined
    wire?.close()
    socket?.destroy()
  }
}
