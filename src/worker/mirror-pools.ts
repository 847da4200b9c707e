/**
 * Connections of a Backend that carry copies of requests (`mirror`) and nothing else. One is made only while less than
 * half of what the Backend may have is in use, and no copy waits for one: so they never stand in the way of its own
 * requests, which also have those closed that lie idle.
 */
import type { HeadLimits } from '../message/head.ts'
import type { ConnectionPlaces, Places, Reservation, Waiter } from '../transport/connection-places.ts'
import type { PoolContext } from '../transport/pool.ts'
import type { Timers } from '../transport/timers.ts'

export interface MirroredBackend extends PoolContext {
  readonly places: ConnectionPlaces
}

export class MirrorPools implements PoolContext {
  readonly #backend: MirroredBackend
  readonly timers: Timers
  readonly places: Places

  constructor(backend: MirroredBackend) {
    this.#backend = backend
    this.timers = backend.timers
    this.places = new MirrorPlaces(backend.places)
  }

  get limits(): HeadLimits {
    return this.#backend.limits
  }

  mayDial(address: string, port: number): boolean {
    return this.#backend.mayDial(address, port)
  }

  connectionOpened(reused: boolean): void {
    this.#backend.connectionOpened(reused)
  }

  connectionFailed(): void {
    this.#backend.connectionFailed()
  }

  connectionClosed(): void {
    this.#backend.connectionClosed()
  }
}

/** The places of the Backend, as copies may have them. */
class MirrorPlaces implements Places {
  readonly refusal = 'half of maxConnections are in use, and a copy does not wait'
  readonly #all: ConnectionPlaces

  constructor(all: ConnectionPlaces) {
    this.#all = all
  }

  get idle(): number {
    return this.#all.idle
  }

  set idle(idle: number) {
    this.#all.idle = idle
  }

  reserve(): Reservation {
    return this.#all.halfFree ? this.#all.reserve() : 'full'
  }

  wait(_waiter: Waiter): boolean {
    return false
  }

  leave(_waiter: Waiter): void {}

  give(): void {
    this.#all.give()
  }

  serve(): void {
    this.#all.serve()
  }

  get short(): boolean {
    return this.#all.short
  }

  precedes(waiter: Waiter): boolean {
    return this.#all.precedes(waiter)
  }
}
