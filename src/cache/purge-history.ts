/**
 * Places of purges in the history that all replicas share (in Redis, or in the folder of the state), beside the
 * sequences that they have in this process. What an archive holds was written by another process or another life of
 * this one, and says up to which place it knew all purges.
 */
import type { PurgeRecord } from './purge-record.ts'

/** Places that are remembered; objects that know only older ones count as purged. */
const MAX_PLACES = 16_384
/** Purges without a place; control sends them on in the order in which they come. */
const MAX_PENDING = 8_192
/** Beyond them, so that many are forgotten at a time: each walk passes over what was deleted at the front of a map. */
const SPARE_PENDING = 1_024

export class PurgeHistory {
  #id = 0
  #position = 0
  /** The place from which on all are known. */
  #floor = 0
  #lost = false
  /** By place, ascending. */
  #places: { readonly position: number; readonly sequence: number }[] = []
  /** Purges of this process that have no place yet: their sequences by id. */
  readonly #pending = new Map<number, number>()

  get id(): number {
    return this.#id
  }

  get position(): number {
    return this.#position
  }

  add({ kind, id, label, position }: PurgeRecord, sequence: number): void {
    if (kind === 'history') return this.#begin(label, position)
    if (position === 0) {
      if (kind === 'mark') this.#pending.delete(id)
      else if (id !== 0) this.#await(id, sequence)
      return
    }
    const own = this.#pending.get(id)
    this.#pending.delete(id)
    if (position <= this.#position) return
    this.#position = position
    this.#places.push({ position, sequence: own ?? sequence })
    if (this.#places.length > MAX_PLACES) {
      const dropped = this.#places.splice(0, MAX_PLACES >> 1)
      this.#floor = dropped.at(-1)!.position
    }
  }

  #await(id: number, sequence: number): void {
    this.#pending.set(id, sequence)
    if (this.#pending.size <= MAX_PENDING + SPARE_PENDING) return
    // Nothing of this history can be judged any more; without one there is nothing to judge.
    this.#id = 0
    for (const oldest of this.#pending.keys()) {
      this.#pending.delete(oldest)
      if (this.#pending.size === MAX_PENDING) break
    }
  }

  /** Records were missed: nothing is known of places before the next one. */
  lose(): void {
    this.#lost = true
    this.#places = []
  }

  /**
   * The sequence behind which is everything that came behind a place.
   *
   * @returns undefined when that is not known
   */
  sequenceOf(id: number, position: number): number | undefined {
    if (id === 0 || id !== this.#id || position < this.#floor) return undefined
    let sequence = Number.POSITIVE_INFINITY
    for (let i = this.#places.length - 1; i >= 0 && this.#places[i]!.position > position; i--)
      sequence = Math.min(sequence, this.#places[i]!.sequence - 1)
    for (const pending of this.#pending.values()) sequence = Math.min(sequence, pending - 1)
    return sequence
  }

  #begin(id: number, floor: number): void {
    const first = this.#places[0]
    if (id !== this.#id) {
      // What was read before is of this history too if it was not known which one that is.
      if (this.#id !== 0) this.#places = []
      this.#floor = floor
      this.#position = Math.max(floor, this.#id === 0 ? this.#position : 0)
    }
    if (this.#lost) this.#floor = Math.max(this.#floor, (first?.position ?? this.#position + 1) - 1)
    this.#id = id
    this.#lost = false
  }
}
