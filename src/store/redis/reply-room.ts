/**
 * Bytes of replies that are on their way over one connection, on which every reply waits for those before it. Who looks
 * up large records gets fewer of them at a time, so that the small ones of others stay within their deadline; and where
 * calls are late the room shrinks for all, as on a way that is narrow. A reply that is larger than its owner's were
 * does not come: its size does ({@link ReplyRoom.tooLarge}), and it is asked for again.
 */
import { OwnerPlaces } from '../owner-places.ts'

export interface ReplyRoomBounds {
  /** Room with a way that has never been too slow, bytes. */
  readonly most: number
  /** Room at the least. */
  readonly least: number
  /** What a reply of an owner may be at the most. */
  readonly largestReply: number
  /** What it is taken for where nothing is known, and may always be. */
  readonly firstGuess: number
}

/** What each reply takes besides what is in it. */
const OVERHEAD = 1_024
/** Replies that are smaller than the one before are believed little by little, larger ones at once. */
const BELIEF = 0.25
/** Of the bytes that came in time: by so much the room grows. */
const GROWTH = 0.25
const MAX_OWNERS = 4_096

export class ReplyRoom {
  readonly #bounds: ReplyRoomBounds
  /** By owner, what its next reply is taken for; the longest unused first. */
  readonly #expected = new Map<string, number>()
  readonly #onTheWay: OwnerPlaces = new OwnerPlaces(() => this.#room - this.#onTheWay.taken)
  #room: number

  constructor(bounds: ReplyRoomBounds) {
    this.#bounds = bounds
    this.#room = bounds.most
  }

  /** Bytes that may be on their way now. */
  get room(): number {
    return this.#room
  }

  /**
   * An owner has no more on its way than is left to others; who has nothing may ask.
   *
   * @param least bytes of the reply, where they are known
   * @returns bytes to be given back; 0: it is not to ask now
   */
  take(owner: string, least = 0): number {
    const expected = Math.max(this.#expected.get(owner) ?? this.#bounds.firstGuess, least + OVERHEAD)
    return this.#onTheWay.take(owner, expected) ? expected : 0
  }

  /** @returns how large the reply may be, for which so much was taken; bytes */
  allowed(taken: number): number {
    return Math.max(taken, this.#bounds.firstGuess) - OVERHEAD
  }

  /** @param bytes that the reply would have had: the owner's next ones are taken for as large */
  tooLarge(owner: string, taken: number, bytes: number): void {
    this.#onTheWay.giveBack(owner, taken)
    this.#expect(owner, bytes + OVERHEAD)
  }

  /** @param bytes of the reply that came */
  replied(owner: string, taken: number, bytes: number): void {
    this.#onTheWay.giveBack(owner, taken)
    const size = bytes + OVERHEAD
    const expected = this.#expected.get(owner) ?? taken
    this.#expect(owner, size >= expected ? size : expected + (size - expected) * BELIEF)
    this.#room = Math.min(this.#bounds.most, this.#room + size * GROWTH)
  }

  /** No reply came in time; how large it is nobody knows. */
  late(owner: string, taken: number): void {
    this.#onTheWay.giveBack(owner, taken)
    this.#expect(owner, taken * 2)
    this.#room = Math.max(this.#bounds.least, this.#room / 2)
  }

  /** There was no reply, for another reason. */
  failed(owner: string, taken: number): void {
    this.#onTheWay.giveBack(owner, taken)
  }

  #expect(owner: string, bytes: number): void {
    this.#expected.delete(owner)
    this.#expected.set(owner, Math.min(bytes, this.#bounds.largestReply))
    if (this.#expected.size > MAX_OWNERS) this.#expected.delete(this.#expected.keys().next().value!)
  }
}
